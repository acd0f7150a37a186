package policy

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// never is a snapshot without a phase change.
func never(s *Snapshot) *Snapshot {
	s.SincePhase = math.Inf(1)
	return s
}

// carry does all moves of a plan at 2 µs a page, and tells the controller.
func carry(c *Controller, s *Snapshot, plan *Plan) {
	for i := range plan.Moves {
		m := &plan.Moves[i]
		m.apply(s)
		r := m.region(s)
		r.SinceMove = 0
		if r.Flags &^= MovedUp; m.Kind == Promotion {
			r.Flags |= MovedUp
		}
		c.Done([]Done{{ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind, Pages: m.Pages, Seconds: 2e-6 * float64(m.Pages)}})
	}
}

// pass lets seconds go by, in steps of one, with a budget of nothing: what is
// there stays, and is judged.
func pass(c *Controller, s *Snapshot, p Params, seconds int) *Plan {
	p.Budget = 0
	var plan *Plan
	for range seconds {
		s.Seconds++
		for i := range s.Processes {
			for j := range s.Processes[i].Regions {
				s.Processes[i].Regions[j].SinceMove++
			}
		}
		plan = c.Decide(s, p)
	}
	return plan
}

// A page costs 2 µs and saves 200 ns per access between cxl and dram: at a rate
// of 10 it pays in one second, at 0.5 in 20 seconds, at 0.2 in 50, at 0.1 never. An
// exchange costs twice as much.
func TestVerdicts(t *testing.T) {
	type counts struct{ Pending, Paid, Wasted, Undone int }
	rate := func(i int, r float32) func(*Snapshot) {
		return func(s *Snapshot) { s.Processes[0].Regions[i].Rate = r }
	}
	back := func(i int) func(*Snapshot) {
		return func(s *Snapshot) {
			s.Processes[0].Regions[i].Rate, s.Nodes[0].Reserve = 0.001, s.Nodes[0].Free+RegionSize
		}
	}
	for _, test := range []struct {
		name   string
		s      *Snapshot
		then   func(*Snapshot)
		after  int
		want   counts
		wasted float64 // seconds
	}{
		{"a fill that pays", tiers(2, 9).with(1, 10), nil, 5, counts{Paid: 1}, 0},
		{"one that has cooled down", tiers(2, 9).with(1, 10), rate(0, 0.1), 29, counts{Pending: 1}, 0},
		{"and its time is up", tiers(2, 9).with(1, 10), rate(0, 0.1), 32, counts{Pending: 1, Wasted: 1}, 1.024e-3},
		{"it is forgotten after the window", tiers(2, 9).with(1, 10), rate(0, 0.1), 63, counts{Wasted: 1}, 1.024e-3},
		{"one that is on its way has longer", tiers(2, 9).with(1, 10), rate(0, 0.2), 45, counts{Pending: 1}, 0},
		{"and gets there", tiers(2, 9).with(1, 10), rate(0, 0.2), 52, counts{Paid: 1}, 0},
		{"undone before it has paid", tiers(2, 9).with(1, 10), back(0), 1, counts{Wasted: 1, Undone: 1}, 1.024e-3},
		{"an exchange is booked with both costs", tiers(0, 9).with(0, 0.1).with(1, 10), rate(1, 0.55), 32, counts{Pending: 1}, 0},
		{"and net", tiers(0, 9).with(0, 0.5).with(1, 10), rate(1, 0.8), 32, counts{Pending: 1, Wasted: 1}, 2.048e-3},
		{"what the victim would earn now counts", tiers(0, 9).with(0, 0.1).with(1, 10), func(s *Snapshot) {
			rate(0, 5)(s)
			rate(1, 5)(s)
		}, 32, counts{Pending: 1, Wasted: 1}, 2.048e-3},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Controller
			s, p := never(test.s), params()
			p.Cooldown = 0
			s.Seconds = 1
			carry(&c, s, c.Decide(s, p))
			if test.then != nil {
				test.then(s)
			}
			if s.Nodes[0].Room() == 0 && s.Nodes[0].Free < s.Nodes[0].Reserve {
				carry(&c, s, c.Decide(s, p)) // relief
			}
			plan := pass(&c, s, p, test.after)
			got := plan.Thrash
			if diff := cmp.Diff(test.want, counts{got.Pending, int(got.Totals.Paid), int(got.Totals.Wasted), int(got.Totals.Undone)}); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if math.Abs(got.Totals.WastedSeconds-test.wasted) > 1e-9 {
				t.Errorf("%v s wasted, want %v", got.Totals.WastedSeconds, test.wasted)
			}
		})
	}
}

// exchanged is a controller that has just exchanged half of so many regions for
// the other half, and the snapshot in which all of them then turn out to be
// alike.
func exchanged(n int, p Params) (*Controller, *Snapshot) {
	c, s := &Controller{}, tiers(0, n)
	for i := range n {
		s.with(Slot(i%2), []float32{1, 10}[i%2])
	}
	s.Seconds = 1
	carry(c, never(s), c.Decide(s, p))
	for i := range s.Processes[0].Regions {
		s.Processes[0].Regions[i].Rate = 5
	}
	return c, s
}

// Where all memory is used alike, every promotion seems to earn and every
// exchange earns nothing: it must show as waste, and be acted on.
func TestAlikeIsWaste(t *testing.T) {
	p := params()
	c, s := exchanged(64, p)
	plan := pass(c, s, p, 40)
	if got := plan.Thrash; got.Totals.Wasted != 32 || got.Totals.Paid != 0 || got.Separation <= p.Separation || got.BudgetShare >= 1 {
		t.Errorf("%+v", got)
	}
	// 32 exchanges at 2 ms in a window of 5 s.
	lowest := plan.Thrash.BudgetShare
	plan = pass(c, s, p, 60)
	if got := plan.Thrash; got.Waste != 0 || got.BudgetShare < lowest {
		t.Errorf("a minute later: %+v", got)
	}
	plan = pass(c, s, p, 600)
	if got := plan.Thrash; got.BudgetShare != 1 || got.Separation != p.Separation {
		t.Errorf("in the end: %+v", got)
	}
}

// A smaller budget is saved up until an exchange fits.
func TestSteeredBudget(t *testing.T) {
	var c Controller
	p := params()
	p.Budget = 64 * RegionSize
	c.Decide(never(&Snapshot{Seconds: 1}), p)
	c.share = 1.0 / 256 // a quarter of a region each second
	s := tiers(0, 100)
	for i := range 40 {
		s.with(Slot(i%2), []float32{1, 10}[i%2])
	}
	moved := 0
	for range 80 {
		c.share, c.smooth = 1.0/256, 1 // held
		s.Seconds++
		plan := c.Decide(never(s), p)
		moved += len(plan.Moves)
		carry(&c, s, plan)
	}
	if moved < 16 || moved > 20 {
		t.Errorf("%d regions moved in 80 s, want 20 at most and nearly that", moved)
	}
	// A node that is below its reserve does not wait.
	s.Nodes[0].Reserve += 10 * RegionSize
	s.Seconds++
	if n := len(c.Decide(s, p).Moves); n < 10 {
		t.Errorf("%d regions relieved, want at least 10", n)
	}
}

func TestPressure(t *testing.T) {
	for _, test := range []struct {
		name          string
		host, process float64
		want          []brief
		vetoed        map[Rule]uint64
	}{
		{"none", 0.05, 0, []brief{{1, 1, 0, Fill}}, map[Rule]uint64{}},
		{"unknown", NoPressure, NoPressure, []brief{{1, 1, 0, Fill}}, map[Rule]uint64{}},
		{"no number", math.NaN(), math.NaN(), []brief{{1, 1, 0, Fill}}, map[Rule]uint64{}},
		{"the host's", 0.11, 0, nil, map[Rule]uint64{VetoPressure: 512}},
		{"the process's", 0, 0.5, nil, map[Rule]uint64{VetoPressure: 512}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Controller
			s := never(tiers(1, 9).with(0, 1).with(1, 10))
			s.Pressure, s.Processes[0].Pressure = test.host, test.process
			plan := c.Decide(s, params())
			if diff := cmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.vetoed, plan.Vetoed); diff != "" {
				t.Errorf("vetoed (-want +got):\n%s", diff)
			}
			// Relief always works.
			s.Nodes[0].Free = reserve - 1
			relieved := false
			for _, m := range c.Decide(s, params()).Moves {
				relieved = relieved || m.Reason.Rule == Relief
			}
			if !relieved {
				t.Error("no relief")
			}
		})
	}
}

// What comes back before it has paid stays longer and longer before it may come
// up again, until that is forgotten.
func TestCooldownDoubles(t *testing.T) {
	var c Controller
	p := params()
	s := never(tiers(1, 9).with(1, 10))
	s.Seconds = 1
	r := &s.Processes[0].Regions[0]
	for n, want := range []float64{10, 20, 40} {
		r.Rate = 10
		waited := 0.0
		for plan := c.Decide(s, p); len(plan.Moves) == 0; plan = c.Decide(s, p) {
			if waited++; waited > 100 {
				t.Fatal("never")
			}
			s.Seconds++
			r.SinceMove++
		}
		carry(&c, s, c.Decide(s, p))
		if n > 0 && waited != want {
			t.Errorf("the way up after return %d: %v s, want %v", n, waited, want)
		}
		// It is forced out at once.
		r.SinceMove = 11
		r.Rate = 0.001
		s.Nodes[0].Reserve += headroom + 2*RegionSize
		carry(&c, s, c.Decide(s, p))
		s.Nodes[0].Reserve -= headroom + 2*RegionSize
		if r.Placement[0].Slot != 1 {
			t.Fatal("not relieved")
		}
	}
	// A phase change forgives.
	s.Seconds += 200
	s.SincePhase = 1
	r.Rate, r.SinceMove = 10, 11
	if plan := c.Decide(s, p); len(plan.Moves) != 1 {
		t.Error("stays after a phase change")
	}
}

// One that comes too soon after the last is no news, and forgives nothing.
func TestPhase(t *testing.T) {
	p := params()
	c, s := exchanged(64, p)
	pass(c, s, p, 40)
	s.SincePhase = 0
	if got := pass(c, s, p, 1).Thrash; got.BudgetShare != 1 || got.Separation != p.Separation {
		t.Errorf("after a phase change: %+v", got)
	}
	for range 20 { // another each five seconds
		c.share, c.z = 0.5, 1
		s.SincePhase = 5
		pass(c, s, p, 4)
		s.SincePhase = 0
		if got := pass(c, s, p, 1).Thrash; got.BudgetShare == 1 {
			t.Fatalf("forgiven again: %+v", got)
		}
	}
}

// draw makes what happens to a controller: a machine whose rates, reserves, clock
// and pressures change, and moves of which only a part is done.
func evolve(t *rapid.T, s *Snapshot) {
	s.Seconds += rapid.SampledFrom([]float64{0.2, 1, 1, 5, 40, -3, math.NaN()}).Draw(t, "step")
	if math.IsNaN(s.Seconds) {
		s.Seconds = 0
	}
	s.SincePhase = rapid.SampledFrom([]float64{math.Inf(1), math.Inf(1), 0, 3, math.NaN(), -1}).Draw(t, "phase")
	s.Pressure = rapid.SampledFrom([]float64{0, 0, 0, 0.5, NoPressure}).Draw(t, "pressure")
	for i := range s.Processes {
		for j := range s.Processes[i].Regions {
			r := &s.Processes[i].Regions[j]
			if r.SinceMove++; rapid.IntRange(0, 3).Draw(t, "changes") == 0 {
				r.Rate *= rapid.SampledFrom([]float32{0.01, 1, 100}).Draw(t, "factor")
			}
		}
	}
}

func did(t *rapid.T, s *Snapshot, plan *Plan) (all []Done) {
	for i := range plan.Moves {
		m := &plan.Moves[i]
		part := rapid.SampledFrom([]int{0, 1, 1, 1}).Draw(t, "done")
		if part > 0 {
			m.apply(s)
			r := m.region(s)
			r.SinceMove = 0
			if r.Flags &^= MovedUp; m.Kind == Promotion {
				r.Flags |= MovedUp
			}
		}
		all = append(all, Done{
			ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind, Pages: m.Pages * part,
			Seconds: rapid.SampledFrom([]float64{0, 2e-6, 1e-3, math.NaN(), -1, math.Inf(1)}).Draw(t, "cost") * float64(m.Pages),
		})
	}
	return all
}

// Whatever happens: the same calls give the same plans; the budget holds; an open
// breaker and pressure let nothing through but relief and, every 30 s, a probe;
// waste above the limit raises no budget and lowers no separation.
func TestControllerHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, tidy), parameters(t)
		p.MaxWaste = rapid.SampledFrom([]float64{0.002, 1e-6}).Draw(t, "max waste")
		var c, same Controller
		before := Thrash{BudgetShare: 1}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			evolve(t, s)
			if len(c.workloads) > 0 && rapid.IntRange(0, 4).Draw(t, "trip") == 0 {
				for _, of := range []*Controller{&c, &same} {
					of.workloads[0].set(Open, of.now)
					of.workloads[0].probeAt = of.now + 2
				}
			}
			phase := c.phaseAt
			plan := c.Decide(s, p)
			if diff := cmp.Diff(same.Decide(s, p), plan); diff != "" {
				t.Fatalf("the same calls give another plan (-one +other):\n%s", diff)
			}
			var sum uint64
			held := map[string]int64{}
			for _, m := range plan.Moves {
				sum += uint64(m.Pages) * PageSize
				proc := &s.Processes[m.Process]
				b := &c.workloads[c.workloadOf[m.Process]]
				if m.Reason.Rule == Relief {
					continue
				}
				if s.Pressure > p.MaxPressure {
					t.Fatalf("moves under pressure: %+v", m)
				}
				if b.state == Open {
					if held[proc.Workload] += int64(m.Pages) * PageSize; b.probeAt != c.now+probeEvery {
						t.Fatalf("moves though the breaker is open: %+v", m)
					}
				}
			}
			for w, bytes := range held {
				// The last exchange may go beyond the allowance, by its victims and what
				// they push out.
				if most := int64(probeShare*float64(p.Budget)) + 2*maxVictims*RegionSize; bytes > most {
					t.Fatalf("a probe of %q of %d bytes", w, bytes)
				}
			}
			if sum > p.Budget {
				t.Fatalf("%d bytes planned, budget %d", sum, p.Budget)
			}
			now := plan.Thrash
			if now.Waste > p.MaxWaste && c.phaseAt == phase && (now.BudgetShare > before.BudgetShare || now.Separation < before.Separation) {
				t.Fatalf("waste %v: from %+v to %+v", now.Waste, before, now)
			}
			if now.Separation < p.Separation || now.Separation > max(p.Separation, mostSeparation) || !(now.BudgetShare >= leastBudget && now.BudgetShare <= 1) {
				t.Fatalf("%+v", now)
			}
			before = now
			done := did(t, s, plan)
			c.Done(done)
			same.Done(done)
		}
	})
}

// Once it has its memory, a controller allocates as little as the engine.
func TestControllerAllocations(t *testing.T) {
	s := never(crowd(50_000, true))
	s.Nodes[0].Reserve, s.Nodes[0].Free = 0, 0
	var c Controller
	carry(&c, s, c.Decide(s, params()))
	n := testing.AllocsPerRun(5, func() {
		s.Seconds++
		c.Decide(s, params())
	})
	if n > 30 {
		t.Errorf("%v allocations", n)
	}
}

// The ledger has a bound, and counts what is beyond.
func TestLedgerBound(t *testing.T) {
	var l ledger
	for i := range maxEntries + 10 {
		l.open(entry{at: spot{addr: uint64(i)}, strata: AllStrata, cost: 1})
	}
	l.open(entry{at: spot{addr: 1}, strata: AllStrata, cost: 1}) // one that is there
	if len(l.entries) != maxEntries || l.totals.Dropped != 10 || len(l.index) != maxEntries {
		t.Errorf("%d entries, %d in the index, %d dropped", len(l.entries), len(l.index), l.totals.Dropped)
	}
}

// What a move to a workload's due takes from another is no loss.
func TestShareIsNotNet(t *testing.T) {
	var c Controller
	s := never(tiers(0, 9).with(0, 10).with(1, 10))
	s.Processes[0].Workload = "a"
	c.Decide(s, params())
	at := func(i int) spot { return spot{s.Processes[0].ID, s.Processes[0].Regions[i].Addr} }
	c.planned[plannedMove{at(0), 0, 1}] = plannedReason{rule: Victim, rate: 10}
	c.planned[plannedMove{at(1), 1, 0}] = plannedReason{rule: Share, rate: 10}
	for i, kind := range []Kind{Demotion, Promotion} {
		from, to := Slot(i), Slot(1-i)
		c.Done([]Done{{ID: at(i).id, Addr: at(i).addr, Strata: AllStrata, From: from, To: to, Kind: kind, Pages: 512, Seconds: 1e-3}})
		s.Processes[0].Regions[i].Placement[0].Slot = to
	}
	if got := pass(&c, s, params(), 5).Thrash; got.Totals.Paid != 1 || math.Abs(got.Totals.Seconds-2e-3) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkController(b *testing.B) {
	s := never(crowd(1_000_000, true))
	var c Controller
	c.Decide(s, params())
	b.ReportAllocs()
	for b.Loop() {
		s.Seconds += 0.2
		c.Decide(s, params())
	}
}

func BenchmarkLedger(b *testing.B) {
	s := never(crowd(1_000_000, true))
	var c Controller
	c.Decide(s, params())
	for i := 0; i < 20_000; i++ {
		r := &s.Processes[0].Regions[i*50]
		c.ledger.open(entry{
			at: spot{s.Processes[0].ID, r.Addr}, victim: spot{s.Processes[0].ID, s.Processes[0].Regions[i*50+7].Addr},
			strata: AllStrata, left: AllStrata, pages: 512, from: 2, to: r.Placement[0].Slot, cost: 1e9,
		})
	}
	b.ReportAllocs()
	for b.Loop() {
		c.now++
		for i := range c.ledger.entries {
			c.ledger.entries[i].opened = c.now
		}
		c.ledger.earn(s, c.procs, &c.p, c.now, c.settled)
	}
}
