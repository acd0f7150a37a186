package explain_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

const (
	base = 0x7f0000000000
	gib  = 1 << 30
)

// host is a machine with 4 MiB of room in each tier but hbm, which is full.
func host() *policy.Snapshot {
	const reserve = 64 << 20
	s := &policy.Snapshot{MoveCost: 2e-6, SincePhase: math.Inf(1), Pressure: 0.01}
	for i, name := range []string{"hbm", "dram", "cxl"} {
		free := uint64(reserve + 4<<20)
		if i == 0 {
			free = reserve
		}
		s.Tiers = append(s.Tiers, policy.Tier{Name: name, AccessNS: []float64{100, 200, 400}[i]})
		s.Nodes = append(s.Nodes, policy.Node{ID: policy.NodeID(i), Tier: i, Size: 64 * gib, Free: free, Reserve: reserve})
	}
	s.Processes = []policy.Process{{ID: policy.ProcessID{PID: 4242, Start: 1}, Workload: "train", Enforce: true}}
	return s
}

// with adds a region; it returns its address.
func with(s *policy.Snapshot, slot policy.Slot, rate float32, change func(*policy.Region)) uint64 {
	p := &s.Processes[0]
	r := policy.Region{
		Addr: base + uint64(len(p.Regions))*policy.RegionSize, Rate: rate, LogVar: 0.01, Stable: 20,
		SinceMove: float32(math.Inf(1)), Evidence: 0xff, Detail: -1,
	}
	r.Placement[0] = policy.SlotPages{Pages: policy.PagesPerRegion, Slot: slot}
	if change != nil {
		change(&r)
	}
	p.Regions = append(p.Regions, r)
	return r.Addr
}

func parameters() policy.Params {
	p := policy.DefaultParams()
	p.Budget = gib
	return p
}

func account(t *testing.T, s *policy.Snapshot, p policy.Params, about policy.About) *status.Account {
	t.Helper()
	about.Process = func(p *policy.Process) bool { return p.Workload == "train" }
	a, err := policy.Explain(nil, s, p, about)
	if err != nil {
		t.Fatal(err)
	}
	return explain.Account(a, s, about.Process)
}

// TestSentences holds what is said of regions in all the ways in which they can
// stand against what is in testdata.
func TestSentences(t *testing.T) {
	for name, make := range map[string]func(s *policy.Snapshot, p *policy.Params) uint64{
		"at_home": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 100, nil)
			with(s, 0, 100, nil)
			return with(s, 2, 0.1, nil)
		},
		"payback": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 100, nil)
			s.Nodes[1].Free += 64 << 20
			return with(s, 2, 0.4, func(r *policy.Region) { r.Stable = 3 })
		},
		"separation": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 10, nil)
			return with(s, 2, 12, func(r *policy.Region) { r.LogVar = 0.1 })
		},
		"huge": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 10, nil)
			return with(s, 2, 12, func(r *policy.Region) { r.LogVar, r.Flags = 0.1, policy.Huge })
		},
		"huge_on_trial": func(s *policy.Snapshot, p *policy.Params) uint64 {
			p.Split = true
			s.Processes[0].Enforce = true
			with(s, 0, 10, nil)
			return with(s, 2, 12, func(r *policy.Region) { r.LogVar, r.Flags = 0.1, policy.Huge })
		},
		"room": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			for i := range s.Nodes {
				s.Nodes[i].Free = s.Nodes[i].Reserve
			}
			with(s, 0, 10, nil)
			return with(s, 2, 300, nil)
		},
		"evidence": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 3, nil)
			return with(s, 2, 300, func(r *policy.Region) { r.Evidence = 1 })
		},
		"cooldown": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 3, nil)
			return with(s, 2, 300, func(r *policy.Region) { r.SinceMove = 4 })
		},
		"bound":     func(s *policy.Snapshot, _ *policy.Params) uint64 { return fixed(s, policy.Bound) },
		"immovable": func(s *policy.Snapshot, _ *policy.Params) uint64 { return fixed(s, policy.Immovable) },
		"shared":    func(s *policy.Snapshot, _ *policy.Params) uint64 { return fixed(s, policy.Shared) },
		"budget": func(s *policy.Snapshot, p *policy.Params) uint64 {
			p.Budget = 1 << 20
			with(s, 0, 3, nil)
			return with(s, 2, 300, nil)
		},
		"pressure": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			s.Pressure = 0.4
			with(s, 0, 3, nil)
			return with(s, 2, 300, nil)
		},
		"limit": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			s.Workloads = []policy.Workload{{Name: "train", Limits: []uint64{2 << 20, 2 << 20}}}
			with(s, 0, 1000, func(r *policy.Region) { r.Flags = policy.Bound })
			with(s, 1, 1000, func(r *policy.Region) { r.Flags = policy.Bound })
			s.Nodes[0].Free += 64 << 20
			return with(s, 2, 300, nil)
		},
		"moving": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 3, nil)
			return with(s, 2, 300, nil)
		},
		"planned": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			s.Processes[0].Enforce = false
			with(s, 0, 3, nil)
			return with(s, 2, 300, nil)
		},
		"guest": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 2, 300, func(r *policy.Region) { r.SinceMove = 4 })
			return with(s, 0, 3, nil)
		},
		"unknown": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			return with(s, 2, 0, func(r *policy.Region) { r.Flags = policy.Unseen })
		},
		"outside": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			s.Nodes = append(s.Nodes, policy.Node{ID: 9, Tier: -1})
			return with(s, 3, 10, nil)
		},
		"strata": func(s *policy.Snapshot, _ *policy.Params) uint64 {
			with(s, 0, 50, nil)
			var d policy.Detail
			d[0] = policy.Portion{Rate: 224, LogVar: 0.01, Pages: 64, Slot: 2, Evidence: 1}
			d[1] = policy.Portion{Rate: 1, LogVar: 0.01, Pages: 448, Slot: 2, Stratum: 1}
			s.Processes[0].Details = []policy.Detail{d}
			return with(s, 2, 10, func(r *policy.Region) { r.Detail = 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := host(), parameters()
			addr := make(s, &p)
			a := account(t, s, p, policy.About{Addr: addr, Tries: 100})
			e := &status.Explanation{SchemaVersion: status.SchemaVersion, About: "region", Says: explain.SayRegion(a), Decisions: []status.Decision{}, Account: a}
			check(t, "region_"+name, e)
		})
	}
}

func fixed(s *policy.Snapshot, flag uint8) uint64 {
	with(s, 0, 3, nil)
	return with(s, 2, 300, func(r *policy.Region) { r.Flags = flag })
}

func check(t *testing.T, name string, e *status.Explanation) {
	t.Helper()
	b, err := json.MarshalIndent(e, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/"+name+".json", string(b)+"\n")
}

// crowd fills the tiers with so many regions each, of rates that are drawn.
func crowd(s *policy.Snapshot, counts [3]int, rate func(tier int) float64) {
	for tier, n := range counts {
		for range n {
			with(s, policy.Slot(tier), float32(rate(tier)), nil)
		}
	}
	s.Nodes[1].Free = s.Nodes[1].Reserve
}

// A sweep over more than the fast tier holds is better left as it lies, and that
// is said; a hot set that lies outside is not, whatever keeps it there.
func TestStaticSubset(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	noisy := func(rate float64) float64 { return rate * math.Exp(0.1*rng.NormFloat64()) }
	for _, test := range []struct {
		name   string
		counts [3]int
		rate   func(tier int) float64
		change func(*policy.Snapshot, *policy.Params)
		want   bool
	}{
		{"sweep", [3]int{100, 0, 300}, func(int) float64 { return noisy(20) }, nil, true},
		{"apart", [3]int{100, 0, 300}, func(tier int) float64 { return noisy([]float64{200, 0, 20}[tier]) }, nil, false},
		{"all_fits", [3]int{100, 0, 300}, func(tier int) float64 { return noisy([]float64{20, 0, 1e-3}[tier]) }, nil, false},
		{"unseen", [3]int{100, 0, 300}, func(tier int) float64 { return noisy([]float64{2, 0, 20}[tier]) }, func(s *policy.Snapshot, _ *policy.Params) {
			for i := range s.Processes[0].Regions {
				s.Processes[0].Regions[i].Evidence = 1
			}
		}, false},
		{"broke", [3]int{100, 0, 300}, func(tier int) float64 { return noisy([]float64{2, 0, 20}[tier]) }, func(_ *policy.Snapshot, p *policy.Params) {
			p.Budget = 8 << 20
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, p := host(), parameters()
			crowd(s, test.counts, test.rate)
			if test.change != nil {
				test.change(s, &p)
			}
			a := account(t, s, p, policy.About{Most: 3, Tries: 20})
			says := explain.SayAccount("Workload train", a)
			if got := strings.Contains(says, "the best static subset stays"); got != test.want {
				t.Errorf("%s\n%+v", says, a.Tiers)
			}
			check(t, "workload_"+test.name, &status.Explanation{SchemaVersion: status.SchemaVersion, About: "workload", Says: says, Decisions: []status.Decision{}, Account: a})
		})
	}
}

// What each step uses once is told, and what follows if it is too large.
func TestSweepIsTold(t *testing.T) {
	for _, test := range []struct {
		fast uint64
		want string
	}{
		{1 << 30, "uses 4 GiB once, more than the 1 GiB that hbm has for it"},
		{8 << 30, "that has room in hbm"},
	} {
		s, p := host(), parameters()
		with(s, 0, 3, nil)
		a, err := policy.Explain(nil, s, p, policy.About{})
		if err != nil {
			t.Fatal(err)
		}
		a.Plan.Processes[0].Period, a.Plan.Processes[0].Sweep = 12.5, policy.Sweep{Bytes: 4 << 30, Fast: test.fast}
		says := explain.SayAccount("Workload train", explain.Account(a, s, func(*policy.Process) bool { return true }))
		if !strings.Contains(says, "training steps, of 12.5 s, ") || !strings.Contains(says, test.want) {
			t.Error(says)
		}
	}
}

// Whose breaker is open is told how it came to that.
func TestBreakerIsTold(t *testing.T) {
	s, p := host(), parameters()
	with(s, 0, 3, nil)
	addr := with(s, 2, 300, nil)
	a, err := policy.Explain(nil, s, p, policy.About{Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	a.Parts[0].State, a.Parts[0].Rule = policy.Held, policy.VetoBreaker
	a.Plan.Thrash.Breakers = []policy.Breaker{{Workload: "other", Undone: 0.1}, {Workload: "train", State: policy.Open, Undone: 0.72, Seconds: 12}}
	got := explain.Account(a, s, func(*policy.Process) bool { return true })
	if says := got.Parts[0].Says; !strings.Contains(says, "open for 12 s, because 72 % of its moves") || strings.Contains(says, "Nothing that was tried") {
		t.Error(says)
	}
}
