package daemon_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// Every move that is carried out has an id by which it can be asked for, and the
// pages of all decisions are those that have moved.
func TestDecisionsAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		e, err := w.daemon.Explain(t.Context(), status.Question{})
		if err != nil || len(e.Decisions) != 0 || e.About != "decisions" {
			t.Errorf("before the start: %+v, %v", e, err)
		}
		w.sleep(70 * time.Second)
		if e, err = w.daemon.Explain(t.Context(), status.Question{Limit: status.MaxDecisions}); err != nil {
			t.Fatal(err)
		}
		moved, seen := 0, map[string]bool{}
		for _, d := range e.Decisions {
			if seen[d.ID] || d.PID != pid || d.Workload != "train" || d.PlannedOnly || d.To.Tier != "hbm" || d.Outcome.Time == nil {
				t.Errorf("%+v", d)
			}
			if d.Outcome.Verdict != "paid" || !strings.Contains(d.Says, "it has earned what it cost") {
				t.Errorf("verdict %q: %s", d.Outcome.Verdict, d.Says)
			}
			seen[d.ID] = true
			moved += d.Outcome.Pages["moved"]
			one, err := w.daemon.Explain(t.Context(), status.Question{Decision: d.ID})
			if err != nil || len(one.Decisions) != 1 || one.Decisions[0].ID != d.ID || one.Says != d.Says {
				t.Errorf("asked for %s: %+v, %v", d.ID, one, err)
			}
		}
		if moved != hot*policy.PagesPerRegion {
			t.Errorf("%d pages moved by %d decisions", moved, len(e.Decisions))
		}
		if _, err := w.daemon.Explain(t.Context(), status.Question{Decision: "d-1-4000"}); !errors.Is(err, status.ErrUnknown) {
			t.Errorf("a decision that there was not: %v", err)
		}
	})
}

// What is only planned is remembered, too, and once.
func TestPlannedDecisions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, func(o *daemon.Options) {
			o.Config, _ = config.Parse("test.toml", []byte("[workload.train]\ncomm = [\"train\"]\n"))
		})
		defer w.end()
		w.sleep(20 * time.Second)
		e, err := w.daemon.Explain(t.Context(), status.Question{})
		if err != nil || len(e.Decisions) != hot {
			t.Fatalf("%+v, %v", e, err)
		}
		for _, d := range e.Decisions {
			if !d.PlannedOnly || !strings.Contains(d.Says, "would go up") || d.Outcome.Verdict != "" {
				t.Errorf("%+v", d)
			}
		}
	})
}

// A region, a process and a workload are explained as the loop sees them.
func TestExplainMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		ask := func(q status.Question) *status.Explanation {
			t.Helper()
			e, err := w.daemon.Explain(t.Context(), q)
			if err != nil {
				t.Fatalf("%+v: %v", q, err)
			}
			if _, err := json.Marshal(e); err != nil {
				t.Error(err)
			}
			return e
		}
		w.sleep(20 * time.Second)
		base := w.source.space.Base
		for i, want := range map[int]string{0: "hbm", 1: "cxl"} {
			e := ask(status.Question{PID: pid, Address: base + uint64(i)*policy.RegionSize + 4711})
			if e.About != "region" || len(e.Account.Parts) != 1 {
				t.Fatalf("region %d: %+v", i, e.Account)
			}
			if p := &e.Account.Parts[0]; p.Lies.Tier != want || p.PID != pid || p.Bytes != policy.RegionSize || !strings.Contains(e.Says, "lies in "+want) {
				t.Errorf("region %d: %s\n%+v", i, e.Says, p)
			}
		}
		for _, q := range []status.Question{{PID: pid}, {Workload: "train"}} {
			e := ask(q)
			a := e.Account
			if a.Workload != "train" || a.Processes != 1 || a.Tiers[0].LiesBytes != hot*policy.RegionSize || a.Tiers[2].LiesBytes != (regions-hot)*policy.RegionSize {
				t.Errorf("%+v: %s\n%+v", q, e.Says, a)
			}
			if len(e.Decisions) == 0 || !strings.Contains(e.Says, "12 MiB in hbm, 36 MiB in cxl") {
				t.Errorf("%+v: %s", q, e.Says)
			}
		}
		for name, q := range map[string]status.Question{
			"another process": {PID: 7}, "another workload": {Workload: "x"}, "an address without memory": {PID: pid, Address: 1 << 21},
		} {
			if e, err := w.daemon.Explain(t.Context(), q); !errors.Is(err, status.ErrUnknown) {
				t.Errorf("%s: %+v, %v", name, e, err)
			}
		}
		// Who asks together with many others waits for them, and in the end may be refused.
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := w.daemon.Explain(t.Context(), status.Question{PID: pid}); err != nil && !errors.Is(err, status.ErrBusy) {
					t.Error(err)
				}
			})
		}
		group.Wait()
	})
}

// Nobody waits for a loop that has ended, or that cannot see.
func TestExplainWithoutTheLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		w.sleep(time.Second)
		w.end()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for range 3 {
			if _, err := w.daemon.Explain(ctx, status.Question{PID: pid}); err == nil {
				t.Error("a daemon that has ended explains")
			}
		}
	})
}
