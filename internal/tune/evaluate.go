package tune

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// Case is what values are tried on.
type Case struct {
	Workload sim.Workload
	Machine  sim.Machine
}

// Outcome is what a run came to.
type Outcome struct {
	// Slowdown is by how much accesses and tierd's work took longer than with
	// nothing moved; below 0 it was worth it.
	Slowdown float64 `json:"slowdown_ratio"`
	// Hit is the share of the accesses that the fastest tier served.
	Hit float64 `json:"hit_ratio"`
	// Moved is in bytes.
	Moved float64 `json:"moved_bytes"`
	// Bound is what held tierd back.
	Bound Bound `json:"-"`
}

// Bound is what held tierd back in a run.
type Bound struct {
	// Vetoed is how many GiB of candidates stayed on average over time, by the first
	// rule that held them back.
	Vetoed map[policy.Rule]float64
	// Separation and Budget are the means of what was in force, Wasted the part of the
	// promotions that did not pay by tierd's own ledger, Trips those of breakers.
	Separation, Budget, Wasted float64
	Trips                      uint64
}

// watched is tierd with somebody who looks at its plans.
type watched struct {
	sim.Tierd
	last    *policy.Plan
	at      float64
	seconds float64
	bound   Bound
}

// Step implements sim.Placer. What a plan says counts for the time since the last look.
func (w *watched) Step(h *sim.Host) float64 {
	next := w.Tierd.Step(h)
	now := h.Clock.Now()
	if w.last != nil {
		step := now - w.at
		for rule, pages := range w.last.Vetoed {
			w.bound.Vetoed[rule] += step * float64(pages) * policy.PageSize / (1 << 30)
		}
		w.bound.Separation += step * w.last.Thrash.Separation
		w.bound.Budget += step * w.last.Thrash.BudgetShare
		w.seconds += step
	}
	w.last, w.at = w.Plan, now
	return next
}

// end makes means of sums.
func (w *watched) end() Bound {
	b := w.bound
	if w.seconds > 0 {
		for rule := range b.Vetoed {
			b.Vetoed[rule] /= w.seconds
		}
		b.Separation /= w.seconds
		b.Budget /= w.seconds
	}
	if w.last != nil {
		t := w.last.Thrash.Totals
		if n := t.Paid + t.Wasted; n > 0 {
			b.Wasted = float64(t.Wasted) / float64(n)
		}
	}
	b.Trips = w.Trips()
	return b
}

// bench runs configurations on a case.
type bench struct {
	c    Case
	none map[uint64]float64 // what doing nothing costs, by seed
	// ran, if set, is called after each run, by one goroutine at a time.
	ran func()
}

func newBench(c Case, ran func()) *bench {
	return &bench{c: c, none: map[uint64]float64{}, ran: ran}
}

// nothing is sim's placer that moves nothing.
func nothing() sim.Placer { return sim.Baselines()[0].New(sim.Future{}) }

// run tries each configuration with each seed, as many at a time as there are
// processors.
func (b *bench) run(ctx context.Context, configs []*config.Config, seeds []uint64) ([][]Outcome, error) {
	if err := b.nothing(ctx, seeds); err != nil {
		return nil, err
	}
	out := make([][]Outcome, len(configs))
	done := make(chan struct{})
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		for range done {
			if b.ran != nil {
				b.ran()
			}
		}
	}()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range configs {
		out[i] = make([]Outcome, len(seeds))
		for s, seed := range seeds {
			g.Go(func() error {
				if err := ctx.Err(); err != nil {
					return err
				}
				out[i][s] = b.one(configs[i], seed)
				done <- struct{}{}
				return nil
			})
		}
	}
	err := g.Wait()
	close(done)
	<-reported
	return out, err
}

// nothing fills in what doing nothing costs.
func (b *bench) nothing(ctx context.Context, seeds []uint64) error {
	for _, seed := range seeds {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, ok := b.none[seed]; ok {
			continue
		}
		r := sim.Run(sim.Options{Machine: b.c.Machine, Workload: b.c.Workload, Placer: nothing(), Seed: seed})
		b.none[seed] = r.Cost
	}
	return nil
}

// Simulated is tierd with a configuration, as a placer of simulated memory.
func Simulated(c *config.Config) sim.Tierd {
	return sim.Tierd{
		Params: daemon.PolicyParams(c),
		Budget: c.Sampler.CPUBudget.Fraction(), Burst: c.Sampler.BurstBudget.Fraction(),
	}
}

func (b *bench) one(c *config.Config, seed uint64) Outcome {
	w := &watched{Tierd: Simulated(c), bound: Bound{Vetoed: map[policy.Rule]float64{}}}
	r := sim.Run(sim.Options{
		Machine: b.c.Machine, Workload: b.c.Workload, Placer: w,
		Rate: c.Migrate.Rate.BytesPerSecond(), Seed: seed,
	})
	return Outcome{
		Slowdown: r.Cost/math.Max(b.none[seed], 1e-12) - 1,
		Hit:      r.Hit, Moved: float64(r.Moved), Bound: w.end(),
	}
}

// Mean is that of some runs.
func Mean(runs []Outcome) (m Outcome) {
	n := float64(len(runs))
	for _, r := range runs {
		m.Slowdown += r.Slowdown / n
		m.Hit += r.Hit / n
		m.Moved += r.Moved / n
	}
	return m
}

// order sorts by slowdown, and where that is the same to a thousandth, by what was
// moved.
func order(means []Outcome) []int {
	index := make([]int, len(means))
	for i := range index {
		index[i] = i
	}
	grain := func(o Outcome) float64 { return math.Round(o.Slowdown * 1000) }
	slices.SortStableFunc(index, func(a, b int) int {
		return cmp.Or(cmp.Compare(grain(means[a]), grain(means[b])), cmp.Compare(means[a].Moved, means[b].Moved))
	})
	return index
}

func meansOf(runs [][]Outcome) []Outcome {
	out := make([]Outcome, len(runs))
	for i := range runs {
		out[i] = Mean(runs[i])
	}
	return out
}
