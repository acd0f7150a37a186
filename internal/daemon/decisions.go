package daemon

import (
	"time"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/policy"
)

// mark is what is known of a move in the queue beside the move.
type mark struct {
	index    int    // in the plan
	noted    bool   // in the ring,
	decision uint64 // under this number
}

// remember keeps what all decisions of the new plan have in common, and the
// verdicts on those before.
func (d *Daemon) remember(s *policy.Snapshot, p *policy.Params) {
	if d.settled = d.control.Settled(d.settled[:0]); len(d.settled) > 0 {
		d.ring.Settle(d.settled)
	}
	if len(d.plan.Moves) == 0 {
		return
	}
	d.epochOf = &explain.Epoch{
		Number: d.epochs, Machine: d.machineNames(s),
		Separation: d.plan.Thrash.Separation, Payback: p.Payback, MoveCost: s.MoveCost, Budget: p.Budget,
	}
}

// machineNames makes the names of places when they are first needed: they do not
// change.
func (d *Daemon) machineNames(s *policy.Snapshot) *explain.Machine {
	if d.names == nil {
		d.names = explain.NewMachine(s)
	}
	return d.names
}

// mark marks the moves of the new plan.
func (d *Daemon) mark() {
	d.marks = d.marks[:0]
	for i := range d.queue {
		d.marks = append(d.marks, mark{index: i})
	}
}

// noteRun puts those into the ring whose turn has come for the first time.
func (d *Daemon) noteRun(m *member, run []policy.Move, marks []mark) {
	now := time.Now()
	for i := range run {
		if k := &marks[i]; !k.noted {
			k.noted = true
			k.decision = d.ring.Note(now, d.epochOf, k.index, &run[i], &d.plan.Terms[k.index], m.workload.name, !m.workload.enforce)
		}
	}
}
