package daemon

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/topology"
)

const (
	// affinityEvery is after how many scans the threads of a process are looked at again.
	affinityEvery = 4
	// maxThreads bounds how many of them, and threadsPerScan those of all processes together:
	// to ask the kernel of a thread takes some 50 µs.
	maxThreads, threadsPerScan = 32, 64
	// boundPart of the CPU time of a process must be that of threads which are bound to
	// one node, for its memory to be used from there.
	boundPart = 0.9
)

// homes are where memory is used from: the nodes with CPUs.
type homes struct {
	list []policy.Home
	cpu  map[int]uint8 // home of a CPU, from 1
	node map[int]uint8 // and of a node
}

// newHomes takes the nodes with CPUs from the machine. On a machine with one such node
// nothing is nearer to anybody.
func newHomes(m *topology.Machine, slots []policy.Node) homes {
	h := homes{cpu: map[int]uint8{}, node: map[int]uint8{}}
	for i := range m.Nodes {
		n := &m.Nodes[i]
		if len(n.CPUs) == 0 || len(h.list) == math.MaxUint8 {
			continue
		}
		home := policy.Home{Node: policy.NodeID(n.ID), Stretch: make([]float64, len(slots))}
		for slot := range slots {
			home.Stretch[slot] = stretch(m, n.ID, int(slots[slot].ID))
		}
		h.list = append(h.list, home)
		h.node[n.ID] = uint8(len(h.list))
		for _, cpu := range n.CPUs {
			h.cpu[cpu] = uint8(len(h.list))
		}
	}
	if len(h.list) < 2 {
		return homes{}
	}
	return h
}

// stretch is how many times as far a node is from the CPUs of another as from those that
// are nearest to it; 1 where the firmware does not say.
func stretch(m *topology.Machine, from, to int) float64 {
	nearest := 0
	for i := range m.Nodes {
		if d := m.Distance(m.Nodes[i].ID, to); len(m.Nodes[i].CPUs) > 0 && d > 0 && (nearest == 0 || d < nearest) {
			nearest = d
		}
	}
	if d := m.Distance(from, to); d > nearest && nearest > 0 {
		return float64(d) / float64(nearest)
	}
	return 1
}

// affinity is what is known of where a process's threads run.
type affinity struct {
	home  uint8 // of all that do the work; 0: not known, or several
	next  uint64
	ticks map[int]uint64 // CPU time of each thread, at the last look
}

// settle finds the home of each process from the CPUs that its threads may run on.
func (d *Daemon) settle() {
	if d.homes.list == nil {
		return
	}
	var due []*member
	for _, m := range d.procs {
		if d.scans >= m.affinity.next {
			due = append(due, m)
		}
	}
	// Who has waited longest comes first.
	slices.SortFunc(due, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.affinity.next, b.affinity.next), cmp.Compare(a.life.ID().PID, b.life.ID().PID))
	})
	for left := threadsPerScan; len(due) > 0 && left > 0; due = due[1:] {
		m, pid := due[0], due[0].life.ID().PID
		m.affinity.next = d.scans + affinityEvery
		n, err := m.affinity.look(d.o.Host, pid, d.homes.cpu)
		if left -= n; err != nil && !hostfs.IsGone(err) {
			d.note(m.workload.name, pid, fmt.Errorf("process %d: %w", pid, err))
		}
	}
}

// look weighs the threads by the CPU time that they have used since the last look; at the
// first one, by all that they have used. Of many threads it takes some, the same each time.
// It returns how many.
func (a *affinity) look(host *hostfs.FS, pid int, home map[int]uint8) (looked int, err error) {
	tids, err := host.Threads(pid)
	if err != nil {
		return 1, err
	}
	sums := map[uint8]float64{}
	all, ticks := 0.0, make(map[int]uint64, len(tids))
	every := max((len(tids)+maxThreads-1)/maxThreads, 1)
	for i := 0; i < len(tids); i += every {
		tid := tids[i]
		looked++
		t, err := host.Thread(pid, tid)
		if hostfs.IsGone(err) {
			continue
		}
		if err != nil {
			return looked, err
		}
		ticks[tid] = t.Ticks
		// A thread that does little counts a little.
		used := float64(t.Ticks-min(a.ticks[tid], t.Ticks)) + 1e-3
		all += used
		sums[only(t.CPUs, home)] += used
	}
	a.home, a.ticks = 0, ticks
	for h, sum := range sums {
		if h != 0 && sum >= boundPart*all {
			a.home = h
		}
	}
	return max(looked, 1), nil
}

// only is the home of some CPUs; 0 where they have several.
func only(cpus []int, home map[int]uint8) (h uint8) {
	for _, cpu := range cpus {
		at, known := home[cpu]
		if !known {
			continue // it is offline
		}
		if h != 0 && at != h {
			return 0
		}
		h = at
	}
	return h
}

// markHomes tells the policy from where memory is used: what was heard of a region, or
// else where the process's threads are bound to.
func (d *Daemon) markHomes(procs []policy.Process) {
	if d.homes.list == nil {
		return
	}
	now := d.clock.Now()
	for i := range procs {
		m := d.memberOf(procs[i].ID)
		if m == nil {
			continue
		}
		procs[i].Home = m.affinity.home
		if m.users.Len() == 0 {
			continue
		}
		regions := procs[i].Regions
		for j := range regions {
			if node, ok := m.users.Home(regions[j].Addr, now); ok {
				regions[j].Home = d.homes.node[node]
			}
		}
	}
}
