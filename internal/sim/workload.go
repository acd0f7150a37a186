package sim

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tierd/tierd/policy"
)

// Workload is what processes do with their memory.
type Workload struct {
	// Name is what the command line calls it, About a line for people.
	Name, About string
	// Regions of each process, and the regions of the fast tier.
	Regions []int
	Fast    int
	// Start is where all memory lies at first; NoSlot stands for first touch.
	Start policy.Slot
	// Seconds is for how long it runs.
	Seconds float64
	// Events are the times at which the hot memory has become another.
	Events []float64
	// Period is the length of a step of the workload in seconds: what the oracle
	// knows are the means over it. 0: it knows the present.
	Period float64
	// Fair has for each process the regions of the fast tier that are its due;
	// nil where nothing is shared.
	Fair []int
	// Begin sets the rates at time 0 and returns what happens next.
	Begin func(procs []*Memory, rng *rand.Rand) Changes
	// Play, if set, is called instead, and places the memory, too: it may come and go,
	// and so may what others have. At first nothing is anywhere.
	Play func(h *Host) Changes
	// Names are the workloads of the processes, Shares what the operator allows them; nil:
	// each is one of its own.
	Names  []string
	Shares []policy.Workload
}

// Lasting is the workload in runs of so many seconds.
func (w Workload) Lasting(seconds float64) Workload {
	w.Seconds = seconds
	w.Events = slices.DeleteFunc(slices.Clone(w.Events), func(at float64) bool { return at >= seconds })
	return w
}

// Changes changes the rates at a time, in seconds from the start, and returns
// when to be called again; nil or +Inf where nothing more happens.
type Changes func(t float64) (next float64)

const (
	// load is the accesses per second that the caches of a busy socket let through.
	load = 1e8
	// footprint is 16 GiB.
	footprint = 16 * gib / policy.RegionSize
	fastShare = footprint / 4
)

// spread gives each of some regions an equal part of accesses per second.
func spread(m *Memory, regions []int, accesses float64) {
	for _, i := range regions {
		m.SetRate(i, accesses/float64(len(regions))/policy.PagesPerRegion)
	}
}

// hotSet lets the first part of a permutation have a share of the load.
func hotSet(m *Memory, perm []int, hot int, share float64) {
	spread(m, perm[:hot], share*load)
	spread(m, perm[hot:], (1-share)*load)
}

// base is what the built-in workloads have in common.
func base(name, about string, begin func(procs []*Memory, rng *rand.Rand) Changes) Workload {
	return Workload{Name: name, About: about, Regions: []int{footprint}, Fast: fastShare, Start: policy.NoSlot, Seconds: 400, Begin: begin}
}

// hotOf is a hot set that is a multiple of the fast tier.
func hotOf(name, about string, times float64) Workload {
	return base(name, about, func(procs []*Memory, rng *rand.Rand) Changes {
		hotSet(procs[0], rng.Perm(footprint), int(times*fastShare), 0.9)
		return nil
	})
}

// zipf gives the regions in the order of a permutation the rates of ranks.
func zipf(m *Memory, perm []int, s float64) (rates []float64) {
	rates = make([]float64, len(perm))
	var sum float64
	for k := range rates {
		rates[k] = math.Pow(float64(k+1), -s)
		sum += rates[k]
	}
	for k, i := range perm {
		rates[k] *= load / sum / policy.PagesPerRegion
		m.SetRate(i, rates[k])
	}
	return rates
}

// sweep is a training step: what is used all the time, and optimizer states of
// twice the fast tier that each step goes through once, in its last third.
func sweep(name string, period float64) Workload {
	w := base(name, "weights used all the time, and optimizer states that each step sweeps through once", nil)
	w.Period = period
	w.Begin = func(procs []*Memory, rng *rand.Rand) Changes {
		const hot, states = fastShare / 2, 2 * fastShare
		m := procs[0]
		// The states lie in a row, and so does the order in which they are swept.
		cold := 0.05 * load / (footprint - hot) / policy.PagesPerRegion
		swept := make([]int, states)
		for i := range footprint {
			m.SetRate(i, cold)
			if i < states {
				swept[i] = footprint - states + i
			}
		}
		spread(m, rng.Perm(footprint - states)[:hot], 0.6*load)
		begin, length := period*2/3, period/3
		const turn = 1.0 / 128
		per := int(math.Ceil(states * turn / length))
		// In its turn a region has all the sweep's accesses of the period.
		rate := 0.35 * load * period / states / policy.PagesPerRegion / turn
		var last []int
		step, at := 0.0, 0
		return func(t float64) float64 {
			for _, i := range last {
				m.SetRate(i, cold)
			}
			last = nil
			if at >= states {
				at, step = 0, step+1
			}
			from := step*period + begin
			if t < from-turn/2 {
				return from
			}
			last = swept[at:min(at+per, states)]
			for _, i := range last {
				m.SetRate(i, rate)
			}
			at += per
			return t + turn
		}
	}
	return w
}

// steps is a training step of 15 s: what is used all the time, and optimizer states
// as large as the fast tier, all of them used in the last tenth of each step.
func steps() Workload {
	const period = 15.0
	w := base("steps", "weights used all the time, and optimizer states that are used in the last tenth of each step of 15 s", nil)
	w.Period = period
	w.Begin = func(procs []*Memory, rng *rand.Rand) Changes {
		const hot, states = fastShare / 2, fastShare
		m := procs[0]
		cold := 0.05 * load / (footprint - hot) / policy.PagesPerRegion
		for i := range footprint {
			m.SetRate(i, cold)
		}
		spread(m, rng.Perm(footprint - states)[:hot], 0.6*load)
		active := cold + 10*0.35*load/states/policy.PagesPerRegion
		return func(t float64) float64 {
			step := math.Floor(t/period + 1e-6)
			begin := (step + 0.9) * period
			rate, next := cold, begin
			if t >= begin-1e-6 {
				rate, next = active, (step+1)*period
			}
			for i := footprint - states; i < footprint; i++ {
				m.SetRate(i, rate)
			}
			return next
		}
	}
	return w
}

// Workloads are those that are built in.
func Workloads() []Workload {
	ws := []Workload{
		hotOf("static", "a hot set of 80 % of the fast tier takes 90 % of the accesses", 0.8),
		base("zipf", "zipf 0.99 over all memory", func(procs []*Memory, rng *rand.Rand) Changes {
			zipf(procs[0], rng.Perm(footprint), 0.99)
			return nil
		}),
		scan(),
		base("drift", "zipf 0.8 whose ranks change places: all have in 400 s", drift),
		base("window", "a window of 80 % of the fast tier that advances by 120 MiB/s, as a KV cache does", window),
		sweep("sweep10", 10),
		sweep("sweep60", 60),
		steps(),
		hotOf("hot1.25", "a hot set of 1.25 times the fast tier", 1.25),
		hotOf("hot1.5", "a hot set of 1.5 times the fast tier", 1.5),
		hotOf("hot2", "a hot set of twice the fast tier", 2),
		base("uniform", "all memory is used alike", func(procs []*Memory, _ *rand.Rand) Changes {
			for i := range procs[0].regions {
				procs[0].SetRate(i, load/footprint/policy.PagesPerRegion)
			}
			return nil
		}),
		shift(),
		tenants(),
	}
	return ws
}

// scan comes past everything that is not hot once in 12 s.
func scan() Workload {
	w := base("scan", "a hot set of 80 % of the fast tier, and a scan of 1 GiB/s through the rest", scanning)
	w.Period = (footprint - fastShare*0.8) * policy.RegionSize / gib
	return w
}

func scanning(procs []*Memory, rng *rand.Rand) Changes {
	const hot, turn = fastShare * 8 / 10, 1.0 / 128
	const per = gib / policy.RegionSize / 128
	m, perm := procs[0], rng.Perm(footprint)
	hotSet(m, perm, hot, 0.75)
	inHot := make([]bool, footprint)
	for _, i := range perm[:hot] {
		inHot[i] = true
	}
	var rest []int // in the order of their addresses
	for i := range footprint {
		if !inHot[i] {
			rest = append(rest, i)
		}
	}
	cold := 0.05 * load / float64(len(rest)) / policy.PagesPerRegion
	for _, i := range rest {
		m.SetRate(i, cold)
	}
	at := 0
	var last []int
	return func(t float64) float64 {
		for _, i := range last {
			m.SetRate(i, cold)
		}
		if at+per > len(rest) {
			at = 0
		}
		last = rest[at : at+per]
		at += per
		for _, i := range last {
			m.SetRate(i, 0.2*load/per/policy.PagesPerRegion)
		}
		return t + turn
	}
}

func drift(procs []*Memory, rng *rand.Rand) Changes {
	m, perm := procs[0], rng.Perm(footprint)
	rates := zipf(m, perm, 0.8)
	const each = footprint / 400 / 2
	return func(t float64) float64 {
		if t > 0 {
			for range each {
				a, b := rng.IntN(footprint), rng.IntN(footprint)
				perm[a], perm[b] = perm[b], perm[a]
				m.SetRate(perm[a], rates[a])
				m.SetRate(perm[b], rates[b])
			}
		}
		return t + 1
	}
}

func window(procs []*Memory, rng *rand.Rand) Changes {
	const size, per = fastShare * 8 / 10, 60
	m := procs[0]
	hot := 0.85 * load / size / policy.PagesPerRegion
	cold := 0.15 * load / (footprint - size) / policy.PagesPerRegion
	head := rng.IntN(footprint)
	for i := range footprint {
		m.SetRate(i, cold)
	}
	for i := range size {
		m.SetRate((head+i)%footprint, hot)
	}
	const turn = 0.1
	return func(t float64) float64 {
		if t > 0 {
			for range int(per * turn) {
				m.SetRate(head, cold)
				m.SetRate((head+size)%footprint, hot)
				head = (head + 1) % footprint
			}
		}
		return t + turn
	}
}

// shift is a hot set of 4 GiB that becomes wholly another. The cold memory is
// hardly used, so that the fast tier has room for both.
func shift() Workload {
	const regions, hot = 2 * footprint, 4 * gib / policy.RegionSize
	w := base("shift", "a hot set of 4 GiB on 8 GiB of the fast tier that becomes another after 100 and 250 s", nil)
	w.Regions, w.Fast, w.Events = []int{regions}, regions/4, []float64{100, 250}
	w.Begin = func(procs []*Memory, rng *rand.Rand) Changes {
		m, perm := procs[0], rng.Perm(regions)
		hotSet(m, perm, hot, 0.9)
		events := []float64{0, 100, 250, math.Inf(1)}
		return func(t float64) float64 {
			if t > 0 {
				hotSet(m, append(append([]int(nil), perm[hot:]...), perm[:hot]...), hot, 0.9)
				perm = append(perm[hot:], perm[:hot]...)
			}
			for _, e := range events {
				if e > t {
					return e
				}
			}
			return math.Inf(1)
		}
	}
	return w
}

// tenants are two: one with a hot set as large as its half of the fast tier,
// and one that touches all it has ten times as fast, to attract memory.
func tenants() Workload {
	w := base("tenants", "an honest process with a hot set, and one that touches everything it has ten times as fast", nil)
	w.Regions = []int{footprint / 2, footprint / 2}
	w.Fair = []int{fastShare / 2, fastShare / 2}
	w.Begin = func(procs []*Memory, rng *rand.Rand) Changes {
		honest, greedy := procs[0], procs[1]
		perm := rng.Perm(footprint / 2)
		spread(honest, perm[:fastShare/2], 0.9*load/11)
		spread(honest, perm[fastShare/2:], 0.1*load/11)
		spread(greedy, rng.Perm(footprint/2), 10*load)
		return nil
	}
	return w
}
