package policy

import (
	"math"
	"math/bits"
)

const (
	// defaultMoveCost is what moving a page is taken to cost, in seconds, as
	// long as no move has been measured.
	defaultMoveCost = 2e-6
	// fillSeconds is for how long memory must have been as it is to be weighed by what
	// comes after that, too.
	fillSeconds = 5
	// maxTries bounds how many candidates in a row may fail against a full
	// tier before the tier is left: those that follow are colder.
	maxTries = 256
	// maxVictims bounds how many units one candidate may look at to find
	// victims, and maxUnsure how many of those may be too close to call.
	maxVictims = 128
	maxUnsure  = 16
	// maxRatio caps the numbers of a Reason, so that they stay printable.
	maxRatio = 1e6
	// maxTiers bounds the tiers that can be told apart.
	maxTiers = 255
	// noTier marks slots that belong to no tier.
	noTier = -1
)

// Engine turns snapshots into plans. The zero Engine is ready for use. It
// keeps only memory for reuse: its plans never depend on what it decided
// before. It must not be used by two goroutines at the same time.
type Engine struct {
	s *Snapshot
	p Params

	tierOf  [256]int16 // by slot; noTier for what is in no tier
	avail   [256]int64 // by slot: bytes above the reserve, negative below it
	freed   [256]int64 // by slot: scratch of one exchange; zero between two
	nodesOf [][]Slot   // by tier
	slowest int        // the last tier that has a node, or -1

	units   []unit
	pages   []uint16  // of each unit: packed, as they are read out of order
	order   [][]item  // by tier: the movable units, hottest first
	spare   []item    // the other half of the sort
	tail    []int     // by list of mine: units of mine[list][tail:] can be no victims
	pos     []int     // by tier: position of a merged walk
	arrived []float32 // by tier: the coldest that this plan demotes to it
	fixed   []fixed
	sharing
	pop     population
	popped  bool
	steps   []step
	open    []group // scratch of the merge
	alias   []int32 // by exchange: another that it became one with, or itself
	picks   []uint32
	blocked []blocked
	cold    []uint32 // scratch of relief
	runs    []run

	boundaries []float32
	mean       []float64 // by process: accesses per second and page
	capacity   []int64   // by tier: scratch of bound
	reins      *reins    // nil: free
	budget     uint64
	trace      *trace                // nil: nobody watches
	test       *Test                 // of the unit that is being tested; nil if nobody asks about it
	vetoed     [][len(Vetoes)]uint64 // by process
}

// step is one unit's move. The steps are in the order of the plan.
type step struct {
	unit   uint32
	to     Slot
	kind   Kind
	reason Reason
	terms  Terms
	after  int64 // bytes above the target's reserve once this step is done
}

// Decide plans the moves that the snapshot calls for. It reads nothing but
// its arguments and keeps no reference to them, or to the plan.
func (e *Engine) Decide(s *Snapshot, p Params) *Plan {
	plan := &Plan{Processes: make([]Summary, len(s.Processes))}
	e.prepare(s, p)
	e.collect(plan.Processes)
	for t := range e.order {
		e.spare = sortItems(e.order[t], e.spare)
		e.capacity[t] = e.holds(t)
	}
	e.bound(e.boundaries, e.order)
	e.sweep(plan.Processes)
	e.apportion()
	e.watch()
	e.relieve()
	e.rein()
	e.restrain()
	for t := 0; t < e.slowest; t++ {
		e.promote(t)
	}
	e.bringNear()
	e.countFixed()

	plan.Moves, plan.Terms = e.merge()
	plan.Boundaries = append(make([]float32, 0, len(e.boundaries)), e.boundaries...)
	if e.fair {
		e.tellBoundaries(plan.Processes)
	}
	plan.Vetoed = make(map[Rule]uint64, len(Vetoes))
	for p := range e.vetoed {
		for i, rule := range Vetoes {
			if n := e.vetoed[p][i]; n > 0 {
				plan.Vetoed[rule] += n
				if plan.Processes[p].Vetoed == nil {
					plan.Processes[p].Vetoed = map[Rule]uint64{}
				}
				plan.Processes[p].Vetoed[rule] = n
			}
		}
	}
	e.s = nil
	return plan
}

// prepare reads the nodes and the parameters, and empties the scratch.
func (e *Engine) prepare(s *Snapshot, p Params) {
	e.s, e.p = s, p.sane()
	e.budget = p.Budget
	e.vetoed = resize(e.vetoed, len(s.Processes))
	clear(e.vetoed)
	e.popped = false
	e.alias = append(e.alias[:0], 0) // exchanges count from 1
	e.units, e.pages, e.fixed, e.steps = e.units[:0], e.pages[:0], e.fixed[:0], e.steps[:0]

	tiers := min(len(s.Tiers), maxTiers)
	e.nodesOf = resize(e.nodesOf, tiers)
	e.order = resize(e.order, tiers)
	e.boundaries = resize(e.boundaries, max(tiers-1, 0))
	e.capacity = resize(e.capacity, tiers)
	e.arrived = resize(e.arrived, tiers)
	for t := range e.arrived {
		e.arrived[t] = math.MaxFloat32
	}
	e.pos = resize(e.pos, tiers)
	for t := range tiers {
		e.nodesOf[t], e.order[t] = e.nodesOf[t][:0], e.order[t][:0]
	}
	for i := range e.tierOf {
		e.tierOf[i], e.avail[i], e.freed[i] = noTier, 0, 0
	}
	e.slowest = -1
	for i := range min(len(s.Nodes), int(NoSlot)) {
		n := &s.Nodes[i]
		if n.Tier < 0 || n.Tier >= tiers {
			continue
		}
		e.tierOf[i] = int16(n.Tier)
		e.avail[i] = above(n.Free, n.Reserve)
		e.nodesOf[n.Tier] = append(e.nodesOf[n.Tier], Slot(i))
		e.slowest = max(e.slowest, n.Tier)
	}
	e.enrol()
}

// holds is how much the units of all workloads can have of a tier.
func (e *Engine) holds(t int) (sum int64) {
	for _, slot := range e.nodesOf[t] {
		sum += e.room(slot, true)
	}
	for w := range e.n {
		sum += e.got[e.at(t, w)]
	}
	return sum
}

// above is a − b, cut off where sums of it could overflow.
func above(a, b uint64) int64 {
	const most = math.MaxInt64 / 1024
	if a >= b {
		return int64(min(a-b, most))
	}
	return -int64(min(b-a, most))
}

func resize[S ~[]T, T any](s S, n int) S {
	if n <= cap(s) {
		return s[:n]
	}
	return append(s[:cap(s)], make(S, n-cap(s))...)
}

// sane returns the parameters with every value that is no number, or that
// makes no sense, replaced.
func (p Params) sane() Params {
	d := DefaultParams()
	fix := func(v *float64, otherwise, most float64) {
		if math.IsNaN(*v) {
			*v = otherwise
		}
		*v = min(max(*v, 0), most)
	}
	fix(&p.Separation, d.Separation, maxRatio)
	fix(&p.Payback, d.Payback, maxRatio)
	fix(&p.Cooldown, d.Cooldown, math.MaxFloat32)
	fix(&p.HorizonMin, d.HorizonMin, 1e9)
	fix(&p.HorizonMax, d.HorizonMax, 1e9)
	p.HorizonMax = max(p.HorizonMax, p.HorizonMin)
	p.EvidenceFill = min(max(p.EvidenceFill, 0), 8)
	// An exchange is never easier than a fill: what a fill refuses must not
	// push others out.
	p.EvidenceExchange = min(max(p.EvidenceExchange, p.EvidenceFill), 8)
	return p
}

// moveCost is the cost of moving one page, in seconds.
func (e *Engine) moveCost() float64 {
	if c := e.s.MoveCost; c > 0 && !math.IsInf(c, 1) {
		return c
	}
	return defaultMoveCost
}

// gap is how many seconds an access to tier from takes longer than one to
// tier to; 0 where the snapshot's figures make no sense.
func (e *Engine) gap(from, to int) float64 {
	g := (e.s.Tiers[from].AccessNS - e.s.Tiers[to].AccessNS) * 1e-9
	if g > 0 && !math.IsInf(g, 1) {
		return g
	}
	return 0
}

// horizon is for how many seconds the unit is expected to stay as it is.
func (e *Engine) horizon(u *unit) float64 {
	if u.state&periodic != 0 {
		// It comes back: the mean holds for whole periods.
		period := e.process(u).Period
		return max(math.Floor(e.p.HorizonMax/period), 1) * period
	}
	h := float64(u.stable)
	if !(h > e.p.HorizonMin) { // a NaN too
		return e.p.HorizonMin
	}
	return min(h, e.p.HorizonMax)
}

// fillHorizon is for how many seconds at its present rate a unit would be accessed as
// often as it probably will be in free room, which nothing else has a use for. When
// it is no longer what it has been it is like its process's memory on the whole, or
// colder if it was, for as long as the longest horizon; of what it is now counts what is
// likely, a standard deviation off the estimate. Before memory was seen for a while that
// does not count: hotter parts that are not found yet would want the room.
func (e *Engine) fillHorizon(u *unit) float64 {
	h := e.horizon(u)
	if !(u.stable >= fillSeconds) {
		return h
	}
	sure := math.Exp(-math.Sqrt(float64(u.logvar)))
	return h + (e.p.HorizonMax-min(h, e.p.HorizonMax))*min(e.mean[u.proc]/float64(u.rate), sure)
}

// worth is the least rate at which moving from one tier to another can pay,
// however stable the unit is. Benefit and cost both grow with the pages.
func (e *Engine) worth(from, to int) float64 {
	return e.p.Payback * e.moveCost() / (e.gap(from, to) * e.p.HorizonMax) // Inf or NaN without a gap
}

// target chooses the node of a tier for bytes of a process, leaving the nodes'
// headroom if spare is true; NoSlot when none has the room. Among the nodes of one tier
// it takes the nearest to where the unit is used from, of those the one with the
// most room, and the first of equals. A workload has no room beyond its limit.
func (e *Engine) target(u *unit, tier int, bytes int64, spare bool) Slot {
	best := NoSlot
	if e.limited && e.over(tier, e.workload(u), bytes) > 0 {
		return best
	}
	for _, n := range e.nodesOf[tier] {
		if e.room(n, spare) < bytes {
			continue
		}
		if best != NoSlot {
			far, least := e.s.stretch(u.home, n), e.s.stretch(u.home, best)
			if far > least || far == least && e.avail[n] <= e.avail[best] {
				continue
			}
		}
		best = n
	}
	return best
}

// headroom is the room above its reserve that a node has after relief, and that
// filling leaves: if the two differed, what left when others took a little memory
// would come back as soon as they gave it back. A node in the middle leaves room
// for a region even without a reserve, so that one of the tier above and one of
// its own can change places without a third that must leave. The slowest tier
// needs none.
func (e *Engine) headroom(slot Slot) (room int64) {
	tier := int(e.tierOf[slot])
	if tier >= e.slowest {
		return 0
	}
	if tier > 0 {
		room = RegionSize
	}
	if reserve := int64(min(e.s.Nodes[slot].Reserve, math.MaxInt64/1024)); reserve > 0 {
		room = max(reserve/headroomPart, leastRoom)
	}
	return room
}

func (e *Engine) process(u *unit) *Process { return &e.s.Processes[u.proc] }

func (e *Engine) tier(u *unit) int { return int(e.tierOf[u.slot]) }

// add appends a step and moves its bytes; cancel takes steps back.
func (e *Engine) add(i uint32, to Slot, kind Kind, reason Reason) {
	u := &e.units[i]
	u.state |= planned
	e.avail[to] -= u.bytes()
	if u.state&mixed == 0 {
		e.avail[u.slot] += u.bytes()
	}
	e.shift(e.workload(u), e.tier(u), int(e.tierOf[to]), u.bytes())
	e.steps = append(e.steps, step{
		unit: i, to: to, kind: kind, reason: reason, after: e.avail[to],
		terms: Terms{LogVar: u.logvar, Evidence: int8(u.evidence)},
	})
}

func (e *Engine) cancel(from int) {
	for k := len(e.steps) - 1; k >= from; k-- {
		st := &e.steps[k]
		u := &e.units[st.unit]
		u.state &^= planned
		e.avail[st.to] += u.bytes()
		if u.state&mixed == 0 {
			e.avail[u.slot] -= u.bytes()
		}
		e.shift(e.workload(u), int(e.tierOf[st.to]), e.tier(u), u.bytes())
	}
	e.steps = e.steps[:from]
}

// spend commits the steps from the given one on: it takes them out of the
// budget, or says that there is not enough left.
func (e *Engine) spend(from int) bool {
	var sum uint64
	for k := from; k < len(e.steps); k++ {
		sum += uint64(e.units[e.steps[k].unit].bytes())
	}
	if sum > e.budget {
		e.test.lacks(int64(min(sum-e.budget, math.MaxInt64)))
		return false
	}
	e.budget -= sum
	for k := from; k < len(e.steps); k++ {
		if st := &e.steps[k]; st.kind == Demotion {
			t := e.tierOf[st.to]
			e.arrived[t] = min(e.arrived[t], e.units[st.unit].rate)
		}
	}
	e.draw(e.steps[from:])
	return true
}

// separation is by how many standard deviations a is hotter than b, as far as
// the population lets one believe it.
func (e *Engine) separation(a, b *unit) float64 {
	if !e.popped {
		e.popped = true
		low, high := float32(math.MaxFloat32), float32(0)
		for _, list := range e.order {
			if len(list) > 0 {
				low, high = min(low, list[len(list)-1].rate()), max(high, list[0].rate())
			}
		}
		e.pop.learn(e.units, low, high)
	}
	d := e.pop.mean(a) - e.pop.mean(b)
	return d / math.Sqrt(float64(a.logvar)+float64(b.logvar))
}

func ratio(v float64) float32 {
	if math.IsNaN(v) {
		return 0
	}
	return float32(min(max(v, -maxRatio), maxRatio))
}

// veto counts a unit of a process that stays.
func (e *Engine) veto(rule Rule, proc int32, pages uint16) {
	for i, r := range Vetoes {
		if r == rule {
			e.vetoed[proc][i] += uint64(pages)
			return
		}
	}
}

// bound sets the boundaries of some lists by tier: the rates at which the tiers
// would meet if each unit lay where its rate puts it, e.capacity being what
// there is of each tier.
func (e *Engine) bound(boundaries []float32, lists [][]item) {
	n := len(boundaries)
	clear(boundaries)
	clear(e.pos)
	var inside, capacity int64
	last, t := float32(0), -1
	next := func() {
		if t++; t < n {
			capacity += e.capacity[t]
		}
	}
	for next(); t < n; {
		it, ok := e.hottest(lists, 0)
		if !ok {
			return // all that is left fits
		}
		rate := it.rate()
		inside += int64(e.pages[it.unit]) * PageSize
		for ; t < n && inside > capacity; next() {
			b := rate
			if last > 0 {
				b = float32(math.Sqrt(float64(last) * float64(rate)))
			}
			boundaries[t] = b
		}
		last = rate
	}
}

// hottest takes the hottest unit of the lists from first on that the walk in
// e.pos has not had yet.
func (e *Engine) hottest(lists [][]item, first int) (item, bool) {
	best := -1
	for t := first; t < len(lists); t++ {
		k := e.pos[t]
		if k < len(lists[t]) && (best < 0 || lists[t][k].key < lists[best][e.pos[best]].key) {
			best = t
		}
	}
	if best < 0 {
		return item{}, false
	}
	e.pos[best]++
	return lists[best][e.pos[best]-1], true
}

// wanted tells whether a unit of a workload, of the given rate and tier, belongs
// in a faster one and could pay for the way.
func (e *Engine) wanted(rate float32, tier, w int) bool {
	return tier > 0 && rate >= e.own[e.mineAt(w, tier-1)] && float64(rate) >= e.worth(tier, e.fastest())
}

// fastest is the first tier that has a node.
func (e *Engine) fastest() int {
	for t, nodes := range e.nodesOf {
		if len(nodes) > 0 {
			return t
		}
	}
	return 0
}

// countFixed counts what would be wanted higher up if it could be moved.
func (e *Engine) countFixed() {
	for i := range e.fixed {
		if f := &e.fixed[i]; e.wanted(f.rate, int(f.tier), int(e.of[f.proc])) {
			e.veto(f.rule(), f.proc, f.pages)
			e.countsFixed(i, f.rule())
		}
	}
}

// promote brings the hottest units of the slower tiers into tier t, for as
// long as that pays. Workloads that lack of their share come first.
func (e *Engine) promote(t int) {
	if len(e.nodesOf[t]) == 0 {
		return
	}
	if e.fair && e.starve(t) {
		e.pass(t, true)
	}
	e.pass(t, false)
}

// pass goes once through the candidates for tier t. Where it claims, it serves
// only the workloads that are short of their share, until they have it.
func (e *Engine) pass(t int, claims bool) {
	floor := e.floor(t)
	clear(e.pos)
	e.blocked = e.blocked[:0]
	clear(e.stopped)
	clear(e.tries)
	open, lowest := e.n, float32(math.MaxFloat32) // workloads that are not stopped
	stop := func(w int, rule Rule) {
		if e.stopped[w] == "" {
			e.stopped[w] = rule
			open--
		}
	}
	for w := range e.n {
		if claims && !e.short[w] {
			stop(w, VetoShare)
		}
		lowest = min(lowest, e.own[e.mineAt(w, t)])
	}
	for {
		it, ok := e.hottest(e.order, t+1)
		if !ok {
			return
		}
		if rate := it.rate(); !(float64(rate) >= floor) || open == 0 && (claims || rate < lowest) {
			return // and all that follow are colder
		}
		w := 0
		if e.fair {
			// Most units of many workloads need not even be looked at.
			w = int(e.ofUnit[it.unit])
			if e.stopped[w] != "" && (claims || it.rate() < e.own[e.mineAt(w, t)]) {
				continue
			}
		}
		u := &e.units[it.unit]
		if u.state&planned != 0 || claims && !e.within(t, w, u.bytes()) {
			continue
		}
		rule := e.stopped[w]
		if e.trace != nil {
			e.begin(it.unit, t)
		}
		switch {
		case u.state&upFree == 0:
			rule = e.stays(u)
		case int(u.evidence) < e.p.EvidenceFill:
			rule = VetoEvidence
			e.test.needsEvidence(e.p.EvidenceFill)
		case rule == "":
			if rule = e.raise(it.unit, t, claims); rule == "" {
				if e.trace != nil {
					e.end(it.unit, t, "")
				}
				e.tries[w] = 0
				continue
			}
			switch rule {
			case VetoBudget:
				for w := range e.n {
					stop(w, rule)
				}
			case VetoPayback, VetoSeparation, VetoSweep, VetoRoom, VetoLimit, VetoShare:
				e.tries[w]++
			}
			if e.tries[w] >= maxTries {
				stop(w, rule)
			}
		default:
			e.test.skips()
		}
		if e.trace != nil {
			e.end(it.unit, t, rule)
		}
		// A unit is counted where it had its last chance, once.
		if from := e.tier(u); !claims && t == from-1 && e.wanted(u.rate, from, w) {
			e.veto(rule, u.proc, u.pages)
			e.counts(it.unit, rule)
		}
	}
}

// blocked is a unit that found no place.
type blocked struct {
	unit uint32
	rule Rule
}

// raise plans the way of one unit into tier t, if it claims by right of its
// workload's share. It returns the rule that forbids it, or none.
func (e *Engine) raise(i uint32, t int, claims bool) Rule {
	u := &e.units[i]
	to, h := e.target(u, t, u.bytes(), true), e.horizon(u)
	if to != NoSlot {
		h = e.fillHorizon(u)
	}
	value := float64(u.rate) * float64(u.pages) * e.saves(u, to, t) * h
	cost := float64(u.pages) * e.moveCost()
	e.test.weighed(value, cost, h, 0)
	if !(value >= e.p.Payback*cost) || value == 0 {
		return VetoPayback
	}
	if to == NoSlot {
		rule := e.exchange(i, t, value, cost, claims)
		if rule != "" && rule != VetoEvidence {
			e.blocked = append(e.blocked, blocked{i, rule})
		}
		return rule
	}
	if e.wouldLeave(u, t) {
		return VetoRoom
	}
	if e.nearerBelow(u, t, to) {
		return VetoPayback
	}
	mark := len(e.steps)
	e.add(i, to, Promotion, Reason{Rule: Fill, Rate: u.rate, Payback: ratio(value / cost)})
	e.steps[mark].weigh(h, value, cost, e.p.EvidenceFill)
	if !e.spend(mark) {
		e.cancel(mark)
		return VetoBudget
	}
	return ""
}

// wouldLeave tells whether a hotter unit, which was too big for the room that u
// would take, would push it out again as soon as it can.
func (e *Engine) wouldLeave(u *unit, t int) bool {
	w := e.workload(u)
	safe := e.within(t, w, u.bytes())
	for _, b := range e.blocked {
		h := &e.units[b.unit]
		if (safe || b.rule == VetoLimit) && e.workload(h) != w {
			continue // it may not
		}
		if e.separation(h, u) > e.p.Separation {
			return true
		}
	}
	return false
}

// evidence counts the samples that saw a region hot.
func evidence(mask uint8) uint8 { return uint8(bits.OnesCount8(mask)) }
