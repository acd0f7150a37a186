package sim

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tierd/tierd/policy"
)

// Options of a run.
type Options struct {
	Machine  Machine
	Workload Workload
	Placer   Placer
	// Rate is the most bytes per second that may be moved, both directions
	// together; 0: as many as there is time for.
	Rate float64
	Seed uint64
}

// Point is the state once a second.
type Point struct {
	Seconds float64
	// Share is the part of the accesses that each tier has served in the second
	// before, Best the part that the fastest tier would serve if what is used most lay
	// there: now, or on average if the workload goes in steps.
	Share []float64
	Best  float64
	// Moved is in bytes; Sampling and Moving are CPU seconds. All since the start.
	Moved            uint64
	Sampling, Moving float64
}

// Result is what a run came to.
type Result struct {
	Points []Point
	// Hit is the share of the accesses that the fastest tier served, HitOf the same
	// for each process.
	Hit   float64
	HitOf []float64
	// Tiers is the share of the accesses that each tier served.
	Tiers []float64
	// FairOf is for each process the ratio of its hit to what it would have with its
	// due of the fastest tier; nil where nothing is shared.
	FairOf []float64
	// Settle has for the start and for each event how many seconds it took to 95 %
	// of the best placement, +Inf if it never came.
	Settle []float64
	// Moved is in bytes; SettledPerMinute, too, in the last half of the run.
	Moved            uint64
	SettledPerMinute float64
	// WastedShare is the part of the promotions' cost that was not earned back
	// before they were undone, or by the end; PingPongs counts moves back within a
	// minute.
	WastedShare float64
	PingPongs   uint64
	// Trips is how often the placer's breakers have opened; 0 for who has none.
	Trips uint64
	// Cost is what all accesses and the placer's work took, in seconds of one
	// processor per second.
	Cost float64

	totals [][]float64 // by process and region: accesses per page
}

// tick is how often a point is taken, in seconds.
const tick = 1.0

// Run runs a workload under a placer, in virtual time. The same options give the
// same result.
func Run(o Options) *Result {
	w := &o.Workload
	if o.Rate <= 0 {
		o.Rate = math.Inf(1)
	}
	clock := &Clock{}
	h := &Host{
		Clock: clock, Machine: &o.Machine, Nodes: slices.Clone(o.Machine.Nodes), Rate: o.Rate,
		Rand: rand.New(rand.NewPCG(o.Seed, 1)),
	}
	for i, n := range w.Regions {
		rng := rand.New(rand.NewPCG(o.Seed, uint64(100+i)))
		h.Procs = append(h.Procs, newMemory(clock, &o.Machine, rng, uint64(i+1)<<40, n))
		h.IDs = append(h.IDs, policy.ProcessID{PID: i + 1, Start: 1})
		h.Names = append(h.Names, string(rune('a'+i)))
	}
	if len(w.Names) > 0 {
		h.Names = w.Names
	}
	h.Shares = w.Shares
	h.books = newBooks(h.Procs)
	var changes Changes
	if w.Play != nil {
		changes = w.Play(h)
	} else {
		h.fill(w.Start)
		changes = w.Begin(h.Procs, rand.New(rand.NewPCG(o.Seed, 2)))
	}
	defer o.Placer.Close()

	r := &Result{}
	change, step, point := 0.0, 0.0, tick
	if changes == nil {
		change = math.Inf(1)
	}
	served, best, stale := make([]float64, len(h.Machine.Tiers)), 0.0, true
	for clock.seconds < w.Seconds {
		for change <= clock.seconds {
			change, stale = changes(change), true
		}
		if point <= clock.seconds {
			if stale && w.Period == 0 {
				best, stale = h.best(w.Fast), false
			}
			now := h.served()
			r.Points = append(r.Points, Point{
				Seconds: clock.seconds, Share: parts(now, served), Best: best,
				Moved: h.books.bytes, Sampling: clock.sampling, Moving: clock.moving,
			})
			served = now
			point += tick
		}
		if step <= clock.seconds {
			step = max(o.Placer.Step(h), clock.seconds)
			continue
		}
		clock.until(min(step, change, point, w.Seconds))
	}
	h.books.close(h)
	r.sum(h, w)
	if b, ok := o.Placer.(interface{ Trips() uint64 }); ok {
		r.Trips = b.Trips()
	}
	return r
}

// parts are the parts of what was served since before.
func parts(now, before []float64) []float64 {
	p := make([]float64, len(now))
	var sum float64
	for i := range now {
		p[i] = now[i] - before[i]
		sum += p[i]
	}
	for i := range p {
		p[i] /= max(sum, 1e-9)
	}
	return p
}

// served is how many accesses each tier has served.
func (h *Host) served() []float64 {
	s := make([]float64, len(h.Machine.Tiers))
	for _, m := range h.Procs {
		for tier, n := range m.servedBy(h) {
			s[tier] += n
		}
	}
	return s
}

func (m *Memory) servedBy(h *Host) []float64 {
	s := make([]float64, len(h.Machine.Tiers))
	for i := range h.Nodes {
		m.serve(policy.Slot(i))
		if tier := h.Nodes[i].Tier; tier >= 0 {
			s[tier] += m.served[i]
		}
	}
	return s
}

// best is the present share of the accesses that so many regions can have.
func (h *Host) best(regions int) float64 {
	var rates []float64
	for _, m := range h.Procs {
		for i := range m.regions {
			rates = append(rates, m.Rate(i)*m.pace)
		}
	}
	return topShare(rates, regions)
}

// topShare is the part that the n largest have in the sum.
func topShare(values []float64, n int) float64 {
	var sum, top float64
	slices.SortFunc(values, func(a, b float64) int { return cmp.Compare(b, a) })
	for i, v := range values {
		if sum += v; i < n {
			top += v
		}
	}
	return top / max(sum, 1e-9)
}

func (r *Result) sum(h *Host, w *Workload) {
	var all []float64
	for _, m := range h.Procs {
		t := make([]float64, len(m.regions))
		for i := range t {
			t[i] = m.Accesses(i)
		}
		r.totals = append(r.totals, t)
		all = append(all, t...)
	}
	if w.Period > 0 {
		best := topShare(slices.Clone(all), w.Fast)
		for i := range r.Points {
			r.Points[i].Best = best
		}
	}
	var fast, accesses float64
	r.Tiers = make([]float64, len(h.Machine.Tiers))
	for i, m := range h.Procs {
		var sum, first float64
		for tier, n := range m.servedBy(h) {
			if sum += n; tier == 0 {
				first = n
			}
			r.Tiers[tier] += n
			r.Cost += n * h.Machine.Tiers[tier].AccessNS * 1e-9 / w.Seconds
		}
		fast, accesses = fast+first, accesses+sum
		r.HitOf = append(r.HitOf, first/max(sum, 1e-9))
		if w.Fair != nil {
			r.FairOf = append(r.FairOf, r.HitOf[i]/topShare(slices.Clone(r.totals[i]), w.Fair[i]))
		}
	}
	r.Cost += (h.Clock.sampling + h.Clock.moving) / w.Seconds
	r.Hit = fast / max(accesses, 1e-9)
	for i := range r.Tiers {
		r.Tiers[i] /= max(accesses, 1e-9)
	}
	r.Moved, r.PingPongs = h.books.bytes, h.books.pingPongs
	if h.books.spent > 0 {
		r.WastedShare = h.books.wasted / h.books.spent
	}
	if n := len(r.Points); n > 2 {
		half := r.Points[n/2]
		r.SettledPerMinute = float64(r.Moved-half.Moved) / (w.Seconds - half.Seconds) * 60
	}
	for _, from := range append([]float64{0}, w.Events...) {
		r.Settle = append(r.Settle, r.settled(from))
	}
}

// settled is how many seconds after a time 95 % of the best is reached. The
// second in which it happens is not over yet.
func (r *Result) settled(from float64) float64 {
	for i := range r.Points {
		p := &r.Points[i]
		if p.Seconds > from+tick && p.Share[0] >= 0.95*p.Best {
			return p.Seconds - from
		}
	}
	return math.Inf(1)
}
