package sim_test

import (
	"math"
	"testing"

	"github.com/tierd/tierd/internal/sim"
)

// What is used all the time is worth more than what a step uses for a moment, however
// much is seen of that in the moment.
func TestStepsDoNotDriveOutWhatIsAlwaysUsed(t *testing.T) {
	for _, w := range sim.Workloads() {
		if w.Name != "steps" {
			continue
		}
		w.Seconds = 150
		points := sim.Run(sim.Options{Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: sim.DefaultTierd(), Rate: 1 << 30, Seed: 1}).Points
		for _, p := range points[60:] {
			// The states have their turn in the last tenth.
			if at := math.Mod(p.Seconds, w.Period); at > 1 && at < 0.85*w.Period && hbm(p) < 0.9 {
				t.Errorf("%.0f s: hit %.3f between turns, want 0.9", p.Seconds, hbm(p))
			}
		}
	}
}
