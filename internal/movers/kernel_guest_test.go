//go:build guest

package movers_test

import (
	"os"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/movers"
)

// What is moved for tierd is told from what NUMA balancing moves.
func TestGuestWhoMoved(t *testing.T) {
	const size, page, slow = 4 << 20, 4 << 10, 2
	const file = "/proc/sys/kernel/numa_balancing"
	// Pages that are made inaccessible just now would not move.
	if err := os.WriteFile(file, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	w := movers.New(hostfs.New(""), page)
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Look(0); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
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
	if err := w.Look(size); err != nil {
		t.Fatal(err)
	}
	got := w.Totals()
	if m := got.Traced[movers.Tierd]; m.Pages < size/page-8 || m.Pages > size/page || m.Calls == 0 || !(m.Seconds > 0) {
		t.Errorf("tierd moved %+v, want %d pages", m, size/page)
	}
	calls := uint64(0)
	for _, n := range got.Traced[movers.Tierd].Took {
		calls += n
	}
	if calls != got.Traced[movers.Tierd].Calls {
		t.Errorf("the buckets have %d of %d calls", calls, got.Traced[movers.Tierd].Calls)
	}
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(file, []byte("0"), 0)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		for i := 0; i < size; i += page {
			mem[i]++
		}
		if err := w.Look(size); err != nil {
			t.Fatal(err)
		}
		if got = w.Totals(); got.Bytes[movers.NUMABalancing] > size/2 {
			break
		}
	}
	if got.Bytes[movers.NUMABalancing] <= size/2 || got.Bytes[movers.Tierd] > size {
		t.Errorf("%v", got.Bytes)
	}
	t.Logf("%v", got.Bytes)
}
