//go:build guest

package migrate_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/migrate/migratetest"
	"github.com/tierd/tierd/policy"
)

// The other process, and the caller without rights, are this test binary.
const (
	subjectEnv = "TIERD_TEST_SUBJECT"
	callerEnv  = "TIERD_TEST_CALLER"
)

func TestMain(m *testing.M) {
	if spec, ok := os.LookupEnv(subjectEnv); ok {
		beSubject(spec)
		return
	}
	if spec, ok := os.LookupEnv(callerEnv); ok {
		beCaller(spec)
		return
	}
	os.Exit(m.Run())
}

var host = hostfs.New("")

// beSubject owns memory and does what it is told, a line at a time.
func beSubject(spec string) {
	var pages, node int
	var huge bool
	if _, err := fmt.Sscan(spec, &pages, &node, &huge); err != nil {
		fmt.Println("error", err)
		return
	}
	mem, err := onNode(pages, node, huge)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	base := uintptr(unsafe.Pointer(unsafe.SliceData(mem)))
	fmt.Println("ok", base)
	var keep []any
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, arg, _ := strings.Cut(lines.Text(), " ")
		page, _ := strconv.Atoi(arg)
		var answer any = ""
		var err error
		at := func() []byte { return mem[page*policy.PageSize:][:policy.PageSize] }
		switch word {
		case "drop":
			err = unix.Madvise(at(), unix.MADV_DONTNEED)
		case "pin":
			var ring int
			ring, err = pin(at())
			keep = append(keep, ring)
		case "share":
			answer, err = remap(at(), node)
		case "exec":
			os.Setenv(subjectEnv, "0 0 false")
			var exe string
			if exe, err = os.Executable(); err == nil {
				err = unix.Exec(exe, os.Args, os.Environ())
			}
		}
		if err != nil {
			fmt.Println("error", word, err)
			continue
		}
		fmt.Println("ok", answer)
	}
	runtime.KeepAlive(keep)
}

// onNode returns memory that begins a region and is all present on one node.
func onNode(pages, node int, huge bool) ([]byte, error) {
	if pages == 0 {
		return nil, nil
	}
	size := pages * policy.PageSize
	all, err := unix.Mmap(-1, 0, size+2*policy.RegionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(all))) & (policy.RegionSize - 1)
	mem := all[skip:][:size:size]
	advice := unix.MADV_NOHUGEPAGE
	if huge {
		advice = unix.MADV_HUGEPAGE
	}
	if err := unix.Madvise(mem, advice); err != nil {
		return nil, fmt.Errorf("madvise: %w", err)
	}
	if err := bind(mem, node); err != nil {
		return nil, err
	}
	for i := 0; i < size; i += policy.PageSize {
		mem[i] = 1
	}
	// Without a policy again, as most memory is.
	return mem, mbind(mem, 0, 0)
}

func bind(mem []byte, node int) error { return mbind(mem, 2, 1<<node) }

func mbind(mem []byte, mode int, mask uint64) error {
	var nodes *uint64
	bits := uintptr(0)
	if mask != 0 {
		nodes, bits = &mask, 64
	}
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(len(mem)), uintptr(mode), uintptr(unsafe.Pointer(nodes)), bits, 0)
	if errno != 0 {
		return fmt.Errorf("mbind: %w", errno)
	}
	return nil
}

// pin pins memory for direct I/O, as a buffer of an io_uring, for as long as the ring is open.
func pin(mem []byte) (ring int, err error) {
	var params [120]byte
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 2, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return -1, fmt.Errorf("io_uring_setup: %w", errno)
	}
	iov := []unix.Iovec{{Base: &mem[0], Len: uint64(len(mem))}}
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, fd, 0, uintptr(unsafe.Pointer(&iov[0])), 1, 0, 0); errno != 0 {
		return -1, fmt.Errorf("io_uring_register: %w", errno)
	}
	return int(fd), nil
}

// remap replaces one page by one of a shared file, and returns the file's descriptor.
func remap(page []byte, node int) (int, error) {
	fd, err := unix.MemfdCreate("shared", 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Ftruncate(fd, policy.PageSize); err != nil {
		return -1, err
	}
	p, err := unix.MmapPtr(fd, 0, unsafe.Pointer(&page[0]), policy.PageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return -1, err
	}
	mem := unsafe.Slice((*byte)(p), policy.PageSize)
	if err := bind(mem, node); err != nil {
		return -1, err
	}
	mem[0] = 1
	return fd, mbind(mem, 0, 0)
}

// other is a process that owns memory.
type other struct {
	*process.Handle
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	base uintptr
	node int
}

func startOther(t *testing.T, pages, node int, huge bool) *other {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &other{cmd: exec.Command(exe), node: node}
	o.cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %d %v", subjectEnv, pages, node, huge))
	o.cmd.Stderr = os.Stderr
	if o.in, err = o.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := o.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	o.out = bufio.NewReader(out)
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.cmd.Process.Kill(); o.cmd.Wait() })
	base, err := strconv.ParseUint(o.answer(t), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	o.base = uintptr(base)
	if o.Handle, err = process.Open(host, o.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Handle.Close() })
	return o
}

func (o *other) answer(t *testing.T) string {
	t.Helper()
	line, err := o.out.ReadString('\n')
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if err != nil || word != "ok" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	return rest
}

func (o *other) tell(t *testing.T, format string, args ...any) string {
	t.Helper()
	if _, err := fmt.Fprintf(o.in, format+"\n", args...); err != nil {
		t.Fatal(err)
	}
	return o.answer(t)
}

func (o *other) Base() uintptr               { return o.base }
func (o *other) Drop(t *testing.T, page int) { o.tell(t, "drop %d", page) }
func (o *other) Pin(t *testing.T, page int)  { o.tell(t, "pin %d", page) }
func (o *other) Exec(t *testing.T)           { o.tell(t, "exec") }

func (o *other) Share(t *testing.T, page int) {
	theirs, err := strconv.Atoi(o.tell(t, "share %d", page))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdGetfd(o.FD(), theirs, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	mem, err := unix.Mmap(fd, 0, policy.PageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	if mem[0] != 1 {
		t.Fatal("not the same page")
	}
}

func (o *other) Exit(t *testing.T) {
	o.in.Close()
	o.cmd.Wait()
}

func (o *other) Confine(t *testing.T) {
	root := host.Path("sys/fs/cgroup")
	group := filepath.Join(root, fmt.Sprintf("tierd-test-%d", o.cmd.Process.Pid))
	write := func(name, value string) {
		fd, err := unix.Open(name, unix.O_WRONLY, 0)
		if err == nil {
			_, err = unix.Write(fd, []byte(value))
			unix.Close(fd)
		}
		if err != nil {
			t.Fatalf("%s: write %q: %v", name, value, err)
		}
	}
	write(filepath.Join(root, "cgroup.subtree_control"), "+cpuset")
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		o.cmd.Process.Kill()
		o.cmd.Wait()
		for range 100 {
			if unix.Rmdir(group) == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	write(filepath.Join(group, "cpuset.mems"), strconv.Itoa(o.node))
	write(filepath.Join(group, "cgroup.procs"), strconv.Itoa(o.cmd.Process.Pid))
}

// real is the machine as a migratetest.Host.
type real struct{ room migrate.Room }

func (real) Pager() migrate.Pager                  { return migrate.Kernel{} }
func (h real) Room() migrate.Room                  { return h.room }
func (real) Nodes() (policy.NodeID, policy.NodeID) { return slow, fast }
func (real) Start(t *testing.T, pages int) migratetest.Subject {
	return startOther(t, pages, int(slow), false)
}

// free is the room that meminfo shows, without a reserve.
type free struct{ reserve uint64 }

func (r free) Room(node policy.NodeID) (uint64, error) {
	c, err := host.NodeMeminfo(int(node))
	if err != nil {
		return 0, err
	}
	v := c.Get("MemFree")
	if !v.OK {
		return 0, errors.New("no MemFree")
	}
	return v.N - min(v.N, r.reserve), nil
}

type unlimited struct{}

func (unlimited) Room(policy.NodeID) (uint64, error) { return math.MaxUint64, nil }

func TestConformanceOfKernel(t *testing.T) {
	migratetest.Conformance(t, func(*testing.T) migratetest.Host { return real{free{}} })
}

// regions are moves of whole regions between the two nodes.
func regions(s migratetest.Subject, n int, huge bool) (moves []policy.Move) {
	for i := range n {
		moves = append(moves, policy.Move{
			ID: s.ID(), Addr: uint64(s.Base()) + uint64(i)*policy.RegionSize, Set: policy.AllPages(),
			From: 0, To: 1, Pages: policy.PagesPerRegion, Huge: huge,
		})
	}
	return moves
}

func total(out []migrate.Outcome) (by [migrate.NumResults]int) {
	for _, o := range out {
		for r, n := range o.ByResult {
			by[r] += n
		}
	}
	return by
}

// where counts the subject's pages by node.
func where(t *testing.T, s migratetest.Subject, pages int) map[int32]int {
	t.Helper()
	addrs, status := make([]uintptr, pages), make([]int32, pages)
	for i := range addrs {
		addrs[i] = s.Base() + uintptr(i)*policy.PageSize
	}
	if err := (migrate.Kernel{}).Query(s.ID().PID, addrs, status); err != nil {
		t.Fatal(err)
	}
	count := map[int32]int{}
	for _, st := range status {
		count[st]++
	}
	return count
}

// TestThereAndBack moves 32 MiB up, and down again. A few pages may be busy.
func TestThereAndBack(t *testing.T) {
	for _, huge := range []bool{false, true} {
		t.Run(fmt.Sprintf("huge %v", huge), func(t *testing.T) {
			const n = 16
			s := startOther(t, n*policy.PagesPerRegion, int(slow), huge)
			e := migratetest.Executor(real{free{1 << 20}}, nil)
			moves := regions(s, n, huge)
			for _, what := range []string{"up", "down"} {
				out := e.Move(t.Context(), migrate.Target{Identity: s}, moves)
				by := total(out)
				to := int32(slots[moves[0].To])
				if at := where(t, s, n*policy.PagesPerRegion); at[to] != by[migrate.Moved]+by[migrate.Already] {
					t.Errorf("%s: results %v, yet pages are at %v", what, by, at)
				}
				if by[migrate.Moved] < n*policy.PagesPerRegion*98/100 {
					t.Errorf("%s: only %d pages moved: %v", what, by[migrate.Moved], by)
				}
				t.Logf("%s: %v, %.1f µs per page, %+v", what, by, e.CostPerPage()*1e6, e.Stats())
				for i := range moves {
					moves[i].From, moves[i].To = moves[i].To, moves[i].From
				}
			}
		})
	}
}

// TestHugeThatIsNot claims that 4 KiB pages are one huge page.
func TestHugeThatIsNot(t *testing.T) {
	s := startOther(t, policy.PagesPerRegion, int(slow), false)
	o := migratetest.Executor(real{free{}}, nil).Move(t.Context(), migrate.Target{Identity: s}, regions(s, 1, true))[0]
	if o.Moved < 500 {
		t.Errorf("%d pages moved: %v", o.Moved, o.ByResult)
	}
}

// TestRateOfKernel moves 8 MiB at 4 MiB/s. The emulated machine may be slower than that.
func TestRateOfKernel(t *testing.T) {
	s := startOther(t, 4*policy.PagesPerRegion, int(slow), false)
	e := migratetest.Executor(real{free{}}, func(c *migrate.Config) { c.Rate = 4 << 20 })
	start := time.Now()
	by := total(e.Move(t.Context(), migrate.Target{Identity: s}, regions(s, 4, false)))
	seconds := time.Since(start).Seconds()
	if moved := float64(by[migrate.Moved]) * policy.PageSize / (4 << 20); moved > 1.05*seconds || moved < seconds/2 {
		t.Errorf("%.2f s for what should take %.2f s: %v", seconds, moved, by)
	}
}

// TestTargetFull moves more than the node holds.
func TestTargetFull(t *testing.T) {
	const n = 70 // 140 MiB for a node of 128
	t.Run("reserve", func(t *testing.T) {
		const reserve = 24 << 20
		s := startOther(t, n*policy.PagesPerRegion, int(slow), false)
		e := migratetest.Executor(real{free{reserve}}, nil)
		by := total(e.Move(t.Context(), migrate.Target{Identity: s}, regions(s, n, false)))
		left, err := free{}.Room(fast)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v, %d MiB left", by, left>>20)
		if by[migrate.NoRoom] == 0 || by[migrate.Moved] == 0 || by[migrate.NoMemory] != 0 {
			t.Errorf("results %v", by)
		}
		// The counters of the kernel lag by some pages for each CPU.
		if left < reserve-(1<<20) || left > reserve+(4<<20) {
			t.Errorf("%d KiB left above %d", left>>10, reserve>>10)
		}
	})
	t.Run("no reserve", func(t *testing.T) {
		s := startOther(t, n*policy.PagesPerRegion, int(slow), false)
		e := migratetest.Executor(real{unlimited{}}, nil)
		out := e.Move(t.Context(), migrate.Target{Identity: s}, regions(s, n, false))
		by := total(out)
		at := where(t, s, n*policy.PagesPerRegion)
		t.Logf("%v, pages at %v", by, at)
		if by[migrate.NoMemory] == 0 || by[migrate.Moved] == 0 || at[int32(fast)] != by[migrate.Moved] {
			t.Errorf("results %v, pages at %v", by, at)
		}
		explained := false
		for _, o := range out {
			var e *migrate.Error
			explained = explained || (errors.As(o.Err, &e) && e.Result == migrate.NoMemory && e.Hint() != "")
		}
		if !explained {
			t.Error("no explained error")
		}
	})
}

// TestExitDuring ends the process while its memory moves.
func TestExitDuring(t *testing.T) {
	const n = 24
	s := startOther(t, n*policy.PagesPerRegion, int(slow), false)
	e := migratetest.Executor(real{free{}}, func(c *migrate.Config) { c.Rate = 16 << 20 })
	kill := time.AfterFunc(500*time.Millisecond, func() { s.cmd.Process.Kill() })
	defer kill.Stop()
	out := e.Move(t.Context(), migrate.Target{Identity: s}, regions(s, n, false))
	by := total(out)
	if by[migrate.Gone] == 0 || by[migrate.Moved] == 0 || by[migrate.Unattempted] == 0 {
		t.Errorf("results %v", by)
	}
	if err := out[n-1].Err; !errors.Is(err, process.ErrGone) {
		t.Errorf("last error %v", err)
	}
}

// TestObserveLeavesItThere records moves of real memory.
func TestObserveLeavesItThere(t *testing.T) {
	s := startOther(t, 64, int(slow), false)
	e := migratetest.Executor(real{free{}}, func(c *migrate.Config) { c.Observe = true })
	o := e.Move(t.Context(), migrate.Target{Identity: s}, regions(s, 1, false))[0]
	migratetest.Expect(t, o, results{migrate.Moved: 64, migrate.Absent: 448})
	if at := where(t, s, 64); at[int32(slow)] != 64 {
		t.Errorf("pages at %v", at)
	}
}

// TestWithoutRights moves another user's memory without capabilities.
func TestWithoutRights(t *testing.T) {
	s := startOther(t, 16, int(slow), false)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A copy that everybody may execute.
	copied := filepath.Join(os.TempDir(), "tierd-test-caller")
	data, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, data, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(copied) })
	spec, err := json.Marshal(migratetest.Region(s))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(copied)
	cmd.Env = append(os.Environ(), callerEnv+"="+string(spec))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	t.Logf("%s", answer)
	var got called
	if err := json.Unmarshal(answer, &got); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	if got.By[migrate.NoRights] != 16 || got.Marker != 0 || !strings.Contains(got.Hint, "CAP_SYS_PTRACE") {
		t.Errorf("%+v", got)
	}
	if at := where(t, s, 16); at[int32(slow)] != 16 {
		t.Errorf("pages at %v", at)
	}
}

// called is what the caller without rights reports.
type called struct {
	By     [migrate.NumResults]int
	Error  string
	Hint   string
	Marker uint64
}

func beCaller(spec string) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var m policy.Move
	if err := json.Unmarshal([]byte(spec), &m); err != nil {
		fail(err)
	}
	h, err := process.Open(host, m.ID.PID)
	if err != nil {
		fail(err)
	}
	m.ID = h.ID() // without the marker, which is hidden
	o := migratetest.Executor(real{free{}}, nil).Move(context.Background(), migrate.Target{Identity: h}, []policy.Move{m})[0]
	got := called{By: o.ByResult, Marker: h.ID().Exec, Error: fmt.Sprint(o.Err)}
	var e *migrate.Error
	if errors.As(o.Err, &e) {
		got.Hint = e.Hint()
	}
	if err := json.NewEncoder(os.Stdout).Encode(got); err != nil {
		fail(err)
	}
}
