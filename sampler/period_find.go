package sampler

import "math"

const (
	// leastLag is the shortest period that can be told apart, in bins, and
	// recordPeriods how many of it the record must have.
	leastLag, recordPeriods = 4, 3
	maxLag                  = seriesBins / recordPeriods
	// leastEcho is how much of the activity must come again, sureEcho by how many
	// standard deviations more than chance brings, and secondEcho the part of it that
	// must come once more a period later: two events have a distance, too.
	leastEcho, sureEcho, secondEcho = 0.3, 5.0, 0.4
	// fundamental is how nearly as much as a longer period the shortest must bring
	// back to be taken for it: at a multiple of the period everything comes again.
	fundamental = 0.8
	// dip is how far the correlation must fall before a period: what merely fades
	// has none.
	dip = 0.5
	// jitterPart is by what part of itself a step may be longer or shorter.
	jitterPart = 6
	// restless is from which variance on a series is more than chance.
	restless = 1.2
	// maxSeries bounds the series that are looked at at a time.
	maxSeries = 16
)

// autocorrelation is that of several series together, by lag in bins.
type autocorrelation struct {
	r [seriesBins]float64
	// bins is how long the longest record is, lags how many lags are known.
	bins, lags int
	// independent is for how many series these count: what is one event for all
	// of them counts once.
	independent float64
}

// correlate sums up the autocovariances of the rings of a level, so that each
// counts by how much goes on in it, over the last n bins before one.
func correlate(all []*series, level int, bin int64, n int, a *autocorrelation) {
	*a = autocorrelation{}
	var buffer, together [seriesBins]float64
	var sums, squares float64
	for _, s := range all {
		values, variance := s.rings[level].last(bin, n, &buffer)
		if variance < restless || len(values) < leastLag*recordPeriods {
			continue
		}
		sums, squares = sums+variance, squares+variance*variance
		a.bins = max(a.bins, len(values))
		for i, v := range values {
			together[seriesBins-len(values)+i] += v
		}
		for lag := 0; lag < len(values)*2/3; lag++ {
			sum := 0.0
			for i, v := range values[lag:] {
				sum += v * values[i]
			}
			// Over the pairs that there are, so that a long lag counts no less.
			a.r[lag] += sum / float64(len(values)-lag)
		}
	}
	if sums <= 0 {
		return
	}
	a.lags = a.bins * 2 / 3
	one := 0.0
	for _, v := range together[seriesBins-a.bins:] {
		one += v * v / float64(a.bins)
	}
	a.independent = max(sums*sums/squares*min(sums/max(one, 1e-9), 1), 1)
	for lag := a.lags - 1; lag >= 0; lag-- {
		a.r[lag] /= sums
	}
}

// echo is the part of the activity that comes again after a lag, give or take so
// many bins, and by how many standard deviations that is more than chance.
func (a *autocorrelation) echo(lag, around int) (part, sure float64) {
	from, to := max(lag-around, 1), min(lag+around, a.lags-1)
	if from > to || a.r[0] <= 0 {
		return 0, 0
	}
	sum, whole := 0.0, a.r[0]
	for i := from; i <= to; i++ {
		sum += a.r[i]
	}
	for i := 1; i <= around && i < a.lags; i++ {
		whole += 2 * max(a.r[i], 0)
	}
	chance := math.Sqrt(float64(to-from+1) / (float64(a.bins-lag) * a.independent))
	return sum / whole, sum / chance
}

// coming is the echo at a lag: that of steps which are as long as each other, or of
// those which are now longer and now shorter.
func (a *autocorrelation) coming(lag int, wide bool) (part, sure float64) {
	if wide {
		return a.echo(lag, max(lag/jitterPart, 1))
	}
	part, sure = a.echo(lag, 0)
	// A step need not be a whole number of bins.
	if p, s := a.echo(lag, 1); p > part {
		part, sure = p, s
	}
	return part, sure
}

// near is the best echo within an eighth of a lag.
func (a *autocorrelation) near(lag float64, wide bool) (best float64) {
	for l := int(lag * 7 / 8); l <= int(math.Ceil(lag*9/8)); l++ {
		part, _ := a.coming(l, wide)
		best = max(best, part)
	}
	return best
}

// period is the lag, in bins, after which the activity comes again and again, and
// the part of it that does; 0 if there is none.
func (a *autocorrelation) period() (lag, part float64) {
	for _, wide := range [...]bool{false, true} {
		if lag, part = a.sought(wide); lag > 0 {
			break
		}
	}
	return lag, part
}

func (a *autocorrelation) sought(wide bool) (lag, part float64) {
	var parts, sures [maxLag + 2]float64
	var peaks [maxLag + 2]bool
	longest := min(a.bins/recordPeriods, maxLag)
	for l := 1; l <= longest+1; l++ {
		parts[l], sures[l] = a.coming(l, wide)
	}
	most, low := 0.0, 1.0
	for l := leastLag; l <= longest; l++ {
		// What lies before the first dip is simply not over yet.
		sharp, _ := a.echo(l-2, 1)
		low = min(low, sharp)
		if parts[l] < leastEcho || sures[l] < sureEcho || parts[l] < parts[l-1] || parts[l] < parts[l+1] || low > dip*parts[l] {
			continue
		}
		if a.near(2*float64(l), wide) >= secondEcho*parts[l] {
			peaks[l], most = true, max(most, parts[l])
		}
	}
	for l := leastLag; l <= longest; l++ {
		if peaks[l] && parts[l] >= fundamental*most {
			return a.centre(l), parts[l]
		}
	}
	return 0, 0
}

// centre is the middle of the hill around a lag.
func (a *autocorrelation) centre(lag int) float64 {
	wide := max(lag/jitterPart, 1)
	top, height := lag, math.Inf(-1)
	for i := max(lag-wide, 1); i <= lag+wide && i+1 < a.lags; i++ {
		if h := a.r[i-1] + 2*a.r[i] + a.r[i+1]; h > height {
			top, height = i, h
		}
	}
	around := max(wide/2, 1)
	low := math.Inf(1)
	from, to := max(top-around, 1), min(top+around, a.lags-1)
	for i := from; i <= to; i++ {
		low = min(low, max(a.r[i], 0))
	}
	var sum, weight float64
	for i := from; i <= to; i++ {
		v := max(a.r[i], 0) - low
		sum, weight = sum+v*float64(i), weight+v
	}
	if weight <= 0 {
		return float64(lag)
	}
	return sum / weight
}
