package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/status"
)

// A host that is locked down while tierd runs: nothing moves, the status says why, and all goes on when
// page tables can be read again.
func TestPageTablesThatCanBeReadNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(15 * time.Second)
		if hots, _ := w.onNode(1); hots != hot {
			t.Fatalf("%d of %d hot regions on node1", hots, hot)
		}
		w.source.space.Blind = true
		w.sleep(10 * time.Second)
		s := w.board.Load()
		if src := sourceOf(s, "page-table"); src == nil || src.Available || !src.Lost || src.Reason == "" {
			t.Errorf("source %+v", src)
		}
		if s.Mode != status.Observe || !s.Forced || s.ModeReason == "" {
			t.Errorf("mode %s, forced %v: %q", s.Mode, s.Forced, s.ModeReason)
		}
		moves := w.machine.Moves
		w.sleep(time.Minute)
		if w.machine.Moves != moves {
			t.Errorf("%d calls that move while nothing is seen", w.machine.Moves-moves)
		}
		w.source.space.Blind = false
		w.sleep(15 * time.Second)
		s = w.board.Load()
		if src := sourceOf(s, "page-table"); src == nil || !src.Available || src.Lost || src.Reason != "" {
			t.Errorf("source %+v", src)
		}
		if s.Mode != status.Enforce || s.Forced {
			t.Errorf("mode %s, forced %v: %q", s.Mode, s.Forced, s.ModeReason)
		}
	})
}
