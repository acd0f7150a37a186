//go:build guest

package vm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// read returns the content of a pseudo-file without the line's end.
func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// TestNodes checks that the guest has the nodes of ThreeTier, with about the memory they were given.
func TestNodes(t *testing.T) {
	if got := read(t, "/sys/devices/system/node/online"); got != "0-2" {
		t.Fatalf("nodes %s, want 0-2", got)
	}
	for node, want := range []int{384, 128, 2048} {
		info := read(t, fmt.Sprintf("/sys/devices/system/node/node%d/meminfo", node))
		var total, free int
		for line := range strings.Lines(info) {
			f := strings.Fields(line)
			switch f[2] {
			case "MemTotal:":
				total, _ = strconv.Atoi(f[3])
			case "MemFree:":
				free, _ = strconv.Atoi(f[3])
			}
		}
		t.Logf("node%d: %d MiB, %d MiB free", node, total>>10, free>>10)
		if got := total >> 10; got > want || got < want*3/4 {
			t.Errorf("node%d: %d MiB, want about %d", node, got, want)
		}
	}
	for node, want := range []string{"10 14 30", "14 10 34", "30 34 10"} {
		if got := strings.Join(strings.Fields(read(t, fmt.Sprintf("/sys/devices/system/node/node%d/distance", node))), " "); got != want {
			t.Errorf("node%d: distances %s, want %s", node, got, want)
		}
	}
}

// release returns the first two numbers of the kernel's version.
func release(t *testing.T) (major, minor int) {
	t.Helper()
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(uts.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major, minor
}

// TestMemoryTiers checks that the kernel ranks HBM above DRAM above CXL. It looks at the HMAT since 6.7.
func TestMemoryTiers(t *testing.T) {
	tiers, err := filepath.Glob("/sys/devices/virtual/memory_tiering/memory_tier*")
	if err != nil || len(tiers) == 0 {
		t.Fatalf("no memory tiers: %v", err)
	}
	got := map[string]string{}
	for _, dir := range tiers {
		if nodes := read(t, filepath.Join(dir, "nodelist")); nodes != "" {
			got[nodes] = strings.TrimPrefix(filepath.Base(dir), "memory_tier")
		}
	}
	t.Logf("tiers by nodes: %v", got)
	if major, minor := release(t); major < 6 || (major == 6 && minor < 7) {
		t.Skip("kernel lacks memory tiers from the HMAT")
	}
	rank := func(node string) int {
		n, err := strconv.Atoi(got[node])
		if err != nil {
			t.Fatalf("node %s is in no tier of its own", node)
		}
		return n
	}
	if !(rank("1") < rank("0") && rank("0") < rank("2")) {
		t.Errorf("tiers %v, want node 1 before node 0 before node 2", got)
	}
}

// TestHMAT checks what the kernel tells of latency and bandwidth.
func TestHMAT(t *testing.T) {
	for node, want := range []struct{ latency, bandwidth string }{{"100", "204800"}, {"120", "921600"}, {"350", "30720"}} {
		dir := fmt.Sprintf("/sys/devices/system/node/node%d/access1/initiators/", node)
		if got := read(t, dir+"read_latency"); got != want.latency {
			t.Errorf("node%d: latency %s ns, want %s", node, got, want.latency)
		}
		if got := read(t, dir+"read_bandwidth"); got != want.bandwidth {
			t.Errorf("node%d: bandwidth %s MiB/s, want %s", node, got, want.bandwidth)
		}
	}
}

// movePages moves pages of this process to nodes, or asks where they are if nodes is nil, and returns their status.
func movePages(t *testing.T, pages []uintptr, nodes []int32) []int32 {
	t.Helper()
	const moveOwn = 1 << 1 // MPOL_MF_MOVE
	status := make([]int32, len(pages))
	var to unsafe.Pointer
	if nodes != nil {
		to = unsafe.Pointer(&nodes[0])
	}
	_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, uintptr(len(pages)), uintptr(unsafe.Pointer(&pages[0])), uintptr(to), uintptr(unsafe.Pointer(&status[0])), moveOwn)
	if errno != 0 {
		t.Fatalf("move_pages: %v", errno)
	}
	return status
}

// TestMovePages checks that pages really move between all nodes and keep their content.
func TestMovePages(t *testing.T) {
	const count = 1024
	size := os.Getpagesize()
	mem, err := unix.Mmap(-1, 0, count*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		t.Fatal(err)
	}
	pages := make([]uintptr, count)
	for i := range pages {
		mem[i*size] = byte(i)
		pages[i] = uintptr(unsafe.Pointer(&mem[i*size]))
	}
	for _, node := range []int32{2, 1, 0, 2, 0} {
		movePages(t, pages, slices.Repeat([]int32{node}, count))
		there := 0
		for _, s := range movePages(t, pages, nil) {
			if s == node {
				there++
			}
		}
		// The kernel answers EBUSY for single pages now and then.
		if there < count-count/50 {
			t.Errorf("%d of %d pages on node %d", there, count, node)
		}
	}
	for i := range pages {
		if mem[i*size] != byte(i) {
			t.Fatalf("page %d: content lost", i)
		}
	}
}
