package sim_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// hugePages lets tierd look after 2 GiB of huge pages, of which the fastest tier holds a
// quarter.
func hugePages(split bool, seconds float64, rates func(*sim.Memory, *rand.Rand)) *sim.Result {
	const regions = 1024
	w := sim.Workload{
		Name: "huge pages", Regions: []int{regions}, Fast: regions / 4, Start: 1, Seconds: seconds,
		Begin: func(procs []*sim.Memory, rng *rand.Rand) sim.Changes {
			rates(procs[0], rng)
			for i := range regions {
				procs[0].SetHuge(i)
			}
			return nil
		},
	}
	tierd := sim.DefaultTierd()
	tierd.Params.Split = split
	return sim.Run(sim.Options{Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: tierd, Rate: 1 << 30})
}

// lateHit is the share of the fastest tier in the last third.
func lateHit(r *sim.Result) (hit float64) {
	late := r.Points[2*len(r.Points)/3:]
	for _, p := range late {
		hit += p.Share[0] / float64(len(late))
	}
	return hit
}

// Where a tenth of each huge page is hot, all that is hot fits the fastest tier, but the
// pages do not: to split them wins most of what they keep out.
func TestSplitWinsWhereHugePagesAreHotInParts(t *testing.T) {
	inner := func(m *sim.Memory, rng *rand.Rand) {
		for i := range m.Regions() {
			var hot [8]uint64
			for _, p := range rng.Perm(policy.PagesPerRegion)[:policy.PagesPerRegion/10] {
				hot[p/64] |= 1 << (p % 64)
			}
			m.SetRates(i, 0.1, 50, &hot)
		}
	}
	whole, split := hugePages(false, 400, inner), hugePages(true, 400, inner)
	if a, b := lateHit(whole), lateHit(split); !(a < 0.35) || !(b > 0.9) {
		t.Errorf("hit %.3f with huge pages, %.3f with some split; want a quarter, and more than 0.9", a, b)
	}
}

// Where huge pages are hot as a whole, but for every other one, the trials show no gain,
// and end; nothing is lost.
func TestSplitEndsWhereHugePagesAreHotAsAWhole(t *testing.T) {
	even := func(m *sim.Memory, rng *rand.Rand) {
		for i := range m.Regions() {
			rate := 0.005
			if rng.IntN(2) == 0 {
				rate = 0.5
			}
			m.SetRate(i, rate)
		}
	}
	var left int
	whole := hugePages(false, 400, even)
	split := hugePages(true, 400, func(m *sim.Memory, rng *rand.Rand) {
		even(m, rng)
		t.Cleanup(func() {
			for i := range m.Regions() {
				if m.Huge(i) {
					left++
				}
			}
			if n := m.Regions() - left; n == 0 || n > 16 {
				t.Errorf("%d pages were split, want a few", n)
			}
		})
	})
	if a, b := lateHit(whole), lateHit(split); math.Abs(a-b) > 0.01*a {
		t.Errorf("hit %.3f with huge pages, %.3f with trials", a, b)
	}
}
