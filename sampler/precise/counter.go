package precise

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// counter is an event that is counted on one CPU, with the program at its samples.
type counter struct {
	cpu, fd, leader int // leader is -1 where there is none
	event           *Event
	ring            []byte // where the kernel says that it throttles
}

// openCounter begins to count.
func openCounter(e *Event, cpu, program int) (*counter, error) {
	c := &counter{cpu: cpu, fd: -1, leader: -1, event: e}
	group := -1
	if e.Leader != nil {
		var err error
		if c.leader, err = perfOpen(e.Leader, cpu, -1); err != nil {
			return nil, err
		}
		group = c.leader
	}
	var err error
	if c.fd, err = perfOpen(e, cpu, group); err != nil {
		c.close()
		return nil, err
	}
	page := os.Getpagesize()
	if c.ring, err = unix.Mmap(c.fd, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		c.close()
		return nil, fmt.Errorf("ring of CPU %d: %w", cpu, err)
	}
	if err = unix.IoctlSetInt(c.fd, unix.PERF_EVENT_IOC_SET_BPF, program); err != nil {
		c.close()
		return nil, fmt.Errorf("program at CPU %d: %w", cpu, err)
	}
	first := c.fd
	if c.leader >= 0 {
		first = c.leader
	}
	if err = unix.IoctlSetInt(first, unix.PERF_EVENT_IOC_ENABLE, unix.PERF_IOC_FLAG_GROUP); err != nil {
		c.close()
		return nil, fmt.Errorf("counter of CPU %d: %w", cpu, err)
	}
	return c, nil
}

// perfOpen opens an event on a CPU, for all processes, and does not count yet. One without a period only counts.
func perfOpen(e *Event, cpu, group int) (int, error) {
	attr := unix.PerfEventAttr{
		Type: e.Type, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config: e.Config[0], Ext1: e.Config[1], Ext2: e.Config[2],
		Bits: unix.PerfBitDisabled | unix.PerfBitExcludeHv,
	}
	if group >= 0 {
		attr.Bits &^= unix.PerfBitDisabled // its leader's state is the group's
	}
	if e.Period > 0 {
		attr.Sample = e.Period
		attr.Sample_type = unix.PERF_SAMPLE_ADDR | unix.PERF_SAMPLE_WEIGHT | unix.PERF_SAMPLE_DATA_SRC
		// Each sample must reach the program: large PEBS buffers show it the last of many.
		attr.Wakeup = 1
		if e.PreciseIP&1 != 0 {
			attr.Bits |= unix.PerfBitPreciseIPBit1
		}
		if e.PreciseIP&2 != 0 {
			attr.Bits |= unix.PerfBitPreciseIPBit2
		}
	}
	for {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, group, unix.PERF_FLAG_FD_CLOEXEC)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EINVAL) && attr.Bits&unix.PerfBitExcludeHv != 0:
			attr.Bits &^= unix.PerfBitExcludeHv // units that cannot tell refuse to leave anything out
		default:
			return -1, fmt.Errorf("%s on CPU %d: %w", e.Name, cpu, err)
		}
	}
}

// setPeriod changes how many events are from one sample to the next.
func (c *counter) setPeriod(period uint64) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), unix.PERF_EVENT_IOC_PERIOD, uintptr(unsafe.Pointer(&period)))
	if errno != 0 {
		return fmt.Errorf("period of CPU %d: %w", c.cpu, errno)
	}
	return nil
}

// Where struct perf_event_mmap_page has the positions of its ring.
const dataHead, dataTail = 1024, 1032

// throttles counts how often the kernel has throttled it since the last time.
func (c *counter) throttles() int {
	head := atomic.LoadUint64((*uint64)(unsafe.Pointer(&c.ring[dataHead])))
	tail := (*uint64)(unsafe.Pointer(&c.ring[dataTail]))
	n := throttled(c.ring[len(c.ring)/2:], *tail, head)
	atomic.StoreUint64(tail, head)
	return n
}

// close ends the counting.
func (c *counter) close() {
	if c.ring != nil {
		_ = unix.Munmap(c.ring)
	}
	for _, fd := range []int{c.fd, c.leader} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
