package policy

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// world is a machine of three tiers in small: 512 regions, of which 48 take
// 90 % of the accesses, on tiers with room for 64, 175 and 1024. It is seen
// through noise, smoothed as a sampler would: by an average whose window
// shrinks when a sample contradicts it.
type world struct {
	s      *Snapshot
	rng    *rand.Rand
	truth  []float64
	log    []float64 // estimate of ln rate
	weight []float64 // samples in the estimate
	noise  float64   // standard deviation of one sample
	load   float64   // accesses per second
	moved  int       // regions
}

func newWorld(seed uint64, noise, load float64) *world {
	w := &world{s: tiers(64, 175, 1024), rng: rand.New(rand.NewPCG(seed, 7)), noise: noise, load: load}
	for range 512 {
		w.s.with(2, 1, flags(Unseen), seen(0), stable(0))
	}
	w.log, w.weight = make([]float64, 512), make([]float64, 512)
	w.shift()
	return w
}

// shift draws a new hot set.
func (w *world) shift() {
	w.truth = make([]float64, 512)
	for k, i := range w.rng.Perm(512) {
		if w.truth[i] = w.load * 0.1 / 464 / PagesPerRegion; k < 48 {
			w.truth[i] = w.load * 0.9 / 48 / PagesPerRegion
		}
	}
}

func (w *world) observe(boundaries []float32) {
	regions := w.s.Processes[0].Regions
	for i := range regions {
		r := &regions[i]
		y := math.Log(w.truth[i]) + w.noise*w.rng.NormFloat64()
		if w.weight[i] > 0 && math.Abs(y-w.log[i]) > 4*w.noise*math.Sqrt(1+1/w.weight[i]) {
			w.weight[i] = 0
		}
		w.weight[i] = min(w.weight[i]+1, 20)
		w.log[i] += (y - w.log[i]) / w.weight[i]
		r.Rate = float32(math.Exp(w.log[i]))
		r.LogVar = float32(w.noise * w.noise / w.weight[i])
		r.Stable = float32(w.weight[i])
		r.SinceMove++
		r.Flags &^= Unseen
		r.Evidence <<= 1
		t := w.s.Nodes[r.Placement[0].Slot].Tier
		if t == 0 || len(boundaries) < t || math.Exp(y) >= float64(boundaries[t-1]) {
			r.Evidence |= 1
		}
	}
}

func (w *world) apply(plan *Plan) {
	for i := range plan.Moves {
		m := &plan.Moves[i]
		m.apply(w.s)
		r := m.region(w.s)
		r.SinceMove = 0
		r.Flags &^= MovedUp
		if m.Kind == Promotion {
			r.Flags |= MovedUp
		}
		w.moved++
	}
}

// served is the share of accesses that tiers 0 to t serve; oracle is the most
// that they could.
func (w *world) served(t int) (share, oracle float64) {
	var sum, here float64
	for i, r := range w.s.Processes[0].Regions {
		sum += w.truth[i]
		if w.s.Nodes[r.Placement[0].Slot].Tier <= t {
			here += w.truth[i]
		}
	}
	best := slices.SortedFunc(slices.Values(w.truth), func(a, b float64) int { return cmp.Compare(b, a) })
	for _, r := range best[:[]int{64, 64 + 175}[t]] {
		oracle += r
	}
	return here / sum, oracle / sum
}

// Under the small load the cold regions are not worth a move; under the large
// one every tier fills up.
func TestSimulation(t *testing.T) {
	for _, load := range []float64{1e6, 1e8} {
		for _, noise := range []float64{0.1, 0.5, 1} {
			t.Run(fmt.Sprintf("load=%g/noise=%g", load, noise), func(t *testing.T) {
				for seed := range uint64(3) {
					simulate(t, newWorld(seed, noise, load))
				}
			})
		}
	}
}

func simulate(t *testing.T, w *world) {
	var (
		e          Engine
		boundaries []float32
		p          = params()
	)
	p.Budget = 64 * RegionSize // per second
	run := func(what string, epochs, within, most int) {
		start, reached := w.moved, -1
		for epoch := range epochs {
			w.observe(boundaries)
			plan := e.Decide(w.s, p)
			boundaries = plan.Boundaries
			w.apply(plan)
			fast, oracle := w.served(0)
			both, oracleBoth := w.served(1)
			if fast < 0.95*oracle || both < 0.95*oracleBoth {
				reached = -1
			} else if reached < 0 {
				reached = epoch + 1
			}
		}
		fast, oracle := w.served(0)
		t.Logf("%s: 95 %% after %d s, hbm %.3f of %.3f, %d regions moved", what, reached, fast, oracle, w.moved-start)
		if reached < 0 || reached > within {
			t.Errorf("%s: 95 %% of the oracle for good after %d s, want %d", what, reached, within)
		}
		if n := w.moved - start; n > most {
			t.Errorf("%s: moved %d regions, want at most %d", what, n, most)
		}
	}
	run("start", 60, 10, 64+175+30)
	run("rest", 120, 1, 20)
	w.shift()
	run("shift", 60, 30, 3*48+60)
	run("rest", 120, 1, 20)
}
