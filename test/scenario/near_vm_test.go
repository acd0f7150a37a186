//go:build vm

package scenario_test

import (
	"testing"
	"time"

	"github.com/tierd/tierd/test/scenario"
	"github.com/tierd/tierd/test/vm"
)

// sockets is a machine of two sockets with a CPU and DRAM each (nodes 0 and 1), an HBM node
// behind the first (2), and CXL memory behind it as well (3).
func sockets() vm.Machine {
	m := vm.TwoSocket()
	m.Nodes = []vm.Node{m.Nodes[0], m.Nodes[1], m.Nodes[2], m.Nodes[4]}
	m.Distances = [][]int{{10, 20, 14, 30}, {20, 10, 24, 40}, {14, 24, 10, 34}, {30, 40, 34, 10}}
	return m
}

// Threads that are bound to socket 1 use memory that lies on socket 0: what they use goes to
// them. Accessed bits tell what is used, and the threads' CPUs from where.
func TestHotPartGoesToItsThreads(t *testing.T) {
	const share = 0.85
	s := scenario.Scenario{
		Machine: sockets(), Mover: scenario.Tierd, InPlace: true, Duration: time.Minute, Capacity: "2=100MiB,0=300MiB,1=300MiB,3=1GiB",
		Load: []string{"--size", "160MiB", "--hot", "48MiB", "--node", "0", "--cpus", "1"},
		Config: `mode = "enforce"
[workload.load]
comm = ["tierload"]
[sampler]
cpu_budget = "25%"
`,
	}
	series, err := s.Run(t.Context(), func(p scenario.Sample) {
		t.Logf("%4.1f s: shares %v, moved %d MiB", p.T, p.Load.Share, p.MovedBytes>>20)
	})
	if err != nil {
		t.Fatal(err)
	}
	if best := series.Max(scenario.Node(1), 0, series.Last()); best < share {
		t.Errorf("share of the accesses that are near got to %.2f, want %.2f", best, share)
	}
	t.Logf("%.2f of the accesses are near after %.1f s", share, series.Reach(0, scenario.Node(1), share))
}
