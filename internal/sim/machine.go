package sim

import "github.com/tierd/tierd/policy"

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// Machine is what a run takes place on, and what work costs there.
type Machine struct {
	Tiers []policy.Tier
	// Nodes have in Free what they have free before there are processes.
	Nodes []policy.Node
	// ClearCost and WalkCost are CPU seconds per region, RangeCost per range that
	// is cleared, MoveCost per page, and DecideCost per unit that the policy
	// looks at.
	ClearCost, WalkCost, RangeCost, MoveCost, DecideCost float64
}

// Emulated is the machine of the benchmark as it shows itself in emulation:
// 128 MiB of HBM, 384 MiB of DRAM and 2 GiB of CXL memory, everything dear.
func Emulated() Machine {
	return Machine{
		Tiers: []policy.Tier{{Name: "hbm", AccessNS: 157}, {Name: "dram", AccessNS: 264}, {Name: "cxl", AccessNS: 1442}},
		Nodes: []policy.Node{
			{ID: 0, Tier: 1, Size: 376 * mib, Free: 305 * mib, Reserve: 23 * mib},
			{ID: 1, Tier: 0, Size: 126 * mib, Free: 121 * mib, Reserve: 8 * mib},
			{ID: 2, Tier: 2, Size: 1978 * mib, Free: 1978 * mib, Reserve: 118 * mib},
		},
		ClearCost: 600e-6, WalkCost: 150e-6, RangeCost: 140e-6, MoveCost: 50e-6, DecideCost: 2e-6,
	}
}

// TwoTiers is a machine of today's silicon with so many regions of DRAM for
// processes to use, and CXL memory without end. The costs are those measured on
// base pages.
func TwoTiers(fast int) Machine {
	const reserve = gib / 4
	size := uint64(fast)*policy.RegionSize + reserve
	return Machine{
		Tiers: []policy.Tier{{Name: "dram", AccessNS: 110}, {Name: "cxl", AccessNS: 330}},
		Nodes: []policy.Node{
			{ID: 0, Tier: 0, Size: size, Free: size, Reserve: reserve},
			{ID: 1, Tier: 1, Size: 1 << 50, Free: 1 << 50, Reserve: 0},
		},
		ClearCost: 25e-6, WalkCost: 4e-6, RangeCost: 4e-6, MoveCost: 2e-6, DecideCost: 100e-9,
	}
}
