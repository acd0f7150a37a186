package tune_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/internal/tune"
	"github.com/tierd/tierd/policy"
)

// small has a hot set in the slow tier that fits the fast one.
func small() tune.Case {
	const regions = 128
	w := sim.Workload{
		Name: "small", Regions: []int{regions}, Fast: regions / 4, Start: 1, Seconds: 20,
		Begin: func(procs []*sim.Memory, rng *rand.Rand) sim.Changes {
			for i, at := range rng.Perm(regions) {
				rate := 0.05
				if i < regions/5 {
					rate = 20
				}
				procs[0].SetRate(at, rate)
			}
			return nil
		},
	}
	return tune.Case{Workload: w, Machine: sim.TwoTiers(w.Fast)}
}

// A limit that strangles is found, and proposed with its effect; keys that change
// nothing stay.
func TestSearchFindsWhatHoldsBack(t *testing.T) {
	base := config.Default()
	rate, _ := tune.KeyOf("rate")
	if err := base.Migrate.Rate.UnmarshalText([]byte("2MiB/s")); err != nil {
		t.Fatal(err)
	}
	run := func() *tune.Found {
		f, err := tune.Search(t.Context(), small(), base, tune.Options{Samples: 6, Refine: 2, Seeds: 3})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := run()
	if f.Then.Slowdown >= f.Now.Slowdown || f.Then.Hit <= f.Now.Hit || f.Runs == 0 {
		t.Errorf("%+v becomes %+v after %d runs", f.Now, f.Then, f.Runs)
	}
	found := false
	for _, p := range f.Proposals {
		if p.Key.Name == rate.Name {
			found = true
			if rate.Get(f.Config) < 64<<20 || p.Alone == nil || !p.Alone.Better(f.Now) || !strings.Contains(p.Evidence, "rule "+string(policy.VetoBudget)) {
				t.Errorf("%+v", p)
			}
		}
	}
	if !found || len(f.Proposals) > 2 {
		t.Errorf("proposals %+v", f.Proposals)
	}
	if len(f.Proposals)+len(f.Kept) != len(tune.Keys()) {
		t.Errorf("%d proposals, %d kept", len(f.Proposals), len(f.Kept))
	}
	if _, _, err := tune.Edit("t.toml", "", f.Proposals); err != nil {
		t.Error(err)
	}
	again := run()
	if tune.Text(again.Config) != tune.Text(f.Config) || again.Now.Hit != f.Now.Hit {
		t.Error("another run finds something else")
	}
}

// Where the present values are right, that is the answer.
func TestSearchLeavesWhatIsRight(t *testing.T) {
	f, err := tune.Search(t.Context(), small(), config.Default(), tune.Options{Samples: 4, Seeds: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Proposals) > 0 || f.Then.Hit != f.Now.Hit || len(f.Kept) != len(tune.Keys()) {
		t.Errorf("%+v", f)
	}
}

func TestSearchStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	_, err := tune.Search(ctx, small(), config.Default(), tune.Options{Samples: 1000, Seeds: 2, Ran: func() {
		if runs++; runs == 3 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || runs > 20 {
		t.Errorf("%v after %d runs", err, runs)
	}
	for _, o := range []tune.Options{{Samples: 1, Seeds: 1}, {Seeds: 2}, {Samples: 1, Seeds: 2, Refine: -1}} {
		if _, err := tune.Search(t.Context(), small(), config.Default(), o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// Samples are spread: of as many equal steps of a range, each is taken once.
func TestSamplesAreSpread(t *testing.T) {
	const n = 10
	sets := tune.Sample(config.Default(), n, 7)
	k, _ := tune.KeyOf("breaker")
	var steps [n]int
	for _, c := range sets {
		part := (k.Get(c) - k.Low) / (k.High - k.Low)
		steps[min(int(part*n), n-1)]++
	}
	for i, count := range steps {
		if count == 0 || count > 2 { // two digits may round across
			t.Errorf("step %d is taken %d times", i, count)
		}
	}
	if diff := cmp.Diff(tune.Text(sets[3]), tune.Text(tune.Sample(config.Default(), n, 7)[3])); diff != "" {
		t.Error(diff)
	}
	if config.Default().Thrash != *thrashOf(config.Default()) {
		t.Error("the base has changed")
	}
}

func thrashOf(c *config.Config) *config.Thrash { return &c.Thrash }

func TestBetter(t *testing.T) {
	now := tune.Outcome{Moved: 100 << 30}
	gib := float64(1 << 30)
	for _, test := range []struct {
		name string
		e    tune.Effect
		want bool
	}{
		{"faster", tune.Effect{Slowdown: tune.Estimate{Mean: -0.02, Spread: 0.01}}, true},
		{"faster within noise", tune.Effect{Slowdown: tune.Estimate{Mean: -0.02, Spread: 0.03}}, false},
		{"hardly faster", tune.Effect{Slowdown: tune.Estimate{Mean: -0.0005, Spread: 0.0001}}, false},
		{"fewer moves", tune.Effect{Moved: tune.Estimate{Mean: -20 * gib, Spread: 5 * gib}}, true},
		{"hardly fewer moves", tune.Effect{Moved: tune.Estimate{Mean: -5 * gib, Spread: gib}}, false},
		{"fewer moves, slower", tune.Effect{Slowdown: tune.Estimate{Mean: 0.01}, Moved: tune.Estimate{Mean: -20 * gib}}, false},
	} {
		if got := test.e.Better(now); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
