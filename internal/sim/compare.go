package sim

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Contender is a policy in a comparison.
type Contender struct {
	Name string
	// New makes a Placer for one run.
	New func(Future) Placer
	// Baseline is false for tierd.
	Baseline bool
	// Rate is the most bytes per second that it may move; 0: that of the comparison.
	Rate float64
}

// Future is what a contender that cheats may know.
type Future struct {
	// Totals has, for each process and region, how often a page is used in the whole
	// run.
	Totals [][]float64
	// Steps tells that the workload goes in steps, within which nobody can follow.
	Steps bool
}

// Names of contenders that mean something to a comparison: None moves nothing,
// and Oracle does the best that the rate allows; all others are measured by the
// two.
const (
	None   = "none"
	Oracle = "oracle"
)

// Baselines are what tierd is compared with; None and Oracle come first.
func Baselines() []Contender {
	return []Contender{
		{Name: None, New: func(Future) Placer { return nothing{} }, Baseline: true},
		{Name: Oracle, New: func(f Future) Placer {
			if f.Steps {
				return &oracle{totals: f.Totals}
			}
			return &oracle{}
		}, Baseline: true},
		{Name: "static oracle", New: func(f Future) Placer { return static{f.Totals} }, Baseline: true},
		{Name: "lru", New: func(Future) Placer { return &lru{} }, Baseline: true},
		{Name: "histogram", New: func(Future) Placer { return &histogram{} }, Baseline: true},
		{Name: "hint faults", New: func(Future) Placer { return &hintFault{} }, Baseline: true},
	}
}

// Summary is the mean of the runs of one contender on one workload.
type Summary struct {
	Contender                                                             string
	Hit, OfOracle, WastedShare, Moved, SettledPerMinute, PingPongs, Trips float64
	// OfOracle is Hit as a part of what Oracle reached.
	// Slowdown is by how much accesses and work took longer than with nothing moved;
	// below 0 it was worth it.
	Slowdown float64
	// Settle are the seconds to 95 % of the oracle after the start and after each
	// event.
	Settle        []float64
	HitOf, FairOf []float64
	// Tiers is the share of the accesses that each tier served.
	Tiers []float64
	// Runs are the single ones, in the order of the seeds.
	Runs []*Result `json:"-"`
}

// Compare runs every contender on a workload, once for each seed, and returns
// the means in the order of the contenders, of which the first are None and
// Oracle.
func Compare(ctx context.Context, machine Machine, w Workload, rate float64, contenders []Contender, seeds []uint64) ([]Summary, error) {
	runs := make([][]*Result, len(contenders))
	for i := range runs {
		runs[i] = make([]*Result, len(seeds))
	}
	if len(contenders) < 2 || contenders[0].Name != None || contenders[1].Name != Oracle {
		return nil, fmt.Errorf("compare: the first contenders must be %q and %q", None, Oracle)
	}
	one := func(c int, s int, totals [][]float64) *Result {
		f := Future{Totals: totals, Steps: w.Period > 0}
		return Run(Options{Machine: machine, Workload: w, Placer: contenders[c].New(f), Rate: cmp.Or(contenders[c].Rate, rate), Seed: seeds[s]})
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for s := range seeds {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			// It tells what all others know of the whole run.
			runs[0][s] = one(0, s, nil)
			for c := 1; c < len(contenders); c++ {
				if err := ctx.Err(); err != nil {
					return err
				}
				runs[c][s] = one(c, s, runs[0][s].totals)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := make([]Summary, len(contenders))
	for c := range contenders {
		out[c] = summarize(contenders[c].Name, runs[c], runs[0], runs[1])
	}
	return out, nil
}

func summarize(name string, runs, none, oracle []*Result) Summary {
	s := Summary{Contender: name, Runs: runs}
	n := float64(len(runs))
	add := func(sum *[]float64, values []float64) {
		if *sum == nil && values != nil {
			*sum = make([]float64, len(values))
		}
		for i, v := range values {
			(*sum)[i] += v / n
		}
	}
	for i, r := range runs {
		s.Hit += r.Hit / n
		s.OfOracle += r.Hit / math.Max(oracle[i].Hit, 1e-9) / n
		s.WastedShare += r.WastedShare / n
		s.Moved += float64(r.Moved) / n
		s.SettledPerMinute += r.SettledPerMinute / n
		s.PingPongs += float64(r.PingPongs) / n
		s.Trips += float64(r.Trips) / n
		s.Slowdown += (r.Cost/math.Max(none[i].Cost, 1e-12) - 1) / n
		add(&s.Settle, r.Settle)
		add(&s.HitOf, r.HitOf)
		add(&s.Tiers, r.Tiers)
		add(&s.FairOf, r.FairOf)
	}
	return s
}
