package sampler

import "math"

// A training step shows in how the samples of the memory that it uses surprise: by
// the moment in which a region is swept, or by the one in which it falls idle. What
// is steady surprises by chance only, whatever its rate and whatever window it is
// looked at with. The young pages themselves would repeat themselves as the
// sampler's own rounds do.

const (
	// seriesBins is how many bins of each width are kept.
	seriesBins = 256
	// seriesWidths is how many widths there are: a quarter of a second, one, four.
	// Of a record the third part is the longest period that can be seen, so they
	// reach from a second to almost six minutes.
	seriesWidths = 3
	finestBin    = 0.25
	widthFactor  = 4
	// maxSurprise bounds what one sample says, in standard deviations.
	maxSurprise = 8
	// meanSamples is over how many samples the mean is taken.
	meanSamples = 256
)

// binWidth is the width of bins in seconds.
func binWidth(level int) float64 { return finestBin * math.Pow(widthFactor, float64(level)) }

// series is how the samples of an extent have surprised lately.
type series struct {
	rings [seriesWidths]ring
	// mean is what is no surprise any more, because it was always so.
	mean float64
}

// add joins a surprise, in standard deviations.
func (s *series) add(now, surprise float64) {
	surprise = min(max(surprise, -maxSurprise), maxSurprise)
	for level := range s.rings {
		s.rings[level].add(int64(now/binWidth(level)), surprise-s.mean)
	}
	s.mean += (surprise - s.mean) / meanSamples
}

// ring has the last bins of one width. The value of a bin is the sum of its
// surprises over the root of their number: of steady memory its variance is 1,
// however many there were.
type ring struct {
	bins       [seriesBins]float32
	begun      bool
	first, now int64 // numbers of the first bin and of that which is being filled
	sum, n     float32
}

func (r *ring) add(bin int64, surprise float64) {
	if !r.begun {
		r.begun, r.first, r.now = true, bin, bin
	}
	r.close(bin)
	r.sum, r.n = r.sum+float32(surprise), r.n+1
}

// close ends the bins before one. Of those in between nothing is known.
func (r *ring) close(bin int64) {
	if bin-r.now > seriesBins {
		*r = ring{begun: true, first: bin, now: bin}
		return
	}
	for ; r.now < bin; r.now++ {
		at := &r.bins[r.now%seriesBins]
		if *at = 0; r.n > 0 {
			*at = r.sum / float32(math.Sqrt(float64(r.n)))
		}
		r.sum, r.n = 0, 0
	}
}

// last copies up to so many of the bins before one to the end of a buffer, less the
// line through them, and returns them with their variance.
func (r *ring) last(bin int64, n int, buffer *[seriesBins]float64) (values []float64, variance float64) {
	if !r.begun || bin <= r.first {
		return nil, 0
	}
	r.close(bin)
	n = int(min(int64(n), r.now-r.first, seriesBins))
	if n <= 0 {
		return nil, 0
	}
	values = buffer[seriesBins-n:]
	middle := float64(n-1) / 2
	var mean, slope float64
	for i := range values {
		values[i] = float64(r.bins[(r.now-int64(n-i))%seriesBins])
		mean += values[i] / float64(n)
		slope += values[i] * (float64(i) - middle)
	}
	slope /= max(middle*(middle+1)*float64(n)/3, 1) // the sum of the squares of the distances from the middle
	for i := range values {
		values[i] -= mean + slope*(float64(i)-middle)
		variance += values[i] * values[i] / float64(n)
	}
	return values, variance
}
