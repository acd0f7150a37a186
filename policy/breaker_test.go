package policy

import "testing"

// windows lets a workload go through windows of moves, of which a part is
// undone.
func windows(b *breaker, p *Params, now float64, parts ...float64) float64 {
	for _, part := range parts {
		b.moved += 2 * enoughMoves
		b.undone += int(part * 2 * enoughMoves)
		now += windowSeconds
		b.turn(now, p)
	}
	return now
}

func TestBreaker(t *testing.T) {
	p := DefaultParams()
	for _, test := range []struct {
		name  string
		parts []float64
		want  BreakerState
	}{
		{"good windows", []float64{0, 0.5, 0.4, 0.5, 0.1}, Closed},
		{"two bad ones", []float64{1, 0.6}, Closed},
		{"two and two", []float64{1, 0.6, 0.1, 1, 1}, Closed},
		{"three", []float64{0.6, 0.6, 0.6}, Open},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b breaker
			windows(&b, &p, 0, test.parts...)
			if b.state != test.want {
				t.Errorf("state %s, want %s", b.state, test.want)
			}
		})
	}
}

// A few moves say nothing, however many are undone, and a window waits for more.
func TestBreakerIgnoresFewMoves(t *testing.T) {
	var b breaker
	p := DefaultParams()
	for now := windowSeconds; now < 600; now += windowSeconds {
		b.moved, b.undone = b.moved+PagesPerRegion/4, b.undone+PagesPerRegion/4
		b.turn(float64(now), &p)
	}
	if b.state != Closed {
		t.Errorf("state %s", b.state)
	}
}

func TestBreakerCloses(t *testing.T) {
	p := DefaultParams()
	open := func() (*breaker, float64) {
		b := &breaker{}
		return b, windows(b, &p, 0, 1, 1, 1)
	}
	t.Run("by a probe", func(t *testing.T) {
		b, now := open()
		if bytes, _ := b.allowance(now+29, 1<<30); bytes != 0 {
			t.Errorf("%d bytes too early", bytes)
		}
		now += 30
		if bytes, _ := b.allowance(now, 1<<30); bytes != 10737418 {
			t.Errorf("a probe of %d bytes, want 1 %% of a GiB", bytes)
		}
		b.probing(now)
		if bytes, _ := b.allowance(now+1, 1<<30); bytes != 0 {
			t.Errorf("%d bytes after the probe", bytes)
		}
		b.tried = 2
		b.probed(wasted, now+1)
		b.probed(paid, now+2)
		if b.state != Open {
			t.Error("one of two has paid, and it closes")
		}
		b.probing(now + 30)
		b.tried = 1
		b.probed(paid, now+31)
		if b.state != Closed {
			t.Errorf("state %s after a probe that pays", b.state)
		}
	})
	t.Run("on a phase change", func(t *testing.T) {
		b, now := open()
		b.forgive(now)
		if b.state != HalfOpen {
			t.Errorf("state %s", b.state)
		}
		windows(b, &p, now, 0.1)
		if b.state != Closed {
			t.Errorf("state %s after a good window", b.state)
		}
	})
	t.Run("and one bad window opens it again", func(t *testing.T) {
		b, now := open()
		b.forgive(now)
		windows(b, &p, now, 0.9)
		if b.state != Open || b.trips != 2 {
			t.Errorf("state %s, %d trips", b.state, b.trips)
		}
	})
}

// One workload's breaker is none of another's.
func TestBreakerHoldsOne(t *testing.T) {
	var c Controller
	s := never(tiers(9, 9).with(1, 10))
	s.Processes = append(s.Processes, s.Processes[0])
	s.Processes[1].ID.PID, s.Processes[1].Workload = 2, "other"
	s.Seconds = 1
	c.processes(s)
	c.workloads[0].set(Open, 0)
	c.workloads[0].probeAt = 30
	plan := c.Decide(s, params())
	if len(plan.Moves) != 1 || plan.Moves[0].Process != 1 {
		t.Errorf("moves %+v", plan.Moves)
	}
	if plan.Processes[0].Vetoed[VetoBreaker] != 512 {
		t.Errorf("vetoed %v", plan.Processes[0].Vetoed)
	}
	b := plan.Thrash.Breakers
	if len(b) != 2 || b[0].State != Open || b[1].State != Closed || b[1].Workload != "other" {
		t.Errorf("breakers %+v", b)
	}
}

// An open breaker lets a probe through, which is told by its entry in the ledger,
// and closes when it has paid.
func TestProbePays(t *testing.T) {
	for _, test := range []struct {
		name string
		rate float32 // once it has moved
		want BreakerState
	}{{"it pays", 10, Closed}, {"it does not", 0.01, Open}} {
		t.Run(test.name, func(t *testing.T) {
			var c Controller
			p := params()
			p.Budget = 100 * RegionSize
			s := never(tiers(9, 9))
			for range 9 {
				s.with(1, 10)
			}
			s.Seconds = 1
			c.processes(s)
			c.workloads[0].set(Open, 0)
			c.workloads[0].probeAt = 0
			plan := c.Decide(s, p)
			if len(plan.Moves) != 1 {
				t.Fatalf("%d moves, want one of nine", len(plan.Moves))
			}
			carry(&c, s, plan)
			plan.Moves[0].region(s).Rate = test.rate
			for range 40 {
				s.Seconds++
				if plan = c.Decide(s, p); len(plan.Moves) > 0 {
					break
				}
			}
			if got := plan.Thrash.Breakers[0].State; got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			if open := len(plan.Moves) == 1; open != (test.want == Open) {
				t.Errorf("then %d moves", len(plan.Moves))
			}
		})
	}
}
