package policy

import (
	"cmp"
	"math"
	"slices"
)

const (
	// A node's headroom is this part of its reserve, or at least so many bytes.
	headroomPart = 8
	leastRoom    = 2 * RegionSize
	// bulk is from how many times what must leave the longest runs are chosen.
	bulk = 4
)

// run is part of e.cold: units that lie side by side.
type run struct {
	first, end int
	bytes      int64
}

// relieve lets the coldest units leave every node that is below its reserve.
// The slower tiers come first: what leaves them is room for the others.
func (e *Engine) relieve() {
	for t := e.slowest - 1; t >= 0; t-- {
		for _, slot := range e.nodesOf[t] {
			if e.avail[slot] < 0 {
				mark := len(e.steps)
				e.clearOut(slot, t)
				e.relieveNode(slot, t, e.fair)
				e.relieveNode(slot, t, false)
				e.sortSteps(mark)
			}
		}
	}
}

// relieveNode lets the coldest units leave until the node is at its reserve; if
// fair is true, only those of workloads that have more than their share.
func (e *Engine) relieveNode(slot Slot, t int, fair bool) {
	for k := len(e.order[t]) - 1; k >= 0 && e.avail[slot] < 0; k-- {
		i := e.order[t][k].unit
		u := &e.units[i]
		if u.slot != slot || fair && e.beyond(t, e.workload(u)) < u.bytes() {
			continue
		}
		e.demote(i, t, Relief)
	}
}

// demote plans that a unit leaves tier t for no other's sake, if it may and
// there is room; else a smaller one may still fit.
func (e *Engine) demote(i uint32, t int, rule Rule) {
	u := &e.units[i]
	if u.state&(downFree|planned|mixed) != downFree || uint64(u.bytes()) > e.budget {
		return
	}
	if to := e.below(u, t); to != NoSlot {
		mark := len(e.steps)
		e.add(i, to, Demotion, Reason{Rule: rule, Rate: u.rate})
		e.spend(mark)
	}
}

// clearOut lets leave what is surely too cold to be worth a place in tier t,
// until the node is at its reserve and has some room for what comes next. None
// of it comes back while it stays so cold, so nothing moves to and fro at the
// edge; and as all of it is equally cold for this purpose, it goes in long runs
// of addresses, which are moved in long batches.
func (e *Engine) clearOut(slot Slot, t int) {
	floor := e.floor(t)
	if math.IsInf(floor, 1) {
		return
	}
	room := e.headroom(slot)
	if room > int64(min(e.budget, math.MaxInt64)/2) {
		room = int64(e.budget / 2) // the other half is for what comes
	}
	need := room - e.avail[slot]

	e.cold = e.cold[:0]
	list := e.order[t]
	found := int64(0)
	for k := len(list) - 1; k >= 0 && float64(list[k].rate()) < floor && found/bulk < need; k-- {
		u := &e.units[list[k].unit]
		if u.slot != slot || u.state&(downFree|planned|mixed) != downFree ||
			float64(u.rate)*math.Exp(e.p.Separation*math.Sqrt(float64(u.logvar))) >= floor {
			continue
		}
		e.cold = append(e.cold, list[k].unit)
		found += u.bytes()
	}
	e.findRuns()
	for _, r := range e.runs {
		for _, i := range e.cold[r.first:r.end] {
			if e.avail[slot] >= room {
				return
			}
			e.demote(i, t, Relief)
		}
	}
}

// findRuns makes runs of e.cold, the longest first.
func (e *Engine) findRuns() {
	slices.Sort(e.cold) // units are numbered by process and address
	e.runs = e.runs[:0]
	for k, i := range e.cold {
		u := &e.units[i]
		if k > 0 && e.follows(&e.units[e.cold[k-1]], u) {
			r := &e.runs[len(e.runs)-1]
			r.end, r.bytes = k+1, r.bytes+u.bytes()
			continue
		}
		e.runs = append(e.runs, run{k, k + 1, u.bytes()})
	}
	slices.SortFunc(e.runs, func(a, b run) int {
		if c := cmp.Compare(b.bytes, a.bytes); c != 0 {
			return c
		}
		return cmp.Compare(a.first, b.first)
	})
}

// follows tells whether v lies right behind u, or in the same region.
func (e *Engine) follows(u, v *unit) bool {
	if u.proc != v.proc {
		return false
	}
	regions := e.process(u).Regions
	return regions[v.region].Addr-regions[u.region].Addr <= RegionSize
}

// sortSteps puts the demotions from one node, since a mark, in the order of their
// addresses.
func (e *Engine) sortSteps(mark int) {
	steps := e.steps[mark:]
	slices.SortFunc(steps, func(a, b step) int { return cmp.Compare(a.unit, b.unit) })
	room := e.avail
	for k := len(steps) - 1; k >= 0; k-- {
		st := &steps[k]
		st.after = room[st.to]
		room[st.to] += e.units[st.unit].bytes()
	}
}
