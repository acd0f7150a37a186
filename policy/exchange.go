package policy

import "math"

// exchange plans the way of a unit into tier t in the place of colder units:
// all of it or nothing. value and cost are those of the unit alone. If it claims,
// what the victims of other workloads lose is none of its concern.
func (e *Engine) exchange(i uint32, t int, value, cost float64, claims bool) Rule {
	c := &e.units[i]
	e.test.needsEvidence(e.p.EvidenceExchange)
	if int(c.evidence) < e.p.EvidenceExchange {
		return VetoEvidence
	}
	to, rule := e.choose(c, t, c.bytes(), true, claims)
	if to == NoSlot {
		return rule
	}
	if c.home != 0 {
		value *= e.saves(c, to, t) / e.saves(c, NoSlot, t) // to may not be the nearest
		if e.nearerBelow(c, t, to) {
			e.picks = e.picks[:0]
			return VetoPayback
		}
	}
	picks := e.picks // the cascades below append to e.picks behind these
	defer func() { e.picks = e.picks[:0] }()

	mark, alone := len(e.steps), value
	c.state |= planned // so that it is no victim of its own
	h := e.horizon(c)
	w, kind := e.workload(c), Exchange
	closest, closestRate, closestVar := math.Inf(1), float32(0), float32(0)
	for _, k := range picks {
		v := &e.units[k]
		sep := e.separation(c, v)
		if sep < closest {
			closest, closestRate, closestVar = sep, v.rate, v.logvar
		}
		right := claims && e.workload(v) != w && e.beyond(t, e.workload(v)) >= v.bytes()
		if !e.lower(k, t, h, Reason{Rule: Victim, Rate: v.rate, VictimRate: c.rate, Separation: ratio(sep)}) {
			e.cancel(mark)
			c.state &^= planned
			return VetoRoom
		}
		e.steps[len(e.steps)-1].terms.VictimLogVar = c.logvar
		if right {
			kind = Share
			value += e.loss(&e.steps[len(e.steps)-1], h)
		}
	}
	victims := len(e.steps) - mark
	e.add(i, to, Promotion, Reason{Rule: kind, Rate: c.rate, VictimRate: closestRate, Separation: ratio(closest)})
	e.steps[len(e.steps)-1].terms.VictimLogVar = closestVar
	for _, st := range e.steps[mark:] {
		if st.kind == Demotion {
			value -= e.loss(&st, h)
			cost += float64(e.units[st.unit].pages) * e.moveCost()
		}
	}
	e.test.takes(victims)
	e.test.weighed(value, cost, h, alone-value)
	switch {
	case !(value >= e.p.Payback*cost) || value <= 0:
		rule = VetoPayback
	case !e.spend(mark):
		rule = VetoBudget
	default:
		number := int32(len(e.alias))
		e.alias = append(e.alias, number)
		for k := mark; k < len(e.steps); k++ {
			st := &e.steps[k]
			st.reason.Payback = ratio(value / cost)
			st.weigh(h, value, cost, e.p.EvidenceExchange)
			st.terms.Exchange, st.terms.Victims = number, int32(victims)
		}
		return ""
	}
	e.cancel(mark)
	return rule
}

// walk is a walk through what one workload has in a tier, coldest first.
type walk struct {
	work, k, unsure int
	// spare is what it has beyond its share, and may lose to others.
	spare int64
	// colder tells whether it must be surely colder than what comes; else it goes
	// by right of the other's share.
	colder bool
}

// choose looks in tier t for the coldest units that, once gone, leave enough
// room on one node for so many bytes of c, each of them surely colder than c, or
// of a workload that has more than its share if c claims. Of the room that is
// there, the headroom does not count if spare is true. It appends the units to e.picks and
// returns the node, or none and the rule that forbids it.
func (e *Engine) choose(c *unit, t int, bytes int64, spare, claims bool) (Slot, Rule) {
	w := e.workload(c)
	// Where its limit holds a workload, it makes room itself; above it, it has to
	// get below first.
	over := e.over(t, w, bytes)
	if over > 0 {
		e.test.lacks(over)
	}
	if over > bytes {
		return NoSlot, VetoLimit
	}
	e.approach(c, t, w, over > 0, claims)

	first, to := len(e.picks), NoSlot
	rule := VetoRoom
	for seen := 0; seen < maxVictims && to == NoSlot; seen++ {
		l := e.coldest(t)
		if l == nil {
			break
		}
		i := e.mine[e.mineAt(l.work, t)][l.k].unit
		l.k--
		v := &e.units[i]
		if v.state&(downFree|planned|mixed) != downFree {
			continue
		}
		if e.test != nil && l.spare >= v.bytes() {
			e.meets(c, i)
		}
		if l.colder && v.rate >= c.rate {
			if rule != VetoShare {
				rule = VetoSeparation
			}
			l.k = -1
			continue
		}
		if v.rate > e.arrived[t] {
			break // something colder comes only now: in the next plan it is the victim
		}
		if l.spare < v.bytes() {
			rule = VetoShare
			l.k = -1
			continue
		}
		if l.colder {
			if e.alikeSwept(c, v) {
				rule = VetoSweep
				if l.unsure++; l.unsure > maxUnsure {
					l.k = -1
				}
				continue
			}
			if !(e.separation(c, v) > e.p.Separation) {
				rule = VetoSeparation
				if l.unsure++; l.unsure > maxUnsure {
					l.k = -1
				}
				continue // a hotter one may be better known
			}
		}
		l.spare -= v.bytes()
		e.picks = append(e.picks, i)
		e.freed[v.slot] += v.bytes()
		if e.freed[v.slot] >= over && e.room(v.slot, spare)+e.freed[v.slot] >= bytes {
			to = v.slot
		}
	}
	// Keep those of the node, and of those only what it takes, the hottest
	// being the first to be spared.
	spared := int64(0)
	if to != NoSlot {
		spared = min(e.room(to, spare)+e.freed[to]-bytes, e.freed[to]-over)
	}
	for _, i := range e.picks[first:] {
		e.freed[e.units[i].slot] = 0
	}
	if to == NoSlot {
		e.picks = e.picks[:first]
		if over > 0 {
			rule = VetoLimit
		}
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

// room is what a node has above its reserve, less its headroom if that is to be
// spared.
func (e *Engine) room(slot Slot, spare bool) int64 {
	have := e.avail[slot]
	if spare {
		have -= min(max(have, 0), e.headroom(slot))
	}
	return have
}

// approach sets e.walks to the workloads whose units c, of workload w, may push
// out of tier t: all, or only its own.
func (e *Engine) approach(c *unit, t, w int, own, claims bool) {
	below := e.within(t, w, c.bytes())
	e.walks = e.walks[:0]
	for x := range e.n {
		if own && x != w {
			continue
		}
		list := e.mine[e.mineAt(x, t)]
		tail := &e.tail[e.mineAt(x, t)]
		// What is planned, or may not leave, stays so in this plan.
		for *tail > 0 && e.units[list[*tail-1].unit].state&(downFree|planned|mixed) != downFree {
			if e.units[list[*tail-1].unit].state&planned != 0 && len(e.picks) > 0 {
				break // within an exchange, which may yet be taken back
			}
			*tail--
		}
		if *tail == 0 {
			continue
		}
		l := walk{work: x, k: *tail - 1, spare: noLimit, colder: true}
		if x != w {
			spare := e.beyond(t, x)
			switch {
			case claims && spare > 0:
				l.spare, l.colder = spare, false
			case !below:
				l.spare = spare
			}
		}
		e.walks = append(e.walks, l)
	}
}

// coldest is the walk that comes to the coldest unit next; nil when all are at
// their end. What could pay here goes by right first: if it left for one of its
// own workload, it would be the next to come back by right.
func (e *Engine) coldest(t int) (best *walk) {
	var key uint32
	late := false
	for i := range e.walks {
		l := &e.walks[i]
		if l.k < 0 {
			continue
		}
		it := e.mine[e.mineAt(l.work, t)][l.k]
		waits := l.colder && it.rate() >= e.floors[t]
		if best == nil || late && !waits || late == waits && it.key > key {
			best, key, late = l, it.key, waits
		}
	}
	return best
}

// loss is what a demotion loses in a time, in seconds.
func (e *Engine) loss(st *step, seconds float64) float64 {
	v := &e.units[st.unit]
	gap := e.gap(int(e.tierOf[st.to]), e.tier(v))
	if v.home != 0 {
		gap = latencyGap(e.s, v.home, st.to, v.slot)
	}
	return float64(v.rate) * float64(v.pages) * gap * seconds
}

// lower plans the way of unit i from tier t to the next slower tier, or
// straight to the one that it belongs in. Where the next tier is full, its own
// coldest units leave it if they are surely colder than i and their leaving
// pays, h being the horizon; else i goes further down.
func (e *Engine) lower(i uint32, t int, h float64, reason Reason) bool {
	u := &e.units[i]
	home := e.home(u, t)
	to := e.target(u, home, u.bytes(), false)
	if to == NoSlot && home < e.slowest {
		to = e.cascade(u, home, h)
	}
	if to == NoSlot {
		to = e.below(u, t)
	}
	if to == NoSlot {
		return false
	}
	e.add(i, to, Demotion, reason)
	return true
}

// home is the tier below t that a unit belongs in.
func (e *Engine) home(u *unit, t int) int {
	next, w := t+1, e.workload(u)
	for next < e.slowest && (len(e.nodesOf[next]) == 0 || u.rate < e.own[e.mineAt(w, next)]) {
		next++
	}
	return next
}

// below chooses a node with room for a unit that leaves tier t: where it
// belongs, else further down, else between.
func (e *Engine) below(u *unit, t int) Slot {
	home, to := e.home(u, t), NoSlot
	for d := home; d <= e.slowest && to == NoSlot; d++ {
		to = e.target(u, d, u.bytes(), false)
	}
	for d := home - 1; d > t && to == NoSlot; d-- {
		to = e.target(u, d, u.bytes(), false)
	}
	return to
}

// cascade makes room for u in the full tier d. It returns the node with the
// room, or none, and then has planned nothing.
func (e *Engine) cascade(u *unit, d int, h float64) Slot {
	first, mark := len(e.picks), len(e.steps)
	defer func() { e.picks = e.picks[:first] }()
	test := e.test
	e.test = nil // which asks about the candidate, not about its victims
	to, _ := e.choose(u, d, u.bytes(), false, false)
	e.test = test
	if to == NoSlot {
		return NoSlot
	}
	// Without it, u goes to a slower tier in the place of the picks.
	value, cost := 0.0, 0.0
	for _, k := range e.picks[first:] {
		w := &e.units[k]
		down := NoSlot
		for below := d + 1; below <= e.slowest && down == NoSlot; below++ {
			down = e.target(w, below, w.bytes(), false)
		}
		if down == NoSlot {
			e.cancel(mark)
			return NoSlot
		}
		e.add(k, down, Demotion, Reason{Rule: Victim, Rate: w.rate, VictimRate: u.rate, Separation: ratio(e.separation(u, w))})
		e.steps[len(e.steps)-1].terms.VictimLogVar = u.logvar
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
