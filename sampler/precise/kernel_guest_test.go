//go:build guest

package precise_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/sampler/precise"
)

const (
	page   = 4 << 10
	region = 2 << 20
	// plenty lets the period stay what it is.
	plenty = 1e9
	// faulterEnv makes this test binary a process that touches so many regions, at faulterAt.
	faulterEnv = "TIERD_TEST_FAULTER"
	faulterAt  = 0x200000000000
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(faulterEnv); spec != "" {
		beFaulter(spec)
		return
	}
	os.Exit(m.Run())
}

// beFaulter waits for a line, touches each page of its memory once, says so, and waits for the end of its input.
func beFaulter(spec string) {
	runtime.LockOSThread()
	var regions int
	_, _ = fmt.Sscan(spec, &regions)
	at := uintptr(faulterAt)
	p, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&at)), uintptr(regions*region),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	mem := unsafe.Slice((*byte)(p), regions*region)
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	fmt.Println("ready")
	var line string
	_, _ = fmt.Scanln(&line)
	step := page
	if line == "sparse" {
		step = region
	}
	for i := 0; i < len(mem); i += step {
		mem[i] = 1
	}
	fmt.Println("done")
	_, _ = fmt.Scanln(&line)
}

// faulter is such a process.
type faulter struct {
	*exec.Cmd
	in  *os.File
	out *os.File
}

func startFaulter(t *testing.T, regions int, flags uintptr) *faulter {
	t.Helper()
	f := &faulter{Cmd: exec.Command("/proc/self/exe")}
	f.Env = append(os.Environ(), fmt.Sprintf("%s=%d", faulterEnv, regions))
	f.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: syscall.SIGKILL}
	r, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	f.Stdin, f.Stdout, f.Stderr, f.in, f.out = r, w, os.Stderr, in, out
	if err := f.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = f.Process.Kill()
		_ = f.Wait()
		in.Close()
		out.Close()
		r.Close()
		w.Close()
	})
	f.wants(t, "ready")
	return f
}

func (f *faulter) wants(t *testing.T, word string) {
	t.Helper()
	var got string
	if _, err := fmt.Fscanln(f.out, &got); err != nil || got != word {
		t.Fatalf("%q, %v, want %q", got, err, word)
	}
}

// touch lets it touch all of its pages, or one of each region.
func (f *faulter) touch(t *testing.T, how string) {
	t.Helper()
	if _, err := fmt.Fprintln(f.in, how); err != nil {
		t.Fatal(err)
	}
	f.wants(t, "done")
}

func open(t *testing.T) *precise.Source {
	t.Helper()
	s, err := precise.Open(hostfs.New(""), []precise.Event{precise.PageFaults()}, plenty)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// hits are the samples of the faulters' memory, by space and region.
func hits(t *testing.T, s *precise.Source) map[precise.SpaceID]map[int]uint32 {
	t.Helper()
	list, err := s.Drain()
	if err != nil {
		t.Fatal(err)
	}
	got := map[precise.SpaceID]map[int]uint32{}
	for _, h := range list {
		if h.Node != 0 {
			t.Errorf("the processors are on node 0: %+v", h)
		}
		if h.Addr < faulterAt || h.Addr >= faulterAt+1<<40 {
			continue
		}
		if got[h.Space] == nil {
			got[h.Space] = map[int]uint32{}
		}
		got[h.Space][int((h.Addr-faulterAt)/region)] += h.Count
	}
	return got
}

// Every sample of a watched process is counted in its place, one in a PID namespace of its own and one that is gone meanwhile
// included, and no other's.
func TestGuestSamplesAreCounted(t *testing.T) {
	const regions = 3
	s := open(t)
	one, hidden, other := startFaulter(t, regions, 0), startFaulter(t, regions, unix.CLONE_NEWPID), startFaulter(t, regions, 0)
	var ids []precise.SpaceID
	for _, f := range []*faulter{one, hidden} {
		w, err := s.Watch(f.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, w.ID())
		defer w.Close()
	}
	_ = hits(t, s)
	for _, f := range []*faulter{one, hidden, other} {
		f.touch(t, "all")
	}
	_ = one.Process.Kill()
	_ = one.Wait()
	got := hits(t, s)
	if len(got) != 2 {
		t.Errorf("samples of %d address spaces, want 2", len(got))
	}
	for _, id := range ids {
		for i := range regions {
			if n := got[id][i]; n != region/page {
				t.Errorf("process %d, region %d: %d samples, want %d", id, i, n, region/page)
			}
		}
	}
	st := s.Stats()
	t.Logf("%+v, %.0f ns a sample", st, st.CPUSeconds/float64(st.Samples)*1e9-2000)
	if st.Samples < 3*regions*region/page || st.Heard < 2*regions*region/page || st.Lost > 0 {
		t.Errorf("%+v", st)
	}
	if again := hits(t, s); len(again) > 0 {
		t.Errorf("told twice: %v", again)
	}
}

// More places than a map holds: what is pushed out is counted as lost.
func TestGuestMapOverflows(t *testing.T) {
	const regions = 100_000
	s := open(t)
	f := startFaulter(t, regions, 0)
	w, err := s.Watch(f.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	f.touch(t, "sparse")
	told := 0
	for _, n := range hits(t, s)[w.ID()] {
		told += int(n)
	}
	if st := s.Stats(); told > 65536 || st.Heard < regions || st.Lost < regions-65536 || st.Lost > st.Heard-uint64(told) {
		t.Errorf("%d of %d told, %+v", told, regions, st)
	}
}

// A machine without a unit that gives addresses says so; and so does one that publishes what it has not.
func TestGuestWithoutUnit(t *testing.T) {
	var u *precise.Unavailable
	if events, err := precise.Choose(hostfs.New("")); !errors.As(err, &u) {
		t.Errorf("%+v, %v", events, err)
	} else {
		t.Log(err)
	}
	lie := precise.Event{Name: "cpu/event=0xcd/", Type: unix.PERF_TYPE_RAW, Config: [3]uint64{0x1cd, 64}, PreciseIP: 2, Period: 2003, Step: 1}
	if s, err := precise.Open(hostfs.New(""), []precise.Event{lie}, 0.01); !errors.As(err, &u) || u.Step != "open" || u.Hint == "" {
		t.Errorf("%v, %v", s, err)
	}
	// A leader is opened first, and fails first.
	lie.Leader = &precise.Event{Name: "cpu/event=0x03/", Type: unix.PERF_TYPE_RAW, Config: [3]uint64{0x8203}}
	if _, err := precise.Open(hostfs.New(""), []precise.Event{lie}, 0.01); err == nil || !strings.Contains(err.Error(), "event=0x03") {
		t.Errorf("with a leader: %v", err)
	}
}

// Debian's kernel.perf_event_paranoid of 3 asks for more than CAP_PERFMON.
func TestGuestWithoutRights(t *testing.T) {
	runtime.LockOSThread() // and never unlocked: the thread ends with its rights
	var had [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &had[0]); err != nil {
		t.Fatal(err)
	}
	const file = "/proc/sys/kernel/perf_event_paranoid"
	was, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte("3"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(file, was, 0)
	few := had
	few[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
	if err := unix.Capset(&header, &few[0]); err != nil {
		t.Fatal(err)
	}
	defer unix.Capset(&header, &had[0])
	s, err := precise.Open(hostfs.New(""), []precise.Event{precise.PageFaults()}, 0.01)
	var u *precise.Unavailable
	if !errors.As(err, &u) || !strings.Contains(u.Hint, "paranoid") {
		if s != nil {
			s.Close()
		}
		t.Errorf("%v", err)
	}
	t.Log(err)
}
