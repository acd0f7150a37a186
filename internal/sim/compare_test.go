package sim_test

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// What is compared has to be the same work: a workload without steps asks as much
// of memory at any time.
func TestLoad(t *testing.T) {
	for _, w := range sim.Workloads() {
		if w.Period > 0 || w.Fair != nil {
			continue // in steps, or of two that ask different things
		}
		t.Run(w.Name, func(t *testing.T) {
			begin := w.Begin
			w.Seconds = 1
			w.Begin = func(procs []*sim.Memory, rng *rand.Rand) sim.Changes {
				changes := begin(procs, rng)
				for at := 0.0; changes != nil && at < 3; {
					at = changes(at)
				}
				var sum float64
				for _, m := range procs {
					for i := range w.Regions[0] {
						sum += m.Rate(i) * policy.PagesPerRegion
					}
				}
				if math.Abs(sum/1e8-1) > 0.001 {
					t.Errorf("%g accesses per second", sum)
				}
				return nil
			}
			none := sim.Baselines()[0].New(sim.Future{})
			sim.Run(sim.Options{Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: none, Seed: 1})
		})
	}
}

func compareStatic(t *testing.T) map[string]sim.Summary {
	t.Helper()
	w := sim.Workloads()[0]
	w.Seconds = 40
	sums, err := sim.Compare(context.Background(), sim.TwoTiers(w.Fast), w, 1<<30, sim.Baselines(), []uint64{1})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]sim.Summary{}
	for _, s := range sums {
		s.Runs = nil
		got[s.Contender] = s
	}
	return got
}

func TestBaselines(t *testing.T) {
	got := compareStatic(t)
	none := got[sim.None]
	if none.Moved != 0 || none.Slowdown != 0 {
		t.Errorf("none moved %g bytes", none.Moved)
	}
	if x := got["static oracle"].OfOracle; x < 0.999 {
		t.Errorf("the static oracle reaches %g of the oracle where nothing changes", x)
	}
	for _, name := range []string{"lru", "histogram", "hint faults"} {
		if got[name].Moved == 0 || got[name].Hit <= none.Hit {
			t.Errorf("%s: moved %g bytes, hit %g", name, got[name].Moved, got[name].Hit)
		}
	}
	if diff := cmp.Diff(got, compareStatic(t)); diff != "" {
		t.Errorf("the same seed gives another result:\n%s", diff)
	}
}
