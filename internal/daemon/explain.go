package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

const (
	// usualDecisions is how many decisions are told where nobody says how many;
	// lateDecisions how many with an account.
	usualDecisions, lateDecisions = 20, 5
	// askFor is how long one who asks waits for another's answer, and askRest how
	// many times as long as the last answer took there is none: explaining is not
	// to cost more than sampling does.
	askFor, askRest = 5 * time.Second, 4
	// mostParts is how many regions an account of more than one shows.
	mostParts = 10
	// regionTries and otherTries are how many more plans are made to find what would
	// have to change, as long as that is not triedRegions regions altogether.
	regionTries, otherTries = 60, 30
	triedRegions            = 10_000_000
)

// question is asked of the loop.
type question struct {
	answer chan evidence // has room for one
}

// evidence is a copy of all that a decision looks at, before it is made.
type evidence struct {
	snapshot *policy.Snapshot // nil: the loop does not decide
	params   policy.Params
	state    []byte
}

// testify answers a question, if there is one, with what is about to be decided.
// The rest is up to those who ask: the loop waits for nobody.
func (d *Daemon) testify(s *policy.Snapshot, p policy.Params) {
	select {
	case q := <-d.questions:
		var e evidence
		if s != nil {
			if state, err := d.control.MarshalBinary(); err == nil {
				e = evidence{copyOf(s), p, state}
			}
		}
		q.answer <- e
	default:
	}
}

// copyOf copies what the sampler will change.
func copyOf(s *policy.Snapshot) *policy.Snapshot {
	c := *s
	c.Tiers, c.Nodes, c.Processes = slices.Clone(s.Tiers), slices.Clone(s.Nodes), slices.Clone(s.Processes)
	for i := range c.Processes {
		p := &c.Processes[i]
		p.Regions, p.Details = slices.Clone(p.Regions), slices.Clone(p.Details)
	}
	return &c
}

// Explain answers a question, for any goroutine. The error wraps status.ErrUnknown,
// status.ErrQuestion or status.ErrBusy, or is that of ctx.
func (d *Daemon) Explain(ctx context.Context, q status.Question) (*status.Explanation, error) {
	out := &status.Explanation{SchemaVersion: status.SchemaVersion, Decisions: []status.Decision{}}
	n := min(q.Limit, status.MaxDecisions)
	if n <= 0 {
		n = usualDecisions
	}
	switch {
	case q.Decision != "":
		id, err := explain.ParseID(q.Decision)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", status.ErrQuestion, err)
		}
		found, ok := d.ring.Find(id)
		if !ok {
			return nil, fmt.Errorf("decision %s: %w; the last %d whose turn came are kept", id, status.ErrUnknown, explain.Kept)
		}
		out.About, out.Says, out.Decisions = "decision", found.Says, append(out.Decisions, found)
		return out, nil
	case q.PID == 0 && q.Workload == "":
		out.About = "decisions"
		d.ring.Last(out, n, &q)
		out.Says = explain.SayDecisions(out)
		return out, nil
	}
	if err := d.takeTurn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-d.asking }()
	e, err := d.ask(ctx)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	err = d.account(out, e, &q)
	d.askAgain = time.Now().Add(askRest * time.Since(begun))
	if err != nil {
		return nil, err
	}
	d.ring.Last(out, min(n, lateDecisions), &q)
	return out, nil
}

// takeTurn waits until nobody else asks: each answer takes a copy of all. Who has
// the turn hands it back by taking from d.asking.
func (d *Daemon) takeTurn(ctx context.Context) error {
	wait, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	select {
	case d.asking <- struct{}{}:
		rest := time.NewTimer(time.Until(d.askAgain))
		defer rest.Stop()
		select {
		case <-rest.C:
			return nil
		case <-wait.Done():
			<-d.asking
		}
	case <-wait.Done():
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("tierd is %w", status.ErrBusy)
}

// ask asks the loop what it is about to decide.
func (d *Daemon) ask(ctx context.Context) (e evidence, err error) {
	q := &question{answer: make(chan evidence, 1)}
	select {
	case d.questions <- q:
	case <-ctx.Done():
		return e, ctx.Err()
	}
	select {
	case e = <-q.answer:
	case <-ctx.Done():
		select { // so that the next one finds the place free
		case <-d.questions:
		default:
		}
		return e, ctx.Err()
	}
	if e.snapshot == nil {
		return e, errors.New("tierd cannot see which memory is used, so there is nothing to explain; tierd doctor says why")
	}
	return e, nil
}

// account answers a question about memory.
func (d *Daemon) account(out *status.Explanation, e evidence, q *status.Question) error {
	chosen := func(p *policy.Process) bool { return p.Workload == q.Workload }
	name := "workload " + q.Workload
	if q.PID != 0 {
		chosen = func(p *policy.Process) bool { return p.ID.PID == q.PID }
		name = fmt.Sprintf("process %d", q.PID)
	}
	k := slices.IndexFunc(e.snapshot.Processes, func(p policy.Process) bool { return chosen(&p) })
	if k < 0 {
		return d.absent(name, q)
	}
	regions := 0
	for i := range e.snapshot.Processes {
		regions += len(e.snapshot.Processes[i].Regions)
	}
	about := policy.About{Process: chosen, Most: mostParts, Tries: min(otherTries, triedRegions/max(regions, 1))}
	if q.Address != 0 {
		if !slices.ContainsFunc(e.snapshot.Processes[k].Regions, func(r policy.Region) bool { return r.Addr == q.Address&^(policy.RegionSize-1) }) {
			return fmt.Errorf("address 0x%x of process %d: %w: no memory is there that tierd watches", q.Address, q.PID, status.ErrUnknown)
		}
		about.Addr, about.Tries = q.Address, min(regionTries, triedRegions/max(regions, 1))
	}
	a, err := policy.Explain(e.state, e.snapshot, e.params, about)
	if err != nil {
		return err
	}
	out.Account = explain.Account(a, e.snapshot, chosen)
	switch {
	case q.Address != 0:
		out.About, out.Says = "region", explain.SayRegion(out.Account)
	case q.PID != 0:
		out.About, out.Says = "process", explain.SayAccount(fmt.Sprintf("Process %d (%s)", q.PID, out.Account.Workload), out.Account)
	default:
		out.About, out.Says = "workload", explain.SayAccount(fmt.Sprintf("Workload %s, of %d processes,", q.Workload, out.Account.Processes), out.Account)
	}
	return nil
}

// absent says why the loop does not decide about a process or workload.
func (d *Daemon) absent(name string, q *status.Question) error {
	s := d.o.Board.Load()
	for i := 0; s != nil && i < len(s.Workloads); i++ {
		w := &s.Workloads[i]
		if q.Workload == w.Name {
			return fmt.Errorf("%s: no memory of it is %w: of %d processes that match, none is watched yet", name, status.ErrUnknown, w.Processes)
		}
		for _, p := range w.ProcessDetails {
			if p.PID == q.PID && p.Error != "" {
				return fmt.Errorf("%s: its memory is %w: %s", name, status.ErrUnknown, p.Error)
			}
		}
	}
	return fmt.Errorf("%s: %w", name, status.ErrUnknown)
}
