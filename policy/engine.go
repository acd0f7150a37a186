package policy

import (
	"math"
	"math/bits"
)

const (
	// defaultMoveCost is what moving a page is taken to cost, in seconds, as
	// long as no move has been measured.
	defaultMoveCost = 2e-6
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
	held    []int64   // by tier: bytes of its units
	order   [][]item  // by tier: the movable units, hottest first
	spare   []item    // the other half of the sort
	tail    []int     // by tier: units of order[tier][tail:] can be no victims
	pos     []int     // by tier: position of a merged walk
	arrived []float32 // by tier: the coldest that this plan demotes to it
	fixed   []fixed
	pop     population
	popped  bool
	steps   []step
	open    []group // scratch of the merge
	picks   []uint32
	blocked []uint32

	boundaries []float32
	budget     uint64
	vetoed     [][len(Vetoes)]uint64 // by process
}

// step is one unit's move. The steps are in the order of the plan.
type step struct {
	unit   uint32
	to     Slot
	kind   Kind
	reason Reason
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
		e.tail[t] = len(e.order[t])
	}
	e.bound()
	e.relieve()
	for t := 0; t < e.slowest; t++ {
		e.promote(t)
	}
	e.countFixed()

	plan.Moves = e.merge()
	plan.Boundaries = append(make([]float32, 0, len(e.boundaries)), e.boundaries...)
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
	e.units, e.pages, e.fixed, e.steps = e.units[:0], e.pages[:0], e.fixed[:0], e.steps[:0]

	tiers := min(len(s.Tiers), maxTiers)
	e.nodesOf = resize(e.nodesOf, tiers)
	e.order = resize(e.order, tiers)
	e.tail = resize(e.tail, tiers)
	e.held = resize(e.held, tiers)
	clear(e.held)
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
	h := float64(u.stable)
	if !(h > e.p.HorizonMin) { // a NaN too
		return e.p.HorizonMin
	}
	return min(h, e.p.HorizonMax)
}

// worth is the least rate at which moving from one tier to another can pay,
// however stable the unit is. Benefit and cost both grow with the pages.
func (e *Engine) worth(from, to int) float64 {
	return e.p.Payback * e.moveCost() / (e.gap(from, to) * e.p.HorizonMax) // Inf or NaN without a gap
}

// target chooses the node of a tier for bytes of a process, leaving slack
// bytes of room; NoSlot when none has the room. All that the engine knows of
// near and far belongs here: among the nodes of one tier it takes the one
// with the most room, the first of equals.
func (e *Engine) target(_ *Process, tier int, bytes, slack int64) Slot {
	best := NoSlot
	for _, n := range e.nodesOf[tier] {
		if e.avail[n] >= bytes+slack && (best == NoSlot || e.avail[n] > e.avail[best]) {
			best = n
		}
	}
	return best
}

// slack is the room that filling leaves on the nodes of a tier. A tier in the
// middle keeps one region's, so that a region of the tier above and one of
// its own can change places without a third that must leave.
func (e *Engine) slack(tier int) int64 {
	if tier > 0 && tier < e.slowest {
		return RegionSize
	}
	return 0
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
	e.steps = append(e.steps, step{unit: i, to: to, kind: kind, reason: reason, after: e.avail[to]})
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
		return false
	}
	e.budget -= sum
	for k := from; k < len(e.steps); k++ {
		if st := &e.steps[k]; st.kind == Demotion {
			t := e.tierOf[st.to]
			e.arrived[t] = min(e.arrived[t], e.units[st.unit].rate)
		}
	}
	return true
}

// separation is by how many standard deviations a is hotter than b, as far as
// the population lets one believe it.
func (e *Engine) separation(a, b *unit) float64 {
	if !e.popped {
		e.popped = true
		e.pop.learn(e.units)
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

// bound sets the boundaries: the rates at which the tiers would meet if every
// movable unit lay where its rate puts it.
func (e *Engine) bound() {
	n := max(len(e.order)-1, 0)
	e.boundaries = resize(e.boundaries, n)
	clear(e.boundaries)
	clear(e.pos)
	var inside, capacity int64
	last, t := float32(0), -1
	next := func() {
		if t++; t == n {
			return
		}
		for _, slot := range e.nodesOf[t] {
			capacity += e.avail[slot]
		}
		capacity += e.held[t]
	}
	for next(); t < n; {
		it, ok := e.hottest(0)
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
			e.boundaries[t] = b
		}
		last = rate
	}
}

// hottest takes the hottest unit of the tiers from first on that the walk in
// e.pos has not had yet.
func (e *Engine) hottest(first int) (item, bool) {
	best := -1
	for t := first; t < len(e.order); t++ {
		k := e.pos[t]
		if k < len(e.order[t]) && (best < 0 || e.order[t][k].key < e.order[best][e.pos[best]].key) {
			best = t
		}
	}
	if best < 0 {
		return item{}, false
	}
	e.pos[best]++
	return e.order[best][e.pos[best]-1], true
}

// wanted tells whether a unit of the given rate and tier belongs in a faster
// one and could pay for the way.
func (e *Engine) wanted(rate float32, tier int) bool {
	return tier > 0 && rate >= e.boundaries[tier-1] && float64(rate) >= e.worth(tier, e.fastest())
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
		if f := &e.fixed[i]; e.wanted(f.rate, int(f.tier)) {
			e.veto(f.rule(), f.proc, f.pages)
		}
	}
}

// relieve lets the coldest units leave every node that is below its reserve.
// The slower tiers come first: what leaves them is room for the others.
func (e *Engine) relieve() {
	for t := e.slowest - 1; t >= 0; t-- {
		for _, slot := range e.nodesOf[t] {
			e.relieveNode(slot, t)
		}
	}
}

func (e *Engine) relieveNode(slot Slot, t int) {
	for k := len(e.order[t]) - 1; k >= 0 && e.avail[slot] < 0; k-- {
		i := e.order[t][k].unit
		u := &e.units[i]
		if u.slot != slot || u.state&(downFree|planned|mixed) != downFree || uint64(u.bytes()) > e.budget {
			continue
		}
		to := NoSlot
		for d := t + 1; d <= e.slowest && to == NoSlot; d++ {
			to = e.target(e.process(u), d, u.bytes(), 0)
		}
		if to == NoSlot {
			continue // a smaller one may still fit
		}
		from := len(e.steps)
		e.add(i, to, Demotion, Reason{Rule: Relief, Rate: u.rate})
		e.spend(from)
	}
}

// promote brings the hottest units of the slower tiers into tier t, for as
// long as that pays.
func (e *Engine) promote(t int) {
	if len(e.nodesOf[t]) == 0 {
		return
	}
	// Nothing colder than this can pay, from any tier.
	floor := math.Inf(1)
	for f := t + 1; f <= e.slowest; f++ {
		if w := e.worth(f, t); w < floor {
			floor = w
		}
	}
	clear(e.pos)
	e.blocked = e.blocked[:0]
	var (
		held  Rule // once set, no more is planned: the rule that holds the rest
		tries int
	)
	for {
		it, ok := e.hottest(t + 1)
		if !ok {
			return
		}
		if rate := it.rate(); !(float64(rate) >= floor) || held != "" && rate < e.boundaries[t] {
			return // and all that follow are colder
		}
		u := &e.units[it.unit]
		if u.state&planned != 0 {
			continue
		}
		rule := held
		switch {
		case u.state&upFree == 0:
			rule = VetoCooldown
		case int(u.evidence) < e.p.EvidenceFill:
			rule = VetoEvidence
		case held == "":
			if rule = e.raise(it.unit, t); rule == "" {
				tries = 0
				continue
			}
			switch rule {
			case VetoBudget:
				held = rule
			case VetoPayback, VetoSeparation, VetoRoom:
				tries++
			}
			if tries >= maxTries {
				held = rule
			}
		}
		// A unit is counted where it had its last chance, once.
		if from := e.tier(u); t == from-1 && e.wanted(u.rate, from) {
			e.veto(rule, u.proc, u.pages)
		}
	}
}

// raise plans the way of one unit into tier t. It returns the rule that
// forbids it, or none.
func (e *Engine) raise(i uint32, t int) Rule {
	u := &e.units[i]
	from := e.tier(u)
	value := float64(u.rate) * float64(u.pages) * e.gap(from, t) * e.horizon(u)
	cost := float64(u.pages) * e.moveCost()
	if !(value >= e.p.Payback*cost) || value == 0 {
		return VetoPayback
	}
	to := e.target(e.process(u), t, u.bytes(), e.slack(t))
	if to == NoSlot {
		rule := e.exchange(i, t, value, cost)
		if rule != "" && rule != VetoEvidence {
			e.blocked = append(e.blocked, i)
		}
		return rule
	}
	// A hotter unit that was too big for this room would push this one out
	// again as soon as it can.
	for _, b := range e.blocked {
		if e.separation(&e.units[b], u) > e.p.Separation {
			return VetoRoom
		}
	}
	mark := len(e.steps)
	e.add(i, to, Promotion, Reason{Rule: Fill, Rate: u.rate, Payback: ratio(value / cost)})
	if !e.spend(mark) {
		e.cancel(mark)
		return VetoBudget
	}
	return ""
}

// exchange plans the way of a unit into tier t in the place of colder units:
// all of it or nothing. value and cost are those of the unit alone.
func (e *Engine) exchange(i uint32, t int, value, cost float64) Rule {
	c := &e.units[i]
	if int(c.evidence) < e.p.EvidenceExchange {
		return VetoEvidence
	}
	to, rule := e.choose(c, t, c.bytes(), e.slack(t))
	if to == NoSlot {
		return rule
	}
	picks := e.picks // the cascades below append to e.picks behind these
	defer func() { e.picks = e.picks[:0] }()

	mark := len(e.steps)
	c.state |= planned // so that it is no victim of its own
	h := e.horizon(c)
	closest, closestRate := math.Inf(1), float32(0)
	for _, k := range picks {
		v := &e.units[k]
		sep := e.separation(c, v)
		if sep < closest {
			closest, closestRate = sep, v.rate
		}
		if !e.lower(k, t, h, Reason{Rule: Victim, Rate: v.rate, VictimRate: c.rate, Separation: ratio(sep)}) {
			e.cancel(mark)
			c.state &^= planned
			return VetoRoom
		}
	}
	e.add(i, to, Promotion, Reason{Rule: Exchange, Rate: c.rate, VictimRate: closestRate, Separation: ratio(closest)})
	for _, st := range e.steps[mark:] {
		if st.kind == Demotion {
			v := &e.units[st.unit]
			value -= float64(v.rate) * float64(v.pages) * e.gap(int(e.tierOf[st.to]), e.tier(v)) * h
			cost += float64(v.pages) * e.moveCost()
		}
	}
	switch {
	case !(value >= e.p.Payback*cost) || value <= 0:
		rule = VetoPayback
	case !e.spend(mark):
		rule = VetoBudget
	default:
		for k := mark; k < len(e.steps); k++ {
			e.steps[k].reason.Payback = ratio(value / cost)
		}
		return ""
	}
	e.cancel(mark)
	return rule
}

// choose looks in tier t for the coldest units that, once gone, leave enough
// room on one node for so many bytes of c, each of them surely colder than c.
// Of the room that is there, the last slack bytes do not count. It appends the
// units to e.picks and returns the node, or none and the rule that forbids it.
func (e *Engine) choose(c *unit, t int, bytes, slack int64) (Slot, Rule) {
	list := e.order[t]
	// What is planned, or may not leave, stays so in this plan.
	for e.tail[t] > 0 && e.units[list[e.tail[t]-1].unit].state&(downFree|planned|mixed) != downFree {
		if e.units[list[e.tail[t]-1].unit].state&planned != 0 && len(e.picks) > 0 {
			break // within an exchange, which may yet be taken back
		}
		e.tail[t]--
	}
	first, to := len(e.picks), NoSlot
	rule := VetoRoom
	unsure := 0
	for k, seen := e.tail[t]-1, 0; k >= 0 && seen < maxVictims && to == NoSlot; k, seen = k-1, seen+1 {
		i := list[k].unit
		v := &e.units[i]
		if v.state&(downFree|planned|mixed) != downFree {
			continue
		}
		if v.rate >= c.rate {
			rule = VetoSeparation
			break
		}
		if v.rate > e.arrived[t] {
			break // something colder comes only now: in the next plan it is the victim
		}
		if !(e.separation(c, v) > e.p.Separation) {
			rule = VetoSeparation
			if unsure++; unsure > maxUnsure {
				break
			}
			continue // a hotter one may be better known
		}
		e.picks = append(e.picks, i)
		e.freed[v.slot] += v.bytes()
		if have := e.avail[v.slot]; have-min(max(have, 0), slack)+e.freed[v.slot] >= bytes {
			to = v.slot
		}
	}
	// Keep those of the node, and of those only what it takes, the hottest
	// being the first to be spared.
	spared := int64(0)
	if to != NoSlot {
		spared = e.avail[to] - min(max(e.avail[to], 0), slack) + e.freed[to] - bytes
	}
	for _, i := range e.picks[first:] {
		e.freed[e.units[i].slot] = 0
	}
	if to == NoSlot {
		e.picks = e.picks[:first]
		return NoSlot, rule
	}
	kept := len(e.picks)
	for k := len(e.picks) - 1; k >= first; k-- {
		v := &e.units[e.picks[k]]
		if v.slot == to {
			if v.bytes() > spared {
				kept--
				e.picks[kept] = e.picks[k]
				continue
			}
			spared -= v.bytes()
		}
	}
	n := copy(e.picks[first:], e.picks[kept:])
	e.picks = e.picks[:first+n]
	return to, ""
}

// lower plans the way of unit i from tier t to the next slower tier, or
// straight to the one that it belongs in. Where the next tier is full, its own
// coldest units leave it if they are surely colder than i and their leaving
// pays, h being the horizon; else i goes further down.
func (e *Engine) lower(i uint32, t int, h float64, reason Reason) bool {
	u := &e.units[i]
	next := t + 1
	for next < e.slowest && (len(e.nodesOf[next]) == 0 || u.rate < e.boundaries[next]) {
		next++
	}
	to := e.target(e.process(u), next, u.bytes(), 0)
	if to == NoSlot && next < e.slowest {
		to = e.cascade(u, next, h)
	}
	for d := next + 1; d <= e.slowest && to == NoSlot; d++ {
		to = e.target(e.process(u), d, u.bytes(), 0)
	}
	for d := next - 1; d > t && to == NoSlot; d-- {
		to = e.target(e.process(u), d, u.bytes(), 0)
	}
	if to == NoSlot {
		return false
	}
	e.add(i, to, Demotion, reason)
	return true
}

// cascade makes room for u in the full tier d. It returns the node with the
// room, or none, and then has planned nothing.
func (e *Engine) cascade(u *unit, d int, h float64) Slot {
	first, mark := len(e.picks), len(e.steps)
	defer func() { e.picks = e.picks[:first] }()
	to, _ := e.choose(u, d, u.bytes(), 0)
	if to == NoSlot {
		return NoSlot
	}
	// Without it, u goes to a slower tier in the place of the picks.
	value, cost := 0.0, 0.0
	for _, k := range e.picks[first:] {
		w := &e.units[k]
		down := NoSlot
		for below := d + 1; below <= e.slowest && down == NoSlot; below++ {
			down = e.target(e.process(w), below, w.bytes(), 0)
		}
		if down == NoSlot {
			e.cancel(mark)
			return NoSlot
		}
		e.add(k, down, Demotion, Reason{Rule: Victim, Rate: w.rate, VictimRate: u.rate, Separation: ratio(e.separation(u, w))})
		gap := e.gap(int(e.tierOf[down]), d)
		value = max(value, float64(u.rate)*float64(u.pages)*gap*h)
		cost += float64(w.pages) * (e.moveCost()*e.p.Payback + float64(w.rate)*gap*h)
	}
	if value < cost {
		e.cancel(mark)
		return NoSlot
	}
	return to
}

// evidence counts the samples that saw a region hot.
func evidence(mask uint8) uint8 { return uint8(bits.OnesCount8(mask)) }
