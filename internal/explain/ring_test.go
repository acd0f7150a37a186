package explain_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

func epoch(n uint64) *explain.Epoch {
	s := &policy.Snapshot{
		Tiers: []policy.Tier{{Name: "hbm"}, {Name: "cxl"}},
		Nodes: []policy.Node{{ID: 1, Tier: 0}, {ID: 2, Tier: 1}, {ID: 7, Tier: -1}},
	}
	return &explain.Epoch{Number: n, Machine: explain.NewMachine(s), Separation: 3, Payback: 1.5, MoveCost: 2e-6, Budget: 8 << 20}
}

func promotion(addr uint64) *policy.Move {
	return &policy.Move{
		ID: policy.ProcessID{PID: 42, Start: 1}, Addr: addr, Strata: policy.AllStrata, From: 1, To: 0, Pages: 512, Kind: policy.Promotion,
		Reason: policy.Reason{Rule: policy.Exchange, Rate: 210, VictimRate: 3, Separation: 12, Payback: 34},
	}
}

var exchange = policy.Terms{
	Exchange: 1, Victims: 1, LogVar: 0.02, VictimLogVar: 0.1, Gain: 0.034, Cost: 0.001, Horizon: 20, Evidence: 5, EvidenceNeeded: 3,
}

func find(t *testing.T, r *explain.Ring, id string) status.Decision {
	t.Helper()
	parsed, err := explain.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	d, ok := r.Find(parsed)
	if !ok {
		t.Fatalf("%s is not there", id)
	}
	return d
}

func TestRingTellsADecision(t *testing.T) {
	var r explain.Ring
	e, now := epoch(1042), time.Unix(100, 0).UTC()
	victim := promotion(0x7f0000200000)
	victim.From, victim.To, victim.Kind = 0, 1, policy.Demotion
	victim.Reason = policy.Reason{Rule: policy.Victim, Rate: 3, VictimRate: 210, Separation: 12, Payback: 34}
	r.Note(now, e, 5, victim, &policy.Terms{Exchange: 1, LogVar: 0.1, VictimLogVar: 0.02, Gain: 0.034, Cost: 0.001, Horizon: 20}, "train", false)
	n := r.Note(now, e, 6, promotion(0x7f0000000000), &exchange, "train", false)

	if says := find(t, &r, "d-1042-7").Says; !strings.HasSuffix(says, "It is the mover's turn.") {
		t.Errorf("before the outcome: %s", says)
	}
	o := migrate.Outcome{Pages: 512, Moved: 500, Duration: time.Millisecond, Err: errors.New("odd")}
	o.ByResult[migrate.Moved], o.ByResult[migrate.Busy] = 500, 12
	r.Outcome(now.Add(time.Second), n, &o)
	r.Settle([]policy.Settled{{ID: policy.ProcessID{PID: 42, Start: 1}, Addr: 0x7f0000000000, To: 0, Verdict: "paid", Earned: 0.002, Cost: 0.001}})

	at := now.Add(time.Second)
	want := status.Decision{
		ID: "d-1042-7", Time: now, Workload: "train", PID: 42, Address: "0x7f0000000000", Bytes: 2 << 20, Kind: "promotion", Rule: "exchange",
		Says: "2 MiB of process 42 went up from cxl (node 2) to hbm (node 1) in the place of colder memory: 210 accesses/s per page against 3, " +
			"surely hotter by 12 standard deviations (3 needed), worth 34 times its cost over 20 s (1.5 needed). " +
			"2 MiB moved in 1 ms; 48 KiB stayed: the kernel refuses it for now (pinned, locked or under I/O); it has earned what it cost.",
		From: status.Place{Tier: "cxl", Node: 2}, To: status.Place{Tier: "hbm", Node: 1},
		Rate: status.Rate{AccessesPerSecond: 210, LogVariance: 0.02}, Other: &status.Rate{AccessesPerSecond: 3, LogVariance: 0.1},
		Separation: &status.Against{Value: 12, Least: 3}, Payback: &status.Against{Value: 34, Least: 1.5},
		GainSeconds: 0.034, CostSeconds: 0.001, HorizonSeconds: 20, CostPerPageSeconds: 2e-6,
		Evidence: &status.Against{Value: 5, Least: 3}, BudgetBytes: 8 << 20, With: []string{"d-1042-6"},
		Outcome: status.DecisionOutcome{
			Time: &at, PagesTotal: 512, Pages: map[string]int{"moved": 500, "busy": 12}, Error: "odd", Seconds: 0.001, Verdict: "paid", EarnedSeconds: 0.002,
		},
	}
	near := cmp.Comparer(func(a, b float64) bool { return a == b || a-b < 1e-6*b && b-a < 1e-6*b })
	if diff := cmp.Diff(want, find(t, &r, "d-1042-7"), near); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"d-1042-7"}, find(t, &r, "d-1042-6").With); diff != "" {
		t.Error(diff)
	}
}

// The ring keeps the last ones, whatever is told of those that it has forgotten.
func TestRingForgets(t *testing.T) {
	var r explain.Ring
	var numbers []uint64
	const over = 100
	for i := range explain.Kept + over {
		numbers = append(numbers, r.Note(time.Unix(0, 0), epoch(uint64(i/10+1)), i%10, promotion(uint64(i%50)<<21), &exchange, "train", false))
	}
	o := migrate.Outcome{Pages: 512, Moved: 512}
	o.ByResult[migrate.Moved] = 512
	for _, n := range numbers {
		r.Outcome(time.Unix(1, 0), n, &o)
	}
	r.Outcome(time.Unix(1, 0), 1<<40, &o)
	r.Settle([]policy.Settled{{ID: policy.ProcessID{PID: 42, Start: 1}, Addr: 1 << 50}})
	if _, ok := r.Find(explain.ID{Epoch: 1, Index: 0}); ok {
		t.Error("the first one is still there")
	}
	if d := find(t, &r, explain.ID{Epoch: over/10 + 1, Index: 0}.String()); d.Outcome.Pages["moved"] != 512 {
		t.Errorf("the oldest one that is kept: %+v", d.Outcome)
	}
	e := &status.Explanation{}
	r.Last(e, 25, &status.Question{})
	if len(e.Decisions) != 25 || e.DecisionsTotal != explain.Kept+over || e.DecisionsKept != explain.Kept {
		t.Fatalf("%d decisions, %d kept, %d in all", len(e.Decisions), e.DecisionsKept, e.DecisionsTotal)
	}
	if want := (explain.ID{Epoch: (explain.Kept+over-1)/10 + 1, Index: (explain.Kept + over - 1) % 10}).String(); e.Decisions[0].ID != want {
		t.Errorf("newest %s, want %s", e.Decisions[0].ID, want)
	}
	for _, q := range []struct {
		status.Question
		want int
	}{
		{status.Question{PID: 42}, 10}, {status.Question{PID: 43}, 0}, {status.Question{Workload: "train"}, 10}, {status.Question{Workload: "other"}, 0},
		{status.Question{PID: 42, Address: 0x2fffff}, 10}, {status.Question{PID: 42, Address: 1 << 40}, 0},
	} {
		e := &status.Explanation{}
		if r.Last(e, 10, &q.Question); len(e.Decisions) != q.want {
			t.Errorf("%+v: %d decisions", q, len(e.Decisions))
		}
	}
}

// Noting takes no memory once the ring is full.
func TestRingAllocates(t *testing.T) {
	var r explain.Ring
	e, m := epoch(1), promotion(0)
	i := uint64(0)
	note := func() {
		m.Addr = i % 8192 << 21
		r.Note(time.Unix(0, 0), e, 0, m, &exchange, "train", false)
		i++
	}
	for range 5 * explain.Kept {
		note()
	}
	if n := testing.AllocsPerRun(explain.Kept, note); n > 0 {
		t.Errorf("%v allocations per decision", n)
	}
}

func TestIDs(t *testing.T) {
	for _, bad := range []string{"", "d", "d-", "d-1", "d-1-", "d-1-0", "d--1", "d-1--1", "d-01-1", "d-1-01", "d-1-1 ", "1-1", "d-+1-1", "d-1-99999999999", "d-99999999999999999999-1", "d-1-1-1"} {
		if id, err := explain.ParseID(bad); !errors.Is(err, explain.ErrNoID) {
			t.Errorf("%q is %v, %v", bad, id, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		id := explain.ID{Epoch: rapid.Uint64().Draw(t, "epoch"), Index: rapid.IntRange(0, 1<<31-2).Draw(t, "index")}
		if back, err := explain.ParseID(id.String()); err != nil || back != id {
			t.Fatalf("%v is read as %v, %v", id, back, err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("d-1042-7")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := explain.ParseID(s); err == nil && id.String() != s {
			t.Errorf("%q is read as %v", s, id)
		}
	})
}
