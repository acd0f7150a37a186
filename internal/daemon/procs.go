package daemon

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/sampler/precise"
	"github.com/tierd/tierd/sampler/users"
)

// workload is a rule and what happened to its processes.
type workload struct {
	name    string
	enforce bool
	shared  bool // memory that several processes map may be moved
	period  sampler.Period

	promoted, demoted               uint64
	plannedPromoted, plannedDemoted uint64
	outcomes                        [migrate.NumResults]uint64
	hintsLocal, hintsRemote         uint64
	lastError                       string
	// groups is the memory of its processes' control groups, of all but groupsLeft of them; nil if
	// it is not known.
	groups     hostfs.NUMAStat
	groupsLeft int
}

// member is a process of a workload.
type member struct {
	life     Life
	comm     string
	workload *workload
	err      error
	heard    hintfault.Watched // nil: its hint faults are not counted
	sampled  precise.Watched   // nil: its accesses are not sampled
	users    users.Users
	affinity affinity
	cgroup   string         // "" where it is not known
	faults   map[int]uint64 // of NUMA balancing, of late, by node of the memory
	// pressure is the memory pressure of its cgroup, as a share, or policy.NoPressure.
	pressure float64
	// retryAt is the scan at which a process that could not be watched is
	// tried again.
	retryAt uint64
}

// passed remembers a process that no workload wants. A process may change its
// name, its cgroup or its program, so it is looked at again at some later scan.
type passed struct{ again uint64 }

// setWorkloads takes the workloads from the configuration and keeps the
// counters of those that stay.
func (d *Daemon) setWorkloads() {
	old := map[string]*workload{}
	for _, w := range d.workloads {
		old[w.name] = w
	}
	d.workloads = nil
	for i := range d.cfg.Workloads {
		c := &d.cfg.Workloads[i]
		w := old[c.Name]
		if w == nil {
			w = &workload{name: c.Name}
		}
		w.period = sampler.Period{Off: c.Period.Off, Seconds: c.Period.Every.Std().Seconds()}
		w.shared = c.Shared
		w.enforce = c.Mode == config.ModeEnforce && d.reason() == ""
		d.workloads = append(d.workloads, w)
	}
}

// needs says which files have to be read to match a process.
type needs struct{ exe, cgroup, uid bool }

func (d *Daemon) needs() (n needs) {
	for i := range d.cfg.Workloads {
		w := &d.cfg.Workloads[i]
		n.exe = n.exe || len(w.Exe) > 0
		n.cgroup = n.cgroup || len(w.Cgroup) > 0
		n.uid = n.uid || len(w.UID) > 0
	}
	return n
}

// scan looks for processes that have come and gone.
func (d *Daemon) scan() {
	d.scans++
	for pid, m := range d.procs {
		d.check(pid, m)
	}
	if len(d.workloads) == 0 {
		return
	}
	pids, err := d.o.Host.PIDs(nil)
	if err != nil {
		d.note("", 0, err)
		return
	}
	n, self := d.needs(), os.Getpid()
	alive := make(map[int]bool, len(pids))
	for _, pid := range pids {
		alive[pid] = true
		if pid == self || d.procs[pid] != nil || d.passed[pid].again > d.scans {
			continue
		}
		c := d.match(pid, n)
		if c == nil {
			d.passed[pid] = passed{again: d.scans + 4 + rand.Uint64N(8)}
			continue
		}
		delete(d.passed, pid)
		d.watch(pid, c)
	}
	for pid := range d.passed {
		if !alive[pid] {
			delete(d.passed, pid)
		}
	}
}

// check drops a process that is gone or has become another, and tries again
// to watch one that could not be watched.
func (d *Daemon) check(pid int, m *member) {
	err := m.life.Check()
	if err == nil && d.tracker != nil && m.err == nil {
		if err := d.tracker.Err(m.life.ID()); err != nil && !errors.Is(err, pagetable.ErrGone) {
			m.err = err
			m.retryAt = d.scans + 5
			d.note(m.workload.name, pid, fmt.Errorf("process %d: %w", pid, err))
		}
	}
	if err == nil {
		if m.err != nil && d.scans >= m.retryAt {
			d.drop(pid)
		}
		return
	}
	if errors.Is(err, process.ErrExec) {
		d.drops[status.DropExec]++
	}
	d.drop(pid)
}

// drop forgets a process.
func (d *Daemon) drop(pid int) {
	m := d.procs[pid]
	if m == nil {
		return
	}
	id := m.life.ID()
	if d.tracker != nil {
		d.tracker.Remove(id)
	}
	d.enforcing.Refusals().Forget(id)
	d.observing.Refusals().Forget(id)
	d.unhear(m)
	d.unsample(m)
	m.life.Close()
	delete(d.procs, pid)
}

// match finds the workload of a process; nil if there is none. A process
// that vanishes meanwhile has none.
func (d *Daemon) match(pid int, n needs) *config.Workload {
	var p config.Process
	var err error
	if p.Comm, err = d.o.Host.Comm(pid); err != nil {
		return nil
	}
	if n.exe {
		// A thread of the kernel has none, and a process that may not be looked
		// at shows none: then no rule that asks for it holds.
		p.Exe, _ = d.o.Host.Exe(pid)
	}
	if n.cgroup {
		if g, err := d.o.Host.Cgroup(pid); err == nil {
			p.Cgroup = cgroupPath(g)
		}
	}
	if n.uid {
		s, err := d.o.Host.Status(pid)
		if err != nil || !s.HasUID {
			return nil
		}
		p.UID = s.UID[1]
	}
	return d.cfg.WorkloadFor(p)
}

// cgroupPath is the path that rules speak of: the unified hierarchy's, or
// that of the memory controller on a host without one.
func cgroupPath(g hostfs.Cgroups) string {
	if g.V2 != "" && (g.V2 != "/" || g.V1 == nil) {
		return g.V2
	}
	if path, ok := g.V1["memory"]; ok {
		return path
	}
	return g.V2
}

// watch begins to look at a process.
func (d *Daemon) watch(pid int, c *config.Workload) {
	var w *workload
	for _, have := range d.workloads {
		if have.name == c.Name {
			w = have
		}
	}
	if w == nil {
		return
	}
	life, err := d.o.Open(pid)
	switch {
	case errors.Is(err, process.ErrGone), errors.Is(err, process.ErrKernel), errors.Is(err, process.ErrSelf):
		d.passed[pid] = passed{again: d.scans + 30}
		return
	case err != nil:
		d.drops[status.DropRights]++
		d.note(w.name, pid, fmt.Errorf("process %d: %w", pid, err))
		d.passed[pid] = passed{again: d.scans + 15}
		return
	}
	m := &member{life: life, workload: w, pressure: policy.NoPressure}
	m.comm, _ = d.o.Host.Comm(pid)
	d.procs[pid] = m
	if d.source == nil {
		return
	}
	space, err := d.source.Attach(life)
	if err != nil {
		m.err, m.retryAt = err, d.scans+15
		if errors.Is(err, unix.EPERM) {
			d.drops[status.DropRights]++
		}
		d.note(w.name, pid, fmt.Errorf("process %d: %w", pid, err))
		return
	}
	d.tracker.Add(life.ID(), w.name, w.enforce, space)
	d.tracker.SetPeriod(life.ID(), w.period)
	d.tracker.SetShared(life.ID(), w.shared)
	d.o.Log.Info("watching", "workload", w.name, "pid", pid, "comm", m.comm, "enforce", w.enforce)
}

// memberOf finds the process that a plan speaks of, if it still lives.
func (d *Daemon) memberOf(id policy.ProcessID) *member {
	if m := d.procs[id.PID]; m != nil && m.life.ID() == id {
		return m
	}
	return nil
}
