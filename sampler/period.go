package sampler

import (
	"cmp"
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

const (
	// periodEvery is the least time in seconds between two looks for a period, and
	// periodPart the part of a period that it is for a long one.
	periodEvery, periodPart = 4.0, 0.25
	// samePeriod is by what part of itself a period may differ from one look to the
	// next and be the same.
	samePeriod = 0.25
	// fractionError is by what part of itself a multiple may be another one than that
	// of a period.
	fractionError = 0.05
	// recent is in how many of the last periods the pattern must still be there, of
	// recentBins at least, and
	// heldEcho and heldSure how much of the activity must come again to say so, and
	// how surely: less than it takes to find a period.
	recent, recentBins = 4, 64
	heldEcho, heldSure = 0.2, 3.0
	// maxMisses is in how many looks in a row a period may be missing.
	maxMisses = 3
)

// Period is the length of a process's training steps.
type Period struct {
	// Off: there are none, or nobody wants to know.
	Off bool
	// Seconds is how long a step takes; 0: to be found out.
	Seconds float64
}

// steps looks for the period of a process in the series of its extents.
type steps struct {
	told Period
	// seconds is the length of a step; 0: not known. next is when to look again.
	seconds, next float64
	candidate     float64 // seen once
	misses        int
	scratch       autocorrelation
}

// period is what holds, in seconds; 0: none is known.
func (s *steps) period() float64 {
	switch {
	case s.told.Off:
		return 0
	case s.told.Seconds > 0:
		return s.told.Seconds
	}
	return s.seconds
}

// searches tells whether the period is to be found out.
func (s *steps) searches() bool { return !s.told.Off && s.told.Seconds <= 0 }

// due tells whether it is time for a look.
func (s *steps) due(now float64) bool { return s.searches() && now >= s.next }

// look takes a look at the series.
func (s *steps) look(all []*series, now float64) {
	s.next = now + max(periodEvery, periodPart*s.seconds)
	found := s.find(all, now)
	if s.seconds > 0 && s.holds(all, now) {
		s.misses = 0
		// A short record may have shown a multiple only, and that holds as well.
		if !fraction(found, s.seconds) {
			found = 0
		} else if alike(found, s.candidate) {
			s.seconds, found = found, 0
		}
		s.candidate = found
		return
	}
	if found > 0 {
		// What has gone may still be in the record.
		if f := (steps{seconds: found}); !f.holds(all, now) {
			found = 0
		}
	}
	if s.seconds > 0 {
		if s.misses++; s.misses < maxMisses {
			s.candidate = found
			return
		}
	}
	s.misses, s.seconds = 0, 0
	if found > 0 && alike(found, s.candidate) {
		s.seconds = found
	}
	s.candidate = found
}

// alike tells whether two looks have seen the same period.
func alike(a, b float64) bool { return math.Abs(a-b) <= samePeriod*min(a, b) }

// fraction tells whether a period is a whole part of a longer one.
func fraction(of, whole float64) bool {
	parts := math.Round(whole / of)
	return of > 0 && parts >= 2 && math.Abs(whole-parts*of) <= fractionError*whole
}

// find looks for a period in bins of all widths, in seconds; 0: there is none.
func (s *steps) find(all []*series, now float64) (seconds float64) {
	var found, parts [seriesWidths]float64
	most := 0.0
	for level := range seriesWidths {
		correlate(all, level, int64(now/binWidth(level)), seriesBins, &s.scratch)
		lag, part := s.scratch.period()
		found[level], parts[level] = lag*binWidth(level), part
		most = max(most, part)
	}
	// In wide bins a multiple may be all that can be told apart.
	for level := range seriesWidths {
		if found[level] > 0 && parts[level] >= fundamental*most {
			return found[level]
		}
	}
	return 0
}

// holds tells whether the last few periods were as long as expected, and follows
// them if they were a little longer or shorter.
func (s *steps) holds(all []*series, now float64) bool {
	for level := range seriesWidths {
		lag := s.seconds / binWidth(level)
		if lag < leastLag || lag*recordPeriods > seriesBins || level > 0 && lag*recent < recentBins {
			continue // too short, too long, or only with what is long gone
		}
		correlate(all, level, int64(now/binWidth(level)), min(max(int(lag*recent)+1, recentBins), seriesBins), &s.scratch)
		best, at := 0.0, 0
		for l := int(lag * (1 - samePeriod)); l <= int(math.Ceil(lag*(1+samePeriod))); l++ {
			for _, wide := range [...]bool{false, true} {
				if part, sure := s.scratch.coming(l, wide); part > best && sure >= heldSure {
					best, at = part, l
				}
			}
		}
		if best >= heldEcho {
			s.seconds += 0.3 * (s.scratch.centre(at)*binWidth(level) - s.seconds)
			return true
		}
	}
	return false
}

// stir joins what a sample said to the series of its extent.
func (p *process) stir(block uint32, now, surprise float64) {
	e := p.extentOf(block, now)
	if e.series == nil {
		e.series = new(series)
	}
	e.series.add(now, surprise)
}

// surprise is by how many standard deviations a sample is hotter than expected;
// 0 where nothing is.
func (r *region) surprise(b *pagetable.Block, s sample) float64 {
	n, k := counts(b, s.pieces)
	if n == 0 || r.flags&policy.Unseen != 0 || r.est.vari >= unknownVar {
		return 0
	}
	e := r.est
	if b.Kind == pagetable.KindLeaf {
		e.log += hugeLog
		n, k = 1, min(k, 1)
	}
	o := e.observe(n, k, s.window, r.seen.since(s.now), s.noise)
	return o.miss / math.Sqrt(o.slope*o.slope*o.v+o.noise+1/float64(n*n))
}

// restlessSeries are the series of the extents in which most goes on.
func (p *process) restlessSeries(now float64) []*series {
	type lively struct {
		s        *series
		variance float64
	}
	var all []lively
	var buffer [seriesBins]float64
	for i := range p.extents {
		if s := p.extents[i].series; s != nil {
			most := 0.0
			for level := range s.rings {
				_, v := s.rings[level].last(int64(now/binWidth(level)), seriesBins, &buffer)
				most = max(most, v)
			}
			if most >= restless {
				all = append(all, lively{s, most})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b lively) int { return cmp.Compare(b.variance, a.variance) })
	list := make([]*series, 0, maxSeries)
	for _, l := range all[:min(len(all), maxSeries)] {
		list = append(list, l.s)
	}
	return list
}
