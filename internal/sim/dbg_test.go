package sim_test

import (
	"os"
	"testing"
	"fmt"

	"github.com/tierd/tierd/internal/sim"
)

func mean(ps []sim.Point, a, b float64) float64 {
	s, n := 0.0, 0.0
	for _, p := range ps {
		if p.T >= a && p.T < b {
			s += p.Share[0] + p.Share[1]
			n++
		}
	}
	return s / n
}
func reach(ps []sim.Point, from float64, v float64, hbm bool) string {
	for _, p := range ps {
		x := p.Share[1]
		if !hbm {
			x += p.Share[0]
		}
		if p.T >= from+1 && x >= v {
			return fmt.Sprintf("%.0f", p.T-from)
		}
	}
	return "never"
}

func TestSummary(t *testing.T) {
	if os.Getenv("SUM") == "" { t.Skip() }
	for _, piece := range []int{2 * mib, 64 << 10} {
		for seed := uint64(1); seed < 4; seed++ {
			ps := run([]sim.Change{{0, hot(96*mib, piece, seed)}, {50, hot(96*mib, piece, seed + 100)}}, 100)
			last := ps[len(ps)-1]
			t.Logf("%5d KiB: mean %.3f (%.3f %.3f) .8 %s .89 %s hbm.8 %s | shift .8 %s .89 %s hbm.8 %s | moved %d / %d MiB end %.3f", piece>>10, mean(ps, 0, 101), mean(ps, 0, 50), mean(ps, 50, 101), reach(ps, 0, .8, false), reach(ps, 0, .89, false), reach(ps, 0, .8, true), reach(ps, 50, .8, false), reach(ps, 50, .89, false), reach(ps, 50, .8, true), ps[30].Moved/mib, last.Moved/mib, last.Share[0]+last.Share[1])
		}
	}
}
