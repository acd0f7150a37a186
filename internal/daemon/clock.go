package daemon

import (
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// clock tells the tracker the time, and charges to its budget all CPU time of
// tierd, the kernel's in its name included, but that of moving pages.
type clock struct {
	start  time.Time
	moving float64 // CPU seconds spent in moving
}

func cpuSeconds(id int32) float64 {
	var ts unix.Timespec
	if _, _, errno := unix.RawSyscall(unix.SYS_CLOCK_GETTIME, uintptr(id), uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return 0
	}
	return float64(ts.Nano()) * 1e-9
}

// Now implements sampler.Clock.
func (c *clock) Now() float64 { return time.Since(c.start).Seconds() }

// CPU implements sampler.Clock.
func (c *clock) CPU() float64 { return cpuSeconds(unix.CLOCK_PROCESS_CPUTIME_ID) - c.moving }

// Moving implements sampler.Clock.
func (c *clock) Moving() float64 { return c.moving }

// move runs f, whose CPU time is not sampling.
func (c *clock) move(f func()) {
	runtime.LockOSThread() // whose time is counted
	defer runtime.UnlockOSThread()
	before := cpuSeconds(unix.CLOCK_THREAD_CPUTIME_ID)
	f()
	c.moving += cpuSeconds(unix.CLOCK_THREAD_CPUTIME_ID) - before
}
