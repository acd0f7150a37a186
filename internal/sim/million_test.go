package sim_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// million is 2 TiB of which 80 % of the fast tier, a quarter of it all, take 90 % of
// the accesses.
func million() sim.Workload {
	const regions, hot = 1 << 20, 1 << 18 * 8 / 10
	const load = 1e9 // a busy host with several sockets
	return sim.Workload{
		Name: "million", Regions: []int{regions}, Fast: regions / 4, Start: policy.NoSlot, Seconds: 3600,
		Begin: func(procs []*sim.Memory, rng *rand.Rand) sim.Changes {
			for k, i := range rng.Perm(regions) {
				share, of := 0.9, hot
				if k >= hot {
					share, of = 0.1, regions-hot
				}
				procs[0].SetRate(i, share*load/float64(of)/policy.PagesPerRegion)
			}
			return nil
		},
	}
}

// BenchmarkMillionRegionsHour simulates an hour of tierd with its defaults over
// a million regions. One run is one hour: -benchtime 1x.
func BenchmarkMillionRegionsHour(b *testing.B) {
	w := million()
	for b.Loop() {
		r := sim.Run(sim.Options{Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: sim.DefaultTierd(), Rate: 1 << 30, Seed: 1})
		b.ReportMetric(r.Hit, "hit")
		b.ReportMetric(float64(r.Moved)/(1<<30), "GiB-moved")
	}
}
