package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/policy"
)

// setPressure writes the host's pressure file, avg10 in percent.
func setPressure(t *testing.T, file string, avg10 float64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	// The other averages and the "full" line say the opposite: they must not count.
	other := 90 - avg10
	text := fmt.Sprintf("some avg10=%.2f avg60=%.2f avg300=%.2f total=1234\nfull avg10=%.2f avg60=%.2f avg300=%.2f total=99\n",
		avg10, other, other, other, other, other)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// While the host is short of memory nothing moves, and afterwards it does.
func TestNothingMovesUnderPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file string
		w := newWorld(t, enforce+"[thrash]\npsi = \"20%\"\n", func(o *daemon.Options) {
			file = o.Host.Path("proc/pressure/memory")
			setPressure(t, file, 20.5)
		})
		defer w.end()
		w.sleep(20 * time.Second)
		if w.machine.Moves != 0 {
			t.Errorf("%d calls that move, under pressure", w.machine.Moves)
		}
		// It is no blindness: what is hot is known, and there is a plan.
		if got := w.workload(); got.AccessesPerSecond["cxl"] <= 0 || got.LastError != "" {
			t.Errorf("%+v", got)
		}

		setPressure(t, file, 19.5)
		w.sleep(10 * time.Second)
		if hots, colds := w.onNode(1); hots != hot || colds != 0 {
			t.Errorf("without pressure node1 holds %d hot and %d cold regions, want %d and 0", hots, colds, hot)
		}

		// Other memory becomes hot, and at the same time memory short.
		setPressure(t, file, 80)
		w.sleep(time.Second)
		moves := w.machine.Moves
		mem := w.source.space.Memory
		for i := range regions {
			mem.SetRate(i, 0.01)
			if i%(regions/hot) == 1 {
				mem.SetRate(i, 200)
			}
		}
		w.sleep(20 * time.Second)
		if w.machine.Moves != moves {
			t.Errorf("%d calls that move while memory is short", w.machine.Moves-moves)
		}
		setPressure(t, file, 0)
		w.sleep(20 * time.Second)
		up := 0
		for i := 1; i < regions; i += regions / hot {
			if w.process.Node(uintptr(mem.Base)+uintptr(i*policy.RegionSize)) == 1 {
				up++
			}
		}
		if up != hot {
			t.Errorf("%d of %d newly hot regions on node1 after the pressure", up, hot)
		}
	})
}

// A host without pressure information, or with a file that cannot be
// understood, is not taken for one under pressure.
func TestPressureUnknown(t *testing.T) {
	for _, text := range []string{"", "some avg10=many\n"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, enforce, func(o *daemon.Options) {
				file := o.Host.Path("proc/pressure/memory")
				setPressure(t, file, 0)
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			})
			defer w.end()
			w.sleep(10 * time.Second)
			if hots, _ := w.onNode(1); hots != hot {
				t.Errorf("file %q: %d of %d hot regions on node1", text, hots, hot)
			}
		})
	}
}
