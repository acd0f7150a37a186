package policy

import "math"

// maxStretch caps what a snapshot says of distance.
const maxStretch = 100

// leastPart is of how many pages on a node a move there was left unfinished.
const leastPart = PagesPerRegion / 16

// homeOf is where a region is used from: the index from 1 of one of the snapshot's
// homes, or 0.
func (s *Snapshot) homeOf(p *Process, r *Region) uint8 {
	home := r.Home
	if home == 0 {
		home = p.Home
	}
	if int(home) > len(s.Homes) {
		return 0
	}
	return home
}

// stretch is how many times as long as from the nearest CPUs an access from a home to a
// node takes.
func (s *Snapshot) stretch(home uint8, slot Slot) float64 {
	if home == 0 || int(home) > len(s.Homes) {
		return 1
	}
	far := s.Homes[home-1].Stretch
	if int(slot) >= len(far) || !(far[slot] > 1) {
		return 1
	}
	return min(far[slot], maxStretch)
}

// saves is how many seconds an access to a unit takes less on a node of a tier than where
// the unit lies; on the nearest node of the tier if it is not known which.
func (e *Engine) saves(u *unit, to Slot, t int) float64 {
	if u.home == 0 {
		return e.gap(e.tier(u), t)
	}
	if to == NoSlot {
		for _, n := range e.nodesOf[t] {
			if to == NoSlot || e.s.stretch(u.home, n) < e.s.stretch(u.home, to) {
				to = n
			}
		}
	}
	return latencyGap(e.s, u.home, u.slot, to)
}

// nearerBelow tells whether a tier between t and that of a unit, or the latter, has room on
// a node that is faster from where the unit is used: t is fast, but far away.
func (e *Engine) nearerBelow(u *unit, t int, to Slot) bool {
	if u.home == 0 {
		return false
	}
	for d := t + 1; d <= e.tier(u); d++ {
		if n := e.target(u, d, u.bytes(), true); n != NoSlot && latencyGap(e.s, u.home, to, n) > 0 {
			return true
		}
	}
	return false
}

// on is how many pages of a region lie on a node.
func (r *Region) on(slot Slot) (pages int) {
	for _, p := range r.Placement {
		if p.Slot == slot {
			pages += int(p.Pages)
		}
	}
	return pages
}

// bringNear brings memory nearer to where it is used from, within its tier. It takes
// nothing's place: where the nearer node is full, what is cold there goes down in time, by
// its own tier's rules.
func (e *Engine) bringNear() {
	if len(e.s.Homes) == 0 {
		return
	}
	for t := range e.order {
		if len(e.nodesOf[t]) < 2 {
			continue
		}
		floor := e.nearFloor(t)
		for _, it := range e.order[t] {
			if !(float64(it.rate()) >= floor) {
				break // and all that follow are colder
			}
			if e.nearer(it.unit, t) == VetoBudget {
				return
			}
		}
	}
}

// nearer plans the way of a unit to the nearest node of its tier that has room, if that
// pays. It returns the rule that forbids it, or none.
func (e *Engine) nearer(i uint32, t int) Rule {
	u := &e.units[i]
	if u.home == 0 || u.state&(upFree|planned|mixed) != upFree {
		return ""
	}
	to := e.target(u, t, u.bytes(), true)
	if to == NoSlot {
		return VetoRoom
	}
	// Near is no way up or down, so that the way back would be free: what was moved lately
	// goes only where a part of it is.
	if r := &e.process(u).Regions[u.region]; float64(r.SinceMove) < e.p.Cooldown && r.on(to) < leastPart {
		return VetoCooldown
	}
	gain := e.s.stretch(u.home, u.slot) - e.s.stretch(u.home, to)
	if !(gain > 0) {
		return ""
	}
	h, cost := e.horizon(u), float64(u.pages)*e.moveCost()
	// How hot it is has no victim to be compared with: what counts is what it surely is.
	rate := float64(u.rate) * math.Exp(-math.Sqrt(float64(u.logvar)))
	value := rate * float64(u.pages) * gain * e.accessSeconds(t) * h
	if !(value >= e.p.Payback*cost) {
		return VetoPayback
	}
	mark := len(e.steps)
	e.add(i, to, Promotion, Reason{Rule: Near, Rate: u.rate, Payback: ratio(value / cost)})
	e.steps[mark].weigh(h, value, cost, 0)
	if !e.spend(mark) {
		e.cancel(mark)
		return VetoBudget
	}
	return ""
}

// nearFloor is the least rate at which a move within a tier can pay.
func (e *Engine) nearFloor(t int) float64 {
	most := 0.0
	for h := range e.s.Homes {
		low, high := math.Inf(1), 0.0
		for _, n := range e.nodesOf[t] {
			far := e.s.stretch(uint8(h+1), n)
			low, high = min(low, far), max(high, far)
		}
		most = max(most, high-low)
	}
	return e.p.Payback * e.moveCost() / (most * e.accessSeconds(t) * e.p.HorizonMax) // Inf or NaN without a difference
}

// accessSeconds is what an access to a tier takes; 0 where the figure makes no sense.
func (e *Engine) accessSeconds(t int) float64 {
	if s := e.s.Tiers[t].AccessNS * 1e-9; s > 0 && !math.IsInf(s, 1) {
		return s
	}
	return 0
}
