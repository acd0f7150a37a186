package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/migrate/migratetest"
	"github.com/tierd/tierd/policy"
)

type results = map[migrate.Result]int

// move is a move of the whole region with this index, from slow to fast.
func move(p *migratetest.Process, region int) policy.Move {
	return policy.Move{ID: p.ID(), Addr: base + uint64(region)*policy.RegionSize, Set: policy.AllPages(), From: 0, To: 1, Pages: policy.PagesPerRegion}
}

func executor(m *migratetest.Machine, change func(*migrate.Config)) *migrate.Executor {
	c := migrate.Config{Pager: m, Nodes: slots, Room: m, PageSize: policy.PageSize}
	if change != nil {
		change(&c)
	}
	return migrate.New(c)
}

func TestMove(t *testing.T) {
	for _, tt := range []struct {
		name  string
		setup func(m *migratetest.Machine, p *migratetest.Process, mv *policy.Move, tg *migrate.Target)
		want  results
		err   error // that the outcome's error wraps
		calls int   // that move
	}{
		{"all", nil, results{migrate.Moved: 512}, nil, 1},
		{"two pieces", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.Set = policy.PagesOf(1<<31 | 1<<3)
		}, results{migrate.Moved: 32}, nil, 1},
		{"absent, already, elsewhere", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Drop(addr(0))
			p.Put(addr(1), fast)
			p.Put(addr(2), fast)
			p.Put(addr(3), 0)
		}, results{migrate.Absent: 1, migrate.Already: 2, migrate.Elsewhere: 1, migrate.Moved: 508}, nil, 1},
		{"nothing there", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			for i := range 512 {
				p.Drop(addr(i))
			}
		}, results{migrate.Absent: 512}, nil, 0},
		{"pinned", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Pin(addr(7), true)
		}, results{migrate.Moved: 511, migrate.Busy: 1}, nil, 1},
		{"shared", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Share(addr(7), true)
		}, results{migrate.Moved: 511, migrate.Shared: 1}, unix.EACCES, 1},
		{"shared allowed", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, tg *migrate.Target) {
			p.Share(addr(7), true)
			tg.Shared = true
		}, results{migrate.Moved: 512}, nil, 1},
		{"folios of 16 pages", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			for i := 0; i < 512; i += 16 {
				p.PopulateFolio(addr(i), 16, slow)
			}
		}, results{migrate.Moved: 512}, nil, 1},
		{"cpuset", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Confine(slow, 0)
		}, results{migrate.Denied: 512}, unix.EACCES, 1},
		{"full", func(m *migratetest.Machine, _ *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.Take(fast, m.Free(fast))
		}, results{migrate.NoRoom: 512}, nil, 0},
		{"room for 100", func(m *migratetest.Machine, _ *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.Take(fast, m.Free(fast)-100)
		}, results{migrate.Moved: 100, migrate.NoRoom: 412}, nil, 1},
		{"reserve", func(m *migratetest.Machine, _ *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.Take(fast, m.Free(fast)-100)
			m.Reserve = 30*policy.PageSize + 1
		}, results{migrate.Moved: 69, migrate.NoRoom: 443}, nil, 1},
		{"filled meanwhile", func(m *migratetest.Machine, _ *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.BeforeMove = func(int) { m.Take(fast, m.Free(fast)-60) }
		}, results{migrate.Moved: 60, migrate.NoMemory: 452}, unix.ENOMEM, 1},
		{"no rights", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Hide()
		}, results{migrate.NoRights: 512}, unix.EPERM, 0},
		{"exits before", func(_ *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Exit()
		}, results{migrate.Gone: 512}, nil, 0},
		{"exits during", func(m *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.BeforeMove = func(int) { p.Exit() }
		}, results{migrate.Gone: 512}, nil, 1},
		{"exits after", func(m *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.AfterMove = func(int) { p.Exit() }
		}, results{migrate.Gone: 512}, nil, 1},
		{"executes during", func(m *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			m.BeforeMove = func(int) { p.Exec() }
		}, results{migrate.Exec: 512}, nil, 1},
		{"number reused", func(m *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Replace()
		}, results{migrate.Reused: 512}, nil, 0},
		{"planned before an execve", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.ID.Exec++
		}, results{migrate.Exec: 512}, nil, 0},
		{"planned for another", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.ID.Start++
		}, results{migrate.Reused: 512}, nil, 0},
		{"no such slot", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.To = policy.NoSlot
		}, results{migrate.Other: 512}, migrate.ErrPlan, 0},
		{"nowhere", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.To = mv.From
		}, results{migrate.Other: 512}, migrate.ErrPlan, 0},
		{"no pieces", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.Set = policy.PageSet{}
		}, results{}, nil, 0},
		{"put back", func(m *migratetest.Machine, p *migratetest.Process, _ *policy.Move, _ *migrate.Target) {
			p.Pin(addr(0), true) // so that the truth is asked for
			m.AfterMove = func(int) { p.Put(addr(1), 0) }
		}, results{migrate.Moved: 510, migrate.Busy: 1, migrate.Elsewhere: 1}, nil, 1},
		{"huge", func(_ *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			p.PopulateFolio(addr(0), 512, slow)
			mv.Huge = true
		}, results{migrate.Moved: 512}, nil, 1},
		{"huge, pinned", func(_ *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			p.PopulateFolio(addr(0), 512, slow)
			p.Pin(addr(0), true)
			mv.Huge = true
		}, results{migrate.Busy: 512}, nil, 1},
		{"huge no more", func(_ *migratetest.Machine, _ *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			mv.Huge = true
		}, results{migrate.Moved: 512}, nil, 2},
		{"huge no more, with holes", func(_ *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			p.Drop(addr(3))
			p.Pin(addr(4), true)
			p.Drop(addr(511))
			mv.Huge = true
		}, results{migrate.Moved: 509, migrate.Absent: 2, migrate.Busy: 1}, nil, 1},
		{"huge, split for want of memory", func(m *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			p.PopulateFolio(addr(0), 512, slow)
			mv.Huge = true
			m.BeforeMove = func(int) { m.Take(fast, m.Free(fast)-60) }
		}, results{migrate.Moved: 60, migrate.Busy: 452}, nil, 1},
		{"huge, absent", func(_ *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			for i := range 512 {
				p.Drop(addr(i))
			}
			mv.Huge = true
		}, results{migrate.Absent: 512}, nil, 0},
		{"huge, no room", func(m *migratetest.Machine, p *migratetest.Process, mv *policy.Move, _ *migrate.Target) {
			p.PopulateFolio(addr(0), 512, slow)
			mv.Huge = true
			m.Take(fast, m.Free(fast)-511)
		}, results{migrate.NoRoom: 512}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := migratetest.NewMachine(map[policy.NodeID]int{0: 1 << 20, slow: 1 << 20, fast: 1 << 20})
			p := m.Spawn(1000)
			p.Populate(base, policy.PagesPerRegion, slow)
			mv, tg := move(p, 0), migrate.Target{Identity: p}
			if tt.setup != nil {
				tt.setup(m, p, &mv, &tg)
			}
			o := executor(m, nil).Move(t.Context(), tg, []policy.Move{mv})[0]
			migratetest.Expect(t, o, tt.want)
			if tt.err != nil && !errors.Is(o.Err, tt.err) {
				t.Errorf("error %v, want %v", o.Err, tt.err)
			}
			if explained(tt.want) == (o.Err == nil) {
				t.Errorf("error %v", o.Err)
			}
			if m.Moves != tt.calls {
				t.Errorf("%d calls, want %d", m.Moves, tt.calls)
			}
			if o.Moved != o.ByResult[migrate.Moved] || o.Bytes != uint64(o.Moved)*policy.PageSize {
				t.Errorf("moved %d pages, %d bytes", o.Moved, o.Bytes)
			}
		})
	}
}

// explained says whether results need an error.
func explained(r results) bool {
	for _, x := range []migrate.Result{migrate.Shared, migrate.Denied, migrate.NoMemory, migrate.NoRights, migrate.Gone, migrate.Exec, migrate.Reused, migrate.Other} {
		if r[x] > 0 {
			return true
		}
	}
	return false
}

func TestErrorsAreExplained(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&migrate.Error{PID: 7, Node: 1, Result: migrate.Denied, Err: unix.EACCES}, "process 7: move to node1: the node is outside the cpuset of the process: permission denied"},
		{&migrate.Error{PID: 7, Node: 1, Result: migrate.NoMemory, Err: unix.ENOMEM}, "process 7: move to node1: the node has no page to give: cannot allocate memory"},
		{&migrate.Error{PID: 7, Node: 1, Result: migrate.NoRights, Err: unix.EPERM}, "process 7: move to node1: not allowed to move its memory: operation not permitted"},
		{&migrate.Error{PID: 7, Node: 1, Result: migrate.Gone, Err: unix.ESRCH}, "process 7: move to node1: no such process any more: no such process"},
		{&migrate.Error{PID: 7, Node: 1, Result: migrate.Shared, Err: unix.EACCES}, "process 7: move to node1: several processes map the pages: permission denied"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		var e *migrate.Error
		if errors.As(tt.err, &e); e.Hint() == "" {
			t.Errorf("%v: no hint", e)
		}
	}
}

func TestResultNames(t *testing.T) {
	names := migrate.ResultNames()
	if len(names) != int(migrate.NumResults) {
		t.Fatalf("%d names", len(names))
	}
	for i, n := range names {
		if n == "" || n != migrate.Result(i).String() || slices.Index(names, n) != i {
			t.Errorf("result %d: name %q", i, n)
		}
	}
}

// TestRun carries out many moves of one process at once.
func TestRun(t *testing.T) {
	m := newMachine()
	p := m.Spawn(1000)
	p.Populate(base, 20*policy.PagesPerRegion, slow)
	for i := range 5 {
		p.PopulateFolio(addr((20+i)*policy.PagesPerRegion), policy.PagesPerRegion, slow)
	}
	p.Put(addr(0), fast)
	var moves []policy.Move
	for i := 24; i >= 0; i-- { // the plan's order is not that of the addresses
		mv := move(p, i)
		mv.Huge = i >= 20
		moves = append(moves, mv)
	}
	back := move(p, 3)
	back.From, back.To = 1, 0
	moves = append(moves, back, back) // twice the same
	e := executor(m, nil)
	out := e.Move(t.Context(), migrate.Target{Identity: p}, moves)
	for i, o := range out {
		want := results{migrate.Moved: 512}
		switch i {
		case 24:
			want = results{migrate.Moved: 511, migrate.Already: 1}
		case 26:
			want = results{migrate.Already: 512}
		}
		migratetest.Expect(t, o, want)
		if o.Err != nil {
			t.Errorf("move %d: %v", i, o.Err)
		}
	}
	if m.Moves > 14 {
		t.Errorf("%d calls for 26 regions: batches of %v", m.Moves, m.Log)
	}
	if n := p.Node(addr(3 * 512)); n != slow {
		t.Errorf("region that was demoted last is on node%d", n)
	}
}

func TestErrorEndsOnlyWhatItConcerns(t *testing.T) {
	m := migratetest.NewMachine(map[policy.NodeID]int{0: 1 << 20, slow: 1 << 20, fast: 1 << 20})
	p := m.Spawn(1000)
	p.Populate(base, 4*policy.PagesPerRegion, slow)
	p.Confine(slow, 0)
	var moves []policy.Move
	for i := range 4 {
		mv := move(p, i)
		if i == 2 {
			mv.To = 2 // node 0, which the cpuset has
		}
		moves = append(moves, mv)
	}
	e := executor(m, func(c *migrate.Config) { c.Nodes = []policy.NodeID{slow, fast, 0} })
	out := e.Move(t.Context(), migrate.Target{Identity: p}, moves)
	for i, o := range out {
		want := results{migrate.Denied: 512}
		if i == 2 {
			want = results{migrate.Moved: 512}
		}
		migratetest.Expect(t, o, want)
	}
	if m.Moves != 2 {
		t.Errorf("%d calls, want one refused and one for the other node", m.Moves)
	}
	if !e.Refusals().Denied(time.Now(), p.ID(), 1) || e.Refusals().Denied(time.Now(), p.ID(), 2) {
		t.Error("the denied node is not remembered")
	}
}

func TestGoneEndsTheRun(t *testing.T) {
	m := newMachine()
	p := m.Spawn(1000)
	p.Populate(base, 10*policy.PagesPerRegion, slow)
	m.AfterMove = func(call int) {
		if call == 3 {
			p.Exit()
		}
	}
	var moves []policy.Move
	for i := range 10 {
		moves = append(moves, move(p, i))
	}
	sum := results{}
	for _, o := range executor(m, nil).Move(t.Context(), migrate.Target{Identity: p}, moves) {
		for r, n := range o.ByResult {
			sum[migrate.Result(r)] += n
		}
		if o.Err == nil && o.Moved < o.Pages {
			t.Errorf("no error for %v", o.ByResult)
		}
	}
	if m.Moves != 3 || sum[migrate.Moved] == 0 || sum[migrate.Gone] != m.Log[2] || sum[migrate.Unattempted] == 0 {
		t.Errorf("%v after batches of %v", sum, m.Log)
	}
}

func TestCancel(t *testing.T) {
	m := newMachine()
	p := m.Spawn(1000)
	p.Populate(base, 10*policy.PagesPerRegion, slow)
	ctx, cancel := context.WithCancel(t.Context())
	m.AfterMove = func(call int) {
		if call == 2 {
			cancel()
		}
	}
	var moves []policy.Move
	for i := range 10 {
		moves = append(moves, move(p, i))
	}
	out := executor(m, nil).Move(ctx, migrate.Target{Identity: p}, moves)
	if m.Moves != 2 {
		t.Errorf("%d calls after the context ended in the second", m.Moves)
	}
	migratetest.Expect(t, out[0], results{migrate.Moved: 512})
	migratetest.Expect(t, out[9], results{migrate.Unattempted: 512})
	if out[9].Err != nil {
		t.Errorf("being stopped is no error: %v", out[9].Err)
	}
}

func TestBatchesAdapt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.PageTime = 100 * time.Microsecond // 200 pages in 20 ms
		p := m.Spawn(1000)
		p.Populate(base, 100*policy.PagesPerRegion, slow)
		var moves []policy.Move
		for i := range 100 {
			moves = append(moves, move(p, i))
		}
		e := executor(m, nil)
		e.Move(t.Context(), migrate.Target{Identity: p}, moves)
		if first := m.Log[0]; first != 512 {
			t.Errorf("first batch: %d pages", first)
		}
		for i, n := range m.Log[2:] {
			if n > 200 {
				t.Errorf("batch %d: %d pages take longer than 20 ms", i+2, n)
				break
			}
		}
		if got := e.CostPerPage(); math.Abs(got-100e-6) > 1e-6 {
			t.Errorf("cost per page %v, want 100 µs", got)
		}
		if s := e.Stats(); s.Slow != 2 || s.Calls != uint64(m.Moves) {
			t.Errorf("%+v", s)
		}

		m.PageTime = 0
		m.Log = nil
		for i := range moves {
			moves[i].From, moves[i].To = 1, 0
		}
		e.Move(t.Context(), migrate.Target{Identity: p}, moves)
		if largest := slices.Max(m.Log); largest != 4096 {
			t.Errorf("largest batch of fast calls: %d pages", largest)
		}
	})
}

// TestRate measures how fast moves go, in virtual time.
func TestRate(t *testing.T) {
	const MiB = 1 << 20
	for _, rate := range []uint64{MiB, 64 * MiB, 1 << 30, 10 << 30} {
		for _, kind := range []struct {
			name  string
			shape func(*migratetest.Process, *policy.Move, int)
		}{
			{"one page in each piece", func(p *migratetest.Process, mv *policy.Move, i int) {
				for piece := range 32 {
					p.Populate(uintptr(mv.Addr)+uintptr(piece)*policy.PieceSize, 1, slow)
				}
			}},
			{"pieces", func(p *migratetest.Process, mv *policy.Move, i int) {
				p.Populate(uintptr(mv.Addr), 512, slow)
				mv.Set = policy.PagesOf(1 << (i % 32))
			}},
			{"regions", func(p *migratetest.Process, mv *policy.Move, i int) {
				p.Populate(uintptr(mv.Addr), 512, slow)
			}},
			{"huge", func(p *migratetest.Process, mv *policy.Move, i int) {
				p.PopulateFolio(uintptr(mv.Addr), 512, slow)
				mv.Huge = true
			}},
			{"mixed, one in three promoted", func(p *migratetest.Process, mv *policy.Move, i int) {
				if i%3 == 0 {
					p.PopulateFolio(uintptr(mv.Addr), 512, slow)
					mv.Huge = true
				} else {
					mv.From, mv.To = 1, 0
					p.Populate(uintptr(mv.Addr), 512, fast)
					mv.Set = policy.PagesOf(0x0ff0 >> (i % 4))
				}
			}},
		} {
			for _, grouped := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d MiB per s, %s, grouped %v", rate/MiB, kind.name, grouped), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						m := migratetest.NewMachine(map[policy.NodeID]int{slow: 1 << 24, fast: 1 << 24})
						m.CallTime = 50 * time.Microsecond
						m.PageTime = 20 * time.Nanosecond // faster than any rate here
						p := m.Spawn(1000)
						e := executor(m, func(c *migrate.Config) { c.Rate = rate })
						var moves []policy.Move
						for i := range 60 {
							mv := move(p, i)
							kind.shape(p, &mv, i)
							moves = append(moves, mv)
						}
						start, bytes := time.Now(), uint64(0)
						n := 1
						if grouped {
							n = len(moves)
						}
						for chunk := range slices.Chunk(moves, n) {
							for _, o := range e.Move(t.Context(), migrate.Target{Identity: p}, chunk) {
								bytes += o.Bytes
								if o.Err != nil {
									t.Fatal(o.Err)
								}
							}
							if got := float64(bytes) / time.Since(start).Seconds(); got > 1.0001*float64(rate) {
								t.Fatalf("%.0f bytes per second after %d bytes", got, bytes)
							}
						}
						elapsed, least := time.Since(start).Seconds(), float64(bytes)/float64(rate)
						calls := e.Stats().CallTime.Seconds()
						last := 2 * calls / float64(e.Stats().Calls) // paid for before it began
						// Unless the calls alone take as long.
						if elapsed > 1.05*least+last && least > 1.1*calls {
							t.Errorf("%.3f of the rate for %d bytes", least/elapsed, bytes)
						}
					})
				})
			}
		}
	}
}

func TestRateAfterIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		p := m.Spawn(1000)
		p.Populate(base, 300*policy.PagesPerRegion, slow)
		const rate = 100 << 20
		e := executor(m, func(c *migrate.Config) { c.Rate = rate })
		time.Sleep(time.Hour)
		var moves []policy.Move
		for i := range 100 {
			moves = append(moves, move(p, i))
		}
		start, bytes := time.Now(), uint64(0)
		for _, o := range e.Move(t.Context(), migrate.Target{Identity: p}, moves) {
			bytes += o.Bytes
		}
		ahead := float64(bytes)/rate - time.Since(start).Seconds()
		if ahead > 0.021 {
			t.Errorf("%.3f s ahead after an hour of idleness", ahead)
		}
	})
}

// TestDeadline: a huge page costs two seconds at 1 MiB/s, which no call has; it moves all
// the same, once the time has passed.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		p := m.Spawn(1000)
		p.PopulateFolio(base, 512, slow)
		p.PopulateFolio(base+policy.RegionSize, 512, slow)
		e := executor(m, func(c *migrate.Config) { c.Rate = 1 << 20 })
		var moves []policy.Move
		for i := range 2 {
			mv := move(p, i)
			mv.Huge = true
			moves = append(moves, mv)
		}
		start := time.Now()
		var movedAt []time.Duration
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			for _, o := range e.Move(ctx, migrate.Target{Identity: p}, moves) {
				if o.Moved > 0 {
					movedAt = append(movedAt, time.Since(start))
				}
				if o.Err != nil {
					t.Fatal(o.Err)
				}
			}
			<-ctx.Done()
			cancel()
		}
		if len(movedAt) != 2 || movedAt[0] < 2*time.Second || movedAt[1] < 4*time.Second || movedAt[1] > 4200*time.Millisecond {
			t.Errorf("moved at %v", movedAt)
		}
	})
}

func TestObserve(t *testing.T) {
	m := migratetest.NewMachine(map[policy.NodeID]int{slow: 1 << 20, fast: 512})
	p := m.Spawn(1000)
	p.Populate(base, 512, slow)
	p.Populate(base+policy.RegionSize, 512, fast)
	m.Take(slow, 0)
	in, out := move(p, 0), move(p, 1)
	out.From, out.To = 1, 0
	plan := []policy.Move{out, in} // what makes room stands first
	e := executor(m, func(c *migrate.Config) { c.Observe = true })
	for range 3 {
		e.Begin()
		for _, o := range e.Move(t.Context(), migrate.Target{Identity: p}, plan) {
			migratetest.Expect(t, o, results{migrate.Moved: 512})
		}
	}
	if m.Moves != 0 {
		t.Errorf("%d calls that move", m.Moves)
	}
	if got := e.CostPerPage(); math.Abs(got-2e-6) > 1e-12 {
		t.Errorf("learnt a cost of %v from nothing", got)
	}
	// Twice in one plan there is no room.
	e.Begin()
	p.Populate(base+2*policy.RegionSize, 512, slow)
	o := e.Move(t.Context(), migrate.Target{Identity: p}, []policy.Move{in, move(p, 2)})
	migratetest.Expect(t, o[1], results{migrate.NoRoom: 512})
	// The rest is as it would be.
	p.Exec()
	o = e.Move(t.Context(), migrate.Target{Identity: p}, plan)
	migratetest.Expect(t, o[0], results{migrate.Exec: 512})
}

func TestRoomUnknown(t *testing.T) {
	m := newMachine()
	p := m.Spawn(1000)
	p.Populate(base, 1024, slow)
	e := executor(m, func(c *migrate.Config) { c.Room = noRoom{} })
	for _, o := range e.Move(t.Context(), migrate.Target{Identity: p}, []policy.Move{move(p, 0), move(p, 1)}) {
		migratetest.Expect(t, o, results{migrate.Unattempted: 512})
		if !errors.Is(o.Err, errNoRoom) {
			t.Errorf("error %v", o.Err)
		}
	}
}

var errNoRoom = errors.New("meminfo: unreadable")

type noRoom struct{}

func (noRoom) Room(policy.NodeID) (uint64, error) { return 0, errNoRoom }

func TestLargeMachinePages(t *testing.T) {
	// 64 KiB pages: one address for each piece.
	m := newMachine()
	p := m.Spawn(1000)
	for piece := range 32 {
		p.Populate(base+uintptr(piece)*policy.PieceSize, 1, slow)
	}
	mv := move(p, 0)
	mv.Set = policy.PagesOf(0xff)
	e := executor(m, func(c *migrate.Config) { c.PageSize = 64 << 10 })
	o := e.Move(t.Context(), migrate.Target{Identity: p}, []policy.Move{mv})[0]
	migratetest.Expect(t, o, results{migrate.Moved: 8 * 16})
	if m.Log[0] != 8 {
		t.Errorf("%d addresses for eight pages", m.Log[0])
	}
}

func TestRuns(t *testing.T) {
	a, b := policy.ProcessID{PID: 1}, policy.ProcessID{PID: 2}
	var got []int
	for run := range migrate.Runs([]policy.Move{{ID: a}, {ID: a}, {ID: b}, {ID: a}, {ID: a}}) {
		got = append(got, len(run))
	}
	if !slices.Equal(got, []int{2, 1, 2}) {
		t.Errorf("runs of %v", got)
	}
}

// TestEveryPageCounts: whatever the kernel answers, the results add up, nothing is moved
// that was not asked for, and what is called moved is there.
func TestEveryPageCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := migratetest.NewMachine(map[policy.NodeID]int{0: 4000, slow: 1 << 16, fast: rapid.IntRange(0, 3000).Draw(t, "free")})
		m.AbsentIsFault = rapid.Bool().Draw(t, "6.1")
		m.Reserve = rapid.Uint64Range(0, 100*policy.PageSize).Draw(t, "reserve")
		p := m.Spawn(1000)
		regions := rapid.IntRange(1, 6).Draw(t, "regions")
		nodes := []policy.NodeID{slow, fast, 0}
		for i := range regions {
			if at := base + uintptr(i)*policy.RegionSize; rapid.Bool().Draw(t, "huge") {
				p.PopulateFolio(at, 512, slow)
				p.Pin(at, rapid.Bool().Draw(t, "pinned"))
			} else {
				p.Populate(at, 512, slow)
			}
		}
		for range rapid.IntRange(0, 20).Draw(t, "changes") {
			a := addr(rapid.IntRange(0, regions*512-1).Draw(t, "page"))
			if p.Node(a) < 0 {
				continue
			}
			p.Split(a)
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				p.Pin(a, true)
			case 1:
				p.Share(a, true)
			case 2:
				p.Put(a, rapid.SampledFrom(nodes).Draw(t, "node"))
			case 3:
				p.Drop(a)
			}
		}
		lies := rapid.Bool().Draw(t, "lies") // about what is huge
		moves := make([]policy.Move, rapid.IntRange(1, 12).Draw(t, "moves"))
		for i := range moves {
			mv := move(p, rapid.IntRange(0, regions-1).Draw(t, "region"))
			mv.From, mv.To = policy.Slot(rapid.IntRange(0, 2).Draw(t, "from")), policy.Slot(rapid.IntRange(0, 2).Draw(t, "to"))
			if lies {
				mv.Huge = rapid.Bool().Draw(t, "huge")
			} else {
				mv.Huge = p.Huge(uintptr(mv.Addr))
			}
			if !mv.Huge {
				mv.Set = policy.PagesOf(rapid.Uint32().Draw(t, "pieces"))
				if rapid.Bool().Draw(t, "scattered") {
					mask := rapid.Uint64().Draw(t, "pages")
					for w := range mv.Set {
						mv.Set[w] &= bits.RotateLeft64(mask, 5*w)
					}
				}
			}
			moves[i] = mv
		}
		at, event := rapid.IntRange(1, 8).Draw(t, "at"), rapid.IntRange(0, 8).Draw(t, "event")
		m.BeforeMove = func(call int) {
			if call != at {
				return
			}
			switch event {
			case 0:
				p.Exit()
			case 1:
				p.Exec()
			case 2:
				m.Take(fast, max(0, m.Free(fast)-5))
			case 3:
				p.Confine(slow)
			case 4:
				p.Hide()
			}
		}
		e := executor(m, func(c *migrate.Config) { c.Nodes = nodes })
		before := m.Pages
		moved := 0
		for i, o := range e.Move(context.Background(), migrate.Target{Identity: p}, moves) {
			sum := 0
			for r, n := range o.ByResult {
				if n < 0 {
					t.Fatalf("move %d: %v: %d pages", i, migrate.Result(r), n)
				}
				sum += n
			}
			if sum != migrate.Requested(&moves[i]) || o.Pages != sum {
				t.Fatalf("move %d: results add up to %d of %d: %v", i, sum, migrate.Requested(&moves[i]), o.ByResult)
			}
			if n := o.There.Count(); n < o.Moved || n > o.Moved+o.ByResult[migrate.Already] {
				t.Fatalf("move %d: %d pages are there, of %v", i, n, o.ByResult)
			}
			if asked := o.There.And(moves[i].Set); !moves[i].Huge && asked != o.There {
				t.Fatalf("move %d: %x are there, %x were asked for", i, o.There, moves[i].Set)
			}
			moved += o.Moved
		}
		// More may have moved: a folio of which only a part was asked for, or
		// what moved just before the process was lost.
		if !lies && moved > m.Pages-before {
			t.Fatalf("%d pages called moved, %d were", moved, m.Pages-before)
		}
	})
}

func BenchmarkMove(b *testing.B) {
	m := newMachine()
	p := m.Spawn(1000)
	p.Populate(base, 8*512, slow)
	var moves []policy.Move
	for i := range 8 {
		moves = append(moves, move(p, i))
	}
	e := executor(m, func(c *migrate.Config) { c.Observe = true })
	tg := migrate.Target{Identity: p}
	b.ReportAllocs()
	for b.Loop() {
		e.Begin()
		e.Move(b.Context(), tg, moves)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/4096, "ns/page")
}

// A first call that was slow for reasons of its own must not hold back all moves,
// and with them every better measurement.
func TestCostIsDoubted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMachine()
		m.PageTime = 2 * time.Millisecond
		p := m.Spawn(1000)
		p.Populate(base, 2*policy.PagesPerRegion, slow)
		e := executor(m, nil)
		few := move(p, 0)
		few.Set = policy.PagesOf(1)
		e.Move(t.Context(), migrate.Target{Identity: p}, []policy.Move{few})
		if got := e.CostPerPage(); got > 100e-6 || got < 10e-6 {
			t.Errorf("after 16 pages of 2 ms: %v", got)
		}
		e.Move(t.Context(), migrate.Target{Identity: p}, []policy.Move{move(p, 1)})
		if got := e.CostPerPage(); got < 0.9e-3 {
			t.Errorf("after 528 pages of 2 ms: %v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := e.CostPerPage(); got > 20e-6 {
			t.Errorf("ten minutes later: %v", got)
		}
	})
}
