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
	// extentsAround is how many extents on each side tell of one, the nearer the more.
	extentsAround = 2
	// extentHits is how many moments make a sweep, and extentMoment how many seconds
	// apart two of them are.
	extentHits, extentMoment = 2, 0.005
	// leastHit is what is left of the last moment that an extent has seen itself when
	// its neighbours count no more.
	leastHit = 0.1
	// commonPart is the part of what a region's own samples see above which the
	// moments count for evidence: many regions have told.
	commonPart = 0.5
	// lastingPart is the part of a step from which on a turn lasts.
	lastingPart = 0.35
	// passAccesses is what a pass over a page is: a cache line at a time. Accessed
	// bits show only that there was one.
	passAccesses = 128
	// seenAccesses is the most that can be told from how many pages were accessed.
	seenAccesses = 5
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
	stays    float32 // how many turns lasted until the next sample, likewise
	last     float32 // seconds; when the last one was seen
	lasting  float32 // seconds; when a turn was last seen to last
	series   *series // nil: none is kept
}

func (e *extent) age(now float64) {
	keep := float32(math.Exp((float64(e.at) - now) / extentSeconds))
	e.seconds, e.accesses, e.at = e.seconds*keep, e.accesses*keep, float32(now)
	e.hits, e.stays = e.hits*keep, e.stays*keep
}

// moments is the accesses per second and page that are made in moments, and the
// variance of that; 0 where there were too few. What a few extents in a row have
// seen is taken together: of a long step, each sees hardly anything.
func moments(extents []extent, i int, now float64) (rate, variance float64) {
	if extents[i].hits < leastHit {
		return 0, 0
	}
	var seconds, accesses, hits, squares float64
	for j := max(i-extentsAround, 0); j < len(extents) && j <= i+extentsAround; j++ {
		e := &extents[j]
		apart := math.Abs(float64(e.id) - float64(extents[i].id))
		if apart > extentsAround {
			continue
		}
		part := 1 / (1 + apart)
		keep := math.Exp((float64(e.at) - now) / extentSeconds)
		seconds += part * keep * float64(e.seconds)
		accesses += part * keep * float64(e.accesses)
		hits += part * keep * float64(e.hits)
		squares += part * part * keep * float64(e.hits)
	}
	if seconds <= 0 || squares <= 0 || hits*hits/squares < extentHits {
		return 0, 0
	}
	rate = accesses / seconds
	return rate, rate * rate * squares / (hits * hits)
}

// inTurn tells whether a region that is hot has its turn in a step of so many seconds:
// it has become so within this step, and in its extent no turn lasts for a good part
// of a step, as far as samples have seen: for so many seconds. Where turns last, to
// follow them may pay.
func (e *extent) inTurn(r *policy.Region, seen, rate, period, now float64) bool {
	if !(period > 0) || float64(r.Rate) <= rate {
		return false
	}
	if seen > lastingPart*period && seen < (1-lastingPart)*period {
		e.lasting = float32(now)
	}
	return float64(r.Stable) < period/2 && now-float64(e.lasting) > 2*period
}

// joinMoments adds what is done in moments to what a region's own samples say, and
// tells whether that is what counts. A turn is not what a region is worth.
func joinMoments(r *policy.Region, rate, variance float64, inTurn bool) (most bool) {
	if rate <= 0 || r.Flags&policy.Unseen != 0 {
		return false
	}
	own := float64(r.Rate)
	if inTurn {
		own = 0
	}
	sum := own + rate
	r.LogVar = driftSteps(float32((own*own*float64(r.LogVar)+variance)/(sum*sum)), 0)
	r.Rate = coarse(float32(sum), rateBits)
	if most = rate > commonPart*own; most {
		r.Evidence |= 1<<enoughEvidence - 1
	}
	return most
}

// accessesOf is how often a page was accessed, by a sample of a moment.
func accessesOf(n, k int) float32 {
	if float64(k) >= passShare*float64(n) {
		return passAccesses
	}
	return float32(-math.Log1p(-float64(k) / float64(n)))
}

func byExtent(e extent, id uint32) int { return cmp.Compare(e.id, id) }

// extentOf is the extent of a region, a new one if need be.
func (p *process) extentOf(block uint32, now float64) *extent {
	i, found := slices.BinarySearchFunc(p.extents, block/extentRegions, byExtent)
	if !found {
		p.extents = slices.Insert(p.extents, i, extent{id: block / extentRegions, at: float32(now)})
	}
	return &p.extents[i]
}

// lookedAt adds the window of a sample to the extent of its region.
func (p *process) lookedAt(block uint32, now, window float64) {
	e := p.extentOf(block, now)
	e.age(now)
	e.seconds += float32(window)
}

// sawTurn adds what a sample saw of a region that was not used before, to its extent;
// stays if the next sample confirmed it.
func (p *process) sawTurn(block uint32, now float64, accesses float32, stays bool) {
	e := p.extentOf(block, now)
	e.age(now)
	// What stays may stay for good, and counts itself; of a step it is a turn.
	counts := !stays || p.steps.period() > 0
	if float32(now)-e.last > extentMoment { // what a batch sees at once is luck once
		if stays {
			e.stays++
		}
		if counts {
			e.hits++
		}
	}
	e.last = float32(now)
	if 2*e.stays > e.hits {
		// Not a pass, but part of something that takes longer than a sample.
		accesses = min(accesses, seenAccesses)
	}
	if counts {
		e.accesses += accesses
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
