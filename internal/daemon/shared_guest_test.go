//go:build guest

package daemon_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// guestSharerEnv makes this test binary a process that uses memory of others.
const guestSharerEnv = "TIERD_TEST_SHARER"

// beSharer maps a file, touches all of it if it is the first, and uses a part.
func beSharer(spec string) {
	var path string
	var hots, all, node int
	if _, err := fmt.Sscan(spec, &path, &hots, &all, &node); err != nil {
		fmt.Println("error", err)
		return
	}
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	at := uintptr(subjectAt)
	p, err := unix.MmapPtr(fd, 0, *(*unsafe.Pointer)(unsafe.Pointer(&at)), uintptr(all*pageBytes),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	mem := unsafe.Slice((*byte)(p), all*pageBytes)
	if node >= 0 {
		mask := uint64(1) << node
		if err := setPolicy(mem, 2, &mask); err != nil { // MPOL_BIND, of the object
			fmt.Println("error", err)
			return
		}
	}
	for i := range all {
		mem[i*pageBytes]++
	}
	if node >= 0 {
		if err := setPolicy(mem, 0, nil); err != nil {
			fmt.Println("error", err)
			return
		}
	}
	fmt.Println("ok")
	for ; ; time.Sleep(4 * time.Millisecond) {
		for i := range hots {
			mem[i*pageBytes]++
		}
	}
}

// Memory that three processes share is found to be hot in an eighth of it, and that comes
// up, where the workload says so. Who has made it, the oldest, does not use it.
func TestGuestSharedMemory(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/damon"); err != nil {
		t.Log("this kernel has no DAMON, and nothing tells how shared memory is used")
		return
	}
	const stat = "/sys/module/damon_stat/parameters/enabled"
	if _, err := os.Stat(stat); err == nil {
		if err := os.WriteFile(stat, []byte("N"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll("/run/tierd", 0o755); err != nil {
		t.Fatal(err)
	}
	const all, hots, slow = 96 * mib / pageBytes, 12 * mib / pageBytes, 2
	fd, err := unix.MemfdCreate("shared", 0)
	if err == nil {
		err = unix.Ftruncate(fd, all*pageBytes)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	sharer := func(node, hots int) *subject {
		return startAs(t, "train", all, fmt.Sprintf("%s=/proc/%d/fd/%d %d %d %d", guestSharerEnv, os.Getpid(), fd, hots, all, node))
	}
	first := sharer(slow, 0)
	sharer(-1, hots)
	sharer(-1, hots)
	if on := first.on(); on[slow] != all {
		t.Fatalf("it lies on %v, want node %d", on, slow)
	}
	w := startDaemonOf(t, strings.Replace(guestConfig, `comm = ["train"]`, "comm = [\"train\"]\nshared = true", 1))
	began := time.Now()
	for {
		time.Sleep(500 * time.Millisecond)
		on := first.on()
		up := all - on[slow]
		t.Logf("%4.1f s: pages by node %v", time.Since(began).Seconds(), on)
		if up >= hots*9/10 {
			if up > 2*hots {
				t.Errorf("%d pages came up, %d are hot", up, hots)
			}
			break
		}
		if time.Since(began) > 2*time.Minute {
			s := w.board.Load()
			t.Fatalf("after two minutes: %v; sources %+v, workload %+v, errors %+v", on, s.Sources, s.Workloads, s.LastErrors)
		}
	}
}
