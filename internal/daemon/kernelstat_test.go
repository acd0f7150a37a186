package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

func TestOutermostGroups(t *testing.T) {
	got := outermost(map[string]bool{"/": true, "/a": true, "/a-b": true, "/a/x": true, "/a-b/x/y": true, "/c/d": true, "/c/dd": true})
	if diff := cmp.Diff([]string{"/a", "/a-b", "/c/d", "/c/dd"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestCountByNode(t *testing.T) {
	host := hostfs.New(hostfstest.Unpack(t, `
-- sys/devices/system/node/node0/vmstat --
nr_free_pages 7
numa_hit 12
pgdemote_kswapd 5
-- sys/fs/cgroup/job/memory.numa_stat --
anon N0=4096 N2=8192
file N0=0 N2=1
kernel_stack N0=5 N2=5
-- sys/fs/cgroup/memory/old/memory.numa_stat --
hierarchical_anon=3 N0=1 N2=2
-- proc/7/sched --
numa_preferred_nid : 2
numa_faults node=0 task_private=1 task_shared=2 group_private=0 group_shared=0
numa_faults node=2 task_private=30 task_shared=0 group_private=0 group_shared=0
`))
	w := &workload{name: "train"}
	d := &Daemon{
		o: Options{Host: host}, scans: 1, workloads: []*workload{w},
		nodes: &nodes{page: 4096, tiers: []policy.Tier{{Name: "dram"}, {Name: "cxl"}}, list: []policy.Node{{ID: 0}, {ID: 2, Tier: 1}, {ID: 3, Tier: -1}}, counters: map[int]hostfs.Counters{}},
		procs: map[int]*member{
			7: {workload: w, cgroup: "/job"}, 8: {workload: w, cgroup: "/job/part"}, 9: {workload: w, cgroup: "/old"}, 10: {workload: w, cgroup: "/gone"}, 11: {workload: w},
		},
	}
	d.countByNode(true)
	if diff := cmp.Diff(hostfs.Counters{"numa_hit": 12, "pgdemote_kswapd": 5}, d.nodes.counters[0]); diff != "" {
		t.Errorf("node 0 (-want +got)\n%s", diff)
	}
	var got status.Workload
	d.reportCounts(w, &got)
	for _, m := range d.procs {
		reportFaults(m, &got)
	}
	want := status.Workload{
		GroupBytes: map[string]map[string]uint64{
			"anon": {"dram": 2 * 4096, "cxl": 4 * 4096}, "file": {"dram": 0, "cxl": 1}, "shmem": {"dram": 0, "cxl": 0},
		},
		NUMAFaults: map[int]uint64{0: 3, 2: 30},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if len(d.errs.List()) > 0 {
		t.Errorf("%+v", d.errs.List())
	}

	// Without NUMA balancing nobody remembers; and there are more groups than are asked.
	for i := range maxGroups {
		d.procs[100+i] = &member{workload: w, cgroup: "/many" + string(rune('A'+i))}
	}
	d.countByNode(false)
	if d.procs[7].faults != nil || w.groupsLeft != 3 {
		t.Errorf("faults %v, %d groups left out", d.procs[7].faults, w.groupsLeft)
	}
}
