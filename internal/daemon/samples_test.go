package daemon_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/precise"
)

// unit is a processor's that samples what the test says, again and again.
type unit struct {
	watched map[precise.SpaceID]int
	hits    []precise.Hits
	share   float64
	err     error
	closed  bool
}

type sampledSpace struct {
	*unit
	id precise.SpaceID
}

func (s sampledSpace) ID() precise.SpaceID { return s.id }
func (s sampledSpace) Close()              { delete(s.watched, s.id) }

func (u *unit) Watch(pid int) (precise.Watched, error) {
	id := precise.SpaceID(len(u.watched) + 1)
	u.watched[id] = pid
	return sampledSpace{u, id}, nil
}

func (u *unit) Drain() ([]precise.Hits, error) { return append([]precise.Hits(nil), u.hits...), u.err }
func (u *unit) SetShare(share float64)         { u.share = share }
func (u *unit) Stats() precise.Stats           { return precise.Stats{Period: 1000, Lost: 7, Throttled: 3} }
func (u *unit) Close()                         { u.closed = true }

// Samples are enough to place by where the configuration names them alone; and a unit that is lost is tried again.
func TestSamplesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &unit{watched: map[precise.SpaceID]int{}}
		opened := 0
		w := newWorld(t, enforce+"source = \"precise\"\n", func(o *daemon.Options) {
			o.Sample = func(share float64) (daemon.Samples, error) {
				opened++
				u.share = share
				return u, u.err
			}
		})
		defer w.end()
		w.sleep(5 * time.Second)
		if opened != 1 || len(u.watched) != 1 || u.watched[1] != pid || !(u.share > 0) || u.share > 0.25 {
			t.Fatalf("opened %d times, watched %v, for a share of %g", opened, u.watched, u.share)
		}
		for i := range regions {
			if i%(regions/hot) == 0 {
				u.hits = append(u.hits, precise.Hits{Space: 1, Addr: w.source.space.Base + uint64(i)*policy.RegionSize, Count: 200, Weighed: 200, Cycles: 80_000})
			}
		}
		w.sleep(30 * time.Second)
		if hots, colds := w.onNode(1); hots != hot || colds > 0 {
			t.Errorf("%d of %d hot regions on node1, %d cold", hots, hot, colds)
		}
		if s := sourceOf(w.board.Load(), "precise"); s == nil || !s.Available || s.LostTotal != 7 || s.ThrottledTotal != 3 || s.RegionsTotal == 0 {
			t.Errorf("source %+v", s)
		}
		u.err = errors.New("it is gone")
		w.sleep(5 * time.Second)
		if s := sourceOf(w.board.Load(), "precise"); s == nil || s.Available || !s.Lost || !u.closed || len(u.watched) > 0 {
			t.Errorf("lost: source %+v, closed %v, watched %v", s, u.closed, u.watched)
		}
		u.err = nil
		w.sleep(time.Minute)
		if s := sourceOf(w.board.Load(), "precise"); s == nil || !s.Available || s.Lost || opened != 2 {
			t.Errorf("back: source %+v, opened %d times", s, opened)
		}
	})
}

// Where there is no unit the status says so; and nobody asks for one that is not named.
func TestNoUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		refuse := func(o *daemon.Options) {
			o.Sample = func(float64) (daemon.Samples, error) {
				opened++
				return nil, &precise.Unavailable{Step: "event", Err: errors.New("none"), Hint: "another machine"}
			}
		}
		w := newWorld(t, enforce, refuse)
		w.sleep(5 * time.Second)
		if s := sourceOf(w.board.Load(), "precise"); s != nil || opened > 0 {
			t.Errorf("opened %d times, source %+v", opened, s)
		}
		w.end()
		w = newWorld(t, enforce+"source = [\"page-table\", \"precise\"]\n", refuse)
		defer w.end()
		w.sleep(20 * time.Second)
		if s := sourceOf(w.board.Load(), "precise"); s == nil || s.Available || s.Lost || s.Hint != "another machine" || opened != 1 {
			t.Errorf("opened %d times, source %+v", opened, s)
		}
		if hots, _ := w.onNode(1); hots != hot {
			t.Errorf("page tables alone: %d of %d hot regions on node1", hots, hot)
		}
	})
}
