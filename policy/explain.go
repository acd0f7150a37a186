package policy

import (
	"cmp"
	"math"
	"slices"
)

// State is how a part of a region stands.
type State string

// States of a part of a region.
const (
	AtHome  State = "at_home" // it lies where its rate puts it
	Moving  State = "moving"  // it moves in this plan
	Held    State = "held"    // it is wanted in a faster tier, and a rule holds it back
	Idle    State = "idle"    // there would be a place in a faster tier, but it is used too little to pay for the way
	Guest   State = "guest"   // it belongs in a slower tier, and leaves when its place is needed
	Fixed   State = "fixed"   // it must not or cannot be moved, and is not wanted elsewhere
	Unknown State = "unseen"  // its use is not known yet
	Outside State = "outside" // it lies on a node of no tier
)

// About chooses what an account is about.
type About struct {
	// Process chooses processes; nil stands for all.
	Process func(*Process) bool
	// Addr, if not 0, is that of one region of theirs.
	Addr uint64
	// Most bounds the parts that an account of more than one region shows: those held
	// back that would gain most.
	Most int
	// Tries bounds how many more plans are made to find what would have to change.
	Tries int
}

// Part is a region, or some strata of it that are alike, as far as they lie on one node.
type Part struct {
	Process int // index into Snapshot.Processes
	Addr    uint64
	Strata  uint8
	Slot    Slot
	Pages   int
	// Tier is where it lies; -1 for none. Home is where its rate puts it, by its
	// workload's boundaries.
	Tier, Home int
	State      State
	// Rule is by which it moves or is held. What is held may have been tried for
	// several tiers: the rule is that of tier For, the one that it belongs in, if it
	// was tried there. Counted is the rule by which Plan.Vetoed counts it, which is
	// that of the last tier that it was tried for; "" if it is not counted.
	Rule, Counted Rule
	For           int
	// To is where it moves.
	To Slot
	// Rate and what follows is of the hottest stratum; Mean is that of all.
	Rate, LogVar, Stable float32
	Mean                 float64
	Evidence             int
	// WantedFrom is the rate, in accesses per second and page, from which it would be
	// wanted in a faster tier; 0 where there is none.
	WantedFrom float64
	// Wait is how many seconds of its cool-down are left.
	Wait float64
	// Tests are those that it went through, the fastest tier first.
	Tests []Test
	// Changes has what would each lift the rule that holds it, tried with the engine.
	Changes []Change

	unit uint32 // plus 1; 0 without one
}

// heldBy is the rule that holds a unit which the plan counts: that of the tier that
// it belongs in, if it was tried there.
func (tr *trace) heldBy(i uint32) Rule {
	switch {
	case tr.home[i] != 0:
		return ruleOf(tr.home[i])
	case tr.counted[i] != 0:
		return ruleOf(tr.counted[i])
	}
	return ruleOf(tr.last[i])
}

func (p *Part) bytes() uint64 { return uint64(p.Pages) * PageSize }

// Account tells how memory stands before a plan.
type Account struct {
	Plan *Plan
	// Params are those that the plan was made with, sane, and the separation as
	// thrash control has set it.
	Params Params
	Parts  []Part
	// Lies has the bytes that may move and whose use is known, by the tier where
	// they lie and the one that they belong in.
	Lies [][]uint64
	// Held has the bytes that are wanted in a faster tier and stay, by the rule that
	// holds them (see Part.Rule). Counted has the same by the rules of Plan.Vetoed.
	Held, Counted map[Rule]uint64
	// Up and Down are the bytes that move in this plan.
	Up, Down uint64
	// Worth has an entry for each tier but the slowest.
	Worth []Worth
}

// Worth tells of all the memory that is used enough for a place in a tier.
type Worth struct {
	// Capacity is how much the tier can hold of the movable memory of the workloads
	// that the account is about.
	Capacity uint64
	// Inside and Outside are the bytes in the tier and in slower ones that could pay
	// there, InsideRate and OutsideRate their mean rates.
	Inside, Outside         uint64
	InsideRate, OutsideRate float64
	// Waiting is what of Outside moves or is held back by something other than that
	// it is not surely hotter, or not by enough to pay.
	Waiting uint64
	// AlikeInside and AlikeOutside are what is used about as much as the boundary
	// says, between half and twice of it.
	AlikeInside, AlikeOutside uint64
}

// Explain makes the plan that a controller would make of a snapshot, and tells why
// memory stays or moves. The state is that of the controller before it decides,
// from MarshalBinary; nil stands for a new one. The snapshot is changed meanwhile
// and as it was in the end. The error is a StateError.
func Explain(state []byte, s *Snapshot, p Params, about About) (*Account, error) {
	x := &explainer{state: state, s: s, p: p, about: about, tries: about.Tries}
	x.chosen = make([]bool, len(s.Processes))
	for i := range s.Processes {
		x.chosen[i] = about.Process == nil || about.Process(&s.Processes[i])
	}
	if _, err := x.run(); err != nil {
		return nil, err
	}
	x.watchClosely()
	plan, err := x.run()
	if err != nil {
		return nil, err
	}
	a := &Account{Plan: plan, Params: x.c.engine.p}
	x.sumUp(a)
	x.parts(a)
	for i := range a.Parts {
		x.guess(&a.Parts[i])
	}
	for i := range a.Parts {
		x.findChanges(&a.Parts[i])
	}
	return a, nil
}

type explainer struct {
	state  []byte
	s      *Snapshot
	p      Params
	about  About
	chosen []bool
	tries  int

	c     Controller
	tr    trace
	steps map[uint32]int // by unit
	// guesses are the rates to try first, by unit.
	guesses map[uint32]float64
}

// run makes the plan.
func (x *explainer) run() (*Plan, error) {
	x.c.engine.trace = &x.tr
	if x.state == nil {
		x.c = Controller{engine: x.c.engine}
	} else if err := x.c.UnmarshalBinary(x.state); err != nil {
		return nil, err
	}
	plan := x.c.Decide(x.s, x.p)
	e := &x.c.engine
	e.s = x.s // for the questions that follow
	if x.steps == nil {
		x.steps = map[uint32]int{}
	}
	clear(x.steps)
	for k := range e.steps {
		x.steps[e.steps[k].unit] = k
	}
	return plan, nil
}

// in tells whether a region is asked about.
func (x *explainer) in(proc, region int32) bool {
	if !x.chosen[proc] {
		return false
	}
	return x.about.Addr == 0 || x.s.Processes[proc].Regions[region].Addr == x.about.Addr&^(RegionSize-1)
}

// watchClosely chooses the units whose tests are noted: all of the one region, or
// those held back that would gain most, one of a region.
func (x *explainer) watchClosely() {
	e := &x.c.engine
	x.tr.tests = map[uint32][]Test{}
	if x.about.Addr != 0 {
		for i := range e.units {
			if u := &e.units[i]; x.in(u.proc, u.region) {
				x.tr.tests[uint32(i)] = nil
			}
		}
		return
	}
	type gain struct {
		unit  uint32
		value float64
	}
	// The units of a region follow each other.
	top, region := make([]gain, 0, x.about.Most+1), gain{value: -1}
	put := func() {
		if region.value < 0 || len(top) == x.about.Most && (len(top) == 0 || top[len(top)-1].value >= region.value) {
			return
		}
		k, _ := slices.BinarySearchFunc(top, region, func(a, b gain) int {
			return cmp.Or(cmp.Compare(b.value, a.value), cmp.Compare(a.unit, b.unit))
		})
		top = slices.Insert(top, k, region)
		top = top[:min(len(top), x.about.Most)]
	}
	var last *unit
	for i := range e.units {
		u := &e.units[i]
		if last == nil || u.region != last.region || u.proc != last.proc {
			put()
			last, region = u, gain{value: -1}
		}
		if x.tr.counted[i] == 0 || u.state&planned != 0 || !x.in(u.proc, u.region) {
			continue
		}
		if v := float64(u.rate) * float64(u.pages) * e.gap(e.tier(u), e.belongs(u)); v > region.value {
			region = gain{uint32(i), v}
		}
	}
	put()
	for _, g := range top {
		x.tr.tests[g.unit] = nil
	}
}

// belongs is the tier that a unit's rate puts it in.
func (e *Engine) belongs(u *unit) int {
	for t := 0; t < e.slowest; t++ {
		if len(e.nodesOf[t]) > 0 && u.rate >= e.own[e.mineAt(e.workload(u), t)] {
			return t
		}
	}
	return e.slowest
}

// parts makes the parts of the units that were watched, and of what has none.
func (x *explainer) parts(a *Account) {
	e := &x.c.engine
	for i := range x.tr.tests {
		a.Parts = append(a.Parts, x.part(i))
	}
	if x.about.Addr != 0 {
		for k := range e.fixed {
			if f := &e.fixed[k]; x.in(f.proc, f.region) {
				a.Parts = append(a.Parts, x.fixedPart(k))
			}
		}
		x.unknown(a)
	}
	value := func(p *Part) float64 { return float64(p.Rate) * float64(p.Pages) }
	slices.SortFunc(a.Parts, func(p, q Part) int {
		if x.about.Addr != 0 {
			return cmp.Or(cmp.Compare(q.Rate, p.Rate), cmp.Compare(p.Strata, q.Strata), cmp.Compare(p.Slot, q.Slot))
		}
		return cmp.Or(cmp.Compare(value(&q), value(&p)), cmp.Compare(p.Process, q.Process), cmp.Compare(p.Addr, q.Addr))
	})
	if x.about.Addr != 0 {
		a.Parts = together(a.Parts)
	}
}

// together makes one of the parts of a region that are alike; they are in the
// order of their rates.
func together(parts []Part) []Part {
	out := parts[:0]
	for _, p := range parts {
		k := slices.IndexFunc(out, func(q Part) bool {
			return p.Slot == q.Slot && p.Process == q.Process && p.State == q.State && p.Rule == q.Rule && p.To == q.To && p.Home == q.Home && p.Counted == q.Counted
		})
		if k < 0 {
			out = append(out, p)
			continue
		}
		q := &out[k]
		if all := float64(p.Pages + q.Pages); all > 0 {
			q.Mean += (p.Mean - q.Mean) * float64(p.Pages) / all
		}
		q.Pages += p.Pages
		q.Strata |= p.Strata
	}
	return out
}

// part tells how a unit stands.
func (x *explainer) part(i uint32) Part {
	e := &x.c.engine
	u := &e.units[i]
	r := &x.s.Processes[u.proc].Regions[u.region]
	p := Part{
		Process: int(u.proc), Addr: r.Addr, Strata: u.mask(), Slot: u.slot, Pages: int(u.pages), Tier: e.tier(u), Home: e.belongs(u), To: NoSlot,
		Rate: u.rate, LogVar: u.logvar, Stable: u.stable, Mean: float64(u.rate), Evidence: int(u.evidence), unit: i + 1,
		Tests: slices.Clone(x.tr.tests[i]), Counted: ruleOf(x.tr.counted[i]), For: e.tier(u) - 1,
	}
	if p.Tier > 0 {
		p.WantedFrom = max(float64(e.own[e.mineAt(e.workload(u), p.Tier-1)]), e.worth(p.Tier, e.fastest()))
		if math.IsNaN(p.WantedFrom) || math.IsInf(p.WantedFrom, 1) {
			p.WantedFrom = 0
		}
	}
	step, moves := x.steps[i]
	switch {
	case moves:
		st := &e.steps[step]
		p.State, p.Rule, p.To = Moving, st.reason.Rule, st.to
	case p.Counted != "", e.wanted(u.rate, p.Tier, e.workload(u)) && x.tr.last[i] != 0:
		p.State, p.Rule = Held, x.tr.heldBy(i)
		if x.tr.home[i] != 0 {
			p.For = p.Home
		}
	case p.Home < p.Tier:
		p.State = Idle
	case p.Home > p.Tier:
		p.State = Guest
	default:
		p.State = AtHome
	}
	if p.Rule == VetoCooldown && u.state&upFree == 0 {
		if left := e.cooldown(e.process(u), r) - float64(r.SinceMove); left > 0 {
			p.Wait = left
		}
	}
	return p
}

// fixedPart tells of what must stay.
func (x *explainer) fixedPart(k int) Part {
	e := &x.c.engine
	f := &e.fixed[k]
	u := unit{rate: f.rate, proc: f.proc, region: f.region, pages: f.pages, stratum: f.stratum, slot: f.slot}
	p := Part{
		Process: int(f.proc), Addr: x.s.Processes[f.proc].Regions[f.region].Addr, Strata: u.mask(), Slot: f.slot, Pages: int(f.pages),
		Tier: int(f.tier), Home: e.belongs(&u), To: NoSlot, State: Fixed, Rule: f.rule(), Rate: f.rate, Mean: float64(f.rate),
		Counted: ruleOf(x.tr.fixed[k]),
	}
	if p.Counted != "" {
		p.State = Held
	}
	return p
}

// unknown adds the places of the region of which the engine made nothing.
func (x *explainer) unknown(a *Account) {
	e := &x.c.engine
	for i := range x.s.Processes {
		if !x.chosen[i] {
			continue
		}
		r := x.s.Processes[i].region(x.about.Addr &^ (RegionSize - 1))
		if r == nil {
			continue
		}
		for _, at := range r.Placement {
			has := slices.ContainsFunc(a.Parts, func(p Part) bool { return p.Process == i && p.Slot == at.Slot })
			if at.Pages == 0 || has {
				continue
			}
			p := Part{Process: i, Addr: r.Addr, Strata: AllStrata, Slot: at.Slot, Pages: int(at.Pages), Tier: int(e.tierOf[at.Slot]), To: NoSlot, State: Unknown}
			if p.Home = p.Tier; p.Tier < 0 {
				p.State = Outside
			}
			a.Parts = append(a.Parts, p)
		}
	}
}

// sumUp fills what an account tells of all that it is about.
func (x *explainer) sumUp(a *Account) {
	e := &x.c.engine
	tiers := len(e.order)
	a.Held, a.Counted = map[Rule]uint64{}, map[Rule]uint64{}
	a.Lies = make([][]uint64, tiers)
	for t := range a.Lies {
		a.Lies[t] = make([]uint64, tiers)
	}
	a.Worth = make([]Worth, max(tiers-1, 0))
	workloads := map[int]bool{}
	for i := range e.units {
		u := &e.units[i]
		if !x.in(u.proc, u.region) {
			continue
		}
		workloads[e.workload(u)] = true
		tier, size := e.tier(u), uint64(u.bytes())
		a.Lies[tier][e.belongs(u)] += size
		step, moves := x.steps[uint32(i)]
		switch {
		case moves && e.steps[step].kind == Promotion:
			a.Up += size
		case moves:
			a.Down += size
		}
		if x.tr.counted[i] != 0 { // even if it then leaves for another
			a.Counted[ruleOf(x.tr.counted[i])] += size
			if !moves {
				a.Held[x.tr.heldBy(uint32(i))] += size
			}
		}
		for t := range min(tier+1, len(a.Worth)) {
			w := &a.Worth[t]
			b := e.own[e.mineAt(e.workload(u), t)]
			alike := u.rate >= b/2 && u.rate <= 2*b
			switch {
			case len(e.nodesOf[t]) == 0:
			case t == tier && u.rate >= e.floors[t]:
				w.Inside += size
				w.InsideRate += float64(u.rate) * float64(size)
				if alike {
					w.AlikeInside += size
				}
			case t < tier && float64(u.rate) >= e.worth(tier, t):
				w.Outside += size
				w.OutsideRate += float64(u.rate) * float64(size)
				if alike {
					w.AlikeOutside += size
				}
				rule := Rule("")
				if x.tr.counted[i] != 0 {
					rule = x.tr.heldBy(uint32(i))
				}
				if moves && e.steps[step].kind == Promotion || rule != "" && rule != VetoSeparation && rule != VetoPayback {
					w.Waiting += size
				}
			}
		}
	}
	for k := range e.fixed {
		if f := &e.fixed[k]; x.in(f.proc, f.region) && x.tr.fixed[k] != 0 {
			a.Held[ruleOf(x.tr.fixed[k])] += uint64(f.pages) * PageSize
			a.Counted[ruleOf(x.tr.fixed[k])] += uint64(f.pages) * PageSize
		}
	}
	for t := range a.Worth {
		w := &a.Worth[t]
		w.InsideRate /= math.Max(float64(w.Inside), 1)
		w.OutsideRate /= math.Max(float64(w.Outside), 1)
		if !e.fair && !e.limited {
			w.Capacity = uint64(max(x.tr.capacity[t], 0))
			continue
		}
		for n := range workloads {
			w.Capacity += uint64(max(e.wide[e.at(t, n)], 0))
		}
	}
}
