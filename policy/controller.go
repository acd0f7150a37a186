package policy

import "math"

const (
	// windowSeconds is over how long waste is measured.
	windowSeconds = 5
	// settleSeconds smooths the waste that must be low for a recovery: until the
	// moves of now are judged takes as long.
	settleSeconds = 30
	// mostSeparation is as sure as the policy can be made.
	mostSeparation = 6
	// zUp and zDown are the steps of the separation per window. It rises faster
	// than it falls, so that it is found out slowly whether more pays again.
	zUp, zDown = 0.5, 0.1
	// leastBudget is as far as the budget falls, as a share of the configured one;
	// leastCut and mostCut bound one step down, and budgetUp is one up.
	leastBudget       = 1.0 / 1024
	leastCut, mostCut = 0.5, 1.0 / 16
	budgetUp          = 1.25
	// leastExchange is the room in a plan that one exchange needs. A steered budget
	// is saved up to it.
	leastExchange = 2 * RegionSize
	// longestStep bounds what one step of the clock counts, in seconds.
	longestStep = 60
)

// Controller is the engine with a memory: it keeps the ledger of what moves
// have cost and earned, and lets that steer how much is moved and how sure a
// move must be. What it decides depends on nothing but the calls so far, so
// that the same calls give the same plans.
//
// Waste is steered for all workloads together, by the separation and the
// budget; a workload most of whose moves are undone is stopped by its breaker.
// What counts against a workload is a promotion undone before it had paid.
// One that had is none to regret, however short it was: a window of hot memory
// that advances takes back all that it moves within seconds.
//
// The zero Controller is ready for use, by one goroutine at a time.
type Controller struct {
	engine Engine
	reins  reins
	ledger ledger
	cool   cooling

	now, last float64 // seconds of work, and of the last snapshot's clock
	begun     bool
	phaseAt   float64 // of the last phase change, by the snapshot's clock

	z, share   float64 // what is added to the separation, and the part of the budget
	credit     float64 // bytes saved up while the budget is steered
	windowAt   float64
	lost       float64 // seconds wasted, not excused, when the window began
	waste      float64 // of the last window, seconds per second
	smooth     float64
	judged     float64 // cost of what was judged lately, in seconds, and of it
	failed     float64 // what was wasted
	judgedAt   float64 // ledger.judged when the window began
	p          Params
	workloads  []breaker
	index      map[string]int32    // of workloads
	procs      map[ProcessID]int32 // of the last snapshot
	workloadOf []int32             // by process
	planned    map[plannedMove]plannedReason
	verdicts   []Settled // that nobody has asked for yet
	splitters  []splitter
	tried      map[spot]float64 // huge pages that were to be split: until when it is remembered
}

// plannedMove is what tells the moves of a plan apart when they are done.
type plannedMove struct {
	at       spot
	from, to Slot
}

type plannedReason struct {
	rule     Rule
	rate     float32 // of the victim
	workload int32
	back     bool // against the region's last move, within the window
}

// Done is what became of a move.
type Done struct {
	ID       ProcessID
	Addr     uint64 // of the region
	Strata   uint8
	From, To Slot
	Kind     Kind
	// Pages is how many were moved, at a cost of so many seconds altogether.
	Pages   int
	Seconds float64
}

// Thrash is how thrash control stands after a decision.
type Thrash struct {
	// Separation and BudgetShare are in force: z, and the part of Params.Budget that
	// may be used.
	Separation, BudgetShare float64
	// Waste is the cost of wasted moves per time, in the last full window of 5 s.
	Waste float64
	// Pressure is the host's, or NoPressure.
	Pressure float64
	// Pending is the number of promotions that are not judged yet.
	Pending int
	Totals  Totals
	// Breakers has one entry for each workload that the snapshot has processes of.
	Breakers []Breaker
}

// Breaker is how a workload's breaker stands.
type Breaker struct {
	Workload string
	State    BreakerState
	// Undone is the share of moves that were undone before they had paid, in the
	// last window with moves.
	Undone float64
	// Seconds is for how long it has been in this state.
	Seconds float64
	// Trips counts how often it has opened.
	Trips uint64
	// Pressed tells that the memory pressure of the host or of some process of the
	// workload stops moves; Pressure is the highest of its processes, or NoPressure.
	Pressed  bool
	Pressure float64
}

// Decide plans the moves that the snapshot calls for. It keeps no reference to
// the snapshot or to the plan.
func (c *Controller) Decide(s *Snapshot, p Params) *Plan {
	c.tick(s.Seconds)
	c.p = p.checked()
	c.processes(s)
	c.phase(s)
	c.ledger.earn(s, c.procs, &c.p, c.now, c.settled)
	for i := range c.workloads {
		c.workloads[i].turn(c.now, &c.p)
	}
	c.window()

	p.Separation = c.separation()
	c.reins.budget = c.budget()
	c.reins.cooling = &c.cool
	c.gates(s)
	c.engine.reins = &c.reins
	plan := c.engine.Decide(s, p)
	c.remember(s, plan)
	c.splits(s, plan)
	plan.Thrash = c.report(s)
	return plan
}

// checked replaces what makes no sense.
func (p Params) checked() Params {
	d := DefaultParams()
	q := p.sane()
	q.MaxWaste = positive(p.MaxWaste, d.MaxWaste)
	q.Window = positive(p.Window, d.Window)
	q.Breaker = positive(p.Breaker, d.Breaker)
	q.MaxPressure = positive(p.MaxPressure, d.MaxPressure)
	return q
}

func positive(v, otherwise float64) float64 {
	if v > 0 && !math.IsInf(v, 1) {
		return v
	}
	return otherwise
}

// tick moves on the clock, which never goes back and never jumps, whatever that
// of the snapshots does.
func (c *Controller) tick(seconds float64) {
	if d := seconds - c.last; c.begun && d > 0 {
		c.now += min(d, longestStep)
	}
	if !math.IsNaN(seconds) && !math.IsInf(seconds, 0) {
		c.last, c.begun = seconds, true
	}
}

// processes finds the processes and their workloads.
func (c *Controller) processes(s *Snapshot) {
	if c.procs == nil {
		c.procs, c.index, c.planned = map[ProcessID]int32{}, map[string]int32{}, map[plannedMove]plannedReason{}
		c.share, c.phaseAt = 1, math.Inf(-1)
	}
	clear(c.procs)
	c.workloadOf = resize(c.workloadOf, len(s.Processes))
	for i := range s.Processes {
		p := &s.Processes[i]
		c.procs[p.ID] = int32(i)
		w, ok := c.index[p.Workload]
		if !ok {
			w = int32(len(c.workloads))
			c.index[p.Workload] = w
			c.workloads = append(c.workloads, breaker{name: p.Workload, begun: c.now, since: c.now})
		}
		c.workloadOf[i] = w
	}
}

// phase forgets what was learnt before a phase change. One that follows the last
// within the window is no news but how the workload is: else one that changes back
// and forth would be forgiven for ever.
func (c *Controller) phase(s *Snapshot) {
	at := c.now - s.SincePhase
	if math.IsNaN(at) || math.IsInf(at, 0) || at < c.phaseAt+1 {
		return
	}
	believed := at > c.phaseAt+c.p.Window
	c.phaseAt = at
	if !believed {
		return
	}
	clear(c.cool.regions)
	c.ledger.excuse()
	c.z, c.share, c.smooth = 0, 1, 0
	for i := range c.workloads {
		c.workloads[i].forgive(c.now)
	}
}

// window closes the window of waste and steers by it.
func (c *Controller) window() {
	long := c.now - c.windowAt
	if long < windowSeconds {
		return
	}
	l := &c.ledger
	if l.owed > 0 && c.now-l.owedAt >= windowSeconds {
		// Victims left, and nothing came in their place.
		l.totals.Seconds += l.owed
		l.totals.WastedSeconds += l.owed
		l.owed = 0
	}
	lost := l.totals.WastedSeconds - l.excused
	c.waste = (lost - c.lost) / long
	c.windowAt, c.lost = c.now, lost
	c.smooth += (c.waste - c.smooth) * (1 - math.Exp(-long/settleSeconds))
	fade := math.Exp(-long / settleSeconds)
	c.judged = c.judged*fade + l.judged - c.judgedAt
	c.failed = c.failed*fade + c.waste*long
	c.judgedAt = l.judged
	switch most := c.p.MaxWaste; {
	case c.waste > most:
		// Where most of what moves pays, a smaller budget loses more than it saves:
		// it falls by the part that does not.
		part := min(c.failed/max(c.judged, c.failed), 1)
		c.z = min(c.z+part*zUp, mostSeparation)
		c.share = max(c.share*(1-part*(1-min(max(most/c.waste, mostCut), leastCut))), leastBudget)
	case c.waste < most/4 && c.smooth < most/4:
		c.z = max(c.z-zDown, 0)
		c.share = min(c.share*budgetUp, 1)
	}
	c.cool.forget(c.now)
}

// separation is z in force: what is configured, and more while much is wasted, but
// not above six unless that is configured.
func (c *Controller) separation() float64 {
	return max(c.p.Separation, min(c.p.Separation+c.z, mostSeparation))
}

// budget is the bytes for this plan. While it is steered it may be less than an
// exchange takes, and is saved up.
func (c *Controller) budget() uint64 {
	if c.share >= 1 {
		c.credit = 0
		return c.p.Budget
	}
	now := c.share * float64(c.p.Budget)
	c.credit = min(c.credit+now, max(now, leastExchange))
	if c.credit < leastExchange {
		return 0
	}
	return min(uint64(c.credit), c.p.Budget)
}

// gates shuts the gates of the processes that may not move.
func (c *Controller) gates(s *Snapshot) {
	r := &c.reins
	r.gates = resize(r.gates, len(s.Processes))
	r.allowances = resize(r.allowances, len(c.workloads))
	r.shut = false
	for i := range c.workloads {
		bytes, open := c.workloads[i].allowance(c.now, c.p.Budget)
		r.allowances[i] = bytes
		r.shut = r.shut || open
	}
	for i := range s.Processes {
		w := c.workloadOf[i]
		g := gate{ajar: -1}
		switch {
		case s.Pressure > c.p.MaxPressure, s.Processes[i].Pressure > c.p.MaxPressure:
			g.rule, r.shut = VetoPressure, true
		case c.workloads[w].state == Open:
			g = gate{VetoBreaker, w}
		}
		r.gates[i] = g
	}
}

// remember notes of the plan what will be asked when its moves are done.
func (c *Controller) remember(s *Snapshot, plan *Plan) {
	clear(c.planned)
	moved := 0.0
	for i := range plan.Moves {
		m := &plan.Moves[i]
		if m.Reason.Rule != Relief {
			moved += float64(m.Pages) * PageSize
		}
		w := c.workloadOf[m.Process]
		if b := &c.workloads[w]; b.state == Open && m.Reason.Rule != Relief {
			b.probing(c.now)
		}
		r := s.Processes[m.Process].region(m.Addr)
		back := r != nil && float64(r.SinceMove) <= c.p.Window && (r.Flags&MovedUp != 0) != (m.Kind == Promotion)
		c.planned[plannedMove{spot{m.ID, m.Addr}, m.From, m.To}] = plannedReason{m.Reason.Rule, m.Reason.VictimRate, w, back}
	}
	if c.share < 1 {
		c.credit = max(c.credit-moved, 0)
	}
}

// Done tells what became of moves of the last plan.
func (c *Controller) Done(moves []Done) {
	l := &c.ledger
	for i := range moves {
		d := &moves[i]
		at := spot{d.ID, d.Addr}
		why, known := c.planned[plannedMove{at, d.From, d.To}]
		if !known || d.Pages <= 0 {
			continue
		}
		cost := d.Seconds
		if !(cost >= 0) || math.IsInf(cost, 1) {
			cost = 0
		}
		if why.back {
			l.totals.PingPongs++
		}
		b := &c.workloads[why.workload]
		if d.Kind == Demotion {
			if why.rule == Victim {
				l.owed, l.owedAt = l.owed+cost, c.now
				l.victim, l.victimStrata = at, d.Strata
			}
			c.undo(b, at, d)
			continue
		}
		if why.rule == Near && l.returns(at, d.From, d.To) {
			c.undo(b, at, d)
		}
		e := entry{
			at: at, strata: d.Strata, pages: d.Pages, workload: why.workload, from: d.From, to: d.To,
			base: why.rate, opened: c.now, cost: cost + l.owed, probe: b.state == Open,
		}
		switch {
		case why.rule == Share:
			e.base = 0 // what the victim loses was not its due
		case l.owed > 0 && why.rule == Exchange:
			e.victim, e.left = l.victim, l.victimStrata
		}
		l.owed = 0
		b.moved += d.Pages
		if l.open(e) {
			b.tried++
		}
	}
}

// undo books a move that takes a region away from where a promotion brought it.
func (c *Controller) undo(b *breaker, at spot, d *Done) {
	e, fresh, ok := c.ledger.leave(at, d.Strata, d.Pages, c.now, c.p.Window)
	if !ok {
		return
	}
	if !e.excused {
		b.undone += e.pages
	}
	if fresh && e.probe {
		b.probed(undone, c.now)
	}
	if fresh {
		c.tell(&e, undone)
	}
	c.cool.double(at, c.now, c.p.Cooldown, c.p.Window)
}

// settled tells a workload what became of a promotion of its own.
func (c *Controller) settled(e *entry, v verdict) {
	c.tell(e, v)
	if e.probe {
		c.workloads[e.workload].probed(v, c.now)
	}
}

func (c *Controller) report(s *Snapshot) Thrash {
	t := Thrash{
		Separation: c.separation(), BudgetShare: c.share, Waste: c.waste, Pressure: knownPressure(s.Pressure),
		Pending: len(c.ledger.entries), Totals: c.ledger.totals,
	}
	at := make([]int32, len(c.workloads)) // 1 + index into t.Breakers
	for i := range s.Processes {
		w := c.workloadOf[i]
		if at[w] == 0 {
			b := &c.workloads[w]
			t.Breakers = append(t.Breakers, Breaker{
				Workload: b.name, State: b.state, Undone: b.ratio, Seconds: c.now - b.since, Trips: b.trips, Pressure: NoPressure,
			})
			at[w] = int32(len(t.Breakers))
		}
		out := &t.Breakers[at[w]-1]
		out.Pressure = max(out.Pressure, knownPressure(s.Processes[i].Pressure))
		out.Pressed = out.Pressed || c.reins.gates[i].rule == VetoPressure
	}
	return t
}

// knownPressure is a pressure, or NoPressure for what is none.
func knownPressure(v float64) float64 {
	if v >= 0 && !math.IsInf(v, 1) {
		return v
	}
	return NoPressure
}
