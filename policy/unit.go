package policy

import "math"

// unit is the least that is moved: a region's pages on one node, or those of a
// stratum of it.
type unit struct {
	rate, logvar, stable float32
	proc, region         int32
	pages                uint16
	stratum              int8 // -1: the whole region
	slot                 Slot
	home                 uint8 // where it is used from; 0: not known
	evidence             uint8 // number of samples
	state                uint8
}

// States of a unit.
const (
	upFree   uint8 = 1 << iota // may be promoted: no cool-down forbids it
	downFree                   // may be demoted
	hugeUnit                   // one huge page
	mixed                      // of its pages, an unknown part lies on slot
	planned                    // moves in this plan
	periodic                   // used once in each period of its process
)

func (u *unit) bytes() int64 { return int64(u.pages) * PageSize }

// mask has the bits of Move.Strata.
func (u *unit) mask() uint8 {
	if u.stratum < 0 {
		return AllStrata
	}
	return 1 << uint(u.stratum)
}

// fixed is memory that must stay where it is.
type fixed struct {
	rate         float32
	proc, region int32
	pages        uint16
	tier         uint8
	flags        uint8
	slot         Slot
	stratum      int8
}

// fixing are the flags of regions that stay where they are.
const fixing = Immovable | Bound | Shared | Rival

// rule is the first rule that holds it.
func (f *fixed) rule() Rule {
	switch {
	case f.flags&Immovable != 0:
		return VetoImmovable
	case f.flags&Bound != 0:
		return VetoBound
	case f.flags&Shared != 0:
		return VetoShared
	}
	return VetoRival
}

const (
	// coldest stands for the rate of what is never used.
	coldest = 1e-9
	// unknownVar is the variance of a rate that came without a usable one.
	unknownVar = 4
	// leastVar keeps a separation finite.
	leastVar = 1e-8
	// maxStrata is how many strata a mask has bits for.
	maxStrata = 8
)

// cleanRate returns a rate that has a logarithm; ok is false where the figure
// says nothing.
func cleanRate(r float32) (rate float32, ok bool) {
	switch {
	case r != r || r > math.MaxFloat32:
		return 0, false
	case r < coldest:
		return coldest, true
	}
	return r, true
}

func cleanVar(v float32) float32 {
	switch {
	case v != v || v < 0 || v > 1e6:
		return unknownVar
	case v < leastVar:
		return leastVar
	}
	return v
}

// collect makes the units of every process, and sums up where its memory is.
func (e *Engine) collect(sums []Summary) {
	tiers := len(e.order)
	e.mean = resize(e.mean, len(sums))
	allBytes := make([]uint64, tiers*len(sums))
	allHeat := make([]float64, tiers*len(sums))
	for i := range sums {
		sum := &sums[i]
		sum.Bytes, allBytes = allBytes[:tiers:tiers], allBytes[tiers:]
		sum.Heat, allHeat = allHeat[:tiers:tiers], allHeat[tiers:]
		proc := &e.s.Processes[i]
		if proc.steps() {
			sum.Period = proc.Period
		}
		for j := range proc.Regions {
			e.region(sum, proc, int32(i), int32(j))
		}
		heat, bytes := 0.0, uint64(0)
		for t, b := range sum.Bytes {
			heat, bytes = heat+sum.Heat[t], bytes+b
			e.total[e.at(t, int(e.of[i]))] += int64(min(b, math.MaxInt64/1024))
		}
		e.mean[i] = heat / float64(max(bytes/PageSize, 1))
	}
}

// region adds one region's units and counts its memory.
func (e *Engine) region(sum *Summary, proc *Process, pi, ri int32) {
	r := &proc.Regions[ri]
	rate, known := cleanRate(r.Rate)
	known = known && r.Flags&Unseen == 0
	if p := r.Placement[0]; known && r.Placement[1].Pages|r.Placement[2].Pages == 0 && r.Detail < 0 &&
		r.Flags&fixing == 0 && p.Pages > 0 && p.Pages <= PagesPerRegion {
		e.simple(sum, proc, r, rate, pi, ri)
		return
	}
	var places [len(r.Placement)]SlotPages
	n, total := 0, 0
	for _, p := range r.Placement {
		if p.Pages = min(p.Pages, PagesPerRegion); p.Pages == 0 {
			continue
		}
		total += int(p.Pages)
		if t := e.tierOf[p.Slot]; t >= 0 {
			sum.Bytes[t] += uint64(p.Pages) * PageSize
		} else {
			sum.Elsewhere += uint64(p.Pages) * PageSize
		}
		k := 0
		for k < n && places[k].Slot != p.Slot {
			k++
		}
		if k == n {
			n++
			places[k] = p
		} else {
			places[k].Pages = min(places[k].Pages+p.Pages, PagesPerRegion)
		}
	}
	if total == 0 {
		return
	}
	flags := r.Flags & fixing
	if flags != 0 {
		size := uint64(total) * PageSize
		if flags&Immovable != 0 {
			sum.Immovable += size
		}
		if flags&Bound != 0 {
			sum.Bound += size
		}
		if flags&Shared != 0 {
			sum.Shared += size
		}
	}

	u := unit{stable: r.Stable, proc: pi, region: ri, stratum: -1, home: e.s.homeOf(proc, r), state: upFree | downFree}
	if r.Flags&Huge != 0 {
		u.state |= hugeUnit
	}
	cooling := e.cools(proc, r)

	if r.Detail >= 0 && int(r.Detail) < len(proc.Details) && r.Flags&Huge == 0 {
		e.portions(sum, &proc.Details[r.Detail], places[:n], u, flags, r, cooling)
		return
	}
	if !known {
		return
	}
	u.state &^= cooling
	u.rate, u.logvar, u.evidence = rate, cleanVar(r.LogVar), evidence(r.Evidence)
	if proc.swept(r) {
		u.state |= periodic
		sum.Sweep.Bytes += uint64(total) * PageSize
	}
	for _, p := range places[:n] {
		if t := e.tierOf[p.Slot]; t >= 0 {
			u.slot, u.pages = p.Slot, p.Pages
			e.warm(sum, &u)
			e.unit(&u, int(t), flags)
		}
	}
}

// simple adds what most regions are: one unit that may move.
func (e *Engine) simple(sum *Summary, proc *Process, r *Region, rate float32, pi, ri int32) {
	p := r.Placement[0]
	t := e.tierOf[p.Slot]
	if t < 0 {
		sum.Elsewhere += uint64(p.Pages) * PageSize
		return
	}
	sum.Bytes[t] += uint64(p.Pages) * PageSize
	u := unit{
		rate: rate, logvar: cleanVar(r.LogVar), stable: r.Stable, proc: pi, region: ri, pages: p.Pages, stratum: -1,
		slot: p.Slot, home: e.s.homeOf(proc, r), evidence: evidence(r.Evidence), state: (upFree | downFree) &^ e.cools(proc, r),
	}
	if r.Flags&Huge != 0 {
		u.state |= hugeUnit
	}
	if proc.swept(r) {
		u.state |= periodic
		sum.Sweep.Bytes += uint64(p.Pages) * PageSize
	}
	e.warm(sum, &u)
	e.file(&u, int(t))
}

// warm adds the accesses to a unit.
func (e *Engine) warm(sum *Summary, u *unit) {
	heat := float64(u.rate) * float64(u.pages)
	sum.Heat[e.tierOf[u.slot]] += heat
	if u.home == 0 {
		return
	}
	sum.Located += heat
	if e.s.stretch(u.home, u.slot) == 1 {
		sum.Local += heat
	}
}

// cools is the state that a region has not got back yet. Within the cool-down it
// only goes on the way that it went, which finishes what was moved in part. (A
// time that is no number counts as now.)
func (e *Engine) cools(proc *Process, r *Region) uint8 {
	switch {
	case float64(r.SinceMove) >= e.cooldown(proc, r):
		return 0
	case r.Flags&MovedUp != 0:
		return downFree
	}
	return upFree
}

// portions adds the units of a region that is known portion by portion. One of
// which it is not known where its pages lie counts as lying on the slowest of the
// region's nodes: what is hot of it must come up, and the rest is little.
// Only those that were moved lately cool down.
func (e *Engine) portions(sum *Summary, d *Detail, places []SlotPages, u unit, flags uint8, r *Region, cooling uint8) {
	slow := NoSlot
	for _, p := range places {
		if slow == NoSlot || e.tierOf[p.Slot] > e.tierOf[slow] {
			slow = p.Slot
		}
	}
	state := u.state
	for i := range d {
		p := &d[i]
		rate, ok := cleanRate(p.Rate)
		if p.Pages == 0 || p.Stratum >= maxStrata || !ok || r.Flags&Unseen != 0 {
			continue
		}
		u.state, u.slot = state, p.Slot
		if p.Slot == NoSlot {
			u.state, u.slot = state|mixed, slow
		}
		switch {
		case cooling == 0:
		case p.Went == WentUp:
			u.state &^= downFree
		case p.Went == WentDown:
			u.state &^= upFree
		}
		t := e.tierOf[u.slot]
		if t < 0 {
			continue
		}
		u.rate, u.logvar, u.evidence = rate, cleanVar(p.LogVar), evidence(p.Evidence)
		u.stratum, u.pages = int8(p.Stratum), min(p.Pages, PagesPerRegion)
		e.warm(sum, &u)
		e.unit(&u, int(t), flags)
	}
}

// unit files a unit, or notes that it must stay.
func (e *Engine) unit(u *unit, tier int, flags uint8) {
	if flags != 0 {
		e.fixed = append(e.fixed, fixed{
			rate: u.rate, proc: u.proc, region: u.region, pages: u.pages, tier: uint8(tier), flags: flags, slot: u.slot, stratum: u.stratum,
		})
		return
	}
	e.file(u, tier)
}

// file files a unit that may move.
func (e *Engine) file(u *unit, tier int) {
	i := uint32(len(e.units))
	e.units = append(e.units, *u)
	e.pages = append(e.pages, u.pages)
	e.enter(u, tier, int(e.of[u.proc]))
	e.order[tier] = append(e.order[tier], item{key: ^math.Float32bits(u.rate), unit: i})
}

// item is what is sorted. The bits of positive numbers are in their order, so
// the key rises as the rate falls.
type item struct{ key, unit uint32 }

func (it item) rate() float32 { return math.Float32frombits(^it.key) }

// sortItems sorts by key, equal keys staying in their order, with spare as
// scratch, which it returns, grown if need be.
func sortItems(a, spare []item) []item {
	const (
		width   = 11
		buckets = 1 << width
		passes  = 3
	)
	spare = resize(spare, max(len(a), cap(spare)))
	var counts [passes][buckets]uint32
	for _, it := range a {
		counts[0][it.key%buckets]++
		counts[1][it.key>>width%buckets]++
		counts[2][it.key>>(2*width)]++
	}
	from, to := a, spare[:len(a)]
	for p := range passes {
		c := &counts[p]
		shift := uint(p * width)
		if len(a) == 0 || int(c[from[0].key>>shift%buckets]) == len(a) {
			continue // all the same
		}
		sum := uint32(0)
		for i, n := range c {
			c[i] = sum
			sum += n
		}
		for _, it := range from {
			b := it.key >> shift % buckets
			to[c[b]] = it
			c[b]++
		}
		from, to = to, from
	}
	if len(a) > 0 && &from[0] != &a[0] {
		copy(a, from)
	}
	return spare
}
