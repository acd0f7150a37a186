//go:build guest

package pagetable

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

// tierd is sent to another processor after it has touched the memory that it
// calibrates by; the last of its pages wait for the LRU list on the one where
// it runs no more, and until then the kernel clears none of their bits.
func TestGuestSelfTestOnAnotherProcessor(t *testing.T) {
	s, err := Open([]PhysRange{{Start: 0, End: 8 << 30, Slot: policy.NoSlot}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	space, err := s.Attach(os.Getpid(), fd)
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	runtime.LockOSThread() // and it ends with the test
	on := func(cpu int) {
		t.Helper()
		var set unix.CPUSet
		set.Set(cpu)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 32 {
		on(i % 2)
		// So that each number of pages is once left over.
		other, err := unix.Mmap(-1, 0, 32*policy.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			t.Fatal(err)
		}
		for k := range i {
			other[k*policy.PageSize] = 1
		}
		o, err := newOwn()
		if err != nil {
			t.Fatal(err)
		}
		on(1 - i%2)
		if err := s.selfTest(space, o); err != nil {
			t.Errorf("try %d: %v", i, err)
		}
		o.close()
		_ = unix.Munmap(other)
	}
}
