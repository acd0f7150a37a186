package daemon_test

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/sampler/hintfault"
)

// ears hear what a test says.
type ears struct {
	watched map[hintfault.SpaceID]int // and which process
	next    hintfault.SpaceID
	faults  []hintfault.Faults
	rounds  []hintfault.Round
	closed  bool
	err     error // of Drain
}

type ear struct {
	*ears
	id hintfault.SpaceID
}

func (e ear) ID() hintfault.SpaceID { return e.id }
func (e ear) Close()                { delete(e.watched, e.id) }

func (e *ears) Watch(pid int) (hintfault.Watched, error) {
	e.next++
	e.watched[e.next] = pid
	return ear{e, e.next}, nil
}

func (e *ears) Drain() ([]hintfault.Faults, error) {
	list := e.faults
	e.faults = nil
	return list, e.err
}

func (e *ears) Rounds(float64) ([]hintfault.Round, error) {
	list := e.rounds
	e.rounds = nil
	return list, nil
}

func (e *ears) Stats() hintfault.Stats { return hintfault.Stats{} }
func (e *ears) Close()                 { e.closed = true }

func hintSource(s *status.Status) *status.Source { return sourceOf(s, "hint-fault") }

func sourceOf(s *status.Status, name string) *status.Source {
	for i := range s.Sources {
		if s.Sources[i].Name == name {
			return &s.Sources[i]
		}
	}
	return nil
}

// Hint faults are heard for as long as NUMA balancing makes some.
func TestHintFaultsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &ears{watched: map[hintfault.SpaceID]int{}}
		var file string
		w := newWorld(t, enforce, func(o *daemon.Options) {
			file = o.Host.Path("proc/sys/kernel/numa_balancing")
			o.Hear = func() (daemon.Hints, error) { return e, nil }
		})
		defer w.end()
		balance := func(mode string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(mode+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			w.sleep(5 * time.Second)
		}
		balance("0")
		if s := hintSource(w.board.Load()); s != nil || e.next > 0 {
			t.Errorf("nothing to hear: source %+v, %d processes watched", s, e.next)
		}
		balance("1")
		if s := hintSource(w.board.Load()); s == nil || !s.Available || e.watched[1] != pid {
			t.Fatalf("source %+v, watched %v", s, e.watched)
		}
		e.faults = []hintfault.Faults{{Space: 1, Node: 0, Local: 3, Remote: 5}, {Space: 9, Node: 0, Local: 100}, {Space: 1, Node: 1, Local: 1}}
		w.sleep(5 * time.Second)
		if got := w.workload(); got.HintFaultsTotal != 9 || got.LocalHintFaultsTotal != 4 {
			t.Errorf("%d faults, %d of them local", got.HintFaultsTotal, got.LocalHintFaultsTotal)
		}
		// A source that is lost is a condition, and tried again.
		e.err = errors.New("maps are gone")
		w.sleep(5 * time.Second)
		if s := hintSource(w.board.Load()); s == nil || s.Available || !s.Lost || s.Reason != "maps are gone" || len(e.watched) > 0 {
			t.Errorf("lost: source %+v, watched %v", s, e.watched)
		}
		e.err, e.next = nil, 0
		w.sleep(time.Minute)
		if s := hintSource(w.board.Load()); s == nil || !s.Available || s.Lost || e.watched[1] != pid {
			t.Errorf("back: source %+v, watched %v", s, e.watched)
		}
		e.closed = false
		// A program that was replaced has another address space.
		w.process.Exec()
		w.life = &life{Process: w.machine.Spawn(pid)}
		w.sleep(5 * time.Second)
		if len(e.watched) != 1 || e.watched[2] != pid {
			t.Errorf("after an exec: watched %v", e.watched)
		}
		balance("0")
		if s := hintSource(w.board.Load()); s != nil || !e.closed || len(e.watched) > 0 {
			t.Errorf("at the end: source %+v, closed %v, watched %v", s, e.closed, e.watched)
		}
	})
}

func TestHintFaultsThatCannotBeHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		w := newWorld(t, enforce, func(o *daemon.Options) {
			if err := os.WriteFile(o.Host.Path("proc/sys/kernel/numa_balancing"), []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			o.Hear = func() (daemon.Hints, error) {
				tried++
				return nil, &hintfault.Unavailable{Step: "hook", Err: errors.New("inlined"), Hint: "another kernel"}
			}
		})
		defer w.end()
		w.sleep(10 * time.Second)
		s := w.board.Load()
		src := hintSource(s)
		if src == nil || src.Available || src.Reason != "hint faults: hook: inlined" || src.Hint != "another kernel" || tried != 1 {
			t.Errorf("source %+v, tried %d times", src, tried)
		}
		if !s.Sources[0].Available || w.workload().Processes != 1 {
			t.Errorf("without it: %+v", s.Sources)
		}
	})
}
