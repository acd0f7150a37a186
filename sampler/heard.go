package sampler

import (
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Voice is a source other than the accessed bits that the tracker clears and reads itself.
type Voice uint8

// The voices.
const (
	HintFaults Voice = iota
	DAMON
	Samples
	voices
)

// Voices are all of them, by their names in the configuration.
func Voices() []string { return []string{HintFaults: "hint-fault", DAMON: "damon", Samples: "precise"} }

func (v Voice) String() string { return Voices()[v] }

// Heard is what a voice says of a region: of Pages whose use it would have noticed,
// Accessed were used in a window of so many seconds. A huge page is one page.
type Heard struct {
	Addr            uint64
	Pages, Accessed int
	Window          float64
	// Noise is the variance that ln(rate) has beyond that of the count, as where what was
	// heard is of more than this region.
	Noise float64
}

// HeardStats counts what a voice said.
type HeardStats struct {
	// Regions were heard of, Disagreed those of which it said what is hardly possible by what
	// others had said before, each time.
	Regions, Disagreed uint64
}

// Said is what a voice says of a process's regions.
type Said struct {
	ID    policy.ProcessID
	Heard []Heard
}

// Hear joins what a voice says to what is known of regions. Each source weighs
// by the inverse of its variance, as the estimate of a rate does not ask where samples come from:
// what a sample contradicts by far is believed when the next one, of whichever
// source, says the same. Of regions that the tracker does not know nothing is kept, and those that
// are known page by page are known better. What is said at once of memory that several processes
// map adds up: that of all of them belongs into one call.
func (t *Tracker) Hear(from Voice, said ...Said) {
	t.elect()
	var order []place
	sums := map[place]Heard{}
	add := func(p *process, addr uint64, h Heard) {
		at, found := p.find(addr)
		if found && p.regions[at].movable != 0 && p.regions[at].detail == noDetail {
			r := place{p, at}
			sum, twice := sums[r]
			if twice {
				h = sum.with(h)
			} else {
				order = append(order, r)
			}
			sums[r] = h
		}
	}
	for i := range said {
		p := t.find(said[i].ID)
		if p == nil || p.err != nil {
			continue
		}
		for _, h := range said[i].Heard {
			if h.Pages <= 0 || h.Accessed < 0 || h.Accessed > h.Pages || !(h.Window > 0) || !(h.Noise >= 0) {
				continue
			}
			kept := false
			t.elsewhere(p, h.Addr, func(q *process, at uint64, whole bool) {
				kept = true
				there := h
				if !whole {
					there.Noise += skewed
				}
				add(q, at, there)
			})
			if !kept {
				add(p, h.Addr, h)
			}
		}
	}
	for _, at := range order {
		t.hear(at.p, &at.p.regions[at.region], from, sums[at])
	}
}

// place is a region of a process.
type place struct {
	p      *process
	region int
}

func (t *Tracker) hear(p *process, r *region, from Voice, h Heard) {
	now := ticks(t.o.Clock.Now())
	s := sample{window: h.Window, boundary: t.boundaries(p).rates[r.key.boundary()], now: now, noise: h.Noise, chosen: true}
	if s.fresh = r.noted.since(now) >= evidenceSeconds || r.flags&policy.Unseen != 0; s.fresh {
		r.noted = now
	}
	known := r.flags&policy.Unseen == 0
	v := r.join(h.Pages, h.Accessed, s)
	stats := &t.stats.Heard[from]
	stats.Regions++
	if known && (v == doubtful || v == changed) {
		stats.Disagreed++
	}
	r.key = t.keyOf(p, r)
	t.heard++
}

// Unheard are the regions of a process of which others must tell how they are used, in
// stretches of whole regions, as many as are allowed: where there are more, neighbours are
// taken together.
func (t *Tracker) Unheard(id policy.ProcessID, most int) (list []pagetable.Range) {
	t.elect()
	p := t.find(id)
	if p == nil || p.err != nil || most < 1 {
		return nil
	}
	all := t.unheardHere(p)
	together := (len(all) + most - 1) / most
	for _, at := range all {
		if k := len(list) - 1; k >= 0 && list[k].End == at && at-list[k].Start < uint64(together)*policy.RegionSize || k+1 == most && k >= 0 {
			list[k].End = at + policy.RegionSize
			continue
		}
		list = append(list, pagetable.Range{Start: at, End: at + policy.RegionSize})
	}
	return list
}
