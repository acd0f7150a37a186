package sampler

import (
	"maps"
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Memory that several processes map is one memory: it is hot if any of them uses it, and a move moves it for
// all. So one of them, its keeper, has the regions, and what is heard of the others' mappings is said of these.

// keeper is who has the account of an object, and where it maps it.
type keeper struct {
	p    *process
	runs []pagetable.Run
}

// shareable tells whether a run is memory that others map, too, and that may be moved all the same.
func (p *process) shareable(r *pagetable.Run) bool {
	return p.shared && !p.bound && p.err == nil && r.Class&^pagetable.ClassFile == pagetable.ClassShared && r.Object != (pagetable.Object{})
}

// elect chooses the keepers: who maps most of an object, and of these the oldest.
func (t *Tracker) elect() {
	if !t.unelected {
		return
	}
	t.unelected = false
	most := map[pagetable.Object]uint64{}
	t.keepers = map[pagetable.Object]keeper{}
	for _, p := range t.procs {
		own := map[pagetable.Object]uint64{}
		for i := range p.runs {
			if r := &p.runs[i]; p.shareable(r) {
				own[r.Object] += r.End - r.Start
			}
		}
		for o, size := range own {
			if q := t.keepers[o].p; q == nil || size > most[o] || size == most[o] && older(p.id, q.id) {
				most[o], t.keepers[o] = size, keeper{p: p}
			}
		}
	}
	for _, p := range t.procs {
		kept := map[pagetable.Object]bool{}
		for i := range p.runs {
			r := &p.runs[i]
			if k := t.keepers[r.Object]; k.p == p && p.shareable(r) {
				kept[r.Object] = true
				k.runs = append(k.runs, *r)
				t.keepers[r.Object] = k
			}
		}
		if !maps.Equal(kept, p.kept) {
			p.kept, p.listAt, p.gaps = kept, 0, true
		}
	}
}

func older(a, b policy.ProcessID) bool {
	return a.Start < b.Start || a.Start == b.Start && a.PID < b.PID
}

// leastOverlap is how much of a region another must cover for what is said of it to hold there, too, and
// skewed the variance of ln(rate) that it has there if it is not the same memory.
const leastOverlap, skewed = policy.RegionSize / 4, 0.5

// elsewhere visits the regions of keepers that a region of a process is: where, and whether all of it is. A region may
// be two where both map the object at odd addresses. Of memory that the process keeps itself, or that nobody else maps, there
// are none.
func (t *Tracker) elsewhere(p *process, addr uint64, visit func(q *process, at uint64, whole bool)) {
	if len(t.keepers) == 0 {
		return
	}
	for i := p.runAt(addr); i < len(p.runs) && p.runs[i].Start < addr+policy.RegionSize; i++ {
		run := &p.runs[i]
		if !p.shareable(run) {
			continue
		}
		k := t.keepers[run.Object]
		if k.p == nil || k.p == p {
			continue
		}
		from := run.Offset + max(run.Start, addr) - run.Start
		to := run.Offset + min(run.End, addr+policy.RegionSize) - run.Start
		for j := range k.runs {
			r := &k.runs[j]
			a, b := max(from, r.Offset), min(to, r.Offset+r.End-r.Start)
			if a >= b {
				continue
			}
			a, b = r.Start+a-r.Offset, r.Start+b-r.Offset
			for at := a &^ (policy.RegionSize - 1); at < b; at += policy.RegionSize {
				if over := min(b, at+policy.RegionSize) - max(a, at); over >= leastOverlap {
					visit(k.p, at, over == policy.RegionSize)
				}
			}
		}
	}
}

// Kept is where the account of a region is kept: that of memory which others map, too, may be another process's.
// It is false where nobody has it.
func (t *Tracker) Kept(id policy.ProcessID, addr uint64) (policy.ProcessID, uint64, bool) {
	t.elect()
	p := t.find(id)
	if p == nil {
		return id, addr, false
	}
	q, at := p, addr
	t.elsewhere(p, addr, func(other *process, there uint64, _ bool) { q, at = other, there })
	return q.id, at, true
}

// unheardHere are the regions of a process of which others must tell how they are used, ascending: its own, and
// those that it shares with their keeper.
func (t *Tracker) unheardHere(p *process) (list []uint64) {
	for i := range p.regions {
		if r := &p.regions[i]; r.movable != 0 && (t.deaf || r.flags&policy.Shared != 0) {
			list = append(list, r.addr())
		}
	}
	for i := range p.runs {
		run := &p.runs[i]
		if k := t.keepers[run.Object]; k.p == nil || k.p == p || !p.shareable(run) {
			continue
		}
		for at := run.Start &^ (policy.RegionSize - 1); at < run.End; at += policy.RegionSize {
			t.elsewhere(p, at, func(q *process, there uint64, _ bool) {
				if n := len(list); q.has(there) && (n == 0 || list[n-1] != at) {
					list = append(list, at)
				}
			})
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// has tells whether a process has a region that may be moved.
func (p *process) has(addr uint64) bool {
	i, found := p.find(addr)
	return found && p.regions[i].movable != 0
}

// with is what two processes say of the same memory: it is used as often as by both together.
func (h Heard) with(o Heard) Heard {
	w := min(h.Window, o.Window)
	x := (h.accesses()/h.Window + o.accesses()/o.Window) * w
	if o.Pages > h.Pages {
		h.Pages = o.Pages
	}
	h.Window, h.Noise = w, max(h.Noise, o.Noise)
	h.Accessed = int(math.Round(float64(h.Pages) * -math.Expm1(-x)))
	return h
}

// accesses is how often a page was used in the window, by how many were.
func (h Heard) accesses() float64 {
	return -math.Log1p(-min(float64(h.Accessed)/float64(h.Pages), 1-0.5/float64(h.Pages)))
}
