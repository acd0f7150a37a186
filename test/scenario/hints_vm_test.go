//go:build vm

package scenario_test

import (
	"os"
	"testing"
	"time"

	"github.com/tierd/tierd/test/scenario"
)

// What NUMA balancing's faults say is enough to place by. A neighbour fills the node near the processors, so that the
// kernel itself can move hardly anything; to the HBM, which has no processors, it never does.
func TestHintFaultsAlone(t *testing.T) {
	const share = 0.6
	series, err := scenario.Scenario{
		Name: "hint faults", Mover: scenario.Tierd, Duration: 4 * time.Minute, Enough: 0.8, Parallel: true, Balancing: 1,
		Load: []string{"--size", "512MiB", "--hot", "48MiB", "--node", "2"}, Neighbour: []string{"--size", "216MiB", "--hot", "2MiB", "--node", "0"},
		Config: `
mode = "enforce"
[workload.load]
comm = ["tierload"]
[sampler]
source = "hint-fault"
cpu_budget = "25%"
`,
		Log: os.Stderr,
	}.Run(t.Context(), func(s scenario.Sample) {
		t.Logf("%6.1f s: fast %.2f, HBM %.2f, moved %d MiB", s.T, *s.Load.Fast, s.Load.Share[1], s.MovedBytes>>20)
	})
	if err != nil {
		t.Fatal(err)
	}
	if best := series.Max(scenario.Node(1), 0, series.Last()); best < share {
		t.Errorf("share of the accesses in HBM got to %.2f, want %.2f", best, share)
	}
	if series.End.ExitCode != 0 || len(series.End.Residue) > 0 {
		t.Errorf("end %+v, want exit code 0 and nothing left", series.End)
	}
}
