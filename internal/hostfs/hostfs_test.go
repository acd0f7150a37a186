package hostfs_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
)

func host(t testing.TB, text string) *hostfs.FS {
	t.Helper()
	return hostfs.New(hostfstest.Unpack(t, text))
}

func TestNothingLeavesTheRoot(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := host(t, strings.Join([]string{
		"-- inside --", "content",
		"-- a/absolute -> /inside --",
		"-- a/relative -> ../inside --",
		"-- a/above -> ../../../../inside --",
		"-- a/out -> " + secret + " --",
		"-- a/dots -> ../../../../../../../../../.." + secret + " --",
		"-- dir -> /a --",
		"",
	}, "\n"))
	for _, name := range []string{"a/absolute", "a/relative", "a/above", "dir/absolute", "../../inside", "/inside"} {
		b, err := f.ReadFile(name, 100)
		if err != nil || string(b) != "content\n" {
			t.Errorf("%s: %q, %v; want the file inside the root", name, b, err)
		}
	}
	for _, name := range []string{"a/out", "a/dots", secret, "../../../../../.." + secret} {
		if b, err := f.ReadFile(name, 100); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v; want not found", name, b, err)
		}
	}
	if got, err := f.Resolve("dir/absolute"); err != nil || got != "inside" {
		t.Errorf("resolve: %q, %v", got, err)
	}
	if got, err := f.Readlink("a/out"); err != nil || got != secret {
		t.Errorf("readlink: %q, %v", got, err)
	}
	if got, err := f.Readlink("inside"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("readlink of a file: %q, %v", got, err)
	}
}

func TestReadIsBounded(t *testing.T) {
	f := host(t, "-- file --\n"+strings.Repeat("x", 9999)+"\n")
	if _, err := f.ReadFile("file", 10000); !errors.Is(err, hostfs.ErrTooLong) {
		t.Errorf("a file of exactly the limit: %v", err)
	}
	if b, err := f.ReadFile("file", 10001); err != nil || len(b) != 10000 {
		t.Errorf("below the limit: %d bytes, %v", len(b), err)
	}
	if n, err := f.ReadInto("file", make([]byte, 7)); n != 7 || !errors.Is(err, hostfs.ErrTooLong) {
		t.Errorf("into a small buffer: %d, %v", n, err)
	}
}

func TestFIFODoesNotHoldTheReader(t *testing.T) {
	root := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o600); err != nil {
		t.Skip("no FIFO here:", err)
	}
	w, err := unix.Open(filepath.Join(root, "fifo"), unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(w)
	done := make(chan error, 1)
	go func() {
		_, err := hostfs.New(root).ReadFile("fifo", 10)
		done <- err
	}()
	select {
	case err := <-done:
		// This is kernfs's answer too, and what os.ReadFile would wait on for ever.
		if !errors.Is(err, unix.EAGAIN) {
			t.Errorf("got %v, want EAGAIN", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the read waits")
	}
}

func TestAbsentIsNotZero(t *testing.T) {
	f := host(t, "-- empty --\n")
	for name, call := range map[string]func() error{
		"nodes":          func() error { _, err := f.Nodes(); return err },
		"meminfo":        func() error { _, err := f.Meminfo(); return err },
		"node meminfo":   func() error { _, err := f.NodeMeminfo(0); return err },
		"access":         func() error { _, err := f.NodeAccess(0, 1); return err },
		"tiers":          func() error { _, err := f.MemoryTiers(); return err },
		"zones":          func() error { _, err := f.Zones(); return err },
		"block size":     func() error { _, err := f.BlockSize(); return err },
		"blocks":         func() error { _, err := f.NodeBlocks(0); return err },
		"stat":           func() error { _, err := f.Stat(1); return err },
		"status":         func() error { _, err := f.Status(1); return err },
		"exe":            func() error { _, err := f.Exe(1); return err },
		"pids":           func() error { _, err := f.PIDs(nil); return err },
		"pressure":       func() error { _, err := f.MemoryPressure(); return err },
		"cgroup":         func() error { _, err := f.CgroupMemoryPressure("/a"); return err },
		"numa_balancing": func() error { _, err := f.NumaBalancing(); return err },
		"demotion":       func() error { _, err := f.DemotionEnabled(); return err },
		"lockdown":       func() error { _, err := f.Lockdown(); return err },
		"release":        func() error { _, err := f.KernelRelease(); return err },
		"dax":            func() error { _, err := f.DaxDevices(); return err },
		"cxl":            func() error { _, err := f.CXLWindows(); return err },
		"side cache":     func() error { _, err := f.SideCache(0); return err },
	} {
		if err := call(); !errors.Is(err, fs.ErrNotExist) || !hostfs.IsGone(err) {
			t.Errorf("%s: %v, want not found", name, err)
		}
	}
}

func TestHost(t *testing.T) {
	f := host(t, `
-- proc/sys/kernel/osrelease --
6.12.9-amd64
-- proc/sys/kernel/numa_balancing --
2
-- proc/meminfo --
MemTotal:        3005392 kB
HugePages_Total:       4
-- proc/vmstat --
pgpromote_success 12
pgdemote_kswapd 34
nr_dirty 1
-- proc/pressure/memory --
some avg10=1.50 avg60=0.20 avg300=0.00 total=123
full avg10=0.50 avg60=0.10 avg300=0.00 total=45
-- sys/kernel/mm/numa/demotion_enabled --
true
-- sys/kernel/mm/lru_gen/enabled --
0x0007
-- sys/kernel/mm/transparent_hugepage/enabled --
always [madvise] never
-- sys/kernel/security/lockdown --
none [integrity] confidentiality
-- sys/devices/virtual/memory_tiering/memory_tier4/nodelist --
0-1
-- sys/devices/virtual/memory_tiering/memory_tier105/nodelist --
2
-- sys/devices/system/memory/block_size_bytes --
8000000
-- sys/devices/system/node/node2/memory32/ --
-- sys/devices/system/node/node2/memory33/ --
-- sys/devices/system/node/node2/memory_side_cache/index1/size --
4096
-- proc/17/stat --
17 (a) b (c) R 1 17 17 0 -1 4194304 98 0 0 0 0 0 0 0 20 0 3 0 206630 3133440 413 18446744073709551615 94823712337920 94823712357801 140727011374768 0 0
-- proc/17/comm --
a) b (c
-- proc/17/exe -> /usr/bin/python3 --
-- proc/self/stat --
-- proc/17/cgroup --
0::/slurm/job_1
`)
	got := map[string]any{}
	add := func(name string, v any, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got[name] = v
	}
	rel, err := f.KernelRelease()
	add("release", rel, err)
	nb, err := f.NumaBalancing()
	add("numa_balancing", nb, err)
	mi, err := f.Meminfo()
	add("meminfo", mi, err)
	vm, err := f.Vmstat("pgpromote_success", "pgdemote_kswapd", "pgdemote_direct")
	add("vmstat", vm, err)
	psi, err := f.MemoryPressure()
	add("psi", psi, err)
	dem, err := f.DemotionEnabled()
	add("demotion", dem, err)
	lru, err := f.LRUGenEnabled()
	add("lru", lru, err)
	thp, err := f.THPEnabled()
	add("thp", thp, err)
	lock, err := f.Lockdown()
	add("lockdown", lock, err)
	tiers, err := f.MemoryTiers()
	add("tiers", tiers, err)
	bs, err := f.BlockSize()
	add("block size", bs, err)
	blocks, err := f.NodeBlocks(2)
	add("blocks", blocks, err)
	cache, err := f.SideCache(2)
	add("cache", cache, err)
	st, err := f.Stat(17)
	add("stat", st, err)
	comm, err := f.Comm(17)
	add("comm", comm, err)
	exe, err := f.Exe(17)
	add("exe", exe, err)
	pids, err := f.PIDs(nil)
	add("pids", pids, err)
	cg, err := f.Cgroup(17)
	add("cgroup", cg, err)
	want := map[string]any{
		"release":        hostfs.Release{Major: 6, Minor: 12, Text: "6.12.9-amd64"},
		"numa_balancing": 2,
		"meminfo":        hostfs.Counters{"MemTotal": 3005392 << 10, "HugePages_Total": 4},
		"vmstat":         hostfs.Counters{"pgpromote_success": 12, "pgdemote_kswapd": 34},
		"psi": hostfs.PSI{
			Some: hostfs.Pressure{Avg10: 1.5, Avg60: 0.2, TotalUS: 123},
			Full: hostfs.Pressure{Avg10: 0.5, Avg60: 0.1, TotalUS: 45}, FullOK: true,
		},
		"demotion":   true,
		"lru":        uint64(7),
		"thp":        "madvise",
		"lockdown":   "integrity",
		"tiers":      map[int][]int{4: {0, 1}, 105: {2}},
		"block size": uint64(128 << 20),
		"blocks":     []int{32, 33},
		"cache":      uint64(4096),
		"stat": hostfs.Stat{
			PID: 17, PPID: 1, Comm: "a) b (c", State: 'R', Flags: 4194304, NumThreads: 3, StartTime: 206630,
			StartCode: 94823712337920, StartStack: 140727011374768, RSSPages: 413,
		},
		"comm":   "a) b (c",
		"exe":    "/usr/bin/python3",
		"pids":   []int{17},
		"cgroup": hostfs.Cgroups{V2: "/slurm/job_1"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if v := vm.Get("pgdemote_direct"); v.OK {
		t.Error("a counter that is not there is known")
	}
}

func TestPCI(t *testing.T) {
	f := host(t, `
-- sys/devices/pci0000:80/0000:80:01.0/numa_node --
1
-- sys/devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:82:00.0/class --
0x030200
-- sys/devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:82:00.0/vendor --
0x10de
-- sys/devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:82:00.0/local_cpus --
0000000f,80000000
-- sys/bus/pci/devices/0000:82:00.0 -> ../../../devices/pci0000:80/0000:80:01.0/0000:81:00.0/0000:82:00.0 --
`)
	want := hostfs.PCI{
		Address: "0000:82:00.0", Class: hostfs.Known(0x030200), Vendor: hostfs.Known(0x10de),
		NumaNode: -1, LocalCPUs: []int{31, 32, 33, 34, 35},
	}
	if d := cmp.Diff(want, f.PCIDevice("0000:82:00.0")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"0000:81:00.0", "0000:80:01.0"}, f.PCIParents("0000:82:00.0")); d != "" {
		t.Errorf("parents (-want +got):\n%s", d)
	}
}

func TestKernelTypes(t *testing.T) {
	if err := host(t, "-- sys/kernel/btf/vmlinux --\n").KernelTypes(); err != nil {
		t.Error(err)
	}
	if err := host(t, "").KernelTypes(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without BTF: %v", err)
	}
}

func TestDAMON(t *testing.T) {
	const dir = "sys/kernel/mm/damon/admin/kdamonds/"
	for _, tt := range []struct {
		name, host       string
		workers, running int
	}{
		{"none", "-- " + dir + "nr_kdamonds --\n0\n", 0, 0},
		{"one of two", "-- " + dir + "nr_kdamonds --\n2\n-- " + dir + "0/state --\noff\n-- " + dir + "1/state --\non\n", 2, 1},
		{"gone meanwhile", "-- " + dir + "nr_kdamonds --\n1\n", 1, 0},
		{"very many", "-- " + dir + "nr_kdamonds --\n2000000000\n-- " + dir + "0/state --\non\n", 2000000000, 1},
		{"negative", "-- " + dir + "nr_kdamonds --\n-1\n", -1, 0},
	} {
		workers, running, err := host(t, tt.host).DAMON()
		if err != nil || workers != tt.workers || running != tt.running {
			t.Errorf("%s: %d workers, %d run, %v; want %d and %d", tt.name, workers, running, err, tt.workers, tt.running)
		}
	}
	if _, _, err := host(t, "").DAMON(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without DAMON: %v", err)
	}
	if _, _, err := host(t, "-- "+dir+"nr_kdamonds --\nmany\n").DAMON(); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("garbage: %v", err)
	}
}

// TestDemotionPath: the file that a person is told to write is the one that is read.
func TestDemotionPath(t *testing.T) {
	f := host(t, "-- sys/kernel/mm/numa/demotion_enabled --\ntrue\n")
	if on, err := f.DemotionEnabled(); err != nil || !on {
		t.Fatalf("%v, %v", on, err)
	}
	if err := os.WriteFile(f.DemotionPath(), []byte("false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if on, err := f.DemotionEnabled(); err != nil || on {
		t.Errorf("%v, %v after writing %s", on, err, f.DemotionPath())
	}
}

func TestRunningHost(t *testing.T) {
	f := hostfs.New("/")
	if !f.Live() {
		t.Fatal("/ is not live")
	}
	st, err := f.Stat(os.Getpid())
	if err != nil {
		t.Skip("no process file system here:", err)
	}
	if st.PID != os.Getpid() || st.PPID != os.Getppid() || st.StartTime == 0 || st.NumThreads == 0 || st.RSSPages == 0 {
		t.Errorf("stat of this process: %+v", st)
	}
	if status, err := f.Status(os.Getpid()); err != nil || !status.VmRSS.OK || !status.HasUID || status.UID[0] != uint32(os.Getuid()) {
		t.Errorf("status of this process: %+v, %v", status, err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := f.Exe(os.Getpid()); err != nil || got != exe {
		t.Errorf("exe: %q, %v; want %q", got, err, exe)
	}
	pids := make([]int, 0, 4096)
	pids, err = f.PIDs(pids)
	if err != nil || len(pids) == 0 {
		t.Fatalf("pids: %v, %v", pids, err)
	}
	allocs := testing.AllocsPerRun(20, func() { pids, _ = f.PIDs(pids[:0]) })
	if allocs > 8 {
		t.Errorf("listing the processes allocates %v times", allocs)
	}
	if _, err := f.Stat(1 << 30); !hostfs.IsGone(err) {
		t.Errorf("no such process: %v", err)
	}
	if rel, err := f.KernelRelease(); err != nil || rel.Major < 4 {
		t.Errorf("release: %+v, %v", rel, err)
	}
}

func BenchmarkStat(b *testing.B) {
	f := hostfs.New("/")
	pid := os.Getpid()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Stat(pid); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPIDs(b *testing.B) {
	f := hostfs.New("/")
	var pids []int
	b.ReportAllocs()
	for b.Loop() {
		pids, _ = f.PIDs(pids[:0])
	}
}

func TestCgroupMemoryPressure(t *testing.T) {
	f := host(t, `
-- sys/fs/cgroup/a.slice/b/memory.pressure --
some avg10=12.50 avg60=0.20 avg300=0.00 total=123
-- sys/fs/secret/memory.pressure --
some avg10=1.00 avg60=0.20 avg300=0.00 total=123
`)
	if psi, err := f.CgroupMemoryPressure("/a.slice/b"); err != nil || psi.Some.Avg10 != 12.5 {
		t.Errorf("%+v, %v", psi, err)
	}
	for _, path := range []string{"", "a.slice/b", "/../secret", "/.."} {
		if psi, err := f.CgroupMemoryPressure(path); err == nil {
			t.Errorf("%q: %+v", path, psi)
		}
	}
}
