//go:build guest

package hintfault_test

import (
	"errors"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/sampler/hintfault"
)

const (
	size = 8 << 20
	page = 4 << 10
	slow = 2 // the node of the emulated machine's slowest memory
)

// balance sets the mode of NUMA balancing for as long as a test runs.
func balance(t *testing.T, mode string) {
	t.Helper()
	const file = "/proc/sys/kernel/numa_balancing"
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(mode), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(file, before, 0); err != nil {
			t.Error(err)
		}
	})
}

func open(t *testing.T) *hintfault.Source {
	t.Helper()
	s, err := hintfault.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// subject is memory of this process that lies on the slow node.
func subject(t *testing.T) []byte {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, size+2<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(mem) })
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	at := uintptr(unsafe.Pointer(&mem[0]))
	mem = mem[-at&(2<<20-1):][:size]
	var addrs []uintptr
	var nodes, status []int32
	for i := 0; i < size; i += page {
		mem[i] = 1
		addrs, nodes, status = append(addrs, uintptr(unsafe.Pointer(&mem[i]))), append(nodes, slow), append(status, -1)
	}
	const movePrivate = 1 << 1 // MPOL_MF_MOVE
	if _, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, uintptr(len(addrs)), uintptr(unsafe.Pointer(&addrs[0])),
		uintptr(unsafe.Pointer(&nodes[0])), uintptr(unsafe.Pointer(&status[0])), movePrivate); errno != 0 {
		t.Fatal(errno)
	}
	return mem
}

// use lets a thread use memory until the end of the test.
func use(t *testing.T, mem []byte) {
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for !stop.Load() {
			for i := 0; i < len(mem); i += page {
				mem[i]++
			}
		}
	}()
	t.Cleanup(func() { stop.Store(true); <-done })
}

// hear collects what is said of memory until all of it was heard of, or time is up.
func hear(t *testing.T, s *hintfault.Source, id hintfault.SpaceID, mem []byte, seconds float64) (remote, local uint32, blocks int) {
	t.Helper()
	from := uint64(uintptr(unsafe.Pointer(&mem[0])))
	heard := map[uint64]bool{}
	for end := time.Now().Add(time.Duration(seconds * float64(time.Second))); time.Now().Before(end) && len(heard) < len(mem)>>21; {
		time.Sleep(100 * time.Millisecond)
		faults, err := s.Drain()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			if f.Addr%(2<<20) != 0 || f.Local+f.Remote == 0 {
				t.Errorf("%+v", f)
			}
			if f.Space != id || f.Addr < from || f.Addr >= from+uint64(len(mem)) {
				continue
			}
			if f.Node != 0 {
				t.Errorf("the processors are on node 0: %+v", f)
			}
			heard[f.Addr] = true
			remote, local = remote+f.Remote, local+f.Local
		}
	}
	return remote, local, len(heard)
}

// The faults of watched memory are heard, each with its place and whether it was
// far away.
func TestGuestFaultsAreHeard(t *testing.T) {
	s := open(t)
	balance(t, "0") // pages that are made inaccessible just now would not move
	mem := subject(t)
	balance(t, "1")
	space, err := s.Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	use(t, mem)
	remote, local, blocks := hear(t, s, space.ID(), mem, 60)
	// Where the kernel is fast, or this loop slow, the pages have come near meanwhile, and fault
	// there again.
	if blocks != size>>21 || remote == 0 {
		t.Errorf("heard %d remote and %d local faults of %d blocks, want some of %d", remote, local, blocks, size>>21)
	}
	if st := s.Stats(); st.Faults < uint64(remote) || st.Lost > 0 {
		t.Errorf("%+v after %d faults", st, remote)
	}
	t.Logf("%d remote and %d local faults of %d blocks; %+v", remote, local, blocks, s.Stats())

	// What is no longer watched is not counted.
	space.Close()
	if _, err := s.Drain(); err != nil {
		t.Fatal(err)
	}
	before := s.Stats().Faults
	time.Sleep(2 * time.Second)
	if faults, err := s.Drain(); err != nil || len(faults) > 0 || s.Stats().Faults != before {
		t.Errorf("after the end: %d places, %+v, error %v", len(faults), s.Stats(), err)
	}
}

func TestGuestProcessesThatAreNotThere(t *testing.T) {
	s := open(t)
	if _, err := s.Watch(1 << 22); err == nil {
		t.Error("no process: no error")
	}
	// A kernel thread has no memory.
	if _, err := s.Watch(2); !errors.Is(err, hintfault.ErrGone) {
		t.Errorf("a kernel thread: %v", err)
	}
	if faults, err := s.Drain(); err != nil || len(faults) > 0 {
		t.Errorf("nothing is watched: %d places, %v", len(faults), err)
	}
}

// Where functions cannot be hooked, every page fault tells who uses what.
func TestGuestEveryFaultIsHeard(t *testing.T) {
	s, err := hintfault.OpenAll()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	space, err := s.Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	mem := subject(t) // each of its pages is touched for the first time
	from, pages := uint64(uintptr(unsafe.Pointer(&mem[0]))), uint32(0)
	faults, err := s.Drain()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		if f.Space == space.ID() && f.Addr >= from && f.Addr < from+size {
			pages += f.Unknown
			if f.Node != 0 || f.Local+f.Remote > 0 {
				t.Errorf("%+v", f)
			}
		}
	}
	if pages < size/page {
		t.Errorf("heard of %d pages, %d were touched", pages, size/page)
	}
}

// Pages that are made inaccessible are touched the sooner the more often they are used.
func TestGuestRounds(t *testing.T) {
	s := open(t)
	balance(t, "0")
	mem := subject(t)
	balance(t, "1")
	space, err := s.Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	hot, cold := mem[:size/2], mem[size/2:]
	use(t, hot)
	from, middle := uint64(uintptr(unsafe.Pointer(&hot[0]))), uint64(uintptr(unsafe.Pointer(&cold[0])))
	var soon, all [2]uint32 // of each half: touched within a quarter of a second, and at all
	var rounds [2]int
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end) && (rounds[0] < 4 || rounds[1] < 4); time.Sleep(500 * time.Millisecond) {
		list, err := s.Rounds(1)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Age < 1 || r.Addr%(2<<20) != 0 {
				t.Errorf("%+v", r)
			}
			if r.Space != space.ID() || r.Addr < from || r.Addr >= from+size {
				continue
			}
			half := 0
			if r.Addr >= middle {
				half = 1
			}
			rounds[half]++
			for step, n := range r.Touched {
				if hintfault.StepSeconds(step) < 0.3 {
					soon[half] += n
				}
				all[half] += n
			}
		}
	}
	t.Logf("%d rounds: %d pages touched soon, %d at all; of what nobody uses %d rounds: %d, %d", rounds[0], soon[0], all[0], rounds[1], soon[1], all[1])
	if rounds[0] < 4 || rounds[1] < 4 {
		t.Fatalf("rounds of each half: %v", rounds)
	}
	if all[0] < 512 || all[1] > 0 {
		t.Errorf("touched: %v", all)
	}
}
