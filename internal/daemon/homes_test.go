package daemon

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/topology"
)

// twoSockets has two nodes with two CPUs each, and one without behind the first.
func twoSockets() *topology.Machine {
	return &topology.Machine{Nodes: []topology.Node{
		{ID: 0, CPUs: []int{0, 1}, Distances: []int{10, 21, 20}},
		{ID: 1, CPUs: []int{2, 3}, Distances: []int{21, 10, 30}},
		{ID: 2, Distances: []int{20, 30, 10}},
	}}
}

func TestNewHomes(t *testing.T) {
	slots := []policy.Node{{ID: 2}, {ID: 1}, {ID: 0}}
	got := newHomes(twoSockets(), slots)
	want := []policy.Home{{Node: 0, Stretch: []float64{1, 2.1, 1}}, {Node: 1, Stretch: []float64{1.5, 1, 2.1}}}
	if diff := cmp.Diff(want, got.list); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got.cpu[3] != 2 || got.cpu[0] != 1 || got.node[1] != 2 {
		t.Errorf("CPUs %v, nodes %v", got.cpu, got.node)
	}

	m := twoSockets()
	for i := range m.Nodes {
		m.Nodes[i].Distances = nil
	}
	for _, h := range newHomes(m, slots).list {
		if diff := cmp.Diff([]float64{1, 1, 1}, h.Stretch); diff != "" {
			t.Errorf("the firmware says nothing (-want +got)\n%s", diff)
		}
	}
	m.Nodes = m.Nodes[1:]
	if got := newHomes(m, slots); got.list != nil {
		t.Errorf("with one node that has CPUs: %+v", got)
	}
}

func TestAffinity(t *testing.T) {
	homes := newHomes(twoSockets(), nil)
	thread := func(tid, ticks int, cpus string) string {
		return fmt.Sprintf("-- proc/7/task/%[1]d/stat --\n%[1]d (train) R 1 7 7 0 -1 0 0 0 0 0 %[2]d 0 0 0 20 0 9 0 100 0 5 0 1 0 1\n"+
			"-- proc/7/task/%[1]d/status --\nName:\ttrain\nCpus_allowed_list:\t%[3]s\n", tid, ticks, cpus)
	}
	tests := []struct {
		name    string
		threads string
		want    uint8
	}{
		{"bound to one node", thread(7, 0, "2-3") + thread(8, 900, "2") + thread(9, 900, "3"), 2},
		{"one that does next to nothing is not", thread(7, 1, "0-3") + thread(8, 900, "2"), 2},
		{"one that works is not", thread(7, 400, "0-3") + thread(8, 900, "2"), 0},
		{"bound to both", thread(7, 500, "0") + thread(8, 900, "2"), 0},
		{"not bound", thread(7, 500, "0-3"), 0},
		{"CPUs that are not there", thread(7, 500, "0-1,64-127"), 1},
		{"none at all", "-- proc/7/task/none --\n", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var a affinity
			if _, err := a.look(hostfs.New(hostfstest.Unpack(t, tt.threads)), 7, homes.cpu); err != nil {
				t.Fatal(err)
			}
			if a.home != tt.want {
				t.Errorf("home is %d, want %d", a.home, tt.want)
			}
		})
	}

	// What counts is what they have done since the last time.
	var a affinity
	for i, step := range []struct {
		threads string
		want    uint8
	}{
		{thread(7, 1000, "0-3") + thread(8, 0, "2"), 0},
		{thread(7, 1000, "0-3") + thread(8, 50, "2"), 2},
		{thread(7, 1000, "0-3") + thread(8, 50, "1"), 0},
		{thread(7, 1000, "0-3") + thread(8, 90, "1"), 1},
	} {
		if _, err := a.look(hostfs.New(hostfstest.Unpack(t, step.threads)), 7, homes.cpu); err != nil {
			t.Fatal(err)
		}
		if a.home != step.want {
			t.Errorf("step %d: home is %d, want %d", i, a.home, step.want)
		}
	}
	if _, err := a.look(hostfs.New(t.TempDir()), 7, homes.cpu); !hostfs.IsGone(err) {
		t.Errorf("of a process that is gone: %v", err)
	}
}

// Of many threads some are asked about, at even distances.
func TestAffinityOfManyThreads(t *testing.T) {
	var tree strings.Builder
	for tid := 100; tid < 200; tid++ {
		fmt.Fprintf(&tree, "-- proc/7/task/%[1]d/stat --\n%[1]d (train) R 1 7 7 0 -1 0 0 0 0 0 5 0 0 0 20 0 9 0 100 0 5 0 1 0 1\n"+
			"-- proc/7/task/%[1]d/status --\nCpus_allowed_list:\t3\n", tid)
	}
	var a affinity
	looked, err := a.look(hostfs.New(hostfstest.Unpack(t, tree.String())), 7, newHomes(twoSockets(), nil).cpu)
	if err != nil {
		t.Fatal(err)
	}
	if looked > maxThreads || looked < maxThreads/2 || a.home != 2 {
		t.Errorf("%d threads looked at, home %d", looked, a.home)
	}
}
