package policy

import "math"

// The hottest of many noisy estimates is mostly the one with the luckiest
// noise: in a million equally hot regions the extremes differ by ten standard
// deviations, and any test of one candidate against one victim would exchange
// them for ever. So every log rate is first drawn to where, given how all the
// rates are spread, it probably is. How they are spread is found by removing
// the noise from the histogram of the estimates: the maximum-likelihood
// mixing distribution on a grid, by a few rounds of expectation maximisation
// from the histogram itself. Equal rates collapse to a point; a hot set that
// stands out, or rates that are well known, stay where they are.

const (
	gridSize  = 256 // points of log rate
	gridSpan  = 24  // most that the grid covers, in ln
	varGroups = 8   // groups of like variance, each four times the one before
	rounds    = 12
	kernelEnd = 4.5 // standard deviations after which a likelihood is nothing
	// enough is from how many units on some are left out: every second, third, …
	// is taken, of each two times so many or more.
	enough = 1 << 17
)

// population is what all units together say about each.
type population struct {
	low, step float64 // grid point k is at low + k·step; step 0: no grid
	firstVar  int     // exponent of the least variance group's upper end
	count     [varGroups][gridSize]float32
	// shift is what the population adds to a log rate.
	shift       [varGroups][gridSize]float32
	kernel      [varGroups][]float32
	prior, next [gridSize]float32
	ln          [256]float32 // of the upper half of a float32's mantissa
}

// group is the variance group of v.
func (p *population) group(v float32) int {
	exp := int(math.Float32bits(v)>>23) - 127
	return min(max((exp-p.firstVar)>>1, 0), varGroups-1)
}

// logOf is the logarithm of a positive float32, good to 0.002.
func (p *population) logOf(v float32) float64 {
	b := math.Float32bits(v)
	return float64(int(b>>23)-127)*math.Ln2 + float64(p.ln[b>>15&0xff])
}

// learn finds how the rates of the units are spread, which are between low and
// high.
func (p *population) learn(units []unit, low, high float32) {
	p.step = 0
	if !(low < high) {
		return
	}
	top := math.Log(float64(high))
	p.low = max(math.Log(float64(low)), top-gridSpan)
	p.step = max((top-p.low)/(gridSize-1), 1e-4)
	_, exp := math.Frexp(p.step * p.step)
	p.firstVar = exp - 3
	if p.ln[255] == 0 {
		for i := range p.ln {
			p.ln[i] = float32(math.Log1p((float64(i) + 0.5) / 256))
		}
	}

	p.count = [varGroups][gridSize]float32{}
	var sumVar [varGroups]float64
	var members [varGroups]float64
	scale, stride := 1/p.step, max(len(units)/enough, 1)
	total := float32((len(units) + stride - 1) / stride)
	for i := 0; i < len(units); i += stride {
		u := &units[i]
		g := p.group(u.logvar)
		k := int((p.logOf(u.rate)-p.low)*scale + 0.5)
		p.count[g][min(max(k, 0), gridSize-1)]++
		sumVar[g] += float64(u.logvar)
		members[g]++
	}
	p.prior = [gridSize]float32{}
	for g := range varGroups {
		if members[g] == 0 {
			continue
		}
		// Half a step of rounding is noise as well.
		variance := sumVar[g]/members[g]/(p.step*p.step) + 1.0/12
		reach := min(int(math.Ceil(kernelEnd*math.Sqrt(variance))), gridSize-1)
		p.kernel[g] = resize(p.kernel[g], reach+1)
		for d := range p.kernel[g] {
			p.kernel[g][d] = float32(math.Exp(-float64(d*d) / (2 * variance)))
		}
		for k, n := range p.count[g] {
			p.prior[k] += n / total
		}
	}
	for range rounds {
		p.next = [gridSize]float32{}
		for g := range varGroups {
			if members[g] > 0 {
				p.round(g, total)
			}
		}
		p.prior, p.next = p.next, p.prior
	}
	for g := range varGroups {
		if members[g] > 0 {
			p.shifts(g)
		}
	}
}

// round shares out the units of one group among the grid points that they may
// really be at.
func (p *population) round(g int, units float32) {
	kernel := p.kernel[g]
	for k, n := range p.count[g] {
		if n == 0 {
			continue
		}
		total := p.prior[k]
		for d := 1; d < len(kernel); d++ {
			if k >= d {
				total += p.prior[k-d] * kernel[d]
			}
			if k+d < gridSize {
				total += p.prior[k+d] * kernel[d]
			}
		}
		if !(total > 0) {
			p.next[k] += n / units
			continue
		}
		share := n / (units * total)
		p.next[k] += share * p.prior[k]
		for d := 1; d < len(kernel); d++ {
			if k >= d {
				p.next[k-d] += share * p.prior[k-d] * kernel[d]
			}
			if k+d < gridSize {
				p.next[k+d] += share * p.prior[k+d] * kernel[d]
			}
		}
	}
}

// shifts sets, for one group, how far each grid point is drawn.
func (p *population) shifts(g int) {
	kernel := p.kernel[g]
	for k := range gridSize {
		total, moment := p.prior[k], float32(0)
		for d := 1; d < len(kernel); d++ {
			if k >= d {
				w := p.prior[k-d] * kernel[d]
				total += w
				moment -= w * float32(d)
			}
			if k+d < gridSize {
				w := p.prior[k+d] * kernel[d]
				total += w
				moment += w * float32(d)
			}
		}
		p.shift[g][k] = 0
		if total > 0 {
			p.shift[g][k] = moment / total * float32(p.step)
		}
	}
}

// mean is the log rate that the unit probably has.
func (p *population) mean(u *unit) float64 {
	y := math.Log(float64(u.rate))
	if p.step == 0 {
		return y
	}
	x := (y - p.low) / p.step
	k := int(math.Floor(x))
	shift := &p.shift[p.group(u.logvar)]
	switch {
	case x < 0 || k >= gridSize:
		return y
	case k == gridSize-1:
		return y + float64(shift[k])
	}
	part := x - float64(k)
	return y + float64(shift[k])*(1-part) + float64(shift[k+1])*part
}
