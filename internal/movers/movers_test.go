package movers_test

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/movers"
)

// host is one whose counters a test writes.
func host(t *testing.T) (w *movers.Watch, write func(vmstat string)) {
	t.Helper()
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	return movers.New(hostfs.New(root), 4096), func(vmstat string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(root, "proc/vmstat"), []byte(vmstat), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func look(t *testing.T, w *movers.Watch, own uint64) movers.Totals {
	t.Helper()
	if err := w.Look(own); err != nil {
		t.Fatal(err)
	}
	return *w.Totals()
}

// Every page that was moved is somebody's, from the first look on.
func TestWhoMoved(t *testing.T) {
	w, write := host(t)
	if w.Totals() != nil {
		t.Error("there are totals before the first look")
	}
	write("nr_free_pages 1\nnuma_pages_migrated 100\nnuma_hint_faults 7\nnuma_hint_faults_local 3\npgmigrate_success 1000\npgdemote_kswapd 50\npgdemote_direct 5\n")
	want := map[movers.Mover]uint64{movers.Tierd: 0, movers.NUMABalancing: 0, movers.Demotion: 0, movers.Other: 0}
	if got := look(t, w, 5<<20); !maps.Equal(got.Bytes, want) || got.HintFaults != 0 {
		t.Errorf("at first: %+v", got)
	}
	write("numa_pages_migrated 110\nnuma_hint_faults 27\nnuma_hint_faults_local 8\npgmigrate_success 1600\npgdemote_kswapd 60\npgdemote_direct 15\npgdemote_khugepaged 1\n")
	want = map[movers.Mover]uint64{movers.Tierd: 1 << 20, movers.NUMABalancing: 10 * 4096, movers.Demotion: 21 * 4096, movers.Other: (600 - 256 - 31) * 4096}
	got := look(t, w, 6<<20)
	if !maps.Equal(got.Bytes, want) || got.HintFaults != 20 || got.LocalHintFaults != 5 {
		t.Errorf("then: %+v, want %v", got, want)
	}
	// A counter that is summed up late takes nothing back.
	write("numa_pages_migrated 110\npgmigrate_success 1600\npgdemote_kswapd 160\npgdemote_direct 15\n")
	if got := look(t, w, 6<<20); got.Bytes[movers.Other] != want[movers.Other] {
		t.Errorf("late: others moved %d bytes, before it were %d", got.Bytes[movers.Other], want[movers.Other])
	}
}

func TestKernelsWithoutTheCounters(t *testing.T) {
	w, write := host(t)
	if w.Look(0) == nil {
		t.Error("no vmstat: no error")
	}
	write("nr_free_pages 1\n")
	if w.Look(0) == nil || w.Totals() != nil {
		t.Error("a kernel that does not move pages: no error")
	}
	// Without NUMA balancing and without demotion there is less to tell.
	write("pgmigrate_success 10\n")
	look(t, w, 0)
	write("pgmigrate_success 12\n")
	if got := look(t, w, 4096); got.Bytes[movers.Other] != 4096 {
		t.Errorf("%+v", got)
	}
	write("pgmigrate_success x\n")
	if w.Look(0) == nil {
		t.Error("a bad counter: no error")
	}
	if got := w.Totals().Bytes[movers.Other]; got != 4096 {
		t.Errorf("after an error: %d", got)
	}
}
