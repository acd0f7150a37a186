package load

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
)

// Bind lets all threads of this process run on some CPUs only. Those that are begun later
// have it from these.
func Bind(cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	bound := map[int]bool{}
	for more := true; more; { // a thread may be begun while others are bound
		more = false
		threads, err := hostfs.New("/").Threads(os.Getpid())
		if err != nil {
			return err
		}
		for _, tid := range threads {
			if bound[tid] {
				continue
			}
			if err := unix.SchedSetaffinity(tid, &set); err != nil && err != unix.ESRCH {
				return fmt.Errorf("--cpus: %w", err)
			}
			bound[tid], more = true, true
		}
	}
	return nil
}
