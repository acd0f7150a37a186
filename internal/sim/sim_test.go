package sim_test

import (
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

func show(t *testing.T, points []sim.Point) {
	for _, p := range points {
		t.Logf("%3.0f fast %.3f hbm %.3f moved %4d MiB sampling %.3f moving %.2f boundaries %.2f vetoes %v", p.T, p.Share[0]+p.Share[1], p.Share[1], p.Moved/mib, p.Sampling/max(p.T, 1), p.Moving, p.Plan.Boundaries, p.Plan.Vetoed)
	}
}

func run(changes []sim.Change, seconds float64) []sim.Point {
	return sim.Run(sim.Options{Machine: sim.Emulated(), Regions: regions, Start: 2, Changes: changes, Seconds: seconds, Budget: 0.25, Params: policy.DefaultParams()})
}

func TestA(t *testing.T) {
	show(t, run([]sim.Change{{0, hot(96*mib, 2*mib, 1)}, {50, hot(96*mib, 2*mib, 2)}}, 100))
}

func TestB(t *testing.T) {
	show(t, run([]sim.Change{{0, hot(96*mib, 64<<10, 1)}, {50, hot(96*mib, 64<<10, 2)}}, 100))
}

func TestC(t *testing.T) {
	show(t, run([]sim.Change{{0, uniform}}, 100))
}
