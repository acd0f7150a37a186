//go:build guest

package daemon_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/topology"
)

// The processes whose memory is moved, and tierd where it is to be killed, are
// this test binary.
const (
	guestSubjectEnv = "TIERD_TEST_SUBJECT"
	guestDaemonEnv  = "TIERD_TEST_DAEMON"
)

func TestMain(m *testing.M) {
	if spec, ok := os.LookupEnv(guestSubjectEnv); ok {
		beSubject(spec)
		return
	}
	if spec, ok := os.LookupEnv(guestSharerEnv); ok {
		beSharer(spec)
		return
	}
	if _, ok := os.LookupEnv(guestDaemonEnv); ok {
		beDaemon()
		return
	}
	os.Exit(m.Run())
}

const (
	mib       = 1 << 20
	pageBytes = policy.PageSize
	subjectAt = 64 << 30 // the same in every program, so that an old plan would fit a new one
)

// memory is that of a subject. Each page has its number at its end, and at its
// beginning how often it was written.
type memory struct {
	mu      sync.Mutex
	bytes   []byte
	written []uint64
}

// newMemory takes pages from a node; from others, too, where prefer is set and
// the node is full.
func newMemory(pages, node int, prefer bool) (*memory, error) {
	at := uintptr(subjectAt)
	p, err := unix.MmapPtr(-1, 0, *(*unsafe.Pointer)(unsafe.Pointer(&at)), uintptr(pages*pageBytes),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return nil, err
	}
	m := &memory{bytes: unsafe.Slice((*byte)(p), pages*pageBytes), written: make([]uint64, pages)}
	mask, mode := uint64(1)<<node, 2 // MPOL_BIND
	if prefer {
		mode = 1
	}
	err = errors.Join(unix.Madvise(m.bytes, unix.MADV_NOHUGEPAGE), setPolicy(m.bytes, mode, &mask))
	for i := range pages {
		binary.LittleEndian.PutUint64(m.bytes[(i+1)*pageBytes-8:], uint64(i)*0x9e3779b97f4a7c15)
	}
	return m, errors.Join(err, setPolicy(m.bytes, 0, nil))
}

func setPolicy(mem []byte, mode int, mask *uint64) error {
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(mode), uintptr(unsafe.Pointer(mask)), 64, 0)
	if errno != 0 {
		return fmt.Errorf("mbind: %w", errno)
	}
	return nil
}

func (m *memory) write(pages int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range pages {
		m.written[i]++
		binary.LittleEndian.PutUint64(m.bytes[i*pageBytes:], m.written[i])
	}
}

func (m *memory) check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, n := range m.written {
		first, last := binary.LittleEndian.Uint64(m.bytes[i*pageBytes:]), binary.LittleEndian.Uint64(m.bytes[(i+1)*pageBytes-8:])
		if first != n || last != uint64(i)*0x9e3779b97f4a7c15 {
			return fmt.Errorf("page %d holds %d and %x, was written %d times", i, first, last, n)
		}
	}
	return nil
}

// beSubject has memory of which it uses the first part, and answers.
func beSubject(spec string) {
	var hots, all, node int
	var prefer bool
	if _, err := fmt.Sscan(spec, &hots, &all, &node, &prefer); err != nil {
		fmt.Println("error", err)
		return
	}
	m, err := newMemory(all, node, prefer)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	if hots > 0 {
		go func() {
			for ; ; time.Sleep(4 * time.Millisecond) {
				m.write(hots)
			}
		}()
	}
	fmt.Println("ok")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, arg, _ := strings.Cut(lines.Text(), " ")
		var err error
		switch word {
		case "check":
			err = m.check()
		case "holes": // that many mappings, each of a page
			err = makeHoles(arg)
		case "exec": // a program of another name, which uses nothing
			name := filepath.Join(os.TempDir(), "stranger")
			os.Remove(name)
			exe, _ := os.Readlink("/proc/self/exe")
			err = os.Symlink(exe, name)
			os.Setenv(guestSubjectEnv, arg)
			if err == nil {
				err = unix.Exec(name, os.Args, os.Environ())
			}
		}
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		fmt.Println("ok")
	}
}

func makeHoles(count string) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	// Not writable, so that it is not charged to anybody.
	mem, err := unix.Mmap(-1, 0, 2*n*pageBytes, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return err
	}
	for i := range n {
		if _, _, errno := unix.RawSyscall(unix.SYS_MUNMAP, uintptr(unsafe.Pointer(&mem[2*i*pageBytes])), pageBytes, 0); errno != 0 {
			return errno
		}
	}
	return nil
}

// subject is another process.
type subject struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	pages int
}

// startSubject runs a process that uses the first of its memory. Its name is
// comm, by which the workload is chosen.
func startSubject(t *testing.T, comm string, hots, all, node int) *subject {
	t.Helper()
	return startSpec(t, comm, all, fmt.Sprintf("%d %d %d false", hots, all, node))
}

func startSpec(t *testing.T, comm string, all int, spec string) *subject {
	t.Helper()
	return startAs(t, comm, all, guestSubjectEnv+"="+spec)
}

func startAs(t *testing.T, comm string, all int, env string) *subject {
	t.Helper()
	name := filepath.Join(t.TempDir(), comm)
	exe, err := os.Executable()
	if err == nil {
		err = os.Symlink(exe, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &subject{t: t, cmd: exec.Command(name), pages: all}
	s.cmd.Env = append(os.Environ(), env)
	s.cmd.Stderr = os.Stderr
	s.in, _ = s.cmd.StdinPipe()
	out, _ := s.cmd.StdoutPipe()
	s.out = bufio.NewScanner(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.kill)
	s.answer()
	return s
}

func (s *subject) kill() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() }

func (s *subject) answer() {
	s.t.Helper()
	if !s.out.Scan() {
		s.t.Fatal("the process has gone")
	}
	if s.out.Text() != "ok" {
		s.t.Fatalf("the process says %q", s.out.Text())
	}
}

func (s *subject) do(line string) {
	s.t.Helper()
	if _, err := fmt.Fprintln(s.in, line); err != nil {
		s.t.Fatal(err)
	}
	s.answer()
}

// on counts its pages by node; those that are not there have a negative one.
func (s *subject) on() map[int32]int {
	s.t.Helper()
	addrs, at := make([]uintptr, s.pages), make([]int32, s.pages)
	for i := range addrs {
		addrs[i] = subjectAt + uintptr(i*pageBytes)
	}
	if err := (migrate.Kernel{}).Query(s.cmd.Process.Pid, addrs, at); err != nil {
		s.t.Fatal(err)
	}
	count := map[int32]int{}
	for _, n := range at {
		count[n]++
	}
	return count
}

const guestConfig = `
mode = "enforce"
[workload.train]
comm = ["train"]
[sampler]
cpu_budget = "50%"
burst_budget = "50%"
[migrate]
rate = "16MiB/s"
`

func newDaemon(board *status.Board, log *slog.Logger) (*daemon.Daemon, error) {
	return newDaemonOf(guestConfig, board, log)
}

func newDaemonOf(toml string, board *status.Board, log *slog.Logger) (*daemon.Daemon, error) {
	host := hostfs.New("")
	m, err := topology.Discover(host, topology.Overrides{})
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse("test.toml", []byte(toml))
	if err != nil {
		return nil, err
	}
	return daemon.New(daemon.Options{Host: host, Machine: m, Config: cfg, Board: board, Log: log}), nil
}

// beDaemon is tierd, and says how much it has moved.
func beDaemon() {
	var board status.Board
	d, err := newDaemon(&board, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		fmt.Println("error", err)
		return
	}
	go func() {
		for ; ; time.Sleep(20 * time.Millisecond) {
			if s := board.Load(); s != nil {
				fmt.Println("moved", s.Migrate.MovedBytesTotal)
			}
		}
	}()
	if err := d.Run(context.Background()); err != nil {
		fmt.Println("error", err)
	}
}

// watch is tierd in this process.
type watch struct {
	*testing.T
	board status.Board
}

// startDaemon runs tierd until the test ends.
func startDaemon(t *testing.T) *watch {
	t.Helper()
	return startDaemonOf(t, guestConfig)
}

func startDaemonOf(t *testing.T, toml string) *watch {
	t.Helper()
	w := &watch{T: t}
	d, err := newDaemonOf(toml, &w.board, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("tierd does not stop")
		}
	})
	return w
}

// until waits for something to hold of the status.
func (w *watch) until(what string, limit time.Duration, holds func(*status.Status) bool) *status.Status {
	w.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		s := w.board.Load()
		if s != nil && holds(s) {
			return s
		}
		if time.Now().After(end) {
			if s == nil {
				w.Fatalf("%s: no status after %v", what, limit)
			}
			w.Fatalf("%s: not within %v: epoch %d, mode %s %s, %+v, drops %v, errors %+v", what, limit,
				s.Epoch.Number, s.Mode, s.ModeReason, s.Workloads, s.DropsTotal, s.LastErrors)
		}
	}
}

func promoted(bytes uint64) func(*status.Status) bool {
	return func(s *status.Status) bool { return s.Workloads[0].PromotedBytesTotal >= bytes }
}

// goesOn waits until more of a process is on the fast node. How much more, and
// how soon, is the policy's matter.
func (w *watch) goesOn(s *subject) {
	w.Helper()
	before := s.on()[1]
	for end := time.Now().Add(patience); s.on()[1] < before+mib/pageBytes; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("with room again, pages at %v, %+v", s.on(), w.board.Load().Workloads)
		}
	}
}

// freeOn is what a node has free.
func freeOn(t *testing.T, node int) uint64 {
	t.Helper()
	c, err := hostfs.New("").NodeMeminfo(node)
	if err != nil {
		t.Fatal(err)
	}
	return c.Get("MemFree").N
}

// killed is how many processes the kernel has killed for want of memory.
func killed(t *testing.T) uint64 {
	t.Helper()
	c, err := hostfs.New("").Vmstat("oom_kill")
	if err != nil {
		t.Fatal(err)
	}
	return c.Get("oom_kill").N
}

const (
	hotPages = 40 * mib / pageBytes
	allPages = 64 * mib / pageBytes
	patience = 30 * time.Second
)

// The fast node has room for a part of the hot memory only: tierd stops at the
// reserve, and goes on once there is room.
func TestGuestFastNodeNearlyFull(t *testing.T) {
	const room = 20 * mib
	kills := killed(t)
	s := startSubject(t, "train", hotPages, allPages, 2)
	var reserve uint64
	if zones, err := hostfs.New("").Zones(); err != nil {
		t.Fatal(err)
	} else {
		for _, z := range zones {
			if z.Node == 1 {
				reserve += z.WatermarkHigh * pageBytes * 9 / 8
			}
		}
	}
	reserve = max(reserve, 128*mib/50)
	filler := startSubject(t, "filler", 0, int(freeOn(t, 1)-reserve-room)/pageBytes, 1)
	w := startDaemon(t)
	st := w.until("promotions", patience, promoted(room/2))
	if got := st.Machine.Nodes[1]; got.Tier != "hbm" || got.ReserveBytes == 0 || got.ReserveBytes > reserve {
		t.Fatalf("node1: %+v, want a reserve of at most %d", got, reserve)
	}
	reserve = st.Machine.Nodes[1].ReserveBytes
	lowest := freeOn(t, 1)
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lowest = min(lowest, freeOn(t, 1))
	}
	on := s.on()
	t.Logf("node1 had at least %d KiB free, reserve %d KiB; pages at %v", lowest>>10, reserve>>10, on)
	// The kernel's counters lag by some pages for each CPU.
	if lowest < reserve-mib {
		t.Errorf("%d KiB free on node1, reserve %d KiB", lowest>>10, reserve>>10)
	}
	if on[1] < room/2/pageBytes || on[1] > (room+2*mib)/pageBytes {
		t.Errorf("%d KiB on node1 with room for %d", on[1]*4, room>>10)
	}
	if n := killed(t) - kills; n != 0 {
		t.Errorf("the kernel has killed %d processes", n)
	}
	s.do("check")
	filler.do("check")
	filler.kill()
	w.goesOn(s)
	s.do("check")
}

// The fast node is filled by somebody else while tierd moves pages there:
// nothing moves there any more, nobody is killed, and tierd goes on.
func TestGuestFastNodeFills(t *testing.T) {
	kills := killed(t)
	s := startSubject(t, "train", hotPages, allPages, 2)
	w := startDaemon(t)
	w.until("first promotions", patience, promoted(mib))
	// Down to where the kernel gives it memory of other nodes.
	filler := startSpec(t, "filler", 160*mib/pageBytes, fmt.Sprintf("0 %d 1 true", 160*mib/pageBytes))
	st := w.until("the node to be seen full", 5*time.Second, func(st *status.Status) bool {
		return st.Machine.Nodes[1].FreeBytes <= st.Machine.Nodes[1].ReserveBytes
	})
	w.until("the next epoch", 5*time.Second, func(now *status.Status) bool { return now.Epoch.Number > st.Epoch.Number+1 })
	there := s.on()[1]
	if there > hotPages*3/4 {
		t.Fatalf("%d pages on node1 are too many to show anything", there)
	}
	at := w.board.Load().Epoch.Number
	time.Sleep(4 * time.Second)
	st = w.board.Load()
	t.Logf("node1 %+v, pages at %v, on node1 %d before; filler's at %v; outcomes %v", st.Machine.Nodes[1], s.on(), there, filler.on(), st.Workloads[0].OutcomesTotal)
	if on := s.on(); on[1] > there {
		t.Errorf("%d more pages on the full node", on[1]-there)
	}
	if st.Epoch.Number < at+4 {
		t.Errorf("%d epochs in 4 s", st.Epoch.Number-at)
	}
	if n := killed(t) - kills; n != 0 {
		t.Errorf("the kernel has killed %d processes", n)
	}
	s.do("check")
	filler.do("check")
	filler.kill()
	w.goesOn(s)
	s.do("check")
}

// A process is killed while its memory moves, several times over: it is
// counted as gone, is no error, and the next one is served.
func TestGuestTargetKilled(t *testing.T) {
	w := startDaemon(t)
	var total uint64
	for i := range 3 {
		s := startSubject(t, "train", hotPages, allPages, 2)
		st := w.until(fmt.Sprintf("promotions of process %d", i), patience, promoted(total+4*mib))
		if i == 1 {
			_ = s.cmd.Process.Kill() // and it stays, as a zombie
		} else {
			s.kill()
		}
		at := st.Epoch.Number
		st = w.until("the process to be forgotten", 10*time.Second, func(st *status.Status) bool {
			return st.Workloads[0].Processes == 0 && st.Epoch.Number > at+2
		})
		total = st.Workloads[0].PromotedBytesTotal
		if total >= uint64(i+1)*hotPages*pageBytes {
			t.Errorf("process %d was killed after all had been moved", i)
		}
	}
	st := w.board.Load()
	calls := st.Migrate.CallsTotal
	t.Logf("promoted %d MiB, outcomes %v, drops %v", total/mib, st.Workloads[0].OutcomesTotal, st.DropsTotal)
	if st.DropsTotal[status.DropGone] == 0 {
		t.Errorf("nobody is counted as gone: %v", st.DropsTotal)
	}
	for _, e := range st.LastErrors {
		t.Logf("error %+v", e)
		if !strings.Contains(e.Message, "several processes map") { // which is true of some pages, dead or alive
			t.Errorf("a process that has gone is an error: %s", e.Message)
		}
	}
	gone := st.DropsTotal[status.DropGone]
	time.Sleep(2 * time.Second)
	if st = w.board.Load(); st.DropsTotal[status.DropGone] != gone || st.Migrate.CallsTotal != calls {
		t.Errorf("with nobody left: %d more counted as gone, %d more calls", st.DropsTotal[status.DropGone]-gone, st.Migrate.CallsTotal-calls)
	}
}

// A process executes another program while its memory moves. The new one has
// memory at the same addresses and belongs to no workload: none of it moves.
func TestGuestTargetExecs(t *testing.T) {
	w := startDaemon(t)
	var total uint64
	for i := range 3 {
		s := startSubject(t, "train", hotPages, allPages, 2)
		st := w.until(fmt.Sprintf("promotions of process %d", i), patience, promoted(total+4*mib))
		before := st.Epoch.Number
		s.do(fmt.Sprintf("exec 0 %d 2 false", allPages))
		st = w.until("the exec to be noticed", 10*time.Second, func(st *status.Status) bool {
			return st.Workloads[0].Processes == 0 && st.Epoch.Number > before+2
		})
		total = st.Workloads[0].PromotedBytesTotal
		if on := s.on(); on[2] != allPages {
			t.Errorf("process %d: of the new program's memory %v have moved", i, on)
		}
		if got := st.DropsTotal[status.DropExec]; got < uint64(i+1) {
			t.Errorf("%d execs are counted after %d", got, i+1)
		}
		s.do("check")
		s.kill()
	}
	t.Logf("promoted %d MiB, drops %v", total/mib, w.board.Load().DropsTotal)
}

// loadedBPF lists the kernel's programs, maps and links.
func loadedBPF(t *testing.T) (loaded []string) {
	t.Helper()
	for what, next := range map[string]func(uint32) (uint32, error){
		"program": func(id uint32) (uint32, error) {
			n, err := ebpf.ProgramGetNextID(ebpf.ProgramID(id))
			return uint32(n), err
		},
		"map":  func(id uint32) (uint32, error) { n, err := ebpf.MapGetNextID(ebpf.MapID(id)); return uint32(n), err },
		"link": func(id uint32) (uint32, error) { n, err := nextLink(id); return n, err },
	} {
		for id := uint32(0); ; {
			n, err := next(id)
			if errors.Is(err, os.ErrNotExist) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			loaded, id = append(loaded, fmt.Sprint(what, n)), n
		}
	}
	return loaded
}

// nextLink is the number of the link after that of a number; the library does
// not list links.
func nextLink(id uint32) (uint32, error) {
	const linkGetNextID = 31
	attr := struct{ start, next, flags uint32 }{start: id}
	_, _, errno := unix.Syscall(unix.SYS_BPF, linkGetNextID, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return 0, errno
	}
	return attr.next, nil
}

// tierd is killed while it moves pages. Its target goes on with its memory as
// it was, nothing of tierd stays in the kernel, and the next tierd ends what the
// first began.
func TestGuestDaemonKilled(t *testing.T) {
	clean := loadedBPF(t)
	s := startSubject(t, "train", hotPages, allPages, 2)
	var moved uint64
	for _, enough := range []uint64{1, 4 * mib, hotPages * pageBytes} {
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		cmd.Env = append(os.Environ(), guestDaemonEnv+"=1")
		cmd.Stderr = os.Stderr
		out, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		limit := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(out)
		moved = 0
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "moved %d", &moved); err != nil {
				t.Errorf("tierd says %q", lines.Text())
			}
			if moved >= enough || s.on()[1] >= hotPages*9/10 {
				break
			}
		}
		have := loadedBPF(t)
		for _, kind := range []string{"program", "map", "link"} {
			if !slices.ContainsFunc(have, func(x string) bool { return strings.HasPrefix(x, kind) && !slices.Contains(clean, x) }) {
				t.Errorf("tierd has no %s: %v", kind, have)
			}
		}
		running := limit.Stop()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		on := s.on()
		t.Logf("killed after %d KiB, pages at %v", moved>>10, on)
		if !running {
			t.Fatalf("tierd had moved %d bytes after %v", moved, patience)
		}
		s.do("check")
		n := 0
		for _, pages := range on {
			n += pages
		}
		if n != allPages || on[0]+on[1]+on[2] != allPages {
			t.Errorf("pages at %v", on)
		}
		// The kernel frees them when nobody can be in them any more.
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			left := slices.DeleteFunc(loadedBPF(t), func(x string) bool { return slices.Contains(clean, x) })
			if len(left) == 0 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("left behind: %v", left)
			}
		}
	}
	// It still runs, and nothing holds its pages.
	before := s.on()
	time.Sleep(500 * time.Millisecond)
	s.do("check")
	if before[1] < hotPages*3/4 {
		t.Errorf("pages at %v after the last tierd", before)
	}
}

// A process of very many mappings takes nothing from another.
func TestGuestManyMappingsBesides(t *testing.T) {
	const n = 80_000 // with holes between them: more than are followed
	sysctl := hostfs.New("").Path("proc/sys/vm/max_map_count")
	old, err := os.ReadFile(sysctl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sysctl, []byte("200000"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(sysctl, old, 0)
	many := startSubject(t, "train", 0, 512, 2)
	many.do(fmt.Sprintf("holes %d", n))
	s := startSubject(t, "train", hotPages, allPages, 2)
	w := startDaemon(t)
	st := w.until("both to be served", patience, func(st *status.Status) bool {
		return st.Workloads[0].PromotedBytesTotal >= hotPages*pageBytes/2 && st.DropsTotal[status.DropMappings] > 0
	})
	if st.Workloads[0].Processes != 2 || st.Workloads[0].LastError != "" {
		t.Errorf("%+v", st.Workloads[0])
	}
	t.Logf("drops %v, %d mappings", st.DropsTotal, st.Sampler.Mappings)
	s.do("check")
	many.do("check")
}
