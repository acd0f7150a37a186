package migratetest

import (
	"errors"
	"math"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

// Unwritten is the status that the suite puts before each call.
const Unwritten = math.MinInt32

// Host is a machine on which the suite can run: a model or a real one.
type Host interface {
	Pager() migrate.Pager
	Room() migrate.Room
	// Nodes are where the memory of a subject starts, and where it is moved to.
	Nodes() (from, to policy.NodeID)
	// Start starts a process with so many present pages, of which none is part of a
	// larger folio, on the first node.
	Start(t *testing.T, pages int) Subject
}

// Subject is a process whose memory is moved. The methods change its pages, or
// skip the test where that is not possible.
type Subject interface {
	migrate.Identity
	// Base is the address of the first page, a multiple of policy.RegionSize.
	Base() uintptr
	Drop(t *testing.T, page int)
	Pin(t *testing.T, page int)
	Share(t *testing.T, page int)
	// Confine leaves the process only the node where its memory is.
	Confine(t *testing.T)
	Exit(t *testing.T)
	Exec(t *testing.T)
}

// Conformance proves that a pager gives the kernel's answers, and that an executor
// understands them. Each test gets a host from open.
func Conformance(t *testing.T, open func(t *testing.T) Host) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, h Host)
	}{
		{"query", conformQuery},
		{"move", conformMove},
		{"absent", conformRefused(Subject.Drop, unix.ENOENT)},
		{"pinned", conformPinned},
		{"pinned after written", conformGroups},
		{"shared", conformRefused(Subject.Share, unix.EACCES)},
		{"twice", conformTwice},
		{"no such node", conformNoNode},
		{"cpuset", conformCpuset},
		{"exit", conformExit},
		{"executor: pinned", executorPinned},
		{"executor: shared splits groups", executorGroups},
		{"executor: cpuset", executorCpuset},
		{"executor: exit", executorExit},
		{"executor: exec", executorExec},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

// call is one call about some pages of a subject.
type call struct {
	s      Subject
	addrs  []uintptr
	status []int32
}

func about(s Subject, pages ...int) *call {
	c := &call{s: s}
	for _, p := range pages {
		c.addrs = append(c.addrs, s.Base()+uintptr(p)*policy.PageSize)
	}
	return c
}

func upTo(n int) (pages []int) {
	for i := range n {
		pages = append(pages, i)
	}
	return pages
}

func (c *call) reset() {
	c.status = make([]int32, len(c.addrs))
	for i := range c.status {
		c.status[i] = Unwritten
	}
}

func (c *call) query(t *testing.T, h Host) []int32 {
	t.Helper()
	c.reset()
	if err := h.Pager().Query(c.s.ID().PID, c.addrs, c.status); err != nil {
		t.Fatalf("query: %v", err)
	}
	return c.status
}

func (c *call) move(h Host, node policy.NodeID) (int, error) {
	c.reset()
	nodes := make([]int32, len(c.addrs))
	for i := range nodes {
		nodes[i] = int32(node)
	}
	return h.Pager().Move(c.s.ID().PID, c.addrs, nodes, c.status, migrate.MoveOwn)
}

// moveAll moves, and stops the test unless the kernel says that no page of a group stayed.
func (c *call) moveAll(t *testing.T, h Host, node policy.NodeID) {
	t.Helper()
	if n, err := c.move(h, node); n != 0 || err != nil {
		t.Fatalf("move: %d, %v", n, err)
	}
}

// expect compares statuses: each is a node, or minus an errno.
func expect(t *testing.T, what string, got []int32, want func(i int) int32) {
	t.Helper()
	for i, st := range got {
		w := want(i)
		if st == w || (w == -int32(unix.ENOENT) && st == -int32(unix.EFAULT)) {
			continue
		}
		t.Errorf("%s: page %d: status %d, want %d (all: %v)", what, i, st, w, got)
		return
	}
}

func all(n policy.NodeID) func(int) int32 { return func(int) int32 { return int32(n) } }

func conformQuery(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Drop(t, 5)
	from, _ := h.Nodes()
	expect(t, "query", about(s, upTo(16)...).query(t, h), func(i int) int32 {
		if i == 5 {
			return -int32(unix.ENOENT)
		}
		return int32(from)
	})
}

func conformMove(t *testing.T, h Host) {
	s := h.Start(t, 64)
	_, to := h.Nodes()
	c := about(s, upTo(64)...)
	for _, what := range []string{"move", "move again"} {
		c.moveAll(t, h, to)
		expect(t, what, c.status, all(to))
	}
	expect(t, "query", c.query(t, h), all(to))
}

// conformRefused changes one page so that it alone stays, with want as its status.
func conformRefused(change func(Subject, *testing.T, int), want unix.Errno) func(*testing.T, Host) {
	return func(t *testing.T, h Host) {
		s := h.Start(t, 16)
		change(s, t, 7)
		_, to := h.Nodes()
		c := about(s, upTo(16)...)
		c.moveAll(t, h, to)
		expect(t, "move", c.status, func(i int) int32 {
			if i == 7 {
				return -int32(want)
			}
			return int32(to)
		})
	}
}

func conformPinned(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Pin(t, 9)
	from, to := h.Nodes()
	c := about(s, upTo(16)...)
	n, err := c.move(h, to)
	if n != 1 || err != nil {
		t.Fatalf("move: %d, %v, want 1", n, err)
	}
	expect(t, "a group with a pinned page", c.status, func(int) int32 { return Unwritten })
	expect(t, "query", c.query(t, h), func(i int) int32 {
		if i == 9 {
			return int32(from)
		}
		return int32(to)
	})
}

func conformGroups(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Drop(t, 3) // closes the first group, which succeeds
	s.Pin(t, 5)  // spoils the second
	s.Drop(t, 8) // closes it
	from, to := h.Nodes()
	c := about(s, upTo(16)...)
	n, err := c.move(h, to)
	if n != 1+7 || err != nil {
		t.Fatalf("move: %d, %v, want 1 that stayed and 7 not tried", n, err)
	}
	expect(t, "move", c.status, func(i int) int32 {
		switch {
		case i == 3 || i == 8:
			return -int32(unix.ENOENT)
		case i < 3:
			return int32(to)
		}
		return Unwritten
	})
	expect(t, "query", c.query(t, h), func(i int) int32 {
		switch {
		case i == 3 || i == 8:
			return -int32(unix.ENOENT)
		case i == 5 || i > 8:
			return int32(from)
		}
		return int32(to)
	})
}

func conformTwice(t *testing.T, h Host) {
	s := h.Start(t, 4)
	_, to := h.Nodes()
	c := about(s, 0, 1, 1, 2)
	c.moveAll(t, h, to)
	expect(t, "move", c.status, func(i int) int32 {
		if i == 2 {
			return -int32(unix.EBUSY)
		}
		return int32(to)
	})
	expect(t, "query", c.query(t, h), all(to))
}

func conformNoNode(t *testing.T, h Host) {
	s := h.Start(t, 4)
	if n, err := about(s, upTo(4)...).move(h, 40); !errors.Is(err, unix.ENODEV) {
		t.Errorf("move: %d, %v, want %v", n, err, unix.ENODEV)
	}
}

func conformCpuset(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Confine(t)
	from, to := h.Nodes()
	c := about(s, upTo(16)...)
	if n, err := c.move(h, to); !errors.Is(err, unix.EACCES) {
		t.Errorf("move: %d, %v, want %v", n, err, unix.EACCES)
	}
	expect(t, "query", c.query(t, h), all(from))
}

func conformExit(t *testing.T, h Host) {
	s := h.Start(t, 4)
	s.Exit(t)
	_, to := h.Nodes()
	c := about(s, upTo(4)...)
	if n, err := c.move(h, to); !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL) {
		t.Errorf("move: %d, %v", n, err)
	}
	c.reset()
	if err := h.Pager().Query(s.ID().PID, c.addrs, c.status); !errors.Is(err, unix.ESRCH) && !errors.Is(err, unix.EINVAL) {
		t.Errorf("query: %v", err)
	}
}

// Executor returns an executor for a host, where slot 0 is the first node and slot 1
// the second.
func Executor(h Host, change func(*migrate.Config)) *migrate.Executor {
	from, to := h.Nodes()
	c := migrate.Config{Pager: h.Pager(), Nodes: []policy.NodeID{from, to}, Room: h.Room()}
	if change != nil {
		change(&c)
	}
	return migrate.New(c)
}

// Region is the move of a subject's first 16 pages to the second node.
func Region(s Subject) policy.Move {
	return policy.Move{ID: s.ID(), Addr: uint64(s.Base()), Set: policy.PagesOf(1), From: 0, To: 1, Pages: 16}
}

// carry moves the subject's first 16 pages and compares the results, of which Moved
// must be given only if not 0.
func carry(t *testing.T, h Host, s Subject, change func(*policy.Move), want map[migrate.Result]int) migrate.Outcome {
	t.Helper()
	m := Region(s)
	if change != nil {
		change(&m)
	}
	o := Executor(h, nil).Move(t.Context(), migrate.Target{Identity: s}, []policy.Move{m})[0]
	Expect(t, o, want)
	return o
}

// Expect compares an outcome with the results that should not be 0.
func Expect(t *testing.T, o migrate.Outcome, want map[migrate.Result]int) {
	t.Helper()
	sum := 0
	for r, n := range o.ByResult {
		sum += n
		if n != want[migrate.Result(r)] {
			t.Errorf("%d pages %v, want %d (error: %v)", n, migrate.Result(r), want[migrate.Result(r)], o.Err)
		}
	}
	if sum != o.Pages {
		t.Errorf("results add up to %d of %d pages", sum, o.Pages)
	}
}

func executorPinned(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Pin(t, 9)
	carry(t, h, s, nil, map[migrate.Result]int{migrate.Moved: 15, migrate.Busy: 1})
}

func executorGroups(t *testing.T, h Host) {
	// The shared pages close groups; the pinned one spoils the second of three.
	s := h.Start(t, 16)
	s.Share(t, 3)
	s.Pin(t, 5)
	s.Share(t, 8)
	o := carry(t, h, s, nil, map[migrate.Result]int{migrate.Moved: 13, migrate.Busy: 1, migrate.Shared: 2})
	var e *migrate.Error
	if !errors.As(o.Err, &e) || e.Hint() == "" {
		t.Errorf("shared pages without a hint: %v", o.Err)
	}
}

func executorCpuset(t *testing.T, h Host) {
	s := h.Start(t, 16)
	s.Confine(t)
	o := carry(t, h, s, nil, map[migrate.Result]int{migrate.Denied: 16})
	var e *migrate.Error
	if !errors.As(o.Err, &e) || e.Hint() == "" || !errors.Is(o.Err, unix.EACCES) {
		t.Errorf("denied without a hint: %v", o.Err)
	}
}

func executorExit(t *testing.T, h Host) {
	s := h.Start(t, 16)
	m := Region(s)
	s.Exit(t)
	carry(t, h, s, func(p *policy.Move) { *p = m }, map[migrate.Result]int{migrate.Gone: 16})
}

func executorExec(t *testing.T, h Host) {
	s := h.Start(t, 16)
	m := Region(s)
	s.Exec(t)
	carry(t, h, s, func(p *policy.Move) { *p = m }, map[migrate.Result]int{migrate.Exec: 16})
}
