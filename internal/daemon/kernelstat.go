package daemon

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/status"
)

const (
	// countEvery is after how many scans the kernel's counts are read again: to sum up those of
	// a control group may take it a millisecond.
	countEvery = 5
	// maxGroups and maxScheds bound how many control groups, and how many processes, are asked at a time.
	maxGroups, maxScheds = 64, 64
)

// countByNode reads what the kernel counts by node: of nodes, of the control groups of workloads, and
// of processes that NUMA balancing looks after.
func (d *Daemon) countByNode(balancing bool) {
	if d.scans%countEvery != 1 {
		return
	}
	for i := range d.nodes.list {
		id := int(d.nodes.list[i].ID)
		if c, err := d.o.Host.NodeVmstat(id, status.NodeCounters()...); err == nil {
			d.nodes.counters[id] = c
		}
	}
	groups := map[*workload]map[string]bool{}
	asked := 0
	for _, pid := range slices.Sorted(maps.Keys(d.procs)) {
		m := d.procs[pid]
		if m.cgroup != "" {
			if groups[m.workload] == nil {
				groups[m.workload] = map[string]bool{}
			}
			groups[m.workload][m.cgroup] = true
		}
		m.faults = nil
		if balancing && asked < maxScheds {
			asked++
			if s, err := d.o.Host.SchedNUMA(pid); err == nil {
				m.faults = s.Faults
			}
		}
	}
	left := maxGroups
	for _, w := range d.workloads {
		w.groups, w.groupsLeft = nil, 0
		for _, path := range outermost(groups[w]) {
			if left == 0 {
				w.groupsLeft++
				continue
			}
			left--
			stat, err := d.o.Host.CgroupNUMAStat(path, d.nodes.page)
			if err != nil {
				if !hostfs.IsGone(err) {
					d.note(w.name, 0, fmt.Errorf("control group %q: %w", path, err))
				}
				continue
			}
			if w.groups == nil {
				w.groups = hostfs.NUMAStat{}
			}
			for _, kind := range status.GroupKinds() {
				if w.groups[kind] == nil {
					w.groups[kind] = map[int]uint64{}
				}
				for node, bytes := range stat[kind] {
					w.groups[kind][node] += bytes
				}
			}
		}
	}
}

// outermost leaves out groups that are within others, which count them. The root group counts nothing.
func outermost(paths map[string]bool) (out []string) {
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		within := path == "/"
		for i := strings.LastIndexByte(path, '/'); i > 0 && !within; i = strings.LastIndexByte(path[:i], '/') {
			within = paths[path[:i]]
		}
		if !within {
			out = append(out, path)
		}
	}
	return out
}

// byTier sums up what lies on the nodes of each tier.
func (n *nodes) byTier(on map[int]uint64) map[string]uint64 {
	sums := map[string]uint64{}
	for _, node := range n.list {
		if node.Tier >= 0 {
			sums[n.tiers[node.Tier].Name] += on[int(node.ID)]
		}
	}
	return sums
}

// reportCounts adds what the kernel counts to the picture of a workload.
func (d *Daemon) reportCounts(w *workload, e *status.Workload) {
	e.GroupsLeftOut = w.groupsLeft
	if w.groups == nil {
		return
	}
	e.GroupBytes = map[string]map[string]uint64{}
	for kind, on := range w.groups {
		e.GroupBytes[kind] = d.nodes.byTier(on)
	}
}

// reportFaults adds a process's hint faults of late to the picture of its workload.
func reportFaults(m *member, e *status.Workload) {
	for node, n := range m.faults {
		if e.NUMAFaults == nil {
			e.NUMAFaults = map[int]uint64{}
		}
		e.NUMAFaults[node] += n
	}
}
