package sim_test

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

const (
	regions  = 512
	accesses = 3.3e6 // per second, of all pages together
	mib      = 1 << 20
)

// change is something that happens to the memory at a time.
type change struct {
	at   float64
	make func(*sim.Memory)
}

// hot gives 90 % of the accesses to so many bytes, in pieces that lie anywhere.
func hot(bytes, piece int, seed uint64) func(*sim.Memory) {
	return func(m *sim.Memory) {
		rng := rand.New(rand.NewPCG(seed, 1))
		pages := m.Regions() * policy.PagesPerRegion
		per := piece / policy.PageSize
		n := bytes / piece
		cold := 0.1 * accesses / float64(pages-n*per)
		rate := 0.9 * accesses / float64(n*per)
		masks := make([][8]uint64, m.Regions())
		for _, p := range rng.Perm(pages / per)[:n] {
			for k := p * per; k < (p+1)*per; k++ {
				masks[k/policy.PagesPerRegion][k%policy.PagesPerRegion/64] |= 1 << (k % 64)
			}
		}
		for i := range masks {
			m.SetRates(i, cold, rate, &masks[i])
		}
	}
}

func uniform(m *sim.Memory) {
	for i := range m.Regions() {
		m.SetRate(i, accesses/regions/policy.PagesPerRegion)
	}
}

// waits lets the process be slower now and then until the given time, as one that
// waits for a processor or for its peers.
func waits(until float64) (c []change) {
	rng := rand.New(rand.NewPCG(9, 9))
	for at := 3.0; at < until; {
		pace := 0.2 + 0.8*rng.Float64()
		c = append(c, change{at, func(m *sim.Memory) { m.SetPace(pace) }})
		at += 0.05 + 2*rng.Float64()*rng.Float64()
		if rng.IntN(3) > 0 {
			c = append(c, change{at, func(m *sim.Memory) { m.SetPace(1) }})
			at += 5 * rng.Float64()
		}
	}
	return c
}

// run lets tierd look after a gigabyte on the emulated machine.
func run(seconds float64, changes ...change) []sim.Point {
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	w := sim.Workload{
		Name: "test", Regions: []int{regions}, Fast: 56, Start: 2, Seconds: seconds,
		Begin: func(procs []*sim.Memory, _ *rand.Rand) sim.Changes {
			return func(t float64) float64 {
				for len(changes) > 0 && changes[0].at <= t {
					changes[0].make(procs[0])
					changes = changes[1:]
				}
				if len(changes) == 0 {
					return math.Inf(1)
				}
				return changes[0].at
			}
		},
	}
	tierd := sim.DefaultTierd()
	tierd.Budget, tierd.Burst = 0.25, 0.25
	return sim.Run(sim.Options{Machine: sim.Emulated(), Workload: w, Placer: tierd}).Points
}

func fast(p sim.Point) float64 { return p.Share[0] + p.Share[1] }

func hbm(p sim.Point) float64 { return p.Share[0] }

// reach is how many seconds after a time a share is reached.
func reach(points []sim.Point, from float64, share func(sim.Point) float64, want float64) float64 {
	for _, p := range points {
		if p.Seconds > from && share(p) >= want {
			return p.Seconds - from
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

// at is the point at a second.
func at(points []sim.Point, second int) sim.Point { return points[second-1] }

// trace shows a run that is not as wanted.
func trace(t *testing.T, points []sim.Point) {
	for _, p := range points {
		t.Logf("%3.0f s: fast %.3f, HBM %.3f, moved %4d MiB, sampling %.3f, moving %.2f s",
			p.Seconds, fast(p), hbm(p), p.Moved/mib, p.Sampling/p.Seconds, p.Moving)
	}
}

// The first numbers that the emulated machine must show, without its noise.
func TestHotSetIsPlacedAndFollowed(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		changes                  []change
		start, shift, shiftToHBM float64
	}{
		{"steady", nil, 6, 7, 20},
		{"with waits", waits(45), 6, 7, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changes := append([]change{{0, hot(96*mib, 2*mib, 1)}, {50, hot(96*mib, 2*mib, 2)}}, tt.changes...)
			points := run(85, changes...)
			if at := reach(points, 0, fast, 0.89); at > tt.start {
				t.Errorf("0.89 after %.0f s, want %.0f", at, tt.start)
			}
			if at := reach(points, 51, fast, 0.89) + 1; at > tt.shift {
				t.Errorf("0.89 %.0f s after the shift, want %.0f", at, tt.shift)
			}
			if at := reach(points, 51, hbm, 0.8) + 1; at > tt.shiftToHBM {
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
	points := run(110, change{0, hot(96*mib, 2*mib, 1)}, change{40, hot(96*mib, 2*mib, 2)})
	from, to := at(points, 25), points[len(points)-1]
	if to.Moved == from.Moved {
		t.Error("nothing was moved meanwhile")
	}
	if cpu := (to.Sampling + to.Moving - from.Sampling - from.Moving) / (to.Seconds - from.Seconds); cpu > 0.255 {
		t.Errorf("used %.3f of a core, budget 0.25", cpu)
		trace(t, points)
	}
}

// What is hot in pieces of 64 KiB, or in single pages anywhere, is won like whole
// regions. An oracle has 0.93.
func TestHotPiecesAndPagesAreFound(t *testing.T) {
	for name, piece := range map[string]int{"64 KiB": 64 << 10, "4 KiB": 4 << 10} {
		for pace, waiting := range map[string][]change{"": nil, ", with waits": waits(75)} {
			t.Run(name+pace, func(t *testing.T) {
				points := run(75, append([]change{{0, hot(96*mib, piece, 1)}, {40, hot(96*mib, piece, 2)}}, waiting...)...)
				for _, second := range []int{39, 74} {
					if got := fast(at(points, second)); got < 0.89 {
						t.Errorf("at %d s: share %.3f, want 0.89", second, got)
					}
				}
				if m := mean(points); m < 0.72 {
					t.Errorf("mean share %.3f, want 0.72", m)
				}
				if moved := points[len(points)-1].Moved; moved > 700*mib {
					t.Errorf("moved %d MiB", moved/mib)
				}
				if t.Failed() {
					trace(t, points)
				}
			})
		}
	}
}

// Where no page is hotter than another nothing is moved once the fast nodes are
// full, also if the process is slower now and then: that is no difference
// between its regions.
func TestNothingMovesWithoutAGain(t *testing.T) {
	points := run(100, append([]change{{0, uniform}}, waits(100)...)...)
	const filled = 40
	if moved := points[len(points)-1].Moved - at(points, filled).Moved; moved > regions*policy.RegionSize/50 {
		t.Errorf("moved %d MiB in a minute", moved/mib)
		trace(t, points)
	}
	idle := run(60, change{0, func(*sim.Memory) {}})
	if moved := idle[len(idle)-1].Moved; moved > 0 {
		t.Errorf("idle: moved %d MiB", moved/mib)
	}
}

// A process that stands still for a second, as one that waits for its peers or
// writes a checkpoint, has not become cold: hardly anything moves, though the
// first samples of each stop have nothing to be compared with.
func TestHardlyAnythingMovesWhenAllStandsStill(t *testing.T) {
	for _, long := range []float64{0.3, 1, 2.5} {
		changes := []change{{0, uniform}}
		stops := 0
		for at := 23.3; at < 100; at += 7.7 {
			changes = append(changes,
				change{at, func(m *sim.Memory) { m.SetPace(0) }},
				change{at + long, func(m *sim.Memory) { m.SetPace(1) }})
			stops++
		}
		points := run(100, changes...)
		if moved := points[len(points)-1].Moved - at(points, 22).Moved; moved > uint64(stops)*3*policy.RegionSize {
			t.Errorf("%d stops of %.1f s: moved %d MiB", stops, long, moved/mib)
			trace(t, points)
		}
	}
}
