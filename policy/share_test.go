package policy

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// of adds a process of a workload; what follows is its.
func (s *Snapshot) of(workload string) *Snapshot {
	p := Process{ID: ProcessID{PID: len(s.Processes) + 1}, Workload: workload}
	if len(s.Processes) == 1 && len(s.Processes[0].Regions) == 0 {
		s.Processes = s.Processes[:0]
	}
	s.Processes = append(s.Processes, p)
	return s
}

// lay adds regions to the last process.
func (s *Snapshot) lay(slot Slot, n int, rate float32, change ...func(*Region)) *Snapshot {
	last := Snapshot{Processes: s.Processes[len(s.Processes)-1:]}
	for range n {
		last.with(slot, rate, change...)
	}
	return s
}

// allow says what a workload may have.
func (s *Snapshot) allow(name string, weight float64, regions ...uint64) *Snapshot {
	w := Workload{Name: name, Weight: weight}
	for _, n := range regions {
		w.Limits = append(w.Limits, n*RegionSize)
	}
	s.Workloads = append(s.Workloads, w)
	return s
}

// tenancy is how many regions of each process are in tier 0.
func tenancy(s *Snapshot) []int {
	var n []int
	for _, p := range s.Processes {
		k := 0
		for _, r := range p.Regions {
			if s.Nodes[r.Placement[0].Slot].Tier == 0 {
				k++
			}
		}
		n = append(n, k)
	}
	return n
}

// rest carries out plans until there is nothing to do.
func rest(t *testing.T, s *Snapshot, p Params) (moves int) {
	t.Helper()
	p.Cooldown = 0
	var e Engine
	for range 100 {
		plan := e.Decide(s, p)
		if len(plan.Moves) == 0 {
			return moves
		}
		for i := range plan.Moves {
			plan.Moves[i].apply(s)
		}
		moves += len(plan.Moves)
	}
	t.Fatal("no rest")
	return 0
}

func TestLimits(t *testing.T) {
	const region = PagesPerRegion
	tests := []struct {
		name   string
		s      *Snapshot
		want   []brief
		vetoed map[Rule]uint64
	}{
		{
			name: "free room is filled up to the limit",
			s:    tiers(9, 9).of("w").lay(1, 1, 30).lay(1, 1, 20).lay(1, 1, 10).allow("w", 0, 2),
			want: []brief{{0, 1, 0, Fill}, {1, 1, 0, Fill}},
		},
		{
			name: "at the limit, a hot region takes the place of a colder one although there is room",
			s:    tiers(9, 9).of("w").lay(0, 1, 10).lay(0, 1, 1).lay(1, 1, 100).allow("w", 0, 2),
			want: []brief{{1, 0, 1, Victim}, {2, 1, 0, Exchange}},
		},
		{
			name:   "at the limit, nothing that is surely colder",
			s:      tiers(9, 9).of("w").lay(0, 1, 99).lay(1, 1, 100).allow("w", 0, 1),
			vetoed: map[Rule]uint64{VetoLimit: region},
		},
		{
			name:   "memory that cannot move counts",
			s:      tiers(9, 9).of("w").lay(0, 1, 1, flags(Bound)).lay(1, 1, 100).allow("w", 0, 1),
			vetoed: map[Rule]uint64{VetoLimit: region},
		},
		{
			name: "at the limit, nothing of others leaves",
			s:    tiers(0, 9).of("v").lay(0, 1, 1).of("w").lay(0, 1, 90).lay(1, 1, 100).allow("w", 0, 1),
			vetoed: map[Rule]uint64{
				VetoLimit: region,
			},
		},
		{
			name: "above the limit, the coldest leave",
			s:    tiers(9, 9).of("w").lay(0, 1, 30).lay(0, 1, 10).lay(0, 1, 20).allow("w", 0, 1),
			want: []brief{{1, 0, 1, Limit}, {2, 0, 1, Limit}},
		},
		{
			name: "what a limit forbids a tier goes further down",
			s:    tiers(0, 9, 9).of("w").lay(0, 1, 1).lay(1, 1, 90).lay(2, 1, 100).allow("w", 0, 0, 1),
			want: []brief{{0, 0, 2, Victim}, {2, 2, 0, Exchange}},
		},
		{
			name: "others are not held by it",
			s:    tiers(9, 9).of("v").lay(1, 1, 10).of("w").lay(1, 1, 20).allow("w", 0, 1).allow("nobody", 0, 1),
			want: []brief{{0, 1, 0, Fill}, {0, 1, 0, Fill}},
		},
		{
			name: "a limit of the slowest tier means nothing",
			s:    tiers(9, 9).of("w").lay(1, 3, 0.01).allow("w", 0, 0, 1),
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := new(Engine).Decide(test.s, params())
			if test.vetoed == nil {
				test.vetoed = map[Rule]uint64{}
			}
			if diff := cmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.vetoed, plan.Vetoed); diff != "" {
				t.Errorf("vetoed pages (-want +got):\n%s", diff)
			}
		})
	}
}

// Where each workload ends, however it began.
func TestShares(t *testing.T) {
	tests := []struct {
		name string
		s    *Snapshot
		want []int
	}{
		{
			name: "one that touches its memory faster gets no more than its share",
			s:    tiers(0, 99).of("a").lay(1, 20, 10).of("b").lay(0, 20, 100).lay(1, 20, 100),
			want: []int{10, 10},
		},
		{
			name: "it takes back nothing that is within the other's share",
			s:    tiers(0, 99).of("a").lay(0, 10, 10).lay(1, 10, 10).of("b").lay(0, 10, 100).lay(1, 20, 100),
			want: []int{10, 10},
		},
		{
			name: "what the other does not want is for all",
			s:    tiers(0, 99).of("a").lay(0, 20, 0.01).lay(1, 3, 10).of("b").lay(1, 20, 100),
			want: []int{3, 17},
		},
		{
			name: "nobody wants more than pays",
			s:    tiers(20, 99).of("a").lay(1, 3, 10).lay(1, 20, 0.01).of("b").lay(1, 40, 100),
			want: []int{3, 17},
		},
		{
			name: "weights",
			s:    tiers(0, 99).of("a").lay(1, 40, 10).of("b").lay(0, 40, 100).allow("a", 3),
			want: []int{30, 10},
		},
		{
			name: "a limit cuts a share",
			s:    tiers(0, 99).of("a").lay(1, 40, 10).of("b").lay(0, 40, 100).allow("a", 3, 5),
			want: []int{5, 35},
		},
		{
			name: "processes of a workload share its share",
			s:    tiers(0, 99).of("a").lay(1, 40, 10).of("b").lay(0, 20, 100).of("b").lay(0, 20, 100),
			want: []int{20, 10, 10},
		},
		{
			name: "three, of which one wants little",
			s:    tiers(0, 99).of("a").lay(1, 4, 10).of("b").lay(1, 40, 20).of("c").lay(0, 24, 400),
			want: []int{4, 10, 10},
		},
		{
			name: "too little used to pay for two moves",
			// 0.8 pays for one: it is demand, but takes nothing from others.
			s:    tiers(0, 99).of("a").lay(1, 20, 0.8).of("b").lay(0, 20, 100),
			want: []int{0, 20},
		},
		{
			name: "not seen hot often enough",
			s:    tiers(0, 99).of("a").lay(1, 20, 10, seen(1)).of("b").lay(0, 20, 100),
			want: []int{0, 20},
		},
		{
			name: "a region less than its share is no reason to move",
			s:    tiers(0, 99).of("a").lay(0, 9, 10).lay(1, 9, 10).of("b").lay(0, 11, 100),
			want: []int{9, 11},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := params()
			rest(t, test.s, p)
			got := tenancy(test.s)
			if test.name == "processes of a workload share its share" {
				got[1], got[2] = (got[1]+got[2])/2, (got[1]+got[2]+1)/2
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("regions in the fast tier (-want +got):\n%s", diff)
			}
		})
	}
}

// Shares hold in every tier but the slowest, and each region gets to its place
// in one move.
func TestSharesOfThreeTiers(t *testing.T) {
	tests := []struct {
		name  string
		s     *Snapshot
		want  [][3]int
		moves int
	}{
		{
			name:  "both want all",
			s:     tiers(0, 0, 999).of("a").lay(2, 100, 10).of("b").lay(0, 40, 100).lay(1, 60, 100).lay(2, 100, 100),
			want:  [][3]int{{20, 30, 50}, {20, 30, 150}},
			moves: 2 * 50,
		},
		{
			name:  "what one does not want in the middle is the other's",
			s:     tiers(0, 0, 999).of("a").lay(2, 30, 10).of("b").lay(0, 40, 100).lay(1, 60, 100).lay(2, 100, 100),
			want:  [][3]int{{20, 10, 0}, {20, 50, 130}},
			moves: 2 * 30,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if n := rest(t, test.s, params()); n != test.moves {
				t.Errorf("%d moves, want %d", n, test.moves)
			}
			var got [][3]int
			for _, p := range test.s.Processes {
				var n [3]int
				for _, r := range p.Regions {
					n[r.Placement[0].Slot]++
				}
				got = append(got, n)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("regions by tier (-want +got):\n%s", diff)
			}
		})
	}
}

func TestShareReasons(t *testing.T) {
	s := tiers(0, 99).of("a").lay(1, 3, 10).of("b").lay(0, 6, 100).lay(1, 6, 100)
	plan := new(Engine).Decide(s, params())
	want := []brief{{0, 0, 1, Victim}, {0, 1, 0, Share}, {1, 0, 1, Victim}, {1, 1, 0, Share}, {2, 0, 1, Victim}, {2, 1, 0, Share}}
	got := briefs(plan.Moves)
	for i := range got {
		if got[i].Rule == Victim {
			got[i].Region = i / 2 // any of b's
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("moves (-want +got):\n%s", diff)
	}
	if r := plan.Moves[1].Reason; r.Rate != 10 || r.VictimRate != 100 || r.Separation >= 0 || r.Payback < 5 {
		t.Errorf("%+v", r)
	}
	// What remains of b is as hot as what it has.
	if diff := cmp.Diff(map[Rule]uint64{VetoSeparation: 6 * PagesPerRegion}, plan.Vetoed); diff != "" {
		t.Errorf("vetoed pages (-want +got):\n%s", diff)
	}
	for i := range plan.Moves {
		plan.Moves[i].apply(s)
	}
	plan = new(Engine).Decide(s.of("c"), params())
	// All that b has outside is as hot as what it has inside; a's is colder.
	if diff := cmp.Diff(map[Rule]uint64{VetoShare: 9 * PagesPerRegion}, plan.Vetoed); diff != "" || len(plan.Moves) > 0 {
		t.Errorf("%d moves, vetoed pages (-want +got):\n%s", len(plan.Moves), diff)
	}
	if len(plan.Processes[0].Boundaries) != 1 || plan.Processes[0].Boundaries[0] >= 10 || plan.Processes[1].Boundaries[0] != 100 {
		t.Errorf("boundaries %v and %v", plan.Processes[0].Boundaries, plan.Processes[1].Boundaries)
	}
}

// Two workloads that are seen through noise, and whose demand comes and goes
// with it, rest at their shares.
func TestSharesRest(t *testing.T) {
	for _, noisy := range []float64{0.05, 0.2, 0.5} {
		rng := rand.New(rand.NewPCG(1, uint64(noisy*100)))
		s := tiers(0, 2000).of("a").lay(1, 400, 1).of("b").lay(0, 400, 1).lay(1, 400, 1)
		truth := func(proc, i int) float64 {
			r := 0.1 * math.Pow(1.02, float64(i)) // from a tenth of what pays on
			if proc == 1 {
				r *= 10
			}
			return r
		}
		var e Engine
		late, shares := 0, 0
		for epoch := range 200 {
			for k := range s.Processes {
				for i := range s.Processes[k].Regions {
					r := &s.Processes[k].Regions[i]
					r.Rate = float32(truth(k, i) * math.Exp(noisy*rng.NormFloat64()))
					r.LogVar, r.SinceMove, r.Stable = float32(noisy*noisy), r.SinceMove+1, 60
				}
			}
			plan := e.Decide(s, params())
			for i := range plan.Moves {
				m := &plan.Moves[i]
				m.apply(s)
				r := m.region(s)
				r.SinceMove, r.Flags = 0, r.Flags&^MovedUp
				if m.Kind == Promotion {
					r.Flags |= MovedUp
				}
			}
			for i := range plan.Moves {
				if epoch >= 100 {
					late++
					if plan.Moves[i].Reason.Rule == Share {
						shares++
					}
				}
			}
		}
		if n := tenancy(s); n[0] < 190 || n[0] > 210 {
			t.Errorf("noise %v: %v regions in the fast tier", noisy, n)
		}
		t.Logf("noise %v: %v in the fast tier, %d moves in the last 100 epochs, %d of them for shares", noisy, tenancy(s), late, shares)
		if shares > 0 {
			t.Errorf("noise %v: %d moves for shares in the last 100 epochs", noisy, shares)
		}
	}
}

func TestPour(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e Engine
		n := rapid.IntRange(1, 8).Draw(t, "workloads")
		amount := rapid.Int64Range(0, 1<<40).Draw(t, "amount")
		e.poured = make([]int64, n)
		for range n {
			e.demand = append(e.demand, rapid.Int64Range(0, 1<<39).Draw(t, "demand"))
			e.weight = append(e.weight, rapid.SampledFrom([]float64{0.1, 1, 1, 3}).Draw(t, "weight"))
		}
		e.pour(amount)
		var sum, demand int64
		level := 0.0
		for w, b := range e.poured {
			if b < 0 || b > e.demand[w] {
				t.Fatalf("%d of a demand of %d", b, e.demand[w])
			}
			sum, demand, level = sum+b, demand+e.demand[w], max(level, float64(b)/e.weight[w])
		}
		if sum > amount || sum < min(amount, demand)-int64(n) {
			t.Fatalf("%d of %d poured, the demand being %d", sum, amount, demand)
		}
		for w, b := range e.poured {
			if b < e.demand[w] && float64(b)/e.weight[w] < level*(1-1e-9)-20 {
				t.Fatalf("workload %d has %d of %d, which is less than others: %v", w, b, e.demand[w], e.poured)
			}
		}
	})
}
