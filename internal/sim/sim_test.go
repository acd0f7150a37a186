package sim_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/samplertest"
)

const (
	regions  = 512
	accesses = 3.3e6 // per second, of all pages together
	mib      = 1 << 20
)

// hot gives 90 % of the accesses to so many bytes, in pieces that lie anywhere.
func hot(bytes, piece int, seed uint64) func(*samplertest.Memory) {
	return func(m *samplertest.Memory) {
		rng := rand.New(rand.NewPCG(seed, 1))
		pages := len(m.Regions) * policy.PagesPerRegion
		per := piece / policy.PageSize
		n := bytes / piece
		cold := 0.1 * accesses / float64(pages-n*per)
		for i := range m.Regions {
			m.SetRate(i, cold)
		}
		for _, p := range rng.Perm(pages / per)[:n] {
			for j := range per {
				k := p*per + j
				m.Regions[k/policy.PagesPerRegion].Rate[k%policy.PagesPerRegion] = 0.9 * accesses / float64(n*per)
			}
		}
	}
}

func uniform(m *samplertest.Memory) {
	for i := range m.Regions {
		m.SetRate(i, accesses/regions/policy.PagesPerRegion)
	}
}

// waits lets the process be slower now and then until the given time, as one that
// waits for a processor or for its peers.
func waits(until float64) (c []sim.Change) {
	rng := rand.New(rand.NewPCG(9, 9))
	for at := 3.0; at < until; {
		pace := 0.2 + 0.8*rng.Float64()
		c = append(c, sim.Change{At: at, Make: func(m *samplertest.Memory) { m.SetPace(pace) }})
		at += 0.05 + 2*rng.Float64()*rng.Float64()
		if rng.IntN(3) > 0 {
			c = append(c, sim.Change{At: at, Make: func(m *samplertest.Memory) { m.SetPace(1) }})
			at += 5 * rng.Float64()
		}
	}
	return c
}

func run(seconds float64, changes ...sim.Change) []sim.Point {
	return sim.Run(sim.Options{Machine: sim.Emulated(), Regions: regions, Start: 2, Changes: changes, Seconds: seconds, Budget: 0.25, Params: policy.DefaultParams()})
}

func fast(p sim.Point) float64 { return p.Share[0] + p.Share[1] }

func hbm(p sim.Point) float64 { return p.Share[1] }

// reach is how many seconds after a time a share is reached.
func reach(points []sim.Point, from float64, share func(sim.Point) float64, want float64) float64 {
	for _, p := range points {
		if p.T >= from+1 && share(p) >= want { // at from itself the change has not been noted
			return p.T - from
		}
	}
	return math.Inf(1)
}

func mean(points []sim.Point) (m float64) {
	for _, p := range points {
		m += fast(p) / float64(len(points))
	}
	return m
}

// trace shows a run that is not as wanted.
func trace(t *testing.T, points []sim.Point) {
	for _, p := range points {
		t.Logf("%3.0f s: fast %.3f, HBM %.3f, moved %4d MiB, sampling %.3f, moving %.2f s, boundaries %.2f, vetoes %v",
			p.T, fast(p), hbm(p), p.Moved/mib, p.Sampling/max(p.T, 1), p.Moving, p.Plan.Boundaries, p.Plan.Vetoed)
	}
}

// The first numbers that the emulated machine must show, without its noise.
func TestHotSetIsPlacedAndFollowed(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		changes                  []sim.Change
		start, shift, shiftToHBM float64
	}{
		{"steady", nil, 5, 6, 20},
		{"with waits", waits(45), 5, 6, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changes := append([]sim.Change{{At: 0, Make: hot(96*mib, 2*mib, 1)}}, tt.changes...)
			points := run(85, append(changes, sim.Change{At: 50, Make: hot(96*mib, 2*mib, 2)})...)
			if at := reach(points, 0, fast, 0.89); at > tt.start {
				t.Errorf("0.89 after %.0f s, want %.0f", at, tt.start)
			}
			if at := reach(points, 50, fast, 0.89); at > tt.shift {
				t.Errorf("0.89 %.0f s after the shift, want %.0f", at, tt.shift)
			}
			if at := reach(points, 50, hbm, 0.8); at > tt.shiftToHBM {
				t.Errorf("0.80 in HBM %.0f s after the shift, want %.0f", at, tt.shiftToHBM)
			}
			if t.Failed() {
				trace(t, points)
			}
		})
	}
}

// From the end of the burst on, sampling and moving together keep to the budget.
func TestSteadyStateStaysWithinTheBudget(t *testing.T) {
	points := run(110, sim.Change{At: 0, Make: hot(96*mib, 2*mib, 1)})
	from, to := points[25], points[len(points)-1]
	if to.Moved == from.Moved {
		t.Error("nothing was moved meanwhile")
	}
	if cpu := (to.Sampling + to.Moving - from.Sampling - from.Moving) / (to.T - from.T); cpu > 0.255 {
		t.Errorf("used %.3f of a core, budget 0.25", cpu)
		trace(t, points)
	}
}

func TestHotPiecesAreFound(t *testing.T) {
	points := run(75, sim.Change{At: 0, Make: hot(96*mib, 64<<10, 1)}, sim.Change{At: 40, Make: hot(96*mib, 64<<10, 2)})
	if m := mean(points); m < 0.7 {
		t.Errorf("mean share %.3f, want 0.7", m)
		trace(t, points)
	}
}

// Where no page is hotter than another nothing is moved once the fast nodes are
// full, also if the process is slower now and then: that is no difference
// between its regions.
func TestNothingMovesWithoutAGain(t *testing.T) {
	points := run(100, append([]sim.Change{{At: 0, Make: uniform}}, waits(100)...)...)
	const filled = 40
	if moved := points[len(points)-1].Moved - points[filled].Moved; moved > regions*policy.RegionSize/50 {
		t.Errorf("moved %d MiB in a minute", moved/mib)
		trace(t, points)
	}
	idle := run(60, sim.Change{At: 0, Make: func(m *samplertest.Memory) {}})
	if moved := idle[len(idle)-1].Moved; moved > 0 {
		t.Errorf("idle: moved %d MiB", moved/mib)
	}
}
