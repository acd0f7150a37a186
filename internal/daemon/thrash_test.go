package daemon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/policy"
)

// What moves reaches the ledger with its cost, and pays.
func TestPromotionsPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, enforce, nil)
		defer w.end()
		w.sleep(20 * time.Second)
		got := w.board.Load().Thrash
		// The model takes 2 µs a page, and something for the call.
		if least := float64(hot*policy.PagesPerRegion) * 2e-6; got.SecondsTotal < 0.99*least || got.SecondsTotal > 10*least {
			t.Errorf("cost %v s, want from %v s on", got.SecondsTotal, least)
		}
		if got.PaidTotal != hot || got.WastedTotal != 0 || got.Separation != 2.5 || got.BudgetRatio != 1 || got.Settings.PSI != 0.1 {
			t.Errorf("%+v", got)
		}
		if b := w.workload().Breaker; b.State != "closed" || b.Reason != "" || b.PressureRatio != nil {
			t.Errorf("%+v", b)
		}
	})
}

// The pressure of a process's own cgroup stops its moves; one that cannot be read
// does not.
func TestCgroupPressure(t *testing.T) {
	const group = "/slurm/job_1"
	for _, test := range []struct {
		name, cgroup string
		avg10        float64
		want         int
	}{
		{"high", "0::" + group + "\n", 30, 0},
		{"low", "0::" + group + "\n", 5, hot},
		{"of another group", "0::/other\n", 30, hot},
		{"beyond the reader's namespace", "0::/../slurm/job_1\n", 30, hot},
		{"unreadable", "nonsense", 30, hot},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, enforce, func(o *daemon.Options) {
					setPressure(t, o.Host.Path("sys/fs/cgroup"+group+"/memory.pressure"), test.avg10)
					file := o.Host.Path(filepath.Join("proc", fmt.Sprint(pid), "cgroup"))
					if err := os.WriteFile(file, []byte(test.cgroup), 0o644); err != nil {
						t.Fatal(err)
					}
				})
				defer w.end()
				w.sleep(10 * time.Second)
				if hots, _ := w.onNode(1); hots != test.want {
					t.Errorf("%d hot regions on node1, want %d", hots, test.want)
				}
				b := w.workload().Breaker
				if pressed := strings.Contains(b.Reason, "psi"); pressed != (test.want == 0) {
					t.Errorf("%+v", b)
				}
				if v := w.workload().Vetoes["pressure"]; (v > 0) != (test.want == 0) {
					t.Errorf("%d pages vetoed", v)
				}
			})
		})
	}
}

// A node below its reserve is relieved even under pressure.
func TestReliefUnderPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file string
		w := newWorld(t, enforce, func(o *daemon.Options) {
			file = o.Host.Path("proc/pressure/memory")
			setPressure(t, file, 0)
		})
		defer w.end()
		w.sleep(10 * time.Second)
		setPressure(t, file, 90)
		lowMemory(t, w)
		w.sleep(20 * time.Second)
		if hots, _ := w.onNode(1); hots == hot {
			t.Errorf("all %d regions are still on node1", hots)
		}
	})
}

// lowMemory leaves next to nothing of node1's memory free.
func lowMemory(t *testing.T, w *world) {
	t.Helper()
	file := filepath.Join(w.root, "sys/devices/system/node/node1/meminfo")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	low := strings.Replace(string(text), "MemFree:        122880 kB", "MemFree:        64 kB", 1)
	if low == string(text) {
		t.Fatal("the file has another figure")
	}
	if err := os.WriteFile(file, []byte(low), 0o644); err != nil {
		t.Fatal(err)
	}
}
