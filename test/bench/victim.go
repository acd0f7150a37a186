//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

// probePause is the time between two probes.
const probePause = 100 * time.Microsecond

// victim owns memory in pages of 4 KiB, and probes its address space when it is told to.
func victim(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "bench: victim: %v\n", err)
		return 1
	}
	// A collection would stop the probing thread.
	debug.SetGCPercent(-1)
	if err := os.WriteFile("/proc/self/comm", []byte(victimName), 0); err != nil {
		return fail(err)
	}
	if len(args) != 1 {
		return fail(fmt.Errorf("want a size"))
	}
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return fail(err)
	}
	raw, err := unix.Mmap(-1, 0, size+policy.RegionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fail(err)
	}
	memory := raw[-uintptr(unsafe.Pointer(&raw[0]))&(policy.RegionSize-1):][:size]
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil {
		return fail(err)
	}
	for i := 0; i < size; i += pageSize {
		memory[i] = 1
	}
	fmt.Fprintln(stdout, uint64(uintptr(unsafe.Pointer(&memory[0]))))
	for orders := bufio.NewScanner(stdin); orders.Scan(); {
		var d int64
		var realtime bool
		if _, err := fmt.Sscan(orders.Text(), &d, &realtime); err != nil {
			return fail(err)
		}
		p, err := probe(time.Duration(d), realtime)
		if err != nil {
			return fail(err)
		}
		fmt.Fprintln(stdout, p.Count, p.P999, p.Max)
	}
	runtime.KeepAlive(memory)
	return 0
}

// probe maps, touches and unmaps a page for a time. A real-time thread waits for the address space as any does, but not
// for a processor.
func probe(d time.Duration, realtime bool) (probed, error) {
	type answer struct {
		p   probed
		err error
	}
	done := make(chan answer, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		if realtime {
			attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}
			if err := unix.SchedSetAttr(0, attr, 0); err != nil {
				done <- answer{err: fmt.Errorf("real-time scheduling: %w", err)}
				return
			}
		}
		times := make([]int64, 0, int(d/probePause)+1)
		pause := unix.NsecToTimespec(int64(probePause))
		for end := time.Now().Add(d); time.Now().Before(end) && len(times) < cap(times); {
			begin := time.Now()
			at, _, errno := unix.RawSyscall6(unix.SYS_MMAP, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_POPULATE, ^uintptr(0), 0)
			if errno == 0 {
				_, _, errno = unix.RawSyscall(unix.SYS_MUNMAP, at, pageSize, 0)
			}
			if errno != 0 {
				done <- answer{err: fmt.Errorf("probe: %w", errno)}
				return
			}
			times = append(times, int64(time.Since(begin)))
			_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
		}
		done <- answer{p: summary(times)}
	}()
	a := <-done
	return a.p, a.err
}
