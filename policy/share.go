package policy

import "math"

// Workloads share every tier but the slowest. Each has a share of it: what is
// there is poured over the workloads by their weights until each has all that
// could pay there, or nothing is left. A workload that has less than its share
// may take from those that have more, without being hotter than they are;
// what is within a share nobody else can take. What no share claims is for all,
// by heat. So touching memory faster than others buys no more than the share.

// sharing is what the engine knows of the workloads that have processes.
// Amounts are in bytes and by tier and workload; see at.
type sharing struct {
	n       int // workloads
	fair    bool
	limited bool
	of      []int32 // workload by process
	ofUnit  []uint16
	names   map[string]int32
	weight  []float64
	floors  []float32 // by tier: nothing that is used less can pay there

	limit []int64 // the most; noLimit without one
	total []int64 // all that is present
	got   []int64 // of the units
	count []int64 // the units
	share []int64
	wide  []int64 // the share and a part of what no share claims
	short []bool  // by workload: may take from others in the tier that is being planned
	// pays is by tier, tier and workload: what lies in the one and could pay in the
	// other.
	pays []int64

	mine  [][]item // by workload and tier, hottest first
	split [][]item // by tier: what mine lies in, where there are several workloads
	own   []float32

	demand, poured []int64 // scratch
	walks          []walk
	stopped        []Rule // by workload, of one pass: the rule that holds the rest
	tries          []int
}

const (
	noLimit = math.MaxInt64
	// maxWorkloads bounds those that are told apart; the rest counts as one.
	maxWorkloads = 1 << 12
	// A workload begins to take from others only when it lacks so large a part of
	// its share, and more than a region: demand is known with some noise.
	shareSlack = 64
)

// at is the index of a tier and a workload.
func (e *Engine) at(t, w int) int { return t*e.n + w }

// mineAt is the index of a workload's list of a tier.
func (e *Engine) mineAt(w, t int) int { return w*len(e.order) + t }

// workload is the index of a unit's workload.
func (e *Engine) workload(u *unit) int { return int(e.of[u.proc]) }

// enrol finds the workloads of the snapshot's processes.
func (e *Engine) enrol() {
	s := e.s
	if e.names == nil {
		e.names = map[string]int32{}
	}
	clear(e.names)
	e.of = resize(e.of, len(s.Processes))
	for i := range s.Processes {
		name := s.Processes[i].Workload
		w, known := e.names[name]
		if !known {
			w = int32(min(len(e.names), maxWorkloads-1))
			e.names[name] = w
		}
		e.of[i] = w
	}
	e.n = min(max(len(e.names), 1), maxWorkloads)
	e.fair = e.n > 1

	tiers := len(e.order)
	e.weight = resize(e.weight, e.n)
	for w := range e.weight {
		e.weight[w] = 1
	}
	for _, amounts := range []*[]int64{&e.limit, &e.total, &e.got, &e.count, &e.share, &e.wide} {
		*amounts = resize(*amounts, tiers*e.n)
		clear(*amounts)
	}
	for i := range e.limit {
		e.limit[i] = noLimit
	}
	e.limited = false
	for i := range s.Workloads {
		say := &s.Workloads[i]
		w, has := e.names[say.Name]
		if !has || w == maxWorkloads-1 {
			continue
		}
		if v := say.Weight; v > 0 && v <= maxRatio {
			e.weight[w] = v
		}
		for t := range min(len(say.Limits), e.slowest) {
			if l := say.Limits[t]; l > 0 && l < noLimit {
				e.limit[e.at(t, int(w))] = int64(l)
				e.limited = true
			}
		}
	}

	e.pays = resize(e.pays, tiers*tiers*e.n)
	clear(e.pays)
	e.floors = resize(e.floors, tiers)
	for t := range e.floors {
		e.floors[t] = float32(e.floor(t))
	}
	e.ofUnit = e.ofUnit[:0]
	e.mine = resize(e.mine, tiers*e.n)
	e.tail = resize(e.tail, tiers*e.n)
	e.own = resize(e.own, tiers*e.n)
	clear(e.own)
	e.short, e.stopped, e.tries = resize(e.short, e.n), resize(e.stopped, e.n), resize(e.tries, e.n)
	e.demand, e.poured = resize(e.demand, e.n), resize(e.poured, e.n)
}

// floor is the rate below which nothing can pay in tier t, from wherever it
// comes.
func (e *Engine) floor(t int) float64 {
	floor := math.Inf(1)
	for f := t + 1; f <= e.slowest; f++ {
		if w := e.worth(f, t); w < floor {
			floor = w
		}
	}
	return floor
}

// enter counts a new unit of a workload.
func (e *Engine) enter(u *unit, tier, w int) {
	e.got[e.at(tier, w)] += u.bytes()
	if !e.fair && !e.limited {
		return
	}
	if e.fair {
		e.ofUnit = append(e.ofUnit, uint16(w))
		e.count[e.at(tier, w)]++
	}
	for t := range e.slowest {
		if u.rate >= e.floors[t] {
			e.pays[(tier*len(e.order)+t)*e.n+w] += u.bytes()
		}
	}
}

// apportion finds what is whose: the lists, the shares and the boundaries of
// each workload.
func (e *Engine) apportion() {
	e.divide()
	for i, got := range e.got {
		// Where pages of many nodes are mixed, the placement does not count them all.
		e.total[i] = max(e.total[i], got)
	}
	if !e.fair && !e.limited {
		copy(e.own, e.boundaries)
		return
	}
	for t := range e.slowest {
		e.shareOut(t)
	}
	tiers := len(e.order)
	for w := range e.n {
		for t := range tiers {
			e.capacity[t] = e.wide[e.at(t, w)]
		}
		e.bound(e.own[w*tiers:][:max(tiers-1, 0)], e.mine[w*tiers:][:tiers])
	}
	if !e.fair {
		copy(e.boundaries, e.own)
	}
}

// divide makes the lists of each workload.
func (e *Engine) divide() {
	if !e.fair {
		copy(e.mine, e.order)
	} else {
		e.split = resize(e.split, len(e.order))
		for t, list := range e.order {
			e.split[t] = resize(e.split[t], len(list))
			rest := e.split[t]
			for w := range e.n {
				k := e.count[e.at(t, w)]
				e.mine[e.mineAt(w, t)], rest = rest[:0:k], rest[k:]
			}
			for _, it := range list {
				m := &e.mine[e.mineAt(int(e.ofUnit[it.unit]), t)]
				*m = append(*m, it)
			}
		}
	}
	for i := range e.mine {
		e.tail[i] = len(e.mine[i])
	}
}

// shareOut finds the shares of one tier. The faster ones have theirs.
func (e *Engine) shareOut(t int) {
	var capacity int64
	for _, slot := range e.nodesOf[t] {
		capacity += e.room(slot, true)
	}
	for w := range e.n {
		capacity += e.got[e.at(t, w)]
	}
	capacity = max(capacity, 0)
	tiers := len(e.order)
	for w := range e.n {
		// What lies here or in slower tiers, less what still goes up from there.
		demand := int64(0)
		for s := range tiers {
			p := e.pays[(s*tiers+t)*e.n+w]
			if s >= t {
				demand += p
			} else {
				demand -= max(e.share[e.at(s, w)]-p, 0)
			}
		}
		e.demand[w] = min(max(demand, 0), e.mayHold(t, w))
	}
	e.pour(capacity)
	for w, b := range e.poured {
		e.share[e.at(t, w)] = b
		capacity -= b
	}
	for w := range e.n {
		rest := int64(0)
		for s := range tiers {
			rest += e.got[e.at(s, w)]
		}
		for s := range t {
			rest -= e.wide[e.at(s, w)]
		}
		share := e.share[e.at(t, w)]
		e.demand[w] = max(min(rest, e.mayHold(t, w))-share, 0)
	}
	e.pour(max(capacity, 0))
	for w, b := range e.poured {
		e.wide[e.at(t, w)] = e.share[e.at(t, w)] + b
	}
}

// mayHold is how much of its units a workload may have in a tier.
func (e *Engine) mayHold(t, w int) int64 {
	k := e.at(t, w)
	if e.limit[k] == noLimit {
		return noLimit
	}
	return max(e.limit[k]-(e.total[k]-e.got[k]), 0)
}

// pour divides an amount by weight, nobody getting more than its demand: in
// e.poured what is for whom.
func (e *Engine) pour(amount int64) {
	for w := range e.poured {
		e.poured[w] = -1
	}
	for {
		var weights float64
		for w, b := range e.poured {
			if b < 0 {
				weights += e.weight[w]
			}
		}
		if weights == 0 {
			return
		}
		level, full := float64(amount)/weights, true
		for w, b := range e.poured {
			if b < 0 && float64(e.demand[w]) <= level*e.weight[w] {
				e.poured[w] = e.demand[w]
				amount -= e.demand[w]
				full = false
			}
		}
		if !full {
			amount = max(amount, 0)
			continue
		}
		for w, b := range e.poured {
			if b < 0 {
				e.poured[w] = int64(level * e.weight[w])
			}
		}
		return
	}
}

// over is by how much bytes more would take a workload above its limit of a
// tier.
func (e *Engine) over(t, w int, bytes int64) int64 {
	k := e.at(t, w)
	if e.limit[k] == noLimit {
		return 0
	}
	return max(e.total[k]+bytes-e.limit[k], 0)
}

// within tells whether a workload that gets so many bytes more of a tier still
// has no more than its share.
func (e *Engine) within(t, w int, bytes int64) bool {
	return e.fair && e.got[e.at(t, w)]+bytes <= e.share[e.at(t, w)]
}

// beyond is how much more than its share a workload has of a tier.
func (e *Engine) beyond(t, w int) int64 {
	return e.got[e.at(t, w)] - e.share[e.at(t, w)]
}

// starve finds the workloads that lack enough of tier t to take it from others,
// and tells whether there is one.
func (e *Engine) starve(t int) (some bool) {
	for w := range e.n {
		lack := -e.beyond(t, w)
		e.short[w] = lack > max(RegionSize, e.share[e.at(t, w)]/shareSlack)
		some = some || e.short[w]
	}
	return some
}

// shift notes that so many bytes of a workload have left a tier for another.
func (e *Engine) shift(w, from, to int, bytes int64) {
	e.got[e.at(from, w)] -= bytes
	e.total[e.at(from, w)] -= bytes
	e.got[e.at(to, w)] += bytes
	e.total[e.at(to, w)] += bytes
}

// restrain lets the coldest memory of the workloads go that are above a limit.
// The slower tiers come first: what leaves them is room for the others.
func (e *Engine) restrain() {
	if !e.limited {
		return
	}
	for t := e.slowest - 1; t >= 0; t-- {
		for w := range e.n {
			list := e.mine[e.mineAt(w, t)]
			for k := len(list) - 1; k >= 0 && e.over(t, w, 0) > 0; k-- {
				e.demote(list[k].unit, t, Limit)
			}
		}
	}
}

// tellBoundaries gives each process a copy of its workload's boundaries.
func (e *Engine) tellBoundaries(sums []Summary) {
	n := len(e.boundaries)
	all := make([]float32, n*len(sums))
	for i := range sums {
		sums[i].Boundaries, all = all[:n:n], all[n:]
		copy(sums[i].Boundaries, e.own[e.mineAt(int(e.of[i]), 0):])
	}
}
