package sim

import (
	"math"
	"math/rand/v2"

	"github.com/tierd/tierd/policy"
)

// Host is a machine in the middle of a run, as a Placer finds it.
type Host struct {
	Clock   *Clock
	Machine *Machine
	Nodes   []policy.Node
	// Procs are the memories of the processes; IDs and Names stand beside them.
	Procs []*Memory
	IDs   []policy.ProcessID
	Names []string
	// Shares are what the operator allows workloads.
	Shares []policy.Workload
	Rand   *rand.Rand
	// Rate is the most bytes per second that may be moved, both directions
	// together.
	Rate float64

	allowed float64 // bytes that the rate lets through now
	at      float64 // up to when that is counted
	books   books
}

// Allowed is how many bytes the rate lets through now: what was not used for a
// tenth of a second is lost.
func (h *Host) Allowed() float64 {
	if math.IsInf(h.Rate, 1) {
		return h.Rate
	}
	now := h.Clock.seconds
	h.allowed = min(h.allowed+(now-h.at)*h.Rate, h.Rate/10)
	h.at = now
	return h.allowed
}

// Move moves some pages of a region from one node to another, if the target
// has room for them above its reserve, and returns which those were.
func (h *Host) Move(proc int, addr uint64, set policy.PageSet, from, to policy.Slot) policy.PageSet {
	m := h.Procs[proc]
	if from == policy.NoSlot {
		return policy.PageSet{}
	}
	i := int((addr - m.base) / policy.RegionSize)
	r := &m.regions[i]
	set = r.on(set, from)
	pages := set.Count()
	bytes := uint64(pages) * policy.PageSize
	if pages == 0 || from == to || h.Nodes[to].Room() < bytes {
		return policy.PageSet{}
	}
	h.Allowed()
	h.allowed -= float64(bytes)
	h.books.moved(h, proc, i, pages, from, to)
	m.move(r, set, from, to)
	h.Clock.move(float64(pages) * h.Machine.MoveCost)
	h.Nodes[from].Free += bytes
	h.Nodes[to].Free -= bytes
	return set
}

// tier is the tier of a slot; that of no slot is beyond the slowest.
func (h *Host) tier(s policy.Slot) int {
	if s == policy.NoSlot {
		return len(h.Machine.Tiers)
	}
	return h.Nodes[s].Tier
}

// fill places all memory as first touch does: in the order of the addresses
// of all processes in turn, on the fastest node that has room.
func (h *Host) fill(start policy.Slot) {
	next := 0
	for i := 0; ; i++ {
		some := false
		for _, m := range h.Procs {
			if i >= len(m.regions) {
				continue
			}
			some = true
			slot := start
			if start == policy.NoSlot {
				for next < len(h.Nodes)-1 && h.Nodes[next].Room() < policy.RegionSize {
					next++
				}
				slot = policy.Slot(next)
			}
			m.put(i, slot)
			h.Nodes[slot].Free -= policy.RegionSize
		}
		if !some {
			return
		}
	}
}

// Placer is what a run compares: it looks at the memory of a host and moves it.
type Placer interface {
	// Step works at the present time, and says when it wants to go on.
	Step(h *Host) (next float64)
	// Close frees what it holds.
	Close()
}

// processOf is the index of a process of the run.
func (h *Host) processOf(id policy.ProcessID) int { return id.PID - 1 }
