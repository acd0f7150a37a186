package policy

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// Where there are two tiers, memory is worth a place in the faster one from a
// rate of 1.5 · 2 µs / (200 ns · 60 s) = 0.25 on.

func TestRelief(t *testing.T) {
	// The room that relief makes is the headroom, 4 regions.
	tests := []struct {
		name   string
		s      *Snapshot
		budget uint64 // regions
		want   []brief
	}{
		{
			name: "goes on to let go of what is cold",
			s:    tiers(-1, 99).of("w").lay(0, 1, 1).lay(0, 9, 0.01),
			want: []brief{{1, 0, 1, Relief}, {2, 0, 1, Relief}, {3, 0, 1, Relief}, {4, 0, 1, Relief}, {5, 0, 1, Relief}},
		},
		{
			name: "but not of what may be worth its place",
			s:    tiers(-1, 99).of("w").lay(0, 1, 0.01).lay(0, 9, 0.2, noise(0.04)),
			want: []brief{{0, 0, 1, Relief}},
		},
		{
			name: "at the reserve there is nothing to do",
			s:    tiers(0, 99).of("w").lay(0, 9, 0.01),
		},
		{
			name: "what must leave takes more than what is cold",
			s:    tiers(-3, 99).of("w").lay(0, 1, 5).lay(0, 1, 0.01).lay(0, 1, 3).lay(0, 1, 4),
			want: []brief{{1, 0, 1, Relief}, {2, 0, 1, Relief}, {3, 0, 1, Relief}},
		},
		{
			name: "in long runs of addresses",
			s: tiers(-2, 99).of("w").lay(0, 1, 0.010).lay(0, 1, 9).lay(0, 4, 0.012).lay(0, 1, 9).lay(0, 2, 0.011).
				lay(0, 1, 9).lay(0, 1, 0.001),
			want: []brief{
				{2, 0, 1, Relief}, {3, 0, 1, Relief}, {4, 0, 1, Relief}, {5, 0, 1, Relief}, // the longest run
				{7, 0, 1, Relief}, {8, 0, 1, Relief},
			},
		},
		{
			name:   "half of the budget is for what comes",
			s:      tiers(-1, 99).of("w").lay(0, 9, 0.01),
			budget: 4,
			want:   []brief{{0, 0, 1, Relief}, {1, 0, 1, Relief}, {2, 0, 1, Relief}},
		},
		{
			name: "cold memory goes straight past a tier that it is too cold for",
			s:    tiers(-1, 0, 99).spare(1).of("w").lay(0, 6, 0.001).lay(1, 3, 50).lay(2, 9, 40),
			want: []brief{
				{0, 0, 2, Relief}, {1, 0, 2, Relief}, {2, 0, 2, Relief}, {3, 0, 2, Relief}, {4, 0, 2, Relief},
				{5, 0, 2, Victim}, {6, 1, 0, Exchange}, {9, 2, 1, Fill},
			},
		},
		{
			name: "what left because others took memory does not come back as soon as they return it",
			s:    tiers(0, 99).spare(0).of("w").lay(0, 9, 5).lay(1, 5, 4),
		},
		{
			name: "workloads that have more than their share come first",
			s:    tiers(-2, 99).of("a").lay(0, 4, 5).of("b").lay(0, 8, 50),
			want: []brief{{6, 0, 1, Relief}, {7, 0, 1, Relief}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := params()
			if test.budget > 0 {
				p.Budget = test.budget * RegionSize
			}
			plan := new(Engine).Decide(test.s, p)
			if diff := gocmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
			for _, m := range plan.Moves {
				if len(test.s.Processes) > 1 && m.Process != 1 {
					t.Errorf("process %d: %+v", m.Process, m)
				}
			}
		})
	}
}

// At the edge of the reserve, where others take memory and give it back, nothing
// comes back that was let go.
func TestReliefRests(t *testing.T) {
	s := tiers(3, 999).of("w").lay(0, 50, 0.01).lay(1, 50, 20).lay(0, 50, 0.24)
	rng := rand.New(rand.NewPCG(1, 1))
	p := params()
	p.Cooldown = 0
	var e Engine
	demoted := map[uint64]bool{}
	moves := 0
	for range 300 {
		// Somebody takes up to 8 MiB, or gives them back.
		taken := uint64(rng.IntN(5)) * RegionSize
		s.Nodes[0].Free -= taken
		plan := e.Decide(s, p)
		for i := range plan.Moves {
			m := &plan.Moves[i]
			if m.Kind == Promotion && demoted[m.Addr] {
				t.Fatalf("comes back: %+v", m)
			}
			if m.Kind == Demotion {
				demoted[m.Addr] = true
			}
			m.apply(s)
		}
		moves += len(plan.Moves)
		s.Nodes[0].Free += taken
	}
	if moves > 120 {
		t.Errorf("%d moves", moves)
	}
}

// Relief in runs loses next to nothing against relief of the very coldest, in
// what the accesses to it cost, and goes in far fewer pieces.
func TestReliefInRuns(t *testing.T) {
	const n, need = 20_000, 500
	for _, spread := range []float64{0.1, 1, 2} {
		t.Run(fmt.Sprint(spread), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 3))
			s := tiers(0, n).of("w")
			s.Nodes[0].Reserve, s.Nodes[0].Free = 2*need*RegionSize, need*RegionSize
			rate := float32(0)
			for i := range n {
				// A mapping of 16 to 64 MiB is used alike, more or less.
				if i%16 == 0 && (i == 0 || rng.IntN(2) == 0) {
					if rate = float32(0.002 * math.Exp(spread*rng.NormFloat64())); rng.IntN(2) == 0 {
						rate = 50
					}
				}
				s.lay(0, 1, rate*float32(math.Exp(0.2*rng.NormFloat64())), noise(0.04))
			}
			regions := s.Processes[0].Regions
			plan := new(Engine).Decide(s, params())
			if len(plan.Moves) < need {
				t.Fatalf("%d moves", len(plan.Moves))
			}
			var got, best float64
			runs := 0
			for i, m := range plan.Moves {
				got += float64(m.Reason.Rate)
				if i == 0 || m.Addr != plan.Moves[i-1].Addr+RegionSize {
					runs++
				}
			}
			order := make([]int, n)
			for i := range order {
				order[i] = i
			}
			slices.SortFunc(order, func(a, b int) int { return cmp.Compare(regions[a].Rate, regions[b].Rate) })
			coldest := order[:len(plan.Moves)]
			slices.Sort(coldest)
			bestRuns := 0
			for i, k := range coldest {
				best += float64(regions[k].Rate)
				if i == 0 || k != coldest[i-1]+1 {
					bestRuns++
				}
			}
			// As a part of what moving costs, over the longest horizon.
			part := (got - best) * 100e-9 * 60 / (2e-6 * float64(len(plan.Moves)))
			t.Logf("%d moves in %d runs instead of %d; loses %.4f of their cost", len(plan.Moves), runs, bestRuns, part)
			if part > 0.02 {
				t.Errorf("loses %.3f of the cost of moving", part)
			}
			if 2*runs > bestRuns {
				t.Errorf("%d runs, the coldest are in %d", runs, bestRuns)
			}
		})
	}
}
