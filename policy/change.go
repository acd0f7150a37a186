package policy

import (
	"math"
	"slices"
)

// Lever names something that could be different.
type Lever string

// The levers. What each Change.To means stands beside it.
const (
	LeverRate     Lever = "rate"      // of the part, accesses per second and page
	LeverNoise    Lever = "noise"     // of the part: the variance of ln(rate)
	LeverSamples  Lever = "samples"   // of the last eight, those that see it hot
	LeverStable   Lever = "stable"    // for how many seconds the rate has been like this
	LeverTime     Lever = "time"      // seconds from now
	LeverMoveCost Lever = "move_cost" // seconds per page
	LeverRoom     Lever = "room"      // bytes free on a node of the tier
	LeverBudget   Lever = "budget"    // bytes of a plan
	LeverLimit    Lever = "limit"     // bytes of the tier that the workload may hold
	LeverWeight   Lever = "weight"    // of the workload
	LeverPressure Lever = "pressure"  // share of time in which memory is waited for
)

// nearRate is how near to the least rate that suffices the search comes.
const nearRate = 1.03

// Change is something that, all else being the same, lifts the rule that holds a
// part back.
type Change struct {
	Lever    Lever
	From, To float64
	// Tier is that of room and limits.
	Tier int
	// Then is the rule that would hold the part next; "" if it would move.
	Then Rule
}

// apply makes the change for a unit and returns what takes it back; nil if there
// is nothing to change.
func (ch *Change) apply(s *Snapshot, p *Params, u *unit) (undo func()) {
	proc := &s.Processes[u.proc]
	r := &proc.Regions[u.region]
	wasRegion, wasParams := *r, *p
	var detail *Detail
	var wasDetail Detail
	if u.stratum >= 0 {
		detail = &proc.Details[r.Detail]
		wasDetail = *detail
	}
	// portions visits all of the unit's stratum.
	portions := func(visit func(*Portion)) {
		for i := range detail {
			if int8(detail[i].Stratum) == u.stratum {
				visit(&detail[i])
			}
		}
	}
	nodes, workloads, cost, pressure, own := slices.Clone(s.Nodes), s.Workloads, s.MoveCost, s.Pressure, proc.Pressure
	undo = func() {
		*r, *p = wasRegion, wasParams
		if detail != nil {
			*detail = wasDetail
		}
		copy(s.Nodes, nodes)
		s.Workloads, s.MoveCost, s.Pressure, proc.Pressure = workloads, cost, pressure, own
	}
	switch ch.Lever {
	case LeverRate:
		if detail != nil {
			portions(func(q *Portion) { q.Rate = float32(ch.To) })
		} else {
			r.Rate = float32(ch.To)
		}
	case LeverNoise:
		if detail != nil {
			portions(func(q *Portion) { q.LogVar = float32(ch.To) })
		} else {
			r.LogVar = float32(ch.To)
		}
	case LeverSamples:
		mask := uint8(1<<min(int(ch.To), 8) - 1)
		if detail != nil {
			portions(func(q *Portion) { q.Evidence = mask })
		} else {
			r.Evidence = mask
		}
	case LeverStable:
		r.Stable = float32(ch.To)
	case LeverTime:
		r.SinceMove = float32(float64(r.SinceMove) + ch.To)
	case LeverMoveCost:
		s.MoveCost = ch.To
	case LeverRoom:
		best := -1
		for i := range s.Nodes {
			if s.Nodes[i].Tier == ch.Tier && (best < 0 || above(s.Nodes[i].Free, s.Nodes[i].Reserve) > above(s.Nodes[best].Free, s.Nodes[best].Reserve)) {
				best = i
			}
		}
		if best < 0 {
			return nil
		}
		s.Nodes[best].Free += uint64(ch.To)
	case LeverBudget:
		p.Budget = uint64(ch.To)
	case LeverLimit, LeverWeight:
		s.Workloads = slices.Clone(s.Workloads)
		k := slices.IndexFunc(s.Workloads, func(w Workload) bool { return w.Name == proc.Workload })
		if k < 0 {
			k = len(s.Workloads)
			s.Workloads = append(s.Workloads, Workload{Name: proc.Workload})
		}
		w := &s.Workloads[k]
		if ch.Lever == LeverWeight {
			w.Weight = ch.To
			break
		}
		if ch.Tier >= len(w.Limits) {
			return nil
		}
		w.Limits = slices.Clone(w.Limits)
		w.Limits[ch.Tier] = uint64(ch.To)
	case LeverPressure:
		s.Pressure, proc.Pressure = math.Min(s.Pressure, ch.To), math.Min(proc.Pressure, ch.To)
	}
	return undo
}

// guess notes, while the engine still has the plan, from which rate on a part may
// pass.
func (x *explainer) guess(p *Part) {
	if p.State != Held || p.unit == 0 || p.Test() == nil {
		return
	}
	if x.guesses == nil {
		x.guesses = map[uint32]float64{}
	}
	e := &x.c.engine
	t := p.Test()
	guess := 0.0
	switch p.Rule {
	case VetoPayback:
		if alone := t.Gain + t.loss; alone > 0 {
			guess = float64(p.Rate) * (e.p.Payback*t.Cost + t.loss) / alone
		}
	case VetoSeparation:
		if t.victim > 0 {
			guess = e.rateFor(&e.units[p.unit-1], &e.units[t.victim-1])
		}
	}
	x.guesses[p.unit] = guess
}

// findChanges tries what would lift the rule that holds a part.
func (x *explainer) findChanges(p *Part) {
	if p.State != Held || p.unit == 0 {
		return
	}
	u := x.c.engine.units[p.unit-1]
	test := Test{Tier: p.For}
	if t := p.Test(); t != nil {
		test = *t
	}
	from := func(lever Lever, value float64) Change { return Change{Lever: lever, From: value, Tier: test.Tier} }
	switch p.Rule {
	case VetoEvidence:
		x.tryValues(p, &u, from(LeverSamples, float64(p.Evidence)), float64(test.EvidenceNeeded), float64(x.c.engine.p.EvidenceExchange))
	case VetoPayback:
		x.tryRates(p, &u)
		if test.Gain > 0 && test.Cost > 0 {
			need := x.c.engine.p.Payback * test.Cost / test.Gain
			cost := x.c.engine.moveCost()
			x.tryValues(p, &u, from(LeverMoveCost, cost), cost/need*0.999, cost/need/1.5, cost/need/4)
			tries := []float64{x.c.engine.p.HorizonMax}
			if stable := test.Horizon * need; stable < tries[0] {
				tries = []float64{stable * 1.001, tries[0]}
			}
			if p.Stable < fillSeconds {
				tries = append([]float64{fillSeconds}, tries...)
			}
			x.tryValues(p, &u, from(LeverStable, float64(p.Stable)), tries...)
		}
	case VetoSeparation:
		x.tryRates(p, &u)
		if test.Separation > 0 {
			z := x.c.engine.p.Separation
			both := float64(p.LogVar+test.VictimLogVar) * (test.Separation / z) * (test.Separation / z)
			if v := both - float64(test.VictimLogVar); v > 0 {
				x.tryValues(p, &u, from(LeverNoise, float64(p.LogVar)), v*0.99, v/2, v/8)
			}
		}
	case VetoRoom:
		size := float64(u.bytes())
		for t := test.Tier; t <= x.c.engine.slowest; t++ {
			ch := from(LeverRoom, 0)
			ch.Tier = t
			if x.tryValues(p, &u, ch, size, 2*size, 8*RegionSize, 64*RegionSize) {
				break
			}
		}
	case VetoCooldown:
		if p.Wait > 0 {
			x.tryValues(p, &u, from(LeverTime, 0), p.Wait*1.000001+1e-3)
		}
	case VetoBudget:
		b := float64(x.p.Budget)
		x.tryValues(p, &u, from(LeverBudget, b), b+float64(test.Lacks), 2*b+float64(test.Lacks), 16*b+2*RegionSize, 1<<44)
	case VetoLimit:
		e := &x.c.engine
		if limit := e.limit[e.at(test.Tier, e.workload(&u))]; limit != noLimit {
			l := float64(limit)
			x.tryValues(p, &u, from(LeverLimit, l), l+float64(max(test.Lacks, 1)), l+8*RegionSize, l+64*RegionSize, 4*l+1024*RegionSize)
		}
	case VetoShare:
		w := x.c.engine.weight[x.c.engine.workload(&u)]
		x.tryValues(p, &u, from(LeverWeight, w), 1.25*w, 2*w, 4*w, 16*w)
	case VetoPressure:
		now := math.Max(x.s.Pressure, x.s.Processes[p.Process].Pressure)
		x.tryValues(p, &u, from(LeverPressure, now), x.c.p.MaxPressure)
	}
}

// tryRates finds a rate that suffices, and comes near to the least one.
func (x *explainer) tryRates(p *Part, u *unit) {
	rate := float64(p.Rate)
	first := x.guesses[p.unit]
	if !(first > rate) || first > math.MaxFloat32/1e3 {
		first = rate * 1.01
	}
	values := []float64{first * 1.001, first * 1.05, first * 1.25, first * 2, first * 8, first * 64}
	ch := Change{Lever: LeverRate, From: rate}
	if !x.tryValues(p, u, ch, values...) {
		return
	}
	found := &p.Changes[len(p.Changes)-1]
	low := rate // does not suffice
	for _, v := range values {
		if v < found.To {
			low = v
		}
	}
	for near := true; found.To > low*nearRate && x.tries > 0; near = false {
		ch.To = math.Sqrt(low * found.To)
		if near { // mostly the first guess is right
			ch.To = math.Max(ch.To, found.To/nearRate)
		}
		if then, ok := x.try(p, u, &ch); ok {
			found.To, found.Then = ch.To, then
		} else {
			low = ch.To
		}
	}
}

// tryValues tries values one after the other, and keeps the first that suffices.
func (x *explainer) tryValues(p *Part, u *unit, ch Change, values ...float64) bool {
	last := math.NaN()
	for _, ch.To = range values {
		if ch.To == last || ch.To == ch.From || !(ch.To > 0) {
			continue
		}
		last = ch.To
		if then, ok := x.try(p, u, &ch); ok {
			ch.Then = then
			p.Changes = append(p.Changes, ch)
			return true
		}
	}
	return false
}

// try makes a plan with the change, and tells whether it lifts the rule that holds
// the part, and which holds it then.
func (x *explainer) try(p *Part, u *unit, ch *Change) (then Rule, lifted bool) {
	if x.tries <= 0 {
		return "", false
	}
	x.tries--
	undo := ch.apply(x.s, &x.p, u)
	if undo == nil {
		return "", false
	}
	defer undo()
	if _, err := x.run(); err != nil {
		return "", false
	}
	now := x.part(p.unit - 1)
	return now.after(p)
}

// after tells whether the rule that held an earlier part holds no more, and by
// which rule it is then kept from that tier.
func (p *Part) after(was *Part) (then Rule, lifted bool) {
	switch {
	case p.State == Moving:
		n := len(p.Tests)
		return "", n > 0 && p.Tests[n-1].Rule == "" && p.Tests[n-1].Tier <= was.For
	case p.State != Held:
		return "", false
	}
	for k := len(p.Tests) - 1; k >= 0; k-- {
		if t := &p.Tests[k]; t.Tier == was.For {
			return t.Rule, t.Rule != was.Rule
		}
	}
	return p.Rule, p.Rule != was.Rule
}

// Test is the one of Rule; nil without one.
func (p *Part) Test() *Test {
	for k := len(p.Tests) - 1; k >= 0; k-- {
		if p.Tests[k].Tier == p.For {
			return &p.Tests[k]
		}
	}
	return nil
}
