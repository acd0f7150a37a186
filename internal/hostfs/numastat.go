package hostfs

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxNode is the highest node number that a kernel can have (CONFIG_NODES_SHIFT ≤ 10).
const maxNode = 1023

// NUMAStat is what the memory of a control group is on each node, by kind: "anon", "file",
// "shmem" and what else the kernel counts.
type NUMAStat map[string]map[int]uint64

// ParseNUMAStat reads memory.numa_stat. In the unified hierarchy it is in bytes; in the older one
// in pages of so many bytes, and of that only the lines that include the groups below are taken. Both count the groups below.
func ParseNUMAStat(r io.Reader, page uint64) (NUMAStat, error) {
	stat := NUMAStat{}
	s := lines(r)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 {
			continue
		}
		kind, unit := fields[0], uint64(1)
		if name, _, old := strings.Cut(kind, "="); old {
			var below bool
			if kind, below = strings.CutPrefix(name, "hierarchical_"); !below || kind == "total" {
				continue
			}
			unit = page
		}
		on := map[int]uint64{}
		for _, f := range fields[1:] {
			node, bytes, ok := strings.Cut(f, "=")
			id, isNode := strings.CutPrefix(node, "N")
			n, known := atoi([]byte(id))
			v, err := strconv.ParseUint(bytes, 10, 64)
			if !ok || !isNode || !known || n > maxNode || err != nil || v > 1<<62/unit {
				return nil, fmt.Errorf("numa_stat: %.40q: bad value %.40q", kind, f)
			}
			on[n] = v * unit
		}
		stat[kind] = on
	}
	return stat, s.Err()
}

// SchedNUMA is what NUMA balancing knows of a thread.
type SchedNUMA struct {
	// Preferred is the node that it would run on; -1: none.
	Preferred int
	// Faults has the hint faults of late by the node of the memory, those of its group of threads that
	// share memory where it has one. They fade.
	Faults map[int]uint64
}

// ParseSchedNUMA reads the part of /proc/PID/sched that is about NUMA balancing (kernel/sched/debug.c,
// print_numa_stats). Kernels without scheduler statistics, and threads without hint faults, have none.
func ParseSchedNUMA(r io.Reader) (SchedNUMA, error) {
	out := SchedNUMA{Preferred: -1}
	group := map[int]uint64{}
	s := lines(r)
	for s.Scan() {
		name, value, ok := strings.Cut(s.Text(), ":")
		if ok {
			if strings.TrimSpace(name) == "numa_preferred_nid" {
				n, err := strconv.Atoi(strings.TrimSpace(value))
				if err != nil || n < -1 || n > maxNode {
					return SchedNUMA{}, fmt.Errorf("sched: bad node %.40q", value)
				}
				out.Preferred = n
			}
			continue
		}
		fields := strings.Fields(s.Text())
		if len(fields) == 0 || fields[0] != "numa_faults" {
			continue
		}
		node := -1
		var own, shared uint64
		for _, f := range fields[1:] {
			key, text, _ := strings.Cut(f, "=")
			v, err := strconv.ParseUint(text, 10, 64)
			if err != nil || v > 1<<62 {
				return SchedNUMA{}, fmt.Errorf("sched: numa_faults: bad value %.40q", f)
			}
			switch key {
			case "node":
				if v > maxNode {
					return SchedNUMA{}, fmt.Errorf("sched: numa_faults: bad node %.40q", f)
				}
				node = int(v)
			case "task_private", "task_shared":
				own += v
			case "group_private", "group_shared":
				shared += v
			}
		}
		if node < 0 {
			return SchedNUMA{}, fmt.Errorf("sched: numa_faults without a node: %.40q", s.Text())
		}
		if out.Faults == nil {
			out.Faults = map[int]uint64{}
		}
		out.Faults[node], group[node] = own, shared
	}
	for _, n := range group {
		if n > 0 {
			out.Faults = group
			break
		}
	}
	return out, s.Err()
}

// CgroupNUMAStat returns what the memory of a control group is on each node, by the group's path in its
// hierarchy; on hosts without the unified one that of the memory controller. The root group has no such file.
func (f *FS) CgroupNUMAStat(path string, page uint64) (NUMAStat, error) {
	parse := func(b []byte) (NUMAStat, error) { return ParseNUMAStat(bytes.NewReader(b), page) }
	file, err := cgroupFile(path, "memory.numa_stat")
	if err != nil {
		return nil, err
	}
	stat, err := read(f, cgroupDir+file, mediumFile, parse)
	if err != nil && IsGone(err) {
		return read(f, cgroupDir+"/memory"+file, mediumFile, parse)
	}
	return stat, err
}

// SchedNUMA returns what NUMA balancing knows of a process's first thread.
func (f *FS) SchedNUMA(pid int) (SchedNUMA, error) {
	return read(f, pidFile(pid, "sched"), mediumFile, fromReader(ParseSchedNUMA))
}
