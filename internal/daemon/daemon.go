package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/movers"
	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/damon"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

// Life is one life of a process; *process.Handle is the real one.
type Life interface {
	migrate.Identity
	FD() int
	Close() error
}

var _ Life = (*process.Handle)(nil)

// Source opens the address spaces of processes for the sampler.
type Source interface {
	Attach(Life) (sampler.Space, error)
	Close()
}

// Options of a Daemon.
type Options struct {
	Host    *hostfs.FS
	Machine *topology.Machine
	Config  *config.Config
	Board   *status.Board
	Log     *slog.Logger
	Version string
	// DryRun observes whatever the configuration says.
	DryRun bool
	// Ready, if set, is called once, after the first epoch.
	Ready func()
	// ObserveEpoch, if set, is told how long each epoch took.
	ObserveEpoch func(seconds float64)

	// Tap, if set, lets others record what the policy sees.
	Tap *record.Tap

	// Source, Hear, Open and Pager replace the real kernel in tests.
	Source Source
	Hear   func() (Hints, error)
	// Sample opens the source of the processor's samples, for a share of one CPU.
	Sample func(share float64) (Samples, error)
	// Monitor is given the file for a note on what runs.
	Monitor func(s damon.Settings, note string) (Monitor, error)
	Open    func(pid int) (Life, error)
	Pager   migrate.Pager
}

const (
	// idleEpoch is for when there is nothing to decide.
	idleEpoch = 500 * time.Millisecond
	// restEpoch is for when nothing new was seen.
	restEpoch = time.Duration(policy.RestSeconds * float64(time.Second))
	scanEvery = 2 * time.Second
	// rivalSeconds is for how long a second mover is spoken of that was seen at work.
	rivalSeconds = 60
	// moveSlice is how long the mover works before the sampler has its turn,
	// and movePause how long it rests when the rate limit let nothing through.
	moveSlice = 60 * time.Millisecond
	movePause = 20 * time.Millisecond
)

// Daemon is the loop. Run must be called once.
type Daemon struct {
	o          Options
	cfg        *config.Config
	reload     chan *config.Config
	clock      clock
	nodes      *nodes
	homes      homes
	movers     *movers.Watch
	hearing    hearing
	monitoring monitoring
	sight      sight
	sampling   sampling
	source     Source
	tracker    *sampler.Tracker
	control    policy.Controller
	// enforcing moves, observing only records.
	enforcing, observing *migrate.Executor

	sources []status.Source
	forced  string // why it observes although it was asked to enforce
	rival   string // who else moves pages; empty if nobody does
	others  uint64 // bytes that others have moved
	taken   uint64 // pages of workloads among them
	takenAt float64

	procs     map[int]*member
	passed    map[int]passed
	scans     uint64
	workloads []*workload

	queue   []policy.Move
	marks   []mark    // of the queue
	moveAt  time.Time // when the rate limit may let the next move through
	planned map[plannedKey]float64
	plan    *policy.Plan
	planOf  []string // the workload of each process of the plan
	done    []policy.Done
	// pressureNext is the first process whose cgroup is asked at the next scan.
	pressureNext int

	recorder      *record.Ring
	recordErrors  uint64 // that were noted
	recordFailing bool

	epochs uint64
	// interval is how long it is from the last epoch to the next.
	interval time.Duration
	decided  uint64 // the tracker's news that the last epoch knew
	started  time.Time
	moved    uint64
	drops    map[status.Drop]uint64
	errs     status.Errors

	ring      explain.Ring
	asking    chan struct{}  // holds one while somebody asks
	askAgain  time.Time      // not before; of who holds it
	questions chan *question // for the next epoch
	epochOf   *explain.Epoch // of the plan
	names     *explain.Machine
	settled   []policy.Settled
}

// New makes a Daemon. It starts nothing.
func New(o Options) *Daemon {
	d := &Daemon{
		o: o, cfg: o.Config, reload: make(chan *config.Config, 1),
		procs: map[int]*member{}, passed: map[int]passed{}, planned: map[plannedKey]float64{},
		drops: map[status.Drop]uint64{}, started: time.Now(),
		asking: make(chan struct{}, 1), questions: make(chan *question, 1),
	}
	d.clock.start = d.started
	if d.o.Tap == nil {
		d.o.Tap = new(record.Tap)
	}
	return d
}

// Reload hands over a new configuration; the loop takes it at its next turn.
// Tiers and listening addresses stay as they were at the start.
func (d *Daemon) Reload(c *config.Config) {
	for {
		select {
		case d.reload <- c:
			return
		case <-d.reload:
		}
	}
}

// pageTables is the real Source.
type pageTables struct{ *pagetable.Source }

func (p pageTables) Attach(l Life) (sampler.Space, error) {
	return p.Source.Attach(l.ID().PID, l.FD())
}

// open prepares everything that needs rights or may fail. A source that is
// not available is no error: tierd then observes what it can.
func (d *Daemon) open() {
	d.nodes = newNodes(d.o.Host, d.o.Machine)
	d.homes = newHomes(d.o.Machine, d.nodes.list)
	d.nodes.reserves(d.cfg)
	if err := d.nodes.refresh(); err != nil {
		d.note("", 0, err)
	}
	d.movers = movers.New(d.o.Host, d.nodes.page)
	if d.o.Host.Live() {
		if err := d.movers.Listen(); err != nil {
			d.o.Log.Info("migrations are known by the kernel's counters only", "error", err)
		}
	}
	if d.o.Hear == nil {
		d.o.Hear = func() (Hints, error) { return hintfault.Open() }
	}
	if d.o.Sample == nil {
		d.o.Sample = func(share float64) (Samples, error) { return openSamples(d.o.Host, share) }
	}
	if d.o.Monitor == nil {
		if err := damon.Recover(d.o.Host, d.monitorNote()); err != nil {
			d.note("", 0, fmt.Errorf("DAMON, which a tierd that was killed has left running: %w", err))
		}
		d.o.Monitor = func(s damon.Settings, note string) (Monitor, error) { return damon.Start(d.o.Host, s, note) }
	}
	if d.o.Open == nil {
		d.o.Open = func(pid int) (Life, error) { return process.Open(d.o.Host, pid) }
	}
	d.source = d.o.Source
	if d.source == nil {
		s, err := pagetable.Open(d.nodes.ranges())
		if err != nil {
			d.unavailable(err)
		} else {
			d.source = pageTables{s}
			// The kernel's types, which opening has read, are not needed any more.
			debug.FreeOSMemory()
		}
	}
	if d.source != nil {
		d.sources = []status.Source{{Name: "page-table", Available: true}}
	}
	if len(d.nodes.tiers) < 2 {
		d.forced = "this host has one tier of memory: there is nothing to move between"
	}
	if d.o.DryRun {
		d.forced = "started with --dry-run"
	}
	mover := func(observe bool) *migrate.Executor {
		return migrate.New(migrate.Config{
			Pager: d.o.Pager, Observe: observe, Nodes: d.nodes.ids(), Room: d.nodes,
			Rate:         uint64(d.cfg.Migrate.Rate.BytesPerSecond()),
			BatchLatency: d.cfg.Migrate.BatchLatency.Std(),
		})
	}
	d.enforcing, d.observing = mover(false), mover(true)
	if d.source != nil {
		d.tracker = sampler.New(sampler.Options{
			Budget: d.cfg.Sampler.CPUBudget.Fraction(), Burst: d.cfg.Sampler.BurstBudget.Fraction(),
			DetailBytes: int(d.cfg.Sampler.DetailMemory), Clock: &d.clock,
		})
	}
	d.setWorkloads()
	d.setSources()
}

// setSources takes what the configuration says of them.
func (d *Daemon) setSources() {
	if d.tracker != nil {
		d.tracker.SetDeaf(!d.allows(config.SourcePageTable))
	}
}

func (d *Daemon) unavailable(err error) {
	s := status.Source{Name: "page-table", Reason: err.Error()}
	var u *pagetable.Unavailable
	if errors.As(err, &u) {
		s.Hint = u.Hint
	}
	d.sources = []status.Source{s}
	d.forced = "no source can see which memory is used: " + err.Error()
	d.o.Log.Warn("page tables cannot be read; observing placement of nothing", "error", err, "hint", s.Hint)
}

// Run is the loop. It returns nil when ctx ends, and leaves nothing behind.
func (d *Daemon) Run(ctx context.Context) error {
	d.open()
	defer d.close()
	defer d.startRing()()

	var epochAt, scanAt time.Time
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ready := false; ctx.Err() == nil; {
		select {
		case c := <-d.reload: // also while there is always something to move
			d.adopt(c)
			scanAt = time.Time{}
		default:
		}
		now := time.Now()
		if !now.Before(scanAt) {
			balancing := d.watchMovers()
			d.watchSight()
			d.scan()
			d.hear(balancing)
			d.takeSamples()
			d.settle()
			d.monitor()
			d.askPressures()
			d.countByNode(balancing)
			scanAt = now.Add(scanEvery)
		}
		var wake time.Time
		if d.tracker != nil {
			next := d.tracker.Step()
			// Rounded up: to wake a moment too early is to wake twice.
			wake = d.started.Add(time.Duration(math.Ceil(next*1e6)) * time.Microsecond)
		}
		due := epochAt
		if d.tracker != nil && d.tracker.News() == d.decided {
			due = later(epochAt, epochAt.Add(restEpoch-d.interval)) // without news there is time
		}
		if now = time.Now(); !now.Before(due) {
			d.listen()
			took := d.epoch(now)
			epochAt = now.Add(d.every(took))
			due = epochAt
			if !ready && d.o.Ready != nil {
				d.o.Ready()
			}
			ready = true
		}
		if len(d.queue) > 0 && !now.Before(d.moveAt) {
			d.move(ctx)
			continue
		}
		if len(d.queue) > 0 && d.moveAt.Before(wake) {
			wake = d.moveAt
		}
		if wake.After(due) || wake.IsZero() {
			wake = due
		}
		if scanAt.Before(wake) {
			wake = scanAt
		}
		timer.Reset(time.Until(wake))
		select {
		case <-ctx.Done():
		case c := <-d.reload:
			d.adopt(c)
			scanAt = time.Time{}
		case <-timer.C:
		}
	}
	d.drops[status.DropStopped] += uint64(len(d.queue))
	return nil
}

func (d *Daemon) close() {
	d.deafen()
	d.endSampling()
	d.endMonitor()
	d.movers.Close()
	if d.tracker != nil {
		d.tracker.Close()
	}
	for _, m := range d.procs {
		m.life.Close()
	}
	if d.source != nil {
		d.source.Close()
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// adopt takes a new configuration.
func (d *Daemon) adopt(c *config.Config) {
	d.cfg = c
	d.nodes.reserves(c)
	for _, e := range []*migrate.Executor{d.enforcing, d.observing} {
		e.SetRate(uint64(c.Migrate.Rate.BytesPerSecond()))
		e.SetBatchLatency(c.Migrate.BatchLatency.Std())
	}
	if d.tracker != nil {
		d.tracker.SetBudget(c.Sampler.CPUBudget.Fraction(), c.Sampler.BurstBudget.Fraction(), int(c.Sampler.DetailMemory))
	}
	d.drops[status.DropStopped] += uint64(len(d.queue))
	d.queue, d.marks = nil, nil
	d.setRing()
	d.setSources()
	d.setWorkloads()
	// Every process is matched anew.
	for pid := range d.procs {
		d.drop(pid)
	}
	clear(d.passed)
}

// reason says why tierd only observes although it may have been asked to
// enforce; empty if nothing forces it to.
func (d *Daemon) reason() string {
	return d.forced
}

// stays says why nothing moves although it may have been asked for.
func (d *Daemon) stays() string { return cmp.Or(d.reason(), d.sight.lost) }

// watchMovers looks at who moves pages of the host. What somebody else moves tierd leaves
// to them: two movers would undo each other's work. It tells whether the kernel's NUMA balancing
// is on.
func (d *Daemon) watchMovers() (balancing bool) {
	if err := d.movers.Look(d.moved); err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.note("", 0, err)
	}
	now, rival := d.clock.Now(), ""
	mode, err := d.o.Host.NumaBalancing()
	balancing = err == nil && mode > 0
	if d.tracker != nil {
		// Others move for compaction, too, within a node.
		others := d.movers.Others()
		d.tracker.Rivals(balancing || others != d.others)
		d.others = others
		if taken := d.tracker.Stats().Taken; taken != d.taken {
			d.taken, d.takenAt = taken, now
		}
	}
	switch {
	case balancing:
		rival = fmt.Sprintf("the kernel's NUMA balancing is on (kernel.numa_balancing = %d); tierd leaves alone what it moves", mode)
	case d.taken > 0 && now-d.takenAt < rivalSeconds:
		rival = "somebody else moves memory of workloads between nodes; tierd leaves that memory alone"
	}
	if rival != d.rival {
		d.rival = rival
		d.o.Log.Info("second mover", "present", rival != "", "reason", rival)
	}
	return balancing
}

// mode is what tierd does as a whole.
func (d *Daemon) mode() string {
	if d.stays() == "" && d.cfg.Enforcing() {
		return status.Enforce
	}
	return status.Observe
}

// note remembers an error for the status and logs it, once while it repeats.
func (d *Daemon) note(workload string, pid int, err error) {
	e := status.Error{Workload: workload, PID: pid, Message: err.Error()}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		e.Hint = h.Hint()
	}
	seen := false
	for _, old := range d.errs.List() {
		seen = seen || old.Workload == e.Workload && old.PID == e.PID && old.Message == e.Message
	}
	if !seen {
		d.o.Log.Warn("problem", "workload", workload, "pid", pid, "error", err, "hint", e.Hint)
	}
	d.errs.Add(time.Now(), e)
	for _, w := range d.workloads {
		if w.name == workload {
			w.lastError = e.Message
		}
	}
}
