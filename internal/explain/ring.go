package explain

import (
	"math"
	"sync"
	"time"

	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

// Kept is how many decisions a Ring remembers.
const Kept = 4096

// Machine is what places are called.
type Machine struct {
	Tiers []string
	// Nodes has the node of each slot, TierOf its tier, or -1.
	Nodes  []int
	TierOf []int
}

// NewMachine takes the names from a snapshot.
func NewMachine(s *policy.Snapshot) *Machine {
	m := &Machine{}
	for i := range s.Tiers {
		m.Tiers = append(m.Tiers, s.Tiers[i].Name)
	}
	for i := range s.Nodes {
		m.Nodes = append(m.Nodes, int(s.Nodes[i].ID))
		m.TierOf = append(m.TierOf, s.Nodes[i].Tier)
	}
	return m
}

func (m *Machine) place(slot policy.Slot) status.Place {
	if int(slot) >= len(m.Nodes) {
		return status.Place{Node: -1}
	}
	return status.Place{Tier: m.tier(m.TierOf[slot]), Node: m.Nodes[slot]}
}

func (m *Machine) tier(t int) string {
	if t < 0 || t >= len(m.Tiers) {
		return ""
	}
	return m.Tiers[t]
}

// Epoch is what the decisions of one plan have in common. It is not changed once
// a decision refers to it.
type Epoch struct {
	Number  uint64
	Machine *Machine
	// Separation and Payback are the limits in force.
	Separation, Payback float64
	// MoveCost is in seconds per page, Budget in bytes.
	MoveCost float64
	Budget   uint64
}

// entry is a decision as the ring keeps it.
type entry struct {
	epoch    *Epoch
	index    int32 // in the plan
	planned  bool
	workload string
	time     time.Time
	move     policy.Move
	terms    policy.Terms

	done    time.Time
	pages   int
	results [migrate.NumResults]int32
	err     string
	seconds float64
	verdict string
	earned  float64
}

// Ring remembers the last decisions. The zero Ring is ready for use.
type Ring struct {
	mu    sync.Mutex
	list  []entry // by number, modulo Kept
	total uint64
	// up has the last promotion of a region.
	up map[region]uint64
}

type region struct {
	id   policy.ProcessID
	addr uint64
}

// Note remembers a decision whose turn has come, move number index of a plan. It
// returns a number by which to tell what becomes of it.
func (r *Ring) Note(now time.Time, e *Epoch, index int, m *policy.Move, t *policy.Terms, workload string, planned bool) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up == nil {
		r.up = map[region]uint64{}
	}
	n := r.total
	r.total++
	var into *entry
	if len(r.list) < Kept {
		r.list = append(r.list, entry{})
		into = &r.list[n]
	} else {
		into = &r.list[n%Kept]
		key := region{into.move.ID, into.move.Addr}
		if r.up[key] == n-Kept {
			delete(r.up, key)
		}
	}
	*into = entry{epoch: e, index: int32(index), planned: planned, workload: workload, time: now, move: *m, terms: *t}
	if m.Kind == policy.Promotion && !planned {
		r.up[region{m.ID, m.Addr}] = n
	}
	return n
}

// Outcome tells what became of a decision. Of one that took several turns, the
// pages that were not attempted are left to the last.
func (r *Ring) Outcome(now time.Time, number uint64, o *migrate.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.at(number)
	if e == nil {
		return
	}
	e.done = now
	e.seconds += o.Duration.Seconds()
	e.pages = max(e.pages, o.Pages)
	for i, n := range o.ByResult {
		e.results[i] += int32(n)
	}
	if o.Err != nil {
		e.err = o.Err.Error()
	}
}

// Settle notes the ledger's verdicts.
func (r *Ring) Settle(list []policy.Settled) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list {
		v := &list[i]
		n, ok := r.up[region{v.ID, v.Addr}]
		if !ok {
			continue
		}
		if e := r.at(n); e != nil && e.move.To == v.To {
			e.verdict, e.earned = v.Verdict, v.Earned
		}
	}
}

// at is a decision by its number; nil if it is forgotten.
func (r *Ring) at(n uint64) *entry {
	if n >= r.total || r.total-n > Kept {
		return nil
	}
	return &r.list[n%Kept]
}

// Last adds up to n decisions to an answer, the newest first: those of the
// question's process, region or workload, or all.
func (r *Ring) Last(to *status.Explanation, n int, q *status.Question) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to.DecisionsTotal, to.DecisionsKept = r.total, len(r.list)
	for k := r.total; k > 0 && r.at(k-1) != nil && len(to.Decisions) < n; k-- {
		e := r.at(k - 1)
		if (q.PID == 0 || e.move.ID.PID == q.PID) && (q.Workload == "" || e.workload == q.Workload) &&
			(q.Address == 0 || e.move.Addr == q.Address&^(policy.RegionSize-1)) {
			to.Decisions = append(to.Decisions, r.tell(k-1))
		}
	}
}

// Find returns the decision of an epoch's plan, and whether it is remembered.
func (r *Ring) Find(id ID) (status.Decision, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := r.total; k > 0 && r.at(k-1) != nil; k-- {
		if e := r.at(k - 1); e.epoch.Number == id.Epoch && int(e.index) == id.Index {
			return r.tell(k - 1), true
		}
	}
	return status.Decision{}, false
}

// tell makes the answer of an entry.
func (r *Ring) tell(n uint64) status.Decision {
	e := r.at(n)
	m, t, ep := &e.move, &e.terms, e.epoch
	d := status.Decision{
		ID: ID{ep.Number, int(e.index)}.String(), Time: e.time, PlannedOnly: e.planned, Workload: e.workload, PID: m.ID.PID,
		Address: address(m.Addr), Bytes: uint64(m.Pages) * policy.PageSize, Kind: m.Kind.String(), Rule: string(m.Reason.Rule),
		From: ep.Machine.place(m.From), To: ep.Machine.place(m.To), Rate: rate(m.Reason.Rate, t.LogVar),
		GainSeconds: number(t.Gain), CostSeconds: number(t.Cost), HorizonSeconds: number(t.Horizon),
		CostPerPageSeconds: ep.MoveCost, BudgetBytes: ep.Budget, With: []string{},
	}
	if t.VictimLogVar > 0 {
		other := rate(m.Reason.VictimRate, t.VictimLogVar)
		d.Other = &other
		d.Separation = &status.Against{Value: number(m.Reason.Separation), Least: ep.Separation}
		if m.Reason.Rule == policy.Share {
			d.Separation = nil // it need not be hotter
		}
	}
	if t.Cost > 0 {
		d.Payback = &status.Against{Value: number(m.Reason.Payback), Least: ep.Payback}
	}
	if m.Kind == policy.Promotion {
		d.Evidence = &status.Against{Value: float64(t.Evidence), Least: float64(t.EvidenceNeeded)}
	}
	if t.Exchange > 0 {
		d.With = r.with(n)
	}
	d.Outcome = e.outcome()
	d.Says = sayDecision(&d)
	return d
}

// with lists the ids of what belongs to the same exchange. They had their turns
// one after the other, and no two plans mix.
func (r *Ring) with(n uint64) []string {
	e, out := r.at(n), []string{}
	look := func(k uint64) bool {
		x := r.at(k)
		if x == nil || x.epoch != e.epoch {
			return false
		}
		if k != n && x.terms.Exchange == e.terms.Exchange && len(out) < status.MaxWith {
			out = append(out, ID{e.epoch.Number, int(x.index)}.String())
		}
		return true
	}
	first := n
	for first > 0 && r.at(first-1) != nil && r.at(first-1).epoch == e.epoch {
		first--
	}
	for k := first; look(k); k++ {
	}
	return out
}

func (e *entry) outcome() status.DecisionOutcome {
	o := status.DecisionOutcome{PagesTotal: e.pages, Pages: map[string]int{}, Error: e.err, Seconds: e.seconds, Verdict: e.verdict, EarnedSeconds: e.earned}
	if !e.done.IsZero() {
		at := e.done
		o.Time = &at
	}
	for i, n := range e.results {
		if n > 0 {
			o.Pages[migrate.Result(i).String()] = int(n)
		}
	}
	return o
}

func rate(r, variance float32) status.Rate {
	return status.Rate{AccessesPerSecond: number(r), LogVariance: number(variance)}
}

// number is one that JSON has.
func number(v float32) float64 {
	x := float64(v)
	if math.IsNaN(x) {
		return 0
	}
	return min(max(x, -math.MaxFloat32), math.MaxFloat32)
}
