package policy

import "math"

// Test is how a unit fared when a place in a tier was looked for. What the rules
// did not come to is zero.
type Test struct {
	Tier int
	// Rule is the first that forbade it; "" if it passed.
	Rule Rule
	// Skipped tells that it was not tried, as many hotter ones had failed by Rule.
	Skipped bool
	// Gain is the benefit over Horizon less what the victims lose, and Cost that of
	// all the moves, in seconds.
	Gain, Cost, Horizon float64
	// EvidenceNeeded is in how many of the last eight samples it must have been hot.
	EvidenceNeeded int
	// Victims is how many units would leave for it.
	Victims int
	// Of what could leave, Victim is the one that the unit is most surely hotter
	// than, by Separation standard deviations; it counts if VictimAddr is not 0.
	VictimProcess            int
	VictimAddr               uint64
	VictimRate, VictimLogVar float32
	Separation               float64
	// Lacks is by how many bytes the budget, the limit or the room falls short.
	Lacks int64

	victim uint32 // the unit, plus 1
	loss   float64
}

// trace watches an engine decide. It costs nothing where there is none: the
// rules then report to a nil Test.
type trace struct {
	// counted and last are by unit: one more than the index in Vetoes of the rule by
	// which the plan counts it, of its last test, and of that for the tier that it
	// belongs in.
	counted, last, home []uint8
	// capacity is what the tiers can hold of what may move, in bytes.
	capacity []int64
	// fixed is counted of e.fixed.
	fixed []uint8
	// tests are of the units that are looked at closely.
	tests map[uint32][]Test
}

// begin is called before a place in tier t is looked for.
func (e *Engine) begin(i uint32, t int) {
	if list, close := e.trace.tests[i]; close {
		e.trace.tests[i] = append(list, Test{Tier: t})
		e.test = &e.trace.tests[i][len(list)]
	}
}

// end is called with the rule that forbade it, or with none.
func (e *Engine) end(i uint32, t int, rule Rule) {
	e.trace.last[i] = code(rule)
	if t == e.belongs(&e.units[i]) {
		e.trace.home[i] = code(rule)
	}
	if e.test != nil {
		e.test.Rule = rule
		e.test = nil
	}
}

// counts is called when the plan counts a unit, or part k of e.fixed.
func (e *Engine) counts(i uint32, rule Rule) {
	if e.trace != nil {
		e.trace.counted[i] = code(rule)
	}
}

func (e *Engine) countsFixed(k int, rule Rule) {
	if e.trace != nil {
		e.trace.fixed[k] = code(rule)
	}
}

// code is one more than the index in Vetoes, or 0.
func code(rule Rule) uint8 {
	for i, r := range Vetoes {
		if r == rule {
			return uint8(i + 1)
		}
	}
	return 0
}

func ruleOf(code uint8) Rule {
	if code == 0 {
		return ""
	}
	return Vetoes[code-1]
}

// watch prepares the trace once the units are known.
func (e *Engine) watch() {
	if tr := e.trace; tr != nil {
		for _, list := range []*[]uint8{&tr.counted, &tr.last, &tr.home} {
			*list = resize(*list, len(e.units))
			clear(*list)
		}
		tr.fixed = resize(tr.fixed, len(e.fixed))
		tr.capacity = tr.capacity[:0]
		for t := range e.order {
			tr.capacity = append(tr.capacity, e.holds(t))
		}
		clear(tr.fixed)
		for i := range tr.tests {
			tr.tests[i] = tr.tests[i][:0]
		}
	}
}

func (t *Test) weighed(gain, cost, horizon, loss float64) {
	if t != nil {
		t.Gain, t.Cost, t.Horizon, t.loss = gain, cost, horizon, loss
	}
}

func (t *Test) needsEvidence(n int) {
	if t != nil {
		t.EvidenceNeeded = n
	}
}

func (t *Test) lacks(bytes int64) {
	if t != nil {
		t.Lacks = bytes
	}
}

func (t *Test) skips() {
	if t != nil {
		t.Skipped = true
	}
}

func (t *Test) takes(victims int) {
	if t != nil {
		t.Victims = victims
	}
}

// meets notes a unit that could leave for c.
func (e *Engine) meets(c *unit, i uint32) {
	t, v := e.test, &e.units[i]
	sep := e.separation(c, v)
	if t.victim != 0 && sep <= t.Separation {
		return
	}
	t.victim, t.Separation = i+1, sep
	t.VictimProcess, t.VictimAddr = int(v.proc), e.process(v).Regions[v.region].Addr
	t.VictimRate, t.VictimLogVar = v.rate, v.logvar
}

// rateFor is the rate from which a unit would be surely hotter than another, all
// else being as it is.
func (e *Engine) rateFor(c, v *unit) float64 {
	hotter := *c
	low, high := float64(c.rate), float64(max(c.rate, v.rate))
	enough := func(rate float64) bool {
		hotter.rate = float32(rate)
		return rate > float64(v.rate) && e.separation(&hotter, v) > e.p.Separation
	}
	for range 64 {
		if enough(high) {
			break
		}
		if high *= 2; high > math.MaxFloat32 {
			return math.Inf(1)
		}
	}
	for range 40 {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
