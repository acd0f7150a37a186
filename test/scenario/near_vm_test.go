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

// Threads of socket 1 use memory that lies on socket 0: what they use goes to them, and what
// they do not use stays.
func TestHotPartGoesToItsThreads(t *testing.T) {
	const share, within = 0.85, 15.0
	s := scenario.Scenario{
		Machine: sockets(), Mover: scenario.Tierd, Duration: 60 * time.Second, Capacity: "2=100MiB,0=300MiB,1=300MiB,3=1GiB",
		Load: []string{"--size", "192MiB", "--hot", "64MiB", "--node", "0", "--cpus", "1"},
		Config: `mode = "enforce"
[workload.load]
comm = ["tierload"]
[sampler]
cpu_budget = "25%"
`,
	}
	near := scenario.Node(1)
	series, err := s.Run(t.Context(), func(p scenario.Sample) {
		t.Logf("%4.1f s: shares %v, moved %d MiB", p.T, p.Load.Share, p.MovedBytes>>20)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := series.Reach(0, near, share); !(got <= within) {
		t.Errorf("%.2f of the accesses are near after %.1f s, want %.0f", share, got, within)
	}
	if last := series.Samples[len(series.Samples)-1]; last.Load.Share[0]+last.Load.Share[1]+last.Load.Share[2] < 0.99 {
		t.Errorf("shares at the end: %v", last.Load.Share)
	}
}
