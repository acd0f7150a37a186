package sim

import (
	"math/bits"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// nowhere are the slots of a region that is not present.
func nowhere() (none [policy.PiecesPerRegion]policy.Slot) {
	for p := range none {
		none[p] = policy.NoSlot
	}
	return none
}

// empty takes away all memory, before anything happens.
func (m *Memory) empty() {
	for i := range m.regions {
		m.regions[i].slot = nowhere()
	}
	m.runs = nil
}

// Present tells whether some of the region is.
func (m *Memory) Present(i int) bool { return !m.regions[i].gone() }

// gone tells whether nothing of it is present.
func (r *region) gone() bool {
	return r.slot[bits.TrailingZeros32(^r.lacking)%policy.PiecesPerRegion] == policy.NoSlot
}

// appear puts pieces of a region where they are wanted, or, where there is no
// room, on the next slower node that has some, as the kernel does; what fits
// nowhere, not even below the reserves, goes where it is wanted all the same.
func (h *Host) appear(proc, i int, slot [policy.PiecesPerRegion]policy.Slot, kind pagetable.Class, huge bool) {
	h.vanish(proc, i)
	m := h.Procs[proc]
	r := &m.regions[i]
	m.age(r)
	r.kind, r.huge, r.lacking = kind, huge, 0
	for p, want := range slot {
		if want == policy.NoSlot {
			r.lacking |= 1 << p
			continue
		}
		at := h.placeFor(want)
		slot[p] = at
		h.Nodes[at].Free -= min(h.Nodes[at].Free, policy.PieceSize)
	}
	r.slot = slot
	r.cleared, r.read = 0, false
	m.count(r, nil, 1)
	m.runs = nil
}

// placeFor is a node with room for a piece: the wanted one if it has.
func (h *Host) placeFor(want policy.Slot) policy.Slot {
	if h.Nodes[want].Room() >= policy.PieceSize {
		return want
	}
	best, tier := want, len(h.Machine.Tiers)
	for i, n := range h.Nodes {
		if n.Tier >= h.Nodes[want].Tier && n.Tier < tier && n.Room() >= policy.PieceSize {
			best, tier = policy.Slot(i), n.Tier
		}
	}
	return best
}

// vanish frees a region.
func (h *Host) vanish(proc, i int) {
	m := h.Procs[proc]
	r := &m.regions[i]
	if !m.Present(i) {
		return
	}
	m.SetRate(i, 0)
	for _, on := range r.shares() {
		h.Nodes[on.slot].Free += uint64(on.pages.Count()) * policy.PageSize
	}
	r.slot, r.split = nowhere(), nil
	m.runs = nil
}

// mapped tells whether the process has memory at all.
func (m *Memory) mapped() bool {
	if len(m.runs) == 0 {
		m.mapRuns()
	}
	return len(m.runs) > 0
}

// mapRuns finds the mappings: neighbouring regions that are of one kind.
func (m *Memory) mapRuns() {
	for i := range m.regions {
		if !m.Present(i) {
			continue
		}
		a, kind := m.addr(i), m.regions[i].kind
		if n := len(m.runs); n > 0 && m.runs[n-1].End == a && m.runs[n-1].Class == kind {
			m.runs[n-1].End += policy.RegionSize
			continue
		}
		m.runs = append(m.runs, pagetable.Run{Range: pagetable.Range{Start: a, End: a + policy.RegionSize}, Class: kind, VMAs: 1})
	}
}

// pieceSlots spreads the counted pages of a region over its pieces, in their order.
// Less than half a piece is none, but for a region that would have nothing.
func pieceSlots(placement [3]policy.SlotPages, nodes int) (slot [policy.PiecesPerRegion]policy.Slot, ok bool) {
	slot = nowhere()
	next := 0
	for _, at := range placement {
		if at.Pages == 0 || int(at.Slot) >= nodes {
			continue
		}
		n := (int(at.Pages) + policy.PagesPerPiece/2) / policy.PagesPerPiece
		if n == 0 && next == 0 {
			n = 1
		}
		for ; n > 0 && next < len(slot); n-- {
			slot[next] = at.Slot
			next++
		}
	}
	return slot, next > 0
}
