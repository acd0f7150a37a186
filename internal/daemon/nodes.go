package daemon

import (
	"fmt"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

// nodes are the nodes with memory, by slot.
type nodes struct {
	host  *hostfs.FS
	tiers []policy.Tier
	list  []policy.Node
	slot  map[policy.NodeID]policy.Slot
	span  []topology.PFNSpan
	page  uint64
	// counters are the kernel's, by node; see [status.NodeCounters].
	counters map[int]hostfs.Counters
}

var _ migrate.Room = (*nodes)(nil)

// newNodes takes the nodes with memory from the machine. Where there are more
// than a snapshot can describe, those without a tier are left out first.
func newNodes(host *hostfs.FS, m *topology.Machine) *nodes {
	n := &nodes{host: host, slot: map[policy.NodeID]policy.Slot{}, counters: map[int]hostfs.Counters{}, span: m.PFNSpans(), page: max(m.PageSize, 4096)}
	for _, t := range m.Tiers {
		n.tiers = append(n.tiers, policy.Tier{Name: t.Name, AccessNS: t.AccessNS})
	}
	for _, tiered := range []bool{true, false} {
		for i := range m.Nodes {
			node := &m.Nodes[i]
			if !node.HasMemory() || (node.Rank >= 0) != tiered || len(n.list) == policy.MaxSlots {
				continue
			}
			id := policy.NodeID(node.ID)
			n.slot[id] = policy.Slot(len(n.list))
			n.list = append(n.list, policy.Node{ID: id, Tier: node.Rank, Size: node.MemoryBytes})
		}
	}
	return n
}

// reserves sets each node's reserve: what the configuration says, but never
// less than what the kernel keeps free itself, so that a move cannot wake
// reclaim.
func (n *nodes) reserves(c *config.Config) {
	kernel := map[int]uint64{}
	if zones, err := n.host.Zones(); err == nil {
		for _, z := range zones {
			kernel[z.Node] += z.WatermarkHigh * n.page
		}
	}
	for i := range n.list {
		node := &n.list[i]
		reserve := config.DefaultReserve()
		if node.Tier >= 0 && node.Tier < len(n.tiers) {
			for _, t := range c.Tiers {
				if t.Name == n.tiers[node.Tier].Name {
					reserve = t.Reserve
				}
			}
		}
		watermark := kernel[int(node.ID)]
		node.Reserve = max(reserve.Of(node.Size), watermark+watermark/8)
	}
}

// refresh reads how much is free.
func (n *nodes) refresh() error {
	for i := range n.list {
		free, err := n.free(n.list[i].ID)
		if err != nil {
			return err
		}
		n.list[i].Free = free
	}
	return nil
}

func (n *nodes) free(id policy.NodeID) (uint64, error) {
	info, err := n.host.NodeMeminfo(int(id))
	if err != nil {
		return 0, err
	}
	free, ok := info["MemFree"]
	if !ok {
		return 0, fmt.Errorf("node%d: meminfo has no MemFree", id)
	}
	return free, nil
}

// Room implements migrate.Room.
func (n *nodes) Room(id policy.NodeID) (uint64, error) {
	slot, ok := n.slot[id]
	if !ok {
		return 0, fmt.Errorf("node%d: no such node", id)
	}
	free, err := n.free(id)
	if err != nil {
		return 0, err
	}
	now := n.list[slot]
	now.Free = free
	return now.Room(), nil
}

// ids translates slots for the mover.
func (n *nodes) ids() []policy.NodeID {
	ids := make([]policy.NodeID, len(n.list))
	for i := range n.list {
		ids[i] = n.list[i].ID
	}
	return ids
}

// Ranges says which node physical memory belongs to, for the page-table
// source.
func (n *nodes) ranges() []pagetable.PhysRange {
	var r []pagetable.PhysRange
	for _, s := range n.span {
		if slot, ok := n.slot[policy.NodeID(s.Node)]; ok {
			r = append(r, pagetable.PhysRange{Start: s.Start * n.page, End: s.End * n.page, Slot: slot})
		}
	}
	return r
}
