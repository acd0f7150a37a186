package daemon_test

import (
	"errors"
	"strings"
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
