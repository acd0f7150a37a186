package policy

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// crowd is a machine of n regions, each tier full: an eighth in hbm, three in
// dram, the rest in cxl, of a zipf-like rate with noise. Settled, they lie
// where they belong; else anywhere.
func crowd(n int, settled bool) *Snapshot {
	rng := rand.New(rand.NewPCG(1, 2))
	s := tiers(0, 1, n)
	s.Processes[0].Regions = make([]Region, 0, n)
	for i := range n {
		slot := Slot(2)
		if i < n/8 {
			slot = 0
		} else if i < n/2 {
			slot = 1
		}
		rank := float64(i + 1)
		if !settled {
			rank = float64(rng.IntN(n) + 1)
		}
		rate := 1e4 / math.Pow(rank, 0.8) * math.Exp(0.1*rng.NormFloat64())
		s.with(slot, float32(rate), stable(60))
	}
	regions := s.Processes[0].Regions
	// The order of addresses tells nothing of the rates.
	rng.Shuffle(n, func(i, j int) {
		a, b := regions[i].Addr, regions[j].Addr
		regions[i], regions[j] = regions[j], regions[i]
		regions[i].Addr, regions[j].Addr = a, b
	})
	return s
}

// crowds is a crowd of so many workloads.
func crowds(n, workloads int) *Snapshot {
	s := crowd(n, false)
	all := s.Processes[0].Regions
	s.Processes = nil
	for w := range workloads {
		part := all[w*n/workloads : (w+1)*n/workloads]
		s.Processes = append(s.Processes, Process{ID: ProcessID{PID: w + 1}, Workload: fmt.Sprint(w), Regions: part})
	}
	return s
}

func BenchmarkDecideShares(b *testing.B) {
	for _, workloads := range []int{1, 2, 50} {
		b.Run(fmt.Sprintf("workloads=%d", workloads), func(b *testing.B) {
			s := crowds(1_000_000, workloads)
			p := params()
			p.Budget = 1 << 30
			var e Engine
			moves := len(e.Decide(s, p).Moves)
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(s, p)
			}
			b.ReportMetric(float64(moves), "moves")
		})
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, test := range []struct {
		n       int
		settled bool
		budget  uint64
	}{{1000, true, 1 << 30}, {100_000, true, 1 << 30}, {1_000_000, true, 1 << 30}, {1_000_000, false, 1 << 30}, {1_000_000, false, 1 << 40}} {
		name := fmt.Sprintf("regions=%d/settled=%t/budget=%dGiB", test.n, test.settled, test.budget>>30)
		b.Run(name, func(b *testing.B) {
			s := crowd(test.n, test.settled)
			p := params()
			p.Budget = test.budget
			var e Engine
			moves := len(e.Decide(s, p).Moves)
			b.ReportAllocs()
			for b.Loop() {
				e.Decide(s, p)
			}
			b.ReportMetric(float64(moves), "moves")
		})
	}
}

// Once an engine has its memory, a plan costs a handful of allocations,
// however many regions it looked at.
func TestAllocations(t *testing.T) {
	s := crowd(50_000, true)
	s.Nodes[0].Reserve, s.Nodes[0].Free = 0, 0
	var e Engine
	e.Decide(s, params())
	if n := testing.AllocsPerRun(5, func() { e.Decide(s, params()) }); n > 20 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkExplain(b *testing.B) {
	s := crowd(1_000_000, false)
	p := params()
	p.Budget = 1 << 20
	for _, test := range []struct {
		name  string
		about About
	}{
		{"region", About{Addr: base, Tries: 10}},
		{"process", About{Most: 10, Tries: 10}},
	} {
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Explain(nil, s, p, test.about); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
