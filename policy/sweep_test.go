package policy

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Members of a sweep that are used alike do not exchange, each of them has its turn;
// with what is not in the sweep, or used far more in each step, they do.
func TestSweep(t *testing.T) {
	swept := func(r *Region) { r.Flags |= Periodic }
	const region = RegionSize
	for _, test := range []struct {
		name         string
		period, rate float64
		change       func(*Region) // of the candidate
		want         []brief
		sweep        Sweep
	}{
		{"alike", 10, 15, swept, nil, Sweep{Bytes: 2 * region, Fast: region}},
		{"used far more", 10, 30, swept, []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, Sweep{Bytes: 2 * region, Fast: region}},
		{"not in the sweep", 10, 15, nil, []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, Sweep{Bytes: region}},
		{"no steps", 0, 15, swept, []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, Sweep{}},
		{"a step without an end", math.Inf(1), 15, swept, []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, Sweep{}},
		{"no number", math.NaN(), 15, swept, []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, Sweep{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := tiers(0, 9).with(0, 10, swept)
			if test.change != nil {
				s.with(1, float32(test.rate), test.change)
			} else {
				s.with(1, float32(test.rate))
			}
			s.Processes[0].Period = test.period
			plan := new(Engine).Decide(s, params())
			if diff := cmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
			if n := plan.Vetoed[VetoSweep]; (n > 0) != (test.want == nil) {
				t.Errorf("%d pages vetoed", n)
			}
			got := plan.Processes[0].Sweep
			if got.Bytes != test.sweep.Bytes || (got.Bytes > got.Fast) != (test.sweep.Bytes > test.sweep.Fast) {
				t.Errorf("sweep %+v, want %+v", got, test.sweep)
			}
		})
	}
}
