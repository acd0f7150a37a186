package scenario

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// waiting measures how long the emulators that this process started waited for a CPU of the host. An emulated CPU has no
// steal time: to the guest such waiting is only slowness.
type waiting struct {
	begun     bool
	ran, wait uint64 // nanoseconds, at the first call
}

// share is the part of the time since the first call in which a thread of an emulator wanted to run and did not;
// negative if unknown.
func (w *waiting) share() float64 {
	ran, wait := schedule()
	if !w.begun {
		w.begun, w.ran, w.wait = true, ran, wait
		return -1
	}
	if ran <= w.ran || wait < w.wait {
		return -1
	}
	ran, wait = ran-w.ran, wait-w.wait
	return float64(wait) / float64(ran+wait)
}

// schedule sums over the threads of all QEMU children of this process the time on a CPU and the time in its queue.
func schedule() (ran, wait uint64) {
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		list, _ := os.ReadFile(task)
		for pid := range strings.FieldsSeq(string(list)) {
			if comm, _ := os.ReadFile("/proc/" + pid + "/comm"); !strings.HasPrefix(string(comm), "qemu") {
				continue
			}
			threads, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
			for _, thread := range threads {
				var r, q uint64
				b, _ := os.ReadFile(thread)
				if _, err := fmt.Sscan(string(b), &r, &q); err == nil {
					ran, wait = ran+r, wait+q
				}
			}
		}
	}
	return ran, wait
}
