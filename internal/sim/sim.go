// Package sim closes the loop without a machine: the real tracker and the real
// policy look after a model of one process's memory, in virtual time, and a
// model of the mover carries out the plans. A run of minutes takes a second,
// knows the truth, and gives the same result every time.
package sim

import (
	"math"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/samplertest"
)

// Machine is what a run takes place on.
type Machine struct {
	Tiers []policy.Tier
	// Nodes have in Free what they have free before the process's memory.
	Nodes []policy.Node
	// ClearCost and WalkCost are CPU seconds per region, RangeCost per range that
	// is cleared, MoveCost per page, and DecideCost per unit that the policy
	// looks at.
	ClearCost, WalkCost, RangeCost, MoveCost, DecideCost float64
}

// Emulated is the machine of the benchmark as it shows itself in emulation:
// 128 MiB of HBM, 384 MiB of DRAM and 2 GiB of CXL memory, everything dear.
func Emulated() Machine {
	const mib = 1 << 20
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

// Change is something that happens to the process's memory.
type Change struct {
	At   float64 // seconds
	Make func(*samplertest.Memory)
}

// Options of a run.
type Options struct {
	Machine Machine
	Regions int
	Start   policy.Slot // where all memory lies at first
	Changes []Change    // in order of time
	Seconds float64
	Budget  float64 // of CPU time for sampling
	Params  policy.Params
	Seed    uint64
}

// Point is the state once a second.
type Point struct {
	T float64
	// Share is the part of the accesses that each node serves.
	Share []float64
	// Moved is in bytes; Sampling and Moving are CPU seconds. All since the start.
	Moved            uint64
	Sampling, Moving float64
	Plan             *policy.Plan
}

const (
	epochEvery = 0.5
	moveSlice  = 0.060
)

var job = policy.ProcessID{PID: 1, Start: 1}

// Run runs a machine and returns one Point per second.
func Run(o Options) []Point {
	clock := &samplertest.Clock{Seconds: 1000}
	begin := clock.Seconds
	mem := samplertest.NewMemory(clock, o.Regions, o.Start)
	mem.Seed(o.Seed)
	mem.ClearCost, mem.WalkCost, mem.RangeCost = o.Machine.ClearCost, o.Machine.WalkCost, o.Machine.RangeCost
	nodes := append([]policy.Node(nil), o.Machine.Nodes...)
	nodes[o.Start].Free -= uint64(o.Regions) * policy.RegionSize

	tracker := sampler.New(sampler.Options{Budget: o.Budget, Burst: o.Budget, DetailBytes: 64 << 20, Clock: clock})
	defer tracker.Close()
	tracker.Add(job, "job", true, mem)

	var (
		engine policy.Engine
		plan   = &policy.Plan{}
		queue  []policy.Move
		points []Point
		at     Point
		epoch  = clock.Seconds
	)
	changes := o.Changes
	for clock.Seconds < begin+o.Seconds {
		now := clock.Seconds - begin
		for len(changes) > 0 && now >= changes[0].At {
			changes[0].Make(mem)
			changes = changes[1:]
		}
		if now >= float64(len(points)) {
			at.T, at.Share, at.Sampling, at.Moving, at.Plan = now, share(mem, len(nodes)), clock.Worked, clock.Moved, plan
			points = append(points, at)
		}
		wake := max(tracker.Step(), clock.Seconds)
		if clock.Seconds >= epoch {
			epoch = clock.Seconds + epochEvery
			p := o.Params
			p.Budget = uint64(max(0.8*epochEvery/o.Machine.MoveCost*policy.PageSize, 4*policy.RegionSize))
			procs := tracker.Snapshot()
			units := len(procs[0].Regions)
			for i := range procs[0].Regions {
				if procs[0].Regions[i].Detail >= 0 {
					units += policy.PiecesPerRegion - 1
				}
			}
			clock.Spend(float64(units) * o.Machine.DecideCost)
			plan = engine.Decide(&policy.Snapshot{
				Seconds: clock.Seconds, Tiers: o.Machine.Tiers, Nodes: nodes, MoveCost: o.Machine.MoveCost, Processes: procs,
			}, p)
			tracker.SetBoundaries(plan.Boundaries)
			queue = append(queue[:0], plan.Moves...)
		}
		if len(queue) == 0 {
			clock.Seconds = max(clock.Seconds, min(wake, epoch))
			continue
		}
		for until := clock.Seconds + moveSlice; len(queue) > 0 && clock.Seconds < until; queue = queue[1:] {
			m := &queue[0]
			pages := 0
			if nodes[m.To].Room() >= uint64(m.Pages)*policy.PageSize {
				pages = mem.Move(m.Addr, m.Pieces&tracker.Movable(m.ID, m.Addr), m.From, m.To)
			}
			cost := float64(pages) * o.Machine.MoveCost
			clock.Seconds += cost
			clock.Moved += cost
			at.Moved += uint64(pages) * policy.PageSize
			nodes[m.From].Free += uint64(pages) * policy.PageSize
			nodes[m.To].Free -= uint64(pages) * policy.PageSize
			tracker.Moved(m.ID, m.Addr, m.Pieces, m.From, m.To, pages, m.Kind == policy.Promotion)
		}
	}
	return points
}

// share is the true part of the accesses that each node serves.
func share(m *samplertest.Memory, nodes int) []float64 {
	s := make([]float64, nodes)
	var sum float64
	for _, r := range m.Regions {
		for i, rate := range r.Rate {
			s[r.Slot[i]] += rate
			sum += rate
		}
	}
	for i := range s {
		s[i] /= math.Max(sum, 1e-9)
	}
	return s
}
