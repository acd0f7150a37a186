package sampler

import (
	"cmp"
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
)

// A training step sweeps through memory that then lies idle until the next: each
// region is used for a moment, and by the time of the next sample it is cold
// again. What it is worth is the mean over steps, which no region's own samples
// tell; those of its neighbours together do. An extent is a stretch of regions
// that are taken to be swept alike. It adds up for how long samples have looked
// at its regions, and what they saw in moments that the next sample denied.

const (
	extentRegions = 512   // 1 GiB
	extentSeconds = 120.0 // after which what was seen has lost two thirds of its weight
	// extentHits is how many moments make a sweep, and extentMoment how many seconds
	// apart two of them are.
	extentHits, extentMoment = 2, 0.005
	// passAccesses is what a pass over a page is: a cache line at a time. Accessed
	// bits show only that there was one.
	passAccesses = 64
	// passShare is the part of the pages that a pass touches.
	passShare = 0.9
)

// extent is what is known of a stretch of regions.
type extent struct {
	id       uint32  // block / extentRegions
	at       float32 // seconds; when the sums were aged last
	seconds  float32 // for which regions were looked at
	accesses float32 // per page, in moments
	hits     float32 // how many moments, those of one time being one
	last     float32 // seconds; when the last one was seen
}

func (e *extent) age(now float64) {
	keep := float32(math.Exp((float64(e.at) - now) / extentSeconds))
	e.seconds, e.accesses, e.hits, e.at = e.seconds*keep, e.accesses*keep, e.hits*keep, float32(now)
}

// rate is the accesses per second and page that are made in moments, and the
// variance of that; 0 where there were too few.
func (e *extent) rate() (rate, variance float64) {
	if e == nil || e.hits < extentHits || e.seconds <= 0 {
		return 0, 0
	}
	rate = float64(e.accesses / e.seconds)
	return rate, rate * rate / float64(e.hits)
}

// joins adds what is done in moments to what a region's own samples say.
func (e *extent) joins(r *policy.Region) {
	rate, variance := e.rate()
	if rate <= 0 || r.Flags&policy.Unseen != 0 {
		return
	}
	own := float64(r.Rate)
	sum := own + rate
	r.LogVar = driftSteps(float32((own*own*float64(r.LogVar)+variance)/(sum*sum)), 0)
	r.Rate = coarse(float32(sum), rateBits)
	if rate > own {
		r.Evidence |= 1<<enoughEvidence - 1 // many regions have told
	}
}

// accessesOf is how often a page was accessed, by a sample of a moment.
func accessesOf(n, k int) float32 {
	if float64(k) >= passShare*float64(n) {
		return passAccesses
	}
	return float32(-math.Log1p(-float64(k) / float64(n)))
}

func byExtent(e extent, id uint32) int { return cmp.Compare(e.id, id) }

// lookedAt adds the window of a sample to the extent of its region, and what the
// one before saw in a moment, if this one denies it.
func (p *process) lookedAt(block uint32, now, window float64, accesses float32) {
	i, found := slices.BinarySearchFunc(p.extents, block/extentRegions, byExtent)
	if !found {
		p.extents = slices.Insert(p.extents, i, extent{id: block / extentRegions, at: float32(now)})
	}
	e := &p.extents[i]
	e.age(now)
	e.seconds += float32(window)
	if accesses > 0 {
		e.accesses += accesses
		if float32(now)-e.last > extentMoment {
			e.hits++ // what a batch sees at once is luck once
		}
		e.last = float32(now)
	}
}

// dropExtents forgets those that have no region any more.
func (p *process) dropExtents() {
	i := 0
	p.extents = slices.DeleteFunc(p.extents, func(e extent) bool {
		for i < len(p.regions) && p.regions[i].block/extentRegions < e.id {
			i++
		}
		return i == len(p.regions) || p.regions[i].block/extentRegions != e.id
	})
}
