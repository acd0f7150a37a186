package sim

import (
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
)

const (
	// lookSeconds is how often the daemon looks for processes.
	lookSeconds = 2.0
	moveSlice   = 0.060
	detailBytes = 64 << 20
)

// Tierd is tierd itself: its sampler and its policy.
type Tierd struct {
	// Params are the policy's; their Budget is set from the host's rate.
	Params policy.Params
	// Budget and Burst are shares of a core for sampling.
	Budget, Burst float64
	// Uncontrolled leaves out the ledger and all that is steered by it, to tell what
	// it costs.
	Uncontrolled bool
	// Recorder, if set, writes down what goes in and out of the policy.
	Recorder *record.Recorder
	// Plan is the last one.
	Plan *policy.Plan

	tracker *sampler.Tracker
	control policy.Controller
	engine  policy.Engine
	queue   []policy.Move
	epoch   float64 // when the next one is due, every so many seconds
	every   float64
	decided uint64 // the news that the last one knew
	tracked []bool // by process
	lookAt  float64
	trips   map[string]uint64 // of the breakers, by workload
}

// DefaultTierd is tierd with its defaults.
func DefaultTierd() *Tierd {
	return &Tierd{Params: policy.DefaultParams(), Budget: 0.03, Burst: 0.10}
}

// Step implements Placer.
func (t *Tierd) Step(h *Host) (next float64) {
	c := h.Clock
	if t.tracker == nil {
		t.tracker = sampler.New(sampler.Options{Budget: t.Budget, Burst: t.Burst, DetailBytes: detailBytes, Clock: c})
		t.tracked = make([]bool, len(h.Procs))
		t.epoch = c.seconds
	}
	if c.seconds >= t.lookAt {
		t.follow(h)
		t.lookAt = c.seconds + lookSeconds
	}
	next = max(t.tracker.Step(), c.seconds)
	// Without news there is time.
	epoch := t.epoch
	if t.tracker.News() == t.decided {
		epoch = max(epoch, epoch-t.every+policy.RestSeconds)
	}
	if c.seconds >= epoch {
		t.decide(h)
		epoch = t.epoch
	}
	if len(t.queue) == 0 {
		return min(next, epoch)
	}
	for until := c.seconds + moveSlice; len(t.queue) > 0 && c.seconds < until; t.queue = t.queue[1:] {
		if h.Allowed() <= 0 {
			return min(next, epoch, c.seconds+moveSlice/2)
		}
		m := &t.queue[0]
		set := t.tracker.Movable(m)
		if set == (policy.PageSet{}) {
			continue // it is out of date
		}
		// The plan counts the processes that were there then.
		there := h.Move(h.processOf(m.ID), m.Addr, set, m.From, m.To)
		t.tracker.Moved(m, there)
		done := []policy.Done{{
			ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind,
			Pages: there.Count(), Seconds: float64(there.Count()) * h.Machine.MoveCost,
		}}
		t.control.Done(done)
		if t.Recorder != nil {
			t.Recorder.Done(done)
		}
	}
	return c.seconds
}

// follow begins to track processes that have memory, and forgets those that have
// none any more.
func (t *Tierd) follow(h *Host) {
	for i, m := range h.Procs {
		switch mapped := m.mapped(); {
		case mapped && !t.tracked[i]:
			t.tracker.Add(h.IDs[i], h.Names[i], true, m)
		case !mapped && t.tracked[i]:
			t.tracker.Remove(h.IDs[i])
		default:
			continue
		}
		t.tracked[i] = !t.tracked[i]
	}
}

func (t *Tierd) decide(h *Host) {
	begin := h.Clock.seconds
	t.decided = t.tracker.News()
	p := t.Params
	p.Budget = policy.PlanBytes(t.every, h.Machine.MoveCost, h.Rate)
	procs := t.tracker.Snapshot()
	units := 0
	for i := range procs {
		units += len(procs[i].Regions)
		for j := range procs[i].Regions {
			if procs[i].Regions[j].Detail >= 0 {
				units += 2 // some have one stratum, some several on more than one node
			}
		}
	}
	h.Clock.look(float64(units) * h.Machine.DecideCost)
	snap := &policy.Snapshot{
		Seconds: h.Clock.seconds, Tiers: h.Machine.Tiers, Nodes: h.Nodes, MoveCost: h.Machine.MoveCost, Processes: procs,
		SincePhase: t.tracker.SincePhase(), Workloads: h.Shares,
	}
	switch {
	case t.Uncontrolled:
		t.Plan = t.engine.Decide(snap, p)
	case t.Recorder != nil:
		t.Plan = t.Recorder.Decide(&t.control, snap, p)
	default:
		t.Plan = t.control.Decide(snap, p)
	}
	if t.trips == nil {
		t.trips = map[string]uint64{}
	}
	for _, b := range t.Plan.Thrash.Breakers {
		t.trips[b.Workload] = b.Trips // of those that have no process now, the last
	}
	t.tracker.Steer(procs, t.Plan)
	t.tracker.Split(t.Plan.Splits)
	t.queue = append(t.queue[:0], t.Plan.Moves...)
	t.every = policy.EpochAfter(h.Clock.seconds-begin, t.tracker.Budget(), len(t.Plan.Moves) == 0 && !t.tracker.Stats().Bursting)
	t.epoch = begin + t.every
}

// Trips is how often breakers have opened.
func (t *Tierd) Trips() (n uint64) {
	for _, trips := range t.trips {
		n += trips
	}
	return n
}

// Close implements Placer.
func (t *Tierd) Close() {
	if t.tracker != nil {
		t.tracker.Close()
	}
}
