package sim

import (
	"cmp"
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// recorded is what a recording tells, ready to be played any number of times, by
// several at once: nobody changes it.
type recorded struct {
	// Each in the order of time.
	lives []life
	rates []rateChange
	nodes []nodeChange
}

// life is that a region appears, or vanishes: then it has no pages.
type life struct {
	at        float64
	region    place
	placement [3]policy.SlotPages
	kind      pagetable.Class
	huge      bool
}

// rateChange is that a region is used otherwise from then on.
type rateChange struct {
	at     float32
	id     uint32 // of the region
	rate   float32
	parted *parted
}

// parted are the rates of a region that is hot in parts.
type parted struct {
	hot, rest float32
	pages     int // that are hot
}

// nodeChange is how much of a node is free for tracked memory from then on.
type nodeChange struct {
	at   float64
	slot policy.Slot
	free uint64
}

// play lets the recording happen to a host.
func (r *recorded) play(h *Host, where []place) Changes {
	for _, m := range h.Procs {
		m.empty()
	}
	lives, rates, nodes := r.lives, r.rates, r.nodes
	free := make([]uint64, len(h.Nodes)) // as recorded
	for i := range h.Nodes {
		free[i] = h.Nodes[i].Free
	}
	turn := func(t float64) float64 {
		for ; len(nodes) > 0 && nodes[0].at <= t; nodes = nodes[1:] {
			n := nodes[0]
			if at := &h.Nodes[n.slot]; n.free >= free[n.slot] {
				at.Free += n.free - free[n.slot]
			} else {
				at.Free -= min(at.Free, free[n.slot]-n.free)
			}
			free[n.slot] = n.free
		}
		for ; len(lives) > 0 && lives[0].at <= t; lives = lives[1:] {
			l := &lives[0]
			slots, ok := pieceSlots(l.placement, len(h.Nodes))
			if !ok {
				h.vanish(l.region.proc, l.region.region)
				continue
			}
			h.appear(l.region.proc, l.region.region, slots, l.kind, l.huge)
		}
		for ; len(rates) > 0 && float64(rates[0].at) <= t; rates = rates[1:] {
			c := &rates[0]
			at := where[c.id]
			m := h.Procs[at.proc]
			if !m.Present(at.region) {
				continue
			}
			if c.parted == nil {
				m.SetRate(at.region, float64(c.rate))
				continue
			}
			set := scattered(c.id, c.parted.pages)
			set = set.And(policy.PagesOf(^m.regions[at.region].lacking))
			m.SetRates(at.region, float64(c.parted.rest), float64(c.parted.hot), (*[8]uint64)(&set))
		}
		next := math.Inf(1)
		if len(nodes) > 0 {
			next = nodes[0].at
		}
		if len(lives) > 0 {
			next = min(next, lives[0].at)
		}
		if len(rates) > 0 {
			next = min(next, float64(rates[0].at))
		}
		return next
	}
	turn(0)
	return turn
}

// sorted puts the changes in the order of time; what happens at once stays in its
// order.
func (r *recorded) sorted() {
	slices.SortStableFunc(r.lives, func(a, b life) int { return cmp.Compare(a.at, b.at) })
	slices.SortStableFunc(r.rates, func(a, b rateChange) int { return cmp.Compare(float64(a.at), float64(b.at)) })
	slices.SortStableFunc(r.nodes, func(a, b nodeChange) int { return cmp.Compare(a.at, b.at) })
}

// scattered are so many pages of a region, always the same: which ones they were is
// not recorded.
func scattered(id uint32, n int) (set policy.PageSet) {
	const odd = 197 // every page comes once
	for k := range min(n, policy.PagesPerRegion) {
		p := (int(id) + k*odd) % policy.PagesPerRegion
		set[p/64] |= 1 << (p % 64)
	}
	return set
}
