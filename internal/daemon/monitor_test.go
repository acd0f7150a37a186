package daemon_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/damon"
)

// kdamond says what a test says.
type kdamond struct {
	settings damon.Settings
	heard    []sampler.Heard
	err      error
	closed   int
}

func (k *kdamond) Targets() []damon.Target { return k.settings.Targets }
func (k *kdamond) Worker() int             { return 70 }
func (k *kdamond) Close() error            { k.closed++; return nil }

func (k *kdamond) Drain(say func(int, []sampler.Heard)) error {
	if k.err == nil && len(k.heard) > 0 {
		say(0, k.heard)
	}
	return k.err
}

// Where the configuration names DAMON alone, what it says is enough.
func TestDAMONAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := &kdamond{}, 0
		w := newWorld(t, enforce+"source = \"damon\"\n", func(o *daemon.Options) {
			o.Monitor = func(s damon.Settings, _ string) (daemon.Monitor, error) {
				started++
				k.settings = s
				return k, nil
			}
		})
		defer w.end()
		w.sleep(10 * time.Second)
		if started != 1 || len(k.settings.Targets) != 1 || k.settings.Targets[0].PID != pid {
			t.Fatalf("started %d times, for %+v", started, k.settings.Targets)
		}
		last := k.settings.Targets[0].Regions[len(k.settings.Targets[0].Regions)-1]
		if base := w.source.space.Base; k.settings.Targets[0].Regions[0].Start != base || last.End != base+regions*policy.RegionSize {
			t.Errorf("of the memory from %#x on it looks at %#x", base, k.settings.Targets[0].Regions)
		}
		for i := range regions {
			h := sampler.Heard{Addr: w.source.space.Base + uint64(i)*policy.RegionSize, Pages: 20, Window: 0.02}
			if i%(regions/hot) == 0 {
				h.Accessed = 16
			}
			k.heard = append(k.heard, h)
		}
		w.sleep(20 * time.Second)
		if hots, colds := w.onNode(1); hots != hot || colds > 0 {
			t.Errorf("%d of %d hot regions on node1, %d cold", hots, hot, colds)
		}
		if s := sourceOf(w.board.Load(), "damon"); s == nil || !s.Available {
			t.Errorf("source %+v", s)
		}
		// It ends when its targets do, and is begun again for those that live.
		k.err = damon.ErrEnded
		w.sleep(3 * time.Second)
		if s := sourceOf(w.board.Load(), "damon"); s == nil || s.Available || !s.Lost {
			t.Errorf("ended: source %+v", s)
		}
		k.err = nil
		w.sleep(15 * time.Second)
		if started < 2 || k.closed != started-1 {
			t.Errorf("started %d times, closed %d times", started, k.closed)
		}
	})
}

// Private memory that is seen by its accessed bits needs no DAMON, and one that somebody else
// uses is a condition and no end.
func TestDAMONInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		refuse := func(o *daemon.Options) {
			o.Monitor = func(damon.Settings, string) (daemon.Monitor, error) {
				tried++
				return nil, &damon.Unavailable{Step: "start", Err: errors.New("somebody else uses DAMON"), Hint: "end it"}
			}
		}
		w := newWorld(t, enforce, refuse)
		w.sleep(10 * time.Second)
		if s := sourceOf(w.board.Load(), "damon"); s != nil || tried > 0 {
			t.Errorf("tried %d times, source %+v", tried, s)
		}
		w.end()
		w = newWorld(t, enforce+"source = \"damon\"\n", refuse)
		defer w.end()
		w.sleep(15 * time.Second)
		s := w.board.Load()
		if src := sourceOf(s, "damon"); src == nil || src.Available || src.Hint != "end it" || tried == 0 || tried > 2 {
			t.Errorf("tried %d times, source %+v", tried, src)
		}
		if w.machine.Moves > 0 {
			t.Errorf("%d calls that move, though nothing is known", w.machine.Moves)
		}
	})
}
