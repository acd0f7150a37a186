package daemon_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate/migratetest"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/sampler/samplertest"
	"github.com/tierd/tierd/topology"
)

const (
	pid     = 4242
	regions = 24
	hot     = 6
)

// life is a process of the model.
type life struct {
	*migratetest.Process
	closed bool
}

func (l *life) FD() int      { return -1 }
func (l *life) Close() error { l.closed = true; return nil }

// space shows the sampler where the model's pages are now.
type space struct {
	*samplertest.Memory
	process *migratetest.Process
	start   time.Time
}

func (s space) now() { s.Clock.Seconds = time.Since(s.start).Seconds() }

func (s space) Walk(addrs []uint64, visit func(int, *pagetable.Block)) (int, error) {
	s.now()
	for _, a := range addrs {
		// A region moves as a whole here, and the nodes of the model's machine
		// have the numbers of their slots.
		i := (a - s.Base) / policy.RegionSize
		if node := s.process.Node(uintptr(a)); i < regions && node >= 0 && s.Regions[i].Slot[0] != policy.Slot(node) {
			for p := range s.Regions[i].Slot {
				s.Regions[i].Slot[p] = policy.Slot(s.process.Node(uintptr(a) + uintptr(p*policy.PageSize)))
			}
		}
	}
	return s.Memory.Walk(addrs, visit)
}

func (s space) Clear(r []pagetable.Range) (uint64, error) { s.now(); return s.Memory.Clear(r) }

func (s space) Mappings(v func(pagetable.Run)) (int, int, error) {
	s.now()
	return s.Memory.Mappings(v)
}

// source attaches to the one process.
type source struct {
	space  space
	err    error
	closed bool
}

func (s *source) Attach(daemon.Life) (sampler.Space, error) { return s.space, s.err }
func (s *source) Close()                                    { s.closed = true }

// turns is the loop's context. The loop asks it whenever it wakes, and so does
// nothing before it knows what the test did.
type turns struct {
	context.Context
	turn *atomic.Int64
}

func (c turns) Err() error {
	c.turn.Load()
	return c.Context.Err()
}

// world is an emulated machine with one process, all in the slowest tier. The
// loop uses it while the test sleeps, and the test while the loop waits.
type world struct {
	t       *testing.T
	root    string
	machine *migratetest.Machine
	process *migratetest.Process
	life    *life
	source  *source
	board   status.Board
	daemon  *daemon.Daemon
	done    chan error
	stop    context.CancelFunc
	turn    atomic.Int64
}

func newWorld(t *testing.T, toml string, change func(*daemon.Options)) *world {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "topology", "testdata", "emulated.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, done: make(chan error, 1)}
	w.root = hostfstest.Unpack(t, string(text)+"\n-- proc/"+strconv.Itoa(pid)+"/comm --\ntrain\n")
	host := hostfs.New(w.root)
	m, err := topology.Discover(host, topology.Overrides{})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("test.toml", []byte(toml))
	if err != nil {
		t.Fatal(err)
	}
	w.machine = migratetest.NewMachine(map[policy.NodeID]int{0: 60000, 1: 30000, 2: 300000})
	w.machine.PageTime = 2 * time.Microsecond
	w.process = w.machine.Spawn(pid)
	mem := samplertest.NewMemory(&samplertest.Clock{}, regions, 2)
	mem.ClearCost, mem.WalkCost = 0, 0
	w.process.Populate(uintptr(mem.Base), regions*policy.PagesPerRegion, 2)
	for i := range regions {
		mem.SetRate(i, 0.01)
		if i%(regions/hot) == 0 {
			mem.SetRate(i, 200)
		}
	}
	w.life = &life{Process: w.process}
	w.source = &source{space: space{mem, w.process, time.Now()}}
	o := daemon.Options{
		Host: host, Machine: m, Config: cfg, Board: &w.board, Log: slog.New(slog.DiscardHandler),
		Source: w.source, Pager: w.machine, Open: func(int) (daemon.Life, error) { return w.life, nil },
		Hear: func() (daemon.Hints, error) { return nil, errors.New("a model has no hint faults") },
	}
	if change != nil {
		change(&o)
	}
	w.daemon = daemon.New(o)
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	go func() { w.done <- w.daemon.Run(turns{ctx, &w.turn}) }()
	return w
}

// sleep gives the loop so much time, and returns when it waits for more. What
// the test did comes before what the loop does then, and the other way round:
// to sleep alone orders nothing.
func (w *world) sleep(d time.Duration) {
	w.turn.Add(1)
	time.Sleep(d)
	synctest.Wait()
}

// end stops the loop and looks for what it left behind.
func (w *world) end() {
	w.t.Helper()
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Errorf("run: %v", err)
	}
	if !w.source.closed && w.source.err == nil {
		w.t.Error("the source is still open")
	}
}

// onNode counts the hot and the cold regions on a node.
func (w *world) onNode(node policy.NodeID) (hots, colds int) {
	for i := range regions {
		if w.process.Node(uintptr(w.source.space.Base)+uintptr(i*policy.RegionSize)) != node {
			continue
		}
		if i%(regions/hot) == 0 {
			hots++
		} else {
			colds++
		}
	}
	return hots, colds
}

func (w *world) workload() status.Workload {
	w.t.Helper()
	s := w.board.Load()
	if s == nil || len(s.Workloads) != 1 {
		w.t.Fatalf("status: %+v", s)
	}
	return s.Workloads[0]
}

const enforce = `
mode = "enforce"
[workload.train]
comm = ["train"]
[sampler]
cpu_budget = "90%"
burst_budget = "90%"
`

func TestHotMemoryIsPromoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(10 * time.Second)
		if hots, colds := w.onNode(1); hots != hot || colds != 0 {
			t.Errorf("node1 holds %d hot and %d cold regions, want %d and 0", hots, colds, hot)
		}
		got := w.workload()
		if got.PromotedBytesTotal != hot*policy.RegionSize || got.OutcomesTotal["moved"] != hot*policy.PagesPerRegion {
			t.Errorf("promoted %d bytes, outcomes %v", got.PromotedBytesTotal, got.OutcomesTotal)
		}
		if got.Processes != 1 || got.HitEstimate["hbm"] < 0.95 || got.ResidentBytes["hbm"] != hot*policy.RegionSize {
			t.Errorf("%+v", got)
		}
		moves := w.machine.Moves
		w.sleep(30 * time.Second)
		if w.machine.Moves != moves {
			t.Errorf("%d more calls that move, with nothing to do", w.machine.Moves-moves)
		}
	})
}

func TestObserveMovesNothing(t *testing.T) {
	for name, change := range map[string]func(*daemon.Options){
		"by default": func(o *daemon.Options) {
			o.Config, _ = config.Parse("test.toml", []byte("[workload.train]\ncomm = [\"train\"]\n"))
		},
		"dry run": func(o *daemon.Options) { o.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, enforce, change)
				defer w.end()
				w.sleep(20 * time.Second)
				if w.machine.Moves != 0 {
					t.Errorf("%d calls that move", w.machine.Moves)
				}
				got := w.workload()
				if got.PlannedPromotedBytesTotal != hot*policy.RegionSize || got.PromotedBytesTotal != 0 || got.Mode != status.Observe {
					t.Errorf("planned %d, promoted %d, mode %s", got.PlannedPromotedBytesTotal, got.PromotedBytesTotal, got.Mode)
				}
			})
		})
	}
}

func TestProcessExits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(5 * time.Second)
		w.process.Exit()
		w.source.space.Err = pagetable.ErrGone
		if err := os.RemoveAll(filepath.Join(w.root, "proc", strconv.Itoa(pid))); err != nil {
			t.Fatal(err)
		}
		w.sleep(5 * time.Second)
		if got := w.workload(); got.Processes != 0 || got.LastError != "" {
			t.Errorf("%+v", got)
		}
		if !w.life.closed || !w.source.space.Closed {
			t.Error("the process is still held")
		}
	})
}

func TestReloadStopsEnforcing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(200 * time.Millisecond)
		cfg, err := config.Parse("new.toml", []byte("[workload.train]\ncomm = [\"train\"]\n"))
		if err != nil {
			t.Fatal(err)
		}
		w.daemon.Reload(cfg)
		w.sleep(time.Second)
		moves := w.machine.Moves
		w.sleep(10 * time.Second)
		if w.machine.Moves != moves {
			t.Errorf("%d calls that move after the reload", w.machine.Moves-moves)
		}
		if got := w.workload(); got.Mode != status.Observe || got.Processes != 1 {
			t.Errorf("mode %s, %d processes", got.Mode, got.Processes)
		}
	})
}

// The period of a workload is that of the configuration, also of a new one.
func TestPeriodIsTakenFromTheConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, "[workload.train]\ncomm = [\"train\"]\nperiod = \"12s\"\n", nil)
		defer w.end()
		w.sleep(5 * time.Second)
		if got := w.workload().PeriodSeconds; got != 12 {
			t.Errorf("%v s, want 12", got)
		}
		cfg, err := config.Parse("new.toml", []byte("[workload.train]\ncomm = [\"train\"]\nperiod = \"off\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		w.daemon.Reload(cfg)
		w.sleep(5 * time.Second)
		if got := w.workload().PeriodSeconds; got != 0 {
			t.Errorf("%v s, want none", got)
		}
	})
}

// A process that cannot be watched is named, and tried again later.
func TestRefusedProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, func(o *daemon.Options) { o.Source.(*source).err = errors.New("no rights") })
		defer w.end()
		w.sleep(3 * time.Second)
		got := w.workload()
		if got.Processes != 1 || got.ProcessDetails[0].State != status.Refused || got.LastError == "" {
			t.Errorf("%+v", got)
		}
		w.source.err = nil
		w.sleep(90 * time.Second)
		if got := w.workload(); got.ProcessDetails[0].State != status.Watched {
			t.Errorf("%+v", got)
		}
	})
}

// A process that has run another program is looked at afresh.
func TestExecIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(3 * time.Second)
		w.process.Exec()
		if err := w.process.Check(); !errors.Is(err, process.ErrExec) {
			t.Fatal(err)
		}
		next := &life{Process: w.machine.Spawn(pid)}
		old := w.life
		w.life = next
		w.sleep(3 * time.Second)
		if got := w.board.Load().DropsTotal[status.DropExec]; got == 0 || !old.closed {
			t.Errorf("%d execs noticed, old life closed %v", got, old.closed)
		}
	})
}

// What somebody else has moved is left to them; the rest is moved.
func TestSecondMover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file string
		w := newWorld(t, enforce, func(o *daemon.Options) {
			file = o.Host.Path("proc/sys/kernel/numa_balancing")
			if err := os.WriteFile(file, []byte("1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		})
		defer w.end()
		w.sleep(10 * time.Second)
		if hots, _ := w.onNode(1); hots != hot {
			t.Errorf("%d of %d hot regions on node1", hots, hot)
		}
		s := w.board.Load()
		if s.Mode != status.Enforce || s.Forced || !strings.Contains(s.SecondMover, "kernel.numa_balancing = 1") {
			t.Errorf("mode %s, forced %v, second mover %q", s.Mode, s.Forced, s.SecondMover)
		}
		// It takes a hot region back, and keeps it.
		back := uintptr(w.source.space.Base)
		w.process.Populate(back, policy.PagesPerRegion, 0)
		w.sleep(30 * time.Second)
		if got := w.process.Node(back); got != 0 {
			t.Errorf("what somebody else has moved to node0 lies on node%d", got)
		}
		if got := w.workload().Vetoes[string(policy.VetoRival)]; got != policy.PagesPerRegion {
			t.Errorf("%d pages are left to the rival, want %d", got, policy.PagesPerRegion)
		}
		if err := os.WriteFile(file, []byte("0\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		w.sleep(100 * time.Second)
		if got, s := w.process.Node(back), w.board.Load(); got != 1 || s.SecondMover != "" {
			t.Errorf("when it is gone: the region lies on node%d, second mover %q", got, s.SecondMover)
		}
	})
}
