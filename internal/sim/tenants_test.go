package sim_test

import (
	"testing"

	"github.com/tierd/tierd/internal/sim"
)

// A process that touches everything that it has ten times as fast as another
// gets no more than its share: the other one hits as often as it would if
// half of the fast tier were its own.
func TestNobodyBuysMoreThanItsShare(t *testing.T) {
	for _, w := range sim.Workloads() {
		if w.Name != "tenants" {
			continue
		}
		w.Seconds = 120
		for seed := range uint64(2) {
			r := sim.Run(sim.Options{
				Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: sim.DefaultTierd(), Rate: 1 << 30, Seed: seed,
			})
			if r.FairOf[0] < 0.95 {
				t.Errorf("seed %d: the honest one hits %.3f of what is its due", seed, r.FairOf[0])
			}
			if r.FairOf[1] < 0.95 || r.FairOf[1] > 1.1 {
				t.Errorf("seed %d: the greedy one hits %.3f of what is its due", seed, r.FairOf[1])
			}
			if r.PingPongs > 0 || r.SettledPerMinute > 0.01*float64(w.Fast)*2*mib {
				t.Errorf("seed %d: %d ping-pongs, %.0f MiB a minute once settled", seed, r.PingPongs, r.SettledPerMinute/mib)
			}
		}
		return
	}
	t.Fatal("no such workload")
}
