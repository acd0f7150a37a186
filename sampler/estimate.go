package sampler

import "math"

// Rates are estimated on a logarithmic scale, where the relative error of a
// count of accessed bits is what matters and a rate cannot become negative.
const (
	// minRate and maxRate, in accesses per second and page, bound the scale.
	minRate = 1e-4
	maxRate = 1e7
	// drift is how fast the variance of ln(rate) grows, per second: after half
	// a minute an estimate is worth about as much as one fresh sample.
	drift = 0.005
	// floor is the least variance of one sample's ln(rate): windows jitter and
	// accesses come in bursts, whatever the number of pages.
	floor = 0.05 * 0.05
	// jitter is the time in seconds by which the part of a window in which the
	// process really ran may differ from the window: it may have waited for a
	// processor.
	jitter = 0.008
	// surprise is how many standard deviations a sample may be off before the
	// region counts as changed and its history is dropped.
	surprise = 4
	// changeLog is the difference of ln(rate) from which on a region has changed:
	// a factor of four.
	changeLog = 1.386
	// wellBe is by how many standard deviations a rate may well be higher.
	wellBe = 3
	// impossible is ln of a probability that is not believed.
	impossible = -4.6
	// unknownVar is the variance of a rate of which nothing is known.
	unknownVar = 25
)

// driftTicks is after how many ticks the variance of ln(rate) has grown by one.
const driftTicks = ticksPerSecond / drift

// driftSteps is a variance so many ticks later. It is counted in steps of a
// tick's drift, and so a function of the clock that a recording need not tell
// again and again.
func driftSteps(vari float32, ticks uint32) float32 {
	return float32((math.Ceil(float64(coarse(vari, 4))*driftTicks) + float64(ticks)) / driftTicks)
}

// rateBits are those of a rate that are told. The error of 0.8 % is a sixth of
// the least noise, and what is left takes a third of the room in a recording.
const rateBits = 6

// coarse rounds a positive number to so many significant bits.
func coarse(v float32, significant int) float32 {
	rest := 24 - significant
	return math.Float32frombits((math.Float32bits(v) + 1<<(rest-1)) >> rest << rest)
}

// estimate is a rate in accesses per second and page: ln(rate) and its
// variance.
type estimate struct {
	log, vari float32
}

func (e estimate) rate() float64 { return math.Exp(float64(e.log)) }

// direct estimates a rate from one sample alone: k of n pages were accessed
// in a window of w seconds. Accesses are taken as independent, so a page is
// untouched with probability exp(-rate*w). Half a count is added to each side
// because neither none nor all says that the rate is 0 or infinite.
func direct(n, k int, w float64) estimate {
	p := (float64(k) + 0.5) / (float64(n) + 1)
	x := -math.Log1p(-p)
	// The Fisher information about ln(rate) of n pages.
	info := float64(n) * x * x * (1 - p) / p
	return estimate{clampLog(x / w), float32(min(1/info+noiseOf(w), unknownVar-1))}
}

// noiseOf is the variance of ln(rate) that a window has whatever the number
// of pages.
func noiseOf(w float64) float64 { return floor + jitter*jitter/(w*w) }

func clampLog(rate float64) float32 {
	return float32(math.Log(min(max(rate, minRate), maxRate)))
}

// add joins a sample to the estimate (an extended Kalman step on ln(rate)):
// k of n pages were accessed in a window of w seconds, dt seconds after the
// last sample. If the sample contradicts the estimate, that starts anew from
// the sample; add reports whether the rate has become another one by far.
// extra is variance that the sample has for other reasons.
//
// A window in which every page, or none, would be accessed at the estimated
// rate says little, and is given little weight by the slope of the curve.
func (e *estimate) add(n, k int, w, dt, extra float64) (changed bool) {
	o := e.observe(n, k, w, dt, extra)
	if o.contradicts {
		return e.restart(n, k, w)
	}
	if d := direct(n, k, w); k == n && d.log > e.log && float64(n)*math.Log(o.p) < impossible {
		// All were accessed, which they hardly would be at the estimated rate:
		// the rate is at least what the sample alone says.
		e.log, e.vari = d.log, max(e.vari, d.vari)
		return false
	}
	gain := o.v * o.slope / (o.slope*o.slope*o.v + o.noise)
	e.log = clampLog(math.Exp(float64(e.log) + min(max(gain*o.miss, -2), 2)))
	e.vari = float32(min(max(o.v*(1-gain*o.slope), floor/4), unknownVar-1))
	return false
}

// observation is a sample as the estimate expects it.
type observation struct {
	p, slope, v, noise, miss float64
	contradicts              bool
}

func (e *estimate) observe(n, k int, w, dt, extra float64) (o observation) {
	if e.vari >= unknownVar {
		o.contradicts = true
		return o
	}
	o.v = float64(e.vari) + drift*dt
	x := e.rate() * w
	p := -math.Expm1(-x)
	o.slope = x * math.Exp(-x)
	nn := float64(n)
	o.p = min(max(p, 0.5/(nn+1)), (nn+0.5)/(nn+1))
	o.noise = o.p*(1-o.p)/nn + o.slope*o.slope*(noiseOf(w)+extra)
	o.miss = float64(k)/nn - p
	// One page that differs in a region of many is no change of the region.
	expected := o.slope*o.slope*o.v + o.noise + 1/(nn*nn)
	o.contradicts = o.miss*o.miss > surprise*surprise*expected
	if k == n && !o.contradicts {
		// Near all of them the slope says little of how far off that is: would all be
		// accessed even if the rate were as high as it may well be?
		most := x * math.Exp(wellBe*math.Sqrt(o.v+noiseOf(w)+extra))
		o.contradicts = nn*math.Log(-math.Expm1(-most)) < impossible
	}
	return o
}

// restart forgets all but the sample, and reports whether the rate has become
// another one by far: a whole program that runs somewhat faster or slower is
// no change.
func (e *estimate) restart(n, k int, w float64) (changed bool) {
	d := direct(n, k, w)
	changed = e.vari >= unknownVar || math.Abs(float64(d.log-e.log)) > changeLog
	*e = d
	return changed
}

// windowFor is the length in seconds in which a page of the given rate is
// accessed with probability 0.6, where one bit says most about the rate.
func windowFor(rate float64) float64 {
	const target = 0.916 // -ln(1-0.6)
	return target / max(rate, minRate)
}
