package sampler

import (
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
)

const (
	// A region tells the scale of samples with so many of them, if its rate is known with a variance of less.
	scaleSamples, scaleVar = 16, 0.3
	// scaleGain is how much of what is off is taken off the scale at a time, and leastScales how many regions
	// must tell of it.
	scaleGain, leastScales = 0.3, 4
	// sampleNoise is the variance of ln(rate) that samples have beyond their number: of what caches serve nothing
	// is seen, and that is more of some memory than of other.
	sampleNoise = 0.25
	// awaited is how many samples a region at the boundary would have for it to count that there are none.
	awaited = 3
)

// Sampled is how many samples hit a region.
type Sampled struct {
	Addr  uint64
	Count int
}

// HearSamples takes samples of a process's accesses. exposure is how many samples there are of a page that is
// accessed once a second, if each access counts: seconds by period. As only some of them do, and it is not known how many, the scale is
// found by regions whose rates other sources know. Regions without samples count where some were to be expected.
func (t *Tracker) HearSamples(id policy.ProcessID, samples []Sampled, exposure float64) {
	t.elect()
	p := t.find(id)
	if p == nil || p.err != nil || !(exposure > 0) || math.IsInf(exposure, 1) {
		return
	}
	hit := make(map[place]bool, len(samples))
	heard := make([]Heard, 0, len(samples))
	t.off = t.off[:0]
	for _, s := range samples {
		q, i, found := t.regionOf(p, s.Addr)
		if !found || s.Count <= 0 {
			continue
		}
		r := &q.regions[i]
		hit[place{q, i}] = true
		pages, log := r.sampled()
		rate := float64(s.Count) / (pages * exposure)
		if s.Count >= scaleSamples && r.flags&policy.Unseen == 0 && r.est.vari < scaleVar {
			t.off = append(t.off, math.Log(rate)-log)
		}
		// What Poisson's distribution says of so many, in the terms of pages of which half were accessed.
		heard = append(heard, Heard{Addr: s.Addr, Pages: 2 * s.Count, Accessed: s.Count, Window: math.Ln2 / (rate * math.Exp(-p.scale)), Noise: sampleNoise})
	}
	if len(t.off) >= leastScales {
		slices.Sort(t.off)
		p.scale += scaleGain * (t.off[len(t.off)/2] - p.scale)
	}
	scaled := exposure * math.Exp(p.scale)
	for i := range p.regions {
		r := &p.regions[i]
		if r.movable == 0 || hit[place{p, i}] {
			continue
		}
		pages, _ := r.sampled()
		boundary := t.boundaries(p).rates[r.key.boundary()]
		if r.flags&policy.Huge != 0 {
			boundary *= policy.PagesPerRegion
		}
		if pages > 0 && boundary*pages*scaled >= awaited {
			heard = append(heard, Heard{Addr: r.addr(), Pages: 1, Window: pages * scaled, Noise: sampleNoise})
		}
	}
	t.Hear(Samples, Said{ID: id, Heard: heard})
}

// sampled is what a rate of samples is of: pages, or one huge page, and the logarithm of what is known of it.
func (r *region) sampled() (pages, log float64) {
	if r.flags&policy.Huge != 0 {
		return 1, float64(r.est.log + hugeLog)
	}
	return float64(r.Pages()), float64(r.est.log)
}

// regionOf finds the region that has the account of an address of a process.
func (t *Tracker) regionOf(p *process, addr uint64) (q *process, i int, found bool) {
	q = p
	t.elsewhere(p, addr, func(other *process, at uint64, _ bool) { q, addr = other, at })
	i, found = q.find(addr)
	return q, i, found && q.regions[i].movable != 0 && q.regions[i].Pages() > 0
}

// Lies is the node on which nearly all of a region of a process lies; false where it is on several, or not known.
func (t *Tracker) Lies(id policy.ProcessID, addr uint64) (slot policy.Slot, ok bool) {
	p := t.find(id)
	if p == nil {
		return 0, false
	}
	i, found := p.find(addr)
	if !found {
		return 0, false
	}
	r := &p.regions[i]
	first := r.placed[0]
	return first.Slot, first.Pages > 0 && int(first.Pages)*10 >= r.Pages()*9
}
