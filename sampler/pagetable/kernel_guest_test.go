//go:build guest

package pagetable_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

const subjectEnv = "TIERD_TEST_SUBJECT"

func TestMain(m *testing.M) {
	if os.Getenv(subjectEnv) != "" {
		beSubject()
		return
	}
	os.Exit(m.Run())
}

// beSubject maps memory and touches it as it is told, a line at a time.
func beSubject() {
	var mem []byte
	reply := func(err error) {
		if err != nil {
			fmt.Println("error", err)
			return
		}
		at := uint64(0)
		if len(mem) > 0 {
			at = uint64(uintptr(unsafe.Pointer(&mem[0])))
		}
		fmt.Println("ok", at)
	}
	reply(nil)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var a, b int
		word, rest, _ := strings.Cut(lines.Text(), " ")
		_, _ = fmt.Sscan(rest, &a, &b)
		switch word {
		case "map": // a bytes, huge pages if b
			raw, err := unix.Mmap(-1, 0, a+policy.RegionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err == nil {
				skip := -uintptr(unsafe.Pointer(&raw[0])) & (policy.RegionSize - 1)
				mem = raw[skip:][:a]
				advice := unix.MADV_NOHUGEPAGE
				if b != 0 {
					advice = unix.MADV_HUGEPAGE
				}
				err = unix.Madvise(mem, advice)
			}
			reply(err)
		case "bind": // to node a; b: keep the policy
			mask := uint64(1) << a
			err := mbind(mem, 2, &mask)
			for i := 0; err == nil && i < len(mem); i += 4096 {
				mem[i] = 1
			}
			if err == nil && b == 0 {
				err = mbind(mem, 0, nil)
			}
			// Pages that wait in a processor's batch for the LRU list are passed over by MADV_COLD; move_pages empties the
			// batches of all processors first.
			page, node, status := uintptr(unsafe.Pointer(&mem[0])), int32(a), int32(0)
			if _, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, 1, uintptr(unsafe.Pointer(&page)),
				uintptr(unsafe.Pointer(&node)), uintptr(unsafe.Pointer(&status)), 2 /* MPOL_MF_MOVE */); errno != 0 && err == nil {
				err = errno
			}
			reply(err)
		case "touch": // pages a to b
			for i := a; i < b; i++ {
				mem[i*4096] = 2
			}
			reply(nil)
		case "read": // pages a to b, the zero page if untouched
			sum := 0
			for i := a; i < b; i++ {
				sum += int(mem[i*4096])
			}
			reply(nil)
		case "vmas": // a mappings
			err := error(nil)
			for i := 0; i < a && err == nil; i += 2 {
				err = unix.Mprotect(mem[i*4096:][:4096], unix.PROT_READ)
			}
			reply(err)
		case "lock":
			reply(unix.Mlock(mem))
		case "exec":
			_ = unix.Exec("/proc/self/exe", os.Args, os.Environ())
		}
	}
}

func mbind(mem []byte, mode int, mask *uint64) error {
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(unsafe.Pointer(&mem[0])), uintptr(len(mem)), uintptr(mode), uintptr(unsafe.Pointer(mask)), 64, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

type subject struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
	space *pagetable.Space
}

// start runs a subject and attaches to it.
func start(t testing.TB, s *pagetable.Source) *subject {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), subjectEnv+"=1")
	c, _ := attach(t, s, cmd)
	return c
}

// attach starts a command that speaks as beSubject does, and attaches to it.
func attach(t testing.TB, s *pagetable.Source, cmd *exec.Cmd) (*subject, uint64) {
	t.Helper()
	c := &subject{t: t, cmd: cmd}
	c.cmd.Stderr = os.Stderr
	c.in, _ = c.cmd.StdinPipe()
	out, _ := c.cmd.StdoutPipe()
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.in.Close(); _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	at := c.answer()
	fd, err := unix.PidfdOpen(c.cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if c.space, err = s.Attach(c.cmd.Process.Pid, fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.space.Close)
	return c, at
}

func (c *subject) answer() uint64 {
	c.t.Helper()
	if !c.out.Scan() {
		c.t.Fatal("subject has gone")
	}
	var at uint64
	if _, err := fmt.Sscanf(c.out.Text(), "ok %d", &at); err != nil {
		c.t.Fatalf("subject: %s", c.out.Text())
	}
	return at
}

func (c *subject) do(format string, args ...any) uint64 {
	c.t.Helper()
	fmt.Fprintf(c.in, format+"\n", args...)
	return c.answer()
}

func (c *subject) block(addr uint64) pagetable.Block {
	c.t.Helper()
	var got pagetable.Block
	if _, err := c.space.Walk([]uint64{addr}, func(_ int, b *pagetable.Block) { got = *b }); err != nil {
		c.t.Fatal(err)
	}
	return got
}

func (c *subject) clear(addr uint64) {
	c.t.Helper()
	n, err := c.space.Clear([]pagetable.Range{{Start: addr, End: addr + policy.RegionSize}})
	if err != nil || n != policy.RegionSize {
		c.t.Fatalf("cleared %d bytes: %v", n, err)
	}
}

// openRanges loads the source as the daemon does: slots are nodes here.
func openRanges() (*pagetable.Source, error) {
	m, err := topology.Discover(hostfs.New(""), topology.Overrides{})
	if err != nil {
		return nil, err
	}
	var ranges []pagetable.PhysRange
	for _, s := range m.PFNSpans() {
		ranges = append(ranges, pagetable.PhysRange{Start: s.Start << 12, End: s.End << 12, Slot: policy.Slot(s.Node)})
	}
	return pagetable.Open(ranges)
}

func open(t *testing.T) *pagetable.Source {
	t.Helper()
	begin := time.Now()
	s, err := openRanges()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Logf("%s, opened in %v", s.Format().Name, time.Since(begin).Round(time.Millisecond))
	t.Cleanup(s.Close)
	return s
}

func TestGuestLevels(t *testing.T) {
	s := open(t)
	info, _ := os.ReadFile("/proc/cpuinfo")
	want := 4
	if strings.Contains(string(info), " la57") {
		want = 5
	}
	if got := s.Format().Levels; got != want {
		t.Errorf("calibrated for %d levels, the processor uses %d", got, want)
	}
}

// Another process's pages: which are there, which were touched, and on which
// node they are, as the process itself knows.
func TestGuestBasePages(t *testing.T) {
	s := open(t)
	for node := range 3 {
		c := start(t, s)
		at := c.do("map %d 0", 4*policy.RegionSize)
		c.do("bind %d 0", node)
		b := c.block(at)
		if b.Kind != pagetable.KindTable || b.PresentPages != 512 || int(b.Count[node]) != 512 {
			t.Fatalf("node%d: %s, %d pages, by node %v", node, b.Kind, b.PresentPages, b.Count[:3])
		}
		for p, slot := range b.Slot {
			if int(slot) != node {
				t.Fatalf("node%d: piece %d on %d", node, p, slot)
			}
		}
		c.clear(at)
		if b := c.block(at); b.YoungPages > 8 {
			t.Errorf("%d pages are young after clearing", b.YoungPages)
		}
		c.do("touch 16 48")
		if b := c.block(at); b.Young[0]&^0xffff != 0x0000ffffffff0000&^0xffff || b.YoungPages > 40 {
			t.Errorf("touched pages 16 to 47, young are %#x (%d)", b.Young[0], b.YoungPages)
		}
	}
}

func TestGuestHugePages(t *testing.T) {
	s := open(t)
	c := start(t, s)
	at := c.do("map %d 1", 2*policy.RegionSize)
	c.do("bind 2 0")
	b := c.block(at)
	if b.Kind != pagetable.KindLeaf || b.LeafShift != 21 || b.PresentPages != 512 || b.Count[2] != 512 || b.Slot[31] != 2 {
		t.Fatalf("%s of 2^%d, %d pages, by node %v", b.Kind, b.LeafShift, b.PresentPages, b.Count[:3])
	}
	c.clear(at)
	if b := c.block(at); b.YoungPages != 0 || b.Kind != pagetable.KindLeaf {
		t.Errorf("after clearing: %s, %d young", b.Kind, b.YoungPages)
	}
	c.do("touch 100 101")
	if b := c.block(at); b.YoungPages != 512 {
		t.Errorf("after a touch: %d young", b.YoungPages)
	}
	// Tracker.Split counts on this: to clear a part of it splits it.
	if _, err := c.space.Clear([]pagetable.Range{{Start: at, End: at + policy.PageSize}}); err != nil {
		t.Fatal(err)
	}
	if b := c.block(at); b.Kind != pagetable.KindTable || b.PresentPages != 512 || b.Count[2] != 512 {
		t.Fatalf("after clearing a part: %s, %d pages, by node %v", b.Kind, b.PresentPages, b.Count[:3])
	}
	c.clear(at)
	c.do("touch 100 101")
	if b := c.block(at); b.YoungPages == 0 || b.YoungPages > 8 {
		t.Errorf("after a touch of one page: %d young", b.YoungPages)
	}
}

// The zero page is nobody's memory, and what was never touched is not there.
func TestGuestZeroPage(t *testing.T) {
	s := open(t)
	c := start(t, s)
	at := c.do("map %d 0", 2*policy.RegionSize)
	c.do("read 0 512")
	if b := c.block(at); b.PresentPages != 0 {
		t.Errorf("%d pages after reading untouched memory", b.PresentPages)
	}
	c.do("touch 3 5")
	if b := c.block(at); b.PresentPages != 2 || b.Present[0] != 0x18 {
		t.Errorf("%d pages, %#x", b.PresentPages, b.Present[0])
	}
	if b := c.block(at + policy.RegionSize); b.Kind != pagetable.KindNone && b.PresentPages != 0 {
		t.Errorf("untouched region: %s with %d pages", b.Kind, b.PresentPages)
	}
}

// With NUMA balancing on, the kernel takes away rights to provoke faults;
// the pages are still there.
func TestGuestHintFaultsArmed(t *testing.T) {
	const sysctl = "/proc/sys/kernel/numa_balancing"
	old, err := os.ReadFile(sysctl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sysctl, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(sysctl, old, 0)
	s := open(t)
	c := start(t, s)
	at := c.do("map %d 0", 8*policy.RegionSize)
	c.do("bind 2 0")
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); {
		c.do("touch 0 4096")
		for i := range uint64(8) {
			if b := c.block(at + i*policy.RegionSize); b.Kind != pagetable.KindTorn && b.PresentPages != 512 {
				t.Fatalf("block %d: %s, %d pages", i, b.Kind, b.PresentPages)
			}
		}
	}
}

func TestGuestMappings(t *testing.T) {
	s := open(t)
	c := start(t, s)
	at := c.do("map %d 0", 4*policy.RegionSize)
	find := func() (got pagetable.Run) {
		if _, _, err := c.space.Mappings(func(r pagetable.Run) {
			if r.Start <= at && at < r.End {
				got = r
			}
		}); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if r := find(); r.Class != 0 || r.End < at+4*policy.RegionSize {
		t.Errorf("anonymous memory: %+v", r)
	}
	c.do("vmas 2048")
	vmas, mode, err := c.space.Mappings(func(pagetable.Run) {})
	if err != nil || vmas < 2048 || mode != -1 {
		t.Errorf("%d mappings, policy %d, %v", vmas, mode, err)
	}
	if r := find(); r.Class != 0 || r.VMAs < 2048 {
		t.Errorf("many mappings are not one run: %+v", r)
	}
	c.do("lock")
	if r := find(); r.Class != pagetable.ClassLocked {
		t.Errorf("locked memory has class %d", r.Class)
	}

	c = start(t, s)
	at = c.do("map %d 0", policy.RegionSize)
	c.do("bind 2 1")
	if r := find(); r.Class != pagetable.ClassBound {
		t.Errorf("bound memory has class %d", r.Class)
	}
}

func TestGuestExecAndExit(t *testing.T) {
	s := open(t)
	c := start(t, s)
	at := c.do("map %d 0", policy.RegionSize)
	c.do("touch 0 512")
	if b := c.block(at); b.PresentPages != 512 {
		t.Fatalf("%d pages", b.PresentPages)
	}
	before := c.space.ExecID()
	fmt.Fprintln(c.in, "exec")
	c.answer()
	if b := c.block(at); b.PresentPages == 512 {
		t.Error("memory has outlived the execve")
	}
	if c.space.ExecID() == before {
		t.Error("the execve was not noticed")
	}
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	if _, err := c.space.Walk([]uint64{at}, func(int, *pagetable.Block) {}); !errors.Is(err, pagetable.ErrGone) {
		t.Errorf("walk of a dead process: %v", err)
	}
	if _, err := c.space.Clear([]pagetable.Range{{Start: at, End: at + 4096}}); !errors.Is(err, pagetable.ErrGone) {
		t.Errorf("clearing of a dead process: %v", err)
	}
	if _, _, err := c.space.Mappings(func(pagetable.Run) {}); !errors.Is(err, pagetable.ErrGone) {
		t.Errorf("mappings of a dead process: %v", err)
	}
}

func TestGuestWithoutRights(t *testing.T) {
	if os.Getenv("TIERD_TEST_NOBODY") != "" {
		_, err := pagetable.Open([]pagetable.PhysRange{{Start: 0, End: 4 << 30}})
		var u *pagetable.Unavailable
		if !errors.As(err, &u) || u.Hint == "" {
			t.Fatalf("without rights: %v", err)
		}
		t.Log(err, "hint:", u.Hint)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "TestGuestWithoutRights", "-test.v")
	cmd.Env = append(os.Environ(), "TIERD_TEST_NOBODY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
