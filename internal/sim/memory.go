package sim

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Memory is the address space of one process: regions whose pages are used at
// known rates, and accessed bits that behave as the kernel's. It is a
// sampler.Space, and tells the truth to who asks for it.
//
// A region is small, so that a million of them fit: all its pages have the same
// rate, but for a set of hot ones that may have another.
type Memory struct {
	clock   *Clock
	machine *Machine
	rng     *rand.Rand
	base    uint64
	regions []region
	// runs are the mappings; empty when they have to be found anew.
	runs []pagetable.Run
	// work is by how much every page has been used, in seconds of full pace, at
	// the time workAt; pace is the share of full pace since.
	work, workAt, pace float64
	// heat is, by node, the accesses per second at full pace; served the accesses
	// until the work servedAt.
	heat, served, servedAt [policy.MaxSlots]float64
}

var _ sampler.Space = (*Memory)(nil)

type region struct {
	rest, hot class
	at        float64 // the work up to which both are counted
	mask      *[8]uint64
	slot      [policy.PiecesPerRegion]policy.Slot // NoSlot where nothing is present
	lacking   uint32                              // pieces that are not present while others are
	kind      pagetable.Class
	split     []share // where its pages lie, if not by whole pieces as slot says
	cleared   uint32  // pieces whose accessed bits were cleared last
	read      bool    // since they were cleared
	huge      bool
}

// share is the pages of a region that lie on one node.
type share struct {
	slot  policy.Slot
	pages policy.PageSet
}

// class is what pages of one rate have in common.
type class struct {
	rate  float64 // accesses per second and page
	count float64 // accesses per page so far
	mark  float64 // count when accessed bits were cleared
}

func newMemory(clock *Clock, machine *Machine, rng *rand.Rand, base uint64, n int) *Memory {
	return &Memory{clock: clock, machine: machine, rng: rng, base: base, regions: make([]region, n), pace: 1}
}

// Regions is how many regions there are.
func (m *Memory) Regions() int { return len(m.regions) }

// now is the work until now.
func (m *Memory) now() float64 { return m.work + (m.clock.seconds-m.workAt)*m.pace }

// SetPace lets the process run at a share of its full pace.
func (m *Memory) SetPace(pace float64) {
	m.work, m.workAt, m.pace = m.now(), m.clock.seconds, pace
}

func (m *Memory) age(r *region) {
	w := m.now()
	r.rest.count += r.rest.rate * (w - r.at)
	r.hot.count += r.hot.rate * (w - r.at)
	r.at = w
}

// SetRate gives all pages of a region one rate, in accesses per second and page.
func (m *Memory) SetRate(i int, rate float64) { m.SetRates(i, rate, rate, nil) }

// SetRates gives the pages of a mask another rate than the rest of the region.
func (m *Memory) SetRates(i int, rest, hot float64, mask *[8]uint64) {
	r := &m.regions[i]
	m.age(r)
	m.count(r, nil, -1)
	if mask == nil && r.mask != nil || mask != nil && r.mask == nil {
		r.hot.count, r.hot.mark = r.rest.count, r.rest.mark
	}
	r.rest.rate, r.hot.rate, r.mask = rest, hot, mask
	m.count(r, nil, 1)
}

// SetHuge makes a region one huge page, with one accessed bit, until it is split.
func (m *Memory) SetHuge(i int) { m.regions[i].huge = true }

// Huge tells whether a region is one huge page.
func (m *Memory) Huge(i int) bool { return m.regions[i].huge }

// Accesses is how often a page of the region was used so far, as a mean; pages that
// are not present count as not used.
func (m *Memory) Accesses(i int) float64 {
	r := &m.regions[i]
	m.age(r)
	hot, rest := r.parts()
	return r.hot.count*hot + r.rest.count*rest
}

// parts are the parts of the region's pages that are hot, and the other present
// ones.
func (r *region) parts() (hot, rest float64) {
	hot = float64(r.hotPages()) / policy.PagesPerRegion
	return hot, 1 - hot - float64(bits.OnesCount32(r.lacking))/policy.PiecesPerRegion
}

// Rate is the present rate of the region at full pace, as a mean.
func (m *Memory) Rate(i int) float64 {
	r := &m.regions[i]
	hot, rest := r.parts()
	return r.hot.rate*hot + r.rest.rate*rest
}

// Slot is where the first present piece of a region lies; a placer that moves whole
// regions needs to know no more. NoSlot: nothing of it is present.
func (m *Memory) Slot(i int) policy.Slot {
	r := &m.regions[i]
	return r.slot[bits.TrailingZeros32(^r.lacking)%policy.PiecesPerRegion]
}

// hotPages counts the pages of the mask.
func (r *region) hotPages() (n int) {
	if r.mask != nil {
		n = (*policy.PageSet)(r.mask).Count()
	}
	return n
}

// count adds the accesses of some pages to what their nodes serve, or takes them
// off; nil stands for all.
func (m *Memory) count(r *region, set *policy.PageSet, sign float64) {
	if r.mask == nil && set == nil && r.uniform() {
		if r.slot[0] == policy.NoSlot {
			return
		}
		m.serve(r.slot[0])
		m.heat[r.slot[0]] += sign * r.rest.rate * policy.PagesPerRegion
		return
	}
	all := policy.AllPages()
	if set == nil {
		set = &all
	}
	for _, on := range r.shares() {
		on.pages = on.pages.And(*set)
		n := on.pages.Count()
		if n == 0 {
			continue
		}
		hot := 0
		if r.mask != nil {
			on.pages = on.pages.And(*r.mask)
			hot = on.pages.Count()
		}
		m.serve(on.slot)
		m.heat[on.slot] += sign * (float64(hot)*r.hot.rate + float64(n-hot)*r.rest.rate)
	}
}

// shares is where the pages of a region lie, the nodes in the order of their first
// pages.
func (r *region) shares() (on []share) {
	if r.split != nil {
		return r.split
	}
	for p, slot := range r.slot {
		if slot == policy.NoSlot {
			continue
		}
		k := slices.IndexFunc(on, func(s share) bool { return s.slot == slot })
		if k < 0 {
			k, on = len(on), append(on, share{slot: slot})
		}
		set := policy.PagesOf(1 << p)
		for w := range set {
			on[k].pages[w] |= set[w]
		}
	}
	return on
}

// serve adds up what a node has served until now.
func (m *Memory) serve(slot policy.Slot) {
	w := m.now()
	m.served[slot] += m.heat[slot] * (w - m.servedAt[slot])
	m.servedAt[slot] = w
}

func (r *region) uniform() bool {
	if r.split != nil {
		return false
	}
	for _, s := range r.slot {
		if s != r.slot[0] {
			return false
		}
	}
	return true
}

// put places a region as a whole, at no cost.
func (m *Memory) put(i int, slot policy.Slot) {
	r := &m.regions[i]
	m.count(r, nil, -1)
	r.lie(slot)
	m.count(r, nil, 1)
}

// lie lets all of a region lie on one node.
func (r *region) lie(slot policy.Slot) {
	for p := range r.slot {
		r.slot[p] = slot
	}
	r.split = nil
}

// on are those of some pages that lie on a node.
func (r *region) on(set policy.PageSet, slot policy.Slot) policy.PageSet {
	for _, s := range r.shares() {
		if s.slot == slot {
			return s.pages.And(set)
		}
	}
	return policy.PageSet{}
}

// move puts pages of a region, which lie on one node, on another.
func (m *Memory) move(r *region, moved policy.PageSet, from, to policy.Slot) {
	m.count(r, &moved, -1)
	on, known := r.shares(), false
	for k := range on {
		for w := range moved {
			switch on[k].slot {
			case from:
				on[k].pages[w] &^= moved[w]
			case to:
				on[k].pages[w] |= moved[w]
			}
		}
		known = known || on[k].slot == to
	}
	if !known {
		on = append(on, share{to, moved})
	}
	on = slices.DeleteFunc(on, func(s share) bool { return s.pages.Count() == 0 })
	if r.split = on; len(on) == 1 {
		r.split = nil
		for p := range r.slot {
			if r.lacking>>p&1 == 0 {
				r.slot[p] = to
			}
		}
	}
	m.count(r, &moved, 1)
}

func (m *Memory) find(addr uint64) *region {
	if addr < m.base || addr >= m.base+uint64(len(m.regions))*policy.RegionSize {
		return nil
	}
	return &m.regions[(addr-m.base)/policy.RegionSize]
}

func (m *Memory) addr(i int) uint64 { return m.base + uint64(i)*policy.RegionSize }

// touched draws which of 64 pages were accessed, each with the same
// probability.
func (m *Memory) touched(p float64) (word uint64) {
	switch {
	case p > 1-1.0/256:
		return ^m.touched(1 - p)
	case p < 1.0/256:
		// From one to the next, for which there are seldom any.
		if p <= 0 {
			return 0
		}
		step := 1 / math.Log1p(-p)
		for at := math.Log(1-m.rng.Float64()) * step; at < 64; at += 1 + math.Log(1-m.rng.Float64())*step {
			word |= 1 << uint(at)
		}
		return word
	}
	// Digit by digit from the last: a bit is set if its random number is below p.
	const digits = 16
	d := uint32(p*(1<<digits) + 0.5)
	for k := range digits {
		if x := m.rng.Uint64(); d>>k&1 != 0 {
			word |= x
		} else {
			word &= x
		}
	}
	return word
}

// Walk implements sampler.Space.
func (m *Memory) Walk(addrs []uint64, visit func(int, *pagetable.Block)) (int, error) {
	var b pagetable.Block
	for i, a := range addrs {
		m.clock.look(m.machine.WalkCost)
		b = pagetable.Block{LeafShift: 21}
		if r := m.find(a); r != nil {
			m.read(r, &b)
		}
		visit(i, &b)
	}
	return len(addrs), nil
}

func (m *Memory) read(r *region, b *pagetable.Block) {
	m.age(r)
	r.read = true
	if r.gone() {
		return
	}
	b.Present = policy.PagesOf(^r.lacking)
	b.PresentPages = uint16(policy.PagesPerRegion - policy.PagesPerPiece*bits.OnesCount32(r.lacking))
	r.placement(b)
	rest, hot := r.rest.count-r.rest.mark, r.hot.count-r.hot.mark
	if r.huge {
		n := float64(r.hotPages())
		b.Kind, b.LeafShift = pagetable.KindLeaf, 21
		if r.cleared == 0 || m.rng.Float64() < -math.Expm1(-n*hot-(policy.PagesPerRegion-n)*rest) {
			b.Young, b.YoungPages = b.Present, b.PresentPages
		}
		return
	}
	b.Kind, b.LeafShift = pagetable.KindTable, 12
	pRest, pHot := -math.Expm1(-rest), -math.Expm1(-hot)
	for w := range b.Young {
		cleared := r.cleared >> (4 * w) & 0xf
		if cleared == 0 {
			continue // nobody asks
		}
		b.Young[w] = m.touched(pRest)
		if r.mask != nil && r.mask[w] != 0 {
			b.Young[w] = b.Young[w]&^r.mask[w] | m.touched(pHot)&r.mask[w]
		}
		b.Young[w] &= b.Present[w]
		b.YoungPages += uint16(bits.OnesCount64(b.Young[w]))
	}
}

// placement says where the region lies, as far as a walk tells.
func (r *region) placement(b *pagetable.Block) {
	if r.split == nil {
		b.Slot = r.slot
		for _, slot := range r.slot {
			if slot != policy.NoSlot {
				b.Count[slot] += policy.PagesPerPiece
			}
		}
		return
	}
	for p := range b.Slot {
		b.Slot[p] = policy.NoSlot
	}
	for _, on := range r.split {
		b.Count[on.slot] = uint16(on.pages.Count())
		for p := range b.Slot {
			if uint16(on.pages[p/4]>>(p%4*16)) == math.MaxUint16 {
				b.Slot[p] = on.slot
			}
		}
	}
}

// Clear implements sampler.Space.
func (m *Memory) Clear(ranges []pagetable.Range) (n uint64, err error) {
	for _, g := range ranges {
		m.clock.look(m.machine.RangeCost)
		for a := g.Start; a < g.End; {
			end := min(g.End, a&^(policy.RegionSize-1)+policy.RegionSize)
			m.clock.look(m.machine.ClearCost * float64(end-a) / policy.RegionSize)
			if r := m.find(a); r != nil {
				m.age(r)
				r.huge = r.huge && end-a == policy.RegionSize // else it is split
				if r.read {
					r.read, r.cleared = false, 0
				}
				if r.cleared == 0 {
					r.rest.mark, r.hot.mark = r.rest.count, r.hot.count
				}
				first, last := a%policy.RegionSize/policy.PieceSize, ((end-1)%policy.RegionSize)/policy.PieceSize
				r.cleared |= uint32(uint64(2)<<last - uint64(1)<<first)
			}
			a = end
		}
		n += g.End - g.Start
	}
	return n, nil
}

// Mappings implements sampler.Space.
func (m *Memory) Mappings(visit func(pagetable.Run)) (vmas, policyMode int, err error) {
	m.clock.look(1e-4)
	if len(m.runs) == 0 {
		m.mapRuns()
	}
	for _, r := range m.runs {
		visit(r)
	}
	return len(m.runs), -1, nil
}

// ExecID implements sampler.Space.
func (m *Memory) ExecID() uint64 { return 1 }

// Close implements sampler.Space.
func (m *Memory) Close() {}
