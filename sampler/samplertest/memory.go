// Package samplertest models a process's memory for tests of the sampler: pages
// with known access rates, whose accessed bits behave as the kernel's.
package samplertest

import (
	"math"
	"math/rand/v2"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Clock is a virtual clock; CPU time passes only by the model's work.
type Clock struct {
	Seconds, Worked, Moved float64
}

// Now implements sampler.Clock.
func (c *Clock) Now() float64 { return c.Seconds }

// CPU implements sampler.Clock.
func (c *Clock) CPU() float64 { return c.Worked }

// Moving implements sampler.Clock.
func (c *Clock) Moving() float64 { return c.Moved }

// Spend passes time that is also work.
func (c *Clock) Spend(seconds float64) { c.Seconds += seconds; c.Worked += seconds }

// Region is 2 MiB of the model.
type Region struct {
	// Rate is the accesses per second and page of each page.
	Rate [policy.PagesPerRegion]float64
	// Slot is where each page lies.
	Slot [policy.PagesPerRegion]policy.Slot
	Huge bool
	// Armed is how many pages wait for a hint fault.
	Armed int

	cleared float64
	young   [policy.PagesPerRegion]bool
}

// Memory is a process's address space; it implements sampler.Space.
type Memory struct {
	Clock   *Clock
	Base    uint64
	Regions []*Region
	Runs    []pagetable.Run
	Policy  int
	Exec    uint64
	Err     error
	// Blind lets no table be read.
	Blind bool
	// ClearCost and WalkCost are in seconds per region; clearing a part of a
	// region costs that part.
	ClearCost, WalkCost float64
	Closed              bool
	// Split counts the huge pages that clearing a part of them has split.
	Split int

	pace float64
	rng  *rand.Rand
}

// NewMemory makes n regions at 4 GiB, one anonymous mapping, all on slot.
func NewMemory(c *Clock, n int, slot policy.Slot) *Memory {
	m := &Memory{Clock: c, Base: 4 << 30, Policy: -1, Exec: 1, pace: 1, ClearCost: 25e-6, WalkCost: 4e-6, rng: rand.New(rand.NewPCG(7, 8))}
	for range n {
		r := &Region{}
		for i := range r.Slot {
			r.Slot[i] = slot
		}
		m.Regions = append(m.Regions, r)
	}
	m.Runs = []pagetable.Run{{Range: pagetable.Range{Start: m.Base, End: m.Base + uint64(n)*policy.RegionSize}, VMAs: 1}}
	return m
}

// SetPace lets all accesses be so many times as many as the rates say.
func (m *Memory) SetPace(pace float64) {
	for _, r := range m.Regions {
		m.age(r)
	}
	m.pace = pace
}

// SetRate gives all pages of a region one rate. What was accessed until now
// is remembered by the accessed bits.
func (m *Memory) SetRate(region int, rate float64) {
	r := m.Regions[region]
	m.age(r)
	for i := range r.Rate {
		r.Rate[i] = rate
	}
}

// age lets the accesses since the last look happen.
func (m *Memory) age(r *Region) {
	dt := (m.Clock.Seconds - r.cleared) * m.pace
	r.cleared = m.Clock.Seconds
	if r.Huge {
		var sum float64
		for _, rate := range r.Rate {
			sum += rate
		}
		if m.rng.Float64() < -math.Expm1(-sum*dt) {
			for i := range r.young {
				r.young[i] = true
			}
		}
		return
	}
	for i := range r.young {
		if !r.young[i] && m.rng.Float64() < -math.Expm1(-r.Rate[i]*dt) {
			r.young[i] = true
		}
	}
}

func (m *Memory) at(addr uint64) *Region {
	i := int((addr - m.Base) / policy.RegionSize)
	if addr < m.Base || i >= len(m.Regions) {
		return nil
	}
	return m.Regions[i]
}

// Walk implements sampler.Space.
func (m *Memory) Walk(addrs []uint64, visit func(int, *pagetable.Block)) (int, error) {
	for i, a := range addrs {
		if m.Err != nil {
			return i, m.Err
		}
		m.Clock.Spend(m.WalkCost)
		b := pagetable.Block{LeafShift: 21}
		if r := m.at(a); m.Blind {
			b.Kind = pagetable.KindFault
		} else if r != nil {
			m.age(r)
			b.Kind, b.LeafShift, b.ArmedPages = pagetable.KindTable, 12, uint16(r.Armed)
			if r.Huge {
				b.Kind, b.LeafShift = pagetable.KindLeaf, 21
			}
			for p := range r.Rate {
				b.Present[p/64] |= 1 << (p % 64)
				b.PresentPages++
				b.Count[r.Slot[p]]++
				if r.young[p] {
					b.Young[p/64] |= 1 << (p % 64)
					b.YoungPages++
				}
			}
			for j := range b.Slot {
				b.Slot[j] = r.Slot[j*policy.PagesPerPiece]
				for p := range policy.PagesPerPiece {
					if r.Slot[j*policy.PagesPerPiece+p] != b.Slot[j] {
						b.Slot[j] = policy.NoSlot
						break
					}
				}
			}
		}
		visit(i, &b)
	}
	return len(addrs), nil
}

// Clear implements sampler.Space.
func (m *Memory) Clear(ranges []pagetable.Range) (uint64, error) {
	var n uint64
	for _, g := range ranges {
		if m.Err != nil {
			return n, m.Err
		}
		for a := g.Start; a < g.End; {
			end := min(g.End, a&^(policy.RegionSize-1)+policy.RegionSize)
			m.Clock.Spend(m.ClearCost * float64(end-a) / policy.RegionSize)
			if r := m.at(a); r != nil {
				m.age(r)
				if r.Huge && end-a < policy.RegionSize {
					r.Huge = false
					m.Split++
				}
				first := a % policy.RegionSize / policy.PageSize
				clear(r.young[first : first+(end-a)/policy.PageSize])
			}
			a = end
		}
		n += g.End - g.Start
	}
	return n, nil
}

// Mappings implements sampler.Space.
func (m *Memory) Mappings(visit func(pagetable.Run)) (int, int, error) {
	if m.Err != nil {
		return 0, -1, m.Err
	}
	m.Clock.Spend(1e-4)
	for _, r := range m.Runs {
		visit(r)
	}
	return len(m.Runs), m.Policy, nil
}

// ExecID implements sampler.Space.
func (m *Memory) ExecID() uint64 { return m.Exec }

// Close implements sampler.Space.
func (m *Memory) Close() { m.Closed = true }
