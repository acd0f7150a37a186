package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

// plannedKey names a move of observe mode, which would be planned anew in
// each epoch because it is not carried out.
type plannedKey struct {
	id       policy.ProcessID
	addr     uint64
	strata   uint8
	from, to policy.Slot
}

const (
	// plannedFor is for how many seconds such a move counts as the same.
	plannedFor = 60
	maxPlanned = 64 << 10
	// maxRun is how many moves go to the mover at once.
	maxRun = 8
)

// epoch decides and publishes; it returns how long that took.
func (d *Daemon) epoch(now time.Time) time.Duration {
	d.epochs++
	if err := d.nodes.refresh(); err != nil {
		d.note("", 0, err)
	}
	if d.tracker != nil {
		d.decide()
	} else {
		d.testify(nil, policy.Params{})
	}
	took := time.Since(now)
	d.publish(now, took)
	if d.o.ObserveEpoch != nil {
		d.o.ObserveEpoch(took.Seconds())
	}
	return took
}

// every is how long after the beginning of an epoch that took so long the next is
// due.
func (d *Daemon) every(took time.Duration) time.Duration {
	d.interval = idleEpoch
	if d.tracker != nil {
		quiet := len(d.plan.Moves) == 0 && !d.tracker.Stats().Bursting
		d.interval = time.Duration(policy.EpochAfter(took.Seconds(), d.tracker.Budget(), quiet) * float64(time.Second))
	}
	return d.interval
}

func (d *Daemon) decide() {
	d.decided = d.tracker.News()
	s := &policy.Snapshot{
		Seconds: d.clock.Now(), Tiers: d.sampling.latency.measured(d.nodes.tiers), Nodes: d.nodes.list,
		MoveCost:  d.enforcing.CostPerPage(),
		Processes: d.tracker.Snapshot(),
		Workloads: shares(d.cfg, d.nodes.tiers),
	}
	s.SincePhase = d.tracker.SincePhase()
	s.Homes = d.homes.list
	d.markRefused(s.Processes)
	d.markHomes(s.Processes)
	d.setPressures(s)
	p := d.params(s.MoveCost)
	d.testify(s, p)
	d.plan = d.o.Tap.Decide(&d.control, s, p)
	d.remember(s, &p)
	d.tracker.Steer(s.Processes, d.plan)
	d.tracker.Split(d.plan.Splits) // only of processes that are enforced
	d.planOf = d.planOf[:0]
	for i := range s.Processes {
		d.planOf = append(d.planOf, s.Processes[i].Workload)
	}

	d.drops[status.DropLate] += uint64(len(d.queue))
	d.queue = d.queue[:0]
	d.enforcing.Begin()
	d.observing.Begin()
	if d.sight.lost == "" {
		d.queue = append(d.queue, d.plan.Moves...)
	}
	d.mark()
}

// markRefused tells the policy what the kernel refuses to move: a region as
// a whole, or the pages that stayed behind when others of theirs moved.
func (d *Daemon) markRefused(procs []policy.Process) {
	r := d.enforcing.Refusals()
	if r.Len() == 0 {
		return
	}
	now := time.Now()
	for i := range procs {
		for j := range procs[i].Regions {
			id, q := procs[i].ID, &procs[i].Regions[j]
			if r.Immovable(now, id, q.Addr) {
				q.Flags |= policy.Immovable
				continue
			}
			slot, pages, ok := r.Stuck(now, id, q.Addr)
			if !ok {
				continue
			}
			for k := range q.Placement {
				if at := &q.Placement[k]; at.Slot == slot && at.Pages > 0 {
					at.Pages -= uint16(min(pages, int(at.Pages)))
				}
			}
		}
	}
}

// move carries out the next moves of the queue, for a slice of time.
func (d *Daemon) move(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, moveSlice)
	defer cancel()
	for len(d.queue) > 0 && ctx.Err() == nil {
		n := 1
		for n < len(d.queue) && n < maxRun && d.queue[n].ID == d.queue[0].ID {
			n++
		}
		run, marks := d.queue[:n], d.marks[:n]
		d.queue, d.marks = d.queue[n:], d.marks[n:]
		m := d.memberOf(run[0].ID)
		if m == nil {
			d.drops[status.DropGone] += uint64(n)
			continue
		}
		for i := 0; i < len(run); {
			run[i].Set = d.tracker.Movable(&run[i])
			if run[i].Set == (policy.PageSet{}) {
				d.drops[status.DropStale]++
				run, marks = append(run[:i:i], run[i+1:]...), append(marks[:i:i], marks[i+1:]...)
				continue
			}
			i++
		}
		if !m.workload.enforce {
			run, marks = d.unplanned(run, marks)
		}
		if len(run) == 0 {
			continue
		}
		rest, restMarks, progress := d.carry(ctx, m, run, marks)
		d.queue, d.marks = append(rest, d.queue...), append(restMarks, d.marks...)
		if !progress {
			d.moveAt = time.Now().Add(movePause)
			return
		}
	}
}

// carry moves and counts. It returns the moves that time did not allow, and
// whether anything else became of any page.
func (d *Daemon) carry(ctx context.Context, m *member, run []policy.Move, marks []mark) (rest []policy.Move, restMarks []mark, progress bool) {
	mover := d.observing
	if m.workload.enforce {
		mover = d.enforcing
	}
	var outcomes []migrate.Outcome
	d.noteRun(m, run, marks)
	busy := mover.Stats().CallTime
	d.clock.move(func() { outcomes = mover.Move(ctx, migrate.Target{Identity: m.life, Shared: m.workload.shared}, run) })
	if m.workload.enforce {
		d.book(run, outcomes, (mover.Stats().CallTime - busy).Seconds())
	}
	for i := range outcomes {
		o, v := &outcomes[i], &run[i]
		tried := o.ByResult[migrate.Unattempted] < o.Pages
		progress = progress || tried
		if o.ByResult[migrate.Unattempted] > 0 && o.Err == nil {
			// Its turn comes again, and is counted then.
			rest, restMarks = append(rest, *v), append(restMarks, marks[i])
			delete(d.planned, plannedKey{v.ID, v.Addr, v.Strata, v.From, v.To})
			o.ByResult[migrate.Unattempted] = 0
		}
		d.ring.Outcome(time.Now(), marks[i].decision, o)
		d.count(m, v, o)
		if m.workload.enforce && tried {
			// What a query found on the target already is moved as well, as far as
			// the picture of the region is concerned.
			d.tracker.Moved(v, o.There)
			d.moved += o.Bytes
		}
		if o.Err != nil {
			d.failed(m, o.Err)
		}
	}
	return rest, restMarks, progress
}

// book tells the policy what became of moves that took so many seconds together:
// each its part by the pages that it tried.
func (d *Daemon) book(run []policy.Move, outcomes []migrate.Outcome, seconds float64) {
	tried := 0
	pages := func(o *migrate.Outcome) int { return o.Pages - o.ByResult[migrate.Unattempted] }
	for i := range outcomes {
		tried += pages(&outcomes[i])
	}
	d.done = d.done[:0]
	for i := range outcomes {
		o, v := &outcomes[i], &run[i]
		if o.Moved > 0 {
			d.done = append(d.done, policy.Done{
				ID: v.ID, Addr: v.Addr, Strata: v.Strata, From: v.From, To: v.To, Kind: v.Kind,
				Pages: o.Moved, Seconds: seconds * float64(pages(o)) / float64(max(tried, 1)),
			})
		}
	}
	d.o.Tap.Done(&d.control, d.done)
}

func (d *Daemon) count(m *member, v *policy.Move, o *migrate.Outcome) {
	w := m.workload
	switch {
	case !w.enforce && v.Kind == policy.Promotion:
		w.plannedPromoted += o.Bytes
	case !w.enforce:
		w.plannedDemoted += o.Bytes
	case v.Kind == policy.Promotion:
		w.promoted += o.Bytes
	default:
		w.demoted += o.Bytes
	}
	if !w.enforce {
		return
	}
	for result, n := range o.ByResult {
		w.outcomes[result] += uint64(n)
	}
}

// failed notes an error of a move. A process that has gone is no news.
func (d *Daemon) failed(m *member, err error) {
	switch {
	case errors.Is(err, process.ErrGone), errors.Is(err, process.ErrReused):
		d.drops[status.DropGone]++
	case errors.Is(err, process.ErrExec):
		d.drops[status.DropExec]++
	case errors.Is(err, migrate.ErrHeld), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
	default:
		d.note(m.workload.name, m.life.ID().PID, err)
	}
}

// unplanned leaves out the moves that were already counted lately.
func (d *Daemon) unplanned(run []policy.Move, marks []mark) ([]policy.Move, []mark) {
	now := d.clock.Now()
	if len(d.planned) > maxPlanned {
		clear(d.planned)
	}
	kept, keptMarks := run[:0], marks[:0]
	for i, v := range run {
		key := plannedKey{v.ID, v.Addr, v.Strata, v.From, v.To}
		if at, ok := d.planned[key]; ok && now-at < plannedFor {
			continue
		}
		d.planned[key] = now
		kept, keptMarks = append(kept, v), append(keptMarks, marks[i])
	}
	return kept, keptMarks
}
