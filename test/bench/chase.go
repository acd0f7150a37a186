//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

// chaserArg, as the first argument, makes this program one that follows pointers through its memory.
const chaserArg = "chaser"

// line is how far apart the places are to which pointers lead, in bytes.
const line = 64

// chaser owns memory in pages of 4 KiB, a ring of places in random order, and follows it when it is told to: each
// access waits for the one before.
func chaser(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "bench: chaser: %v\n", err)
		return 1
	}
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
	ring := func(i int) *uint32 { return (*uint32)(unsafe.Pointer(&memory[i*line])) }
	n := size / line
	for i := range n {
		*ring(i) = uint32(i)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := n - 1; i > 0; i-- { // Sattolo: one ring of all
		j := rng.IntN(i)
		*ring(i), *ring(j) = *ring(j), *ring(i)
	}
	// The kernel skips what a process of one thread uses.
	go func() {
		runtime.LockOSThread()
		for ; ; time.Sleep(time.Hour) {
		}
	}()
	fmt.Fprintln(stdout, uint64(uintptr(unsafe.Pointer(&memory[0]))))
	at := uint32(0)
	for orders := bufio.NewScanner(stdin); orders.Scan(); {
		d, err := strconv.ParseInt(orders.Text(), 10, 64)
		if err != nil {
			return fail(err)
		}
		steps, begin := 0, time.Now()
		for time.Since(begin) < time.Duration(d) {
			for range 1 << 14 {
				at = *ring(int(at))
			}
			steps += 1 << 14
		}
		fmt.Fprintln(stdout, float64(steps)/time.Since(begin).Seconds())
	}
	runtime.KeepAlive(memory)
	return 0
}

// chase lets the process follow its pointers for a time, and returns how many it followed a second.
func (v *victimProcess) chase(d time.Duration) (rate float64, err error) {
	if _, err := fmt.Fprintln(v.in, int64(d)); err != nil {
		return 0, err
	}
	return rate, v.answer("%g", &rate)
}

// slowdown is by how much a chaser is slower while something is on, as the median of pairs of rounds, one with it and one
// without, in turns first.
func (b *bench) slowdown(ctx context.Context, v *victimProcess, name string, on, off func() error) (float64, error) {
	var parts []float64
	for i := range chaseRounds {
		var rate [2]float64
		for k := range rate {
			with := (i+k)%2 == 0
			set := off
			if with {
				set = on
			}
			if err := set(); err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			// What switching has cost this program must not be felt.
			runtime.GC()
			time.Sleep(chaseTime / 4)
			r, err := v.chase(chaseTime)
			if err != nil {
				return 0, err
			}
			if with {
				rate[0] = r
			} else {
				rate[1] = r
			}
		}
		parts = append(parts, 1-rate[0]/rate[1])
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
	m := median(parts)
	b.progress("g: %s: slower by %.2f %%, in rounds %.3f", name, m*100, parts)
	return m, off()
}
