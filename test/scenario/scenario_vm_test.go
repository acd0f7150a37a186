//go:build vm

package scenario_test

import (
	"os"
	"testing"
	"time"

	"github.com/tierd/tierd/test/scenario"
)

// TestTierdPlacesAndLeavesNothing is the smallest run of everything that the demo and the benchmark use: tierd brings the hot
// set up, answers on its socket, and stops without a trace.
func TestTierdPlacesAndLeavesNothing(t *testing.T) {
	series, err := scenario.Scenario{
		Name: "smoke", Mover: scenario.Tierd, Duration: 3 * time.Minute, Enough: 0.6, LA57: true,
		Load: []string{"--size", "512MiB", "--hot", "48MiB", "--node", "2"},
		Config: `
mode = "enforce"
[workload.load]
comm = ["tierload"]
[sampler]
cpu_budget = "25%"
`,
		Log: os.Stderr,
	}.Run(t.Context(), func(s scenario.Sample) {
		t.Logf("%6.1f s: fast %.2f, HBM %.2f, moved %d MiB", s.T, *s.Load.Fast, s.Load.Share[1], s.MovedBytes>>20)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %s, boot %v, emulator waited %.0f %% for a CPU, end %+v", series.Release, series.Boot.Round(time.Second), series.Waited*100, series.End)
	if best := series.Max(scenario.Fast, 0, series.Last()); best < 0.6 {
		t.Errorf("share of the accesses in fast memory got to %.2f, want 0.6", best)
	}
	last := series.Samples[len(series.Samples)-1]
	if last.Tierd == nil || last.Tierd.Status == nil {
		t.Error("tierd did not answer")
	} else if moved, migrated := last.MovedBytes, last.Kernel.Migrated; moved == 0 || migrated < 24<<20 || moved > migrated+2<<20 {
		// What tierd says is as old as its last epoch.
		t.Errorf("tierd says that it moved %d bytes, the kernel that it migrated %d", moved, migrated)
	}
	if series.End.ExitCode != 0 || len(series.End.Residue) > 0 {
		t.Errorf("end %+v, want exit code 0 and nothing left", series.End)
	}
	if series.End.CPUSeconds <= 0 || series.End.MaxRSS <= 0 {
		t.Errorf("end %+v, want what tierd cost", series.End)
	}
}

// TestDAMONAlone: what DAMON says is enough to place by. (Kernels without it have the source say so.)
func TestDAMONAlone(t *testing.T) {
	series, err := scenario.Scenario{
		Name: "damon", Mover: scenario.Tierd, Duration: 2 * time.Minute, Enough: 0.8, Parallel: true,
		Load: []string{"--size", "512MiB", "--hot", "48MiB", "--node", "2"},
		Config: `
mode = "enforce"
[workload.load]
comm = ["tierload"]
[sampler]
source = "damon"
cpu_budget = "25%"
`,
		Log: os.Stderr,
	}.Run(t.Context(), func(s scenario.Sample) {
		t.Logf("%6.1f s: fast %.2f, HBM %.2f, moved %d MiB", s.T, *s.Load.Fast, s.Load.Share[1], s.MovedBytes>>20)
	})
	if err != nil {
		t.Fatal(err)
	}
	if best := series.Max(scenario.Fast, 0, series.Last()); best < 0.8 {
		t.Errorf("share of the accesses in fast memory got to %.2f, want 0.8", best)
	}
	if moved := series.Max(scenario.Moved, 0, series.Last()); moved > 2*48<<20 {
		t.Errorf("moved %.0f bytes for 48 MiB of hot memory", moved)
	}
	if series.End.ExitCode != 0 || len(series.End.Residue) > 0 {
		t.Errorf("end %+v, want exit code 0 and nothing left", series.End)
	}
}
