package process

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
)

// TestMain lets the test binary be the other process: it says a line, waits for
// one, and then exits or executes itself.
func TestMain(m *testing.M) {
	if os.Getenv("TIERD_TEST_CHILD") == "" {
		os.Exit(m.Run())
	}
	os.Stdout.WriteString("ready\n")
	var b [1]byte
	for {
		n, err := os.Stdin.Read(b[:])
		if n == 0 || err != nil {
			os.Exit(0)
		}
		if b[0] == 'e' {
			exe, err := os.Executable()
			if err == nil {
				err = unix.Exec(exe, os.Args, os.Environ())
			}
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
	}
}

type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.Command(exe)}
	c.Env = append(os.Environ(), "TIERD_TEST_CHILD=1")
	c.Stderr = os.Stderr
	if c.in, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.in.Close(); c.Wait() })
	c.ready(t)
	return c
}

func (c *child) ready(t *testing.T) {
	t.Helper()
	if line, err := c.out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
}

func open(t *testing.T, s StatReader, pid int) *Handle {
	t.Helper()
	h, err := Open(s, pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestLife(t *testing.T) {
	c := start(t)
	h := open(t, hostfs.New(""), c.Process.Pid)
	if err := h.Check(); err != nil {
		t.Fatalf("a living process: %v", err)
	}
	id := h.ID()
	if id.PID != c.Process.Pid || id.Start == 0 || id.Exec == 0 {
		t.Errorf("identity %+v", id)
	}
	if h.Bits() != 64 {
		t.Errorf("%d bits", h.Bits())
	}
	if again := open(t, hostfs.New(""), c.Process.Pid); again.ID() != id {
		t.Errorf("opened again: %+v, was %+v", again.ID(), id)
	}

	io.WriteString(c.in, "e")
	c.ready(t)
	if err := h.Check(); !errors.Is(err, ErrExec) {
		t.Errorf("after execve: %v", err)
	}
	after := open(t, hostfs.New(""), c.Process.Pid)
	if got := after.ID(); got.Start != id.Start || got.Exec == id.Exec {
		t.Errorf("after execve: %+v, was %+v", got, id)
	}

	c.in.Close()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, c.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if err := after.Check(); !errors.Is(err, ErrGone) {
		t.Errorf("not yet reaped: %v", err)
	}
	if _, err := Open(hostfs.New(""), c.Process.Pid); !errors.Is(err, ErrGone) {
		t.Errorf("open of one not yet reaped: %v", err)
	}
	c.Wait()
	if err := after.Check(); !errors.Is(err, ErrGone) {
		t.Errorf("reaped: %v", err)
	}
	if _, err := Open(hostfs.New(""), c.Process.Pid); !errors.Is(err, ErrGone) {
		t.Errorf("open of one reaped: %v", err)
	}
}

// answers is a StatReader whose answer a test sets.
type answers struct {
	st  hostfs.Stat
	err error
}

func (a *answers) Stat(int) (hostfs.Stat, error) { return a.st, a.err }

func TestCheck(t *testing.T) {
	c := start(t)
	real, err := hostfs.New("").Stat(c.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		before, then func(*hostfs.Stat)
		want         error
	}{
		{"the same", nil, nil, nil},
		{"another start", nil, func(s *hostfs.Stat) { s.StartTime++ }, ErrReused},
		{"another stack", nil, func(s *hostfs.Stat) { s.StartStack += 16 }, ErrExec},
		{"another code", nil, func(s *hostfs.Stat) { s.StartCode += 4096 }, ErrExec},
		{"no memory left", nil, func(s *hostfs.Stat) { s.StartCode, s.StartStack = 0, 0 }, ErrGone},
		{"first thread ended", nil, func(s *hostfs.Stat) { s.State = 'Z' }, ErrGone},
		{"now hidden", nil, func(s *hostfs.Stat) { s.StartCode, s.StartStack = 1, 0 }, ErrExec},
		{"always hidden", func(s *hostfs.Stat) { s.StartCode, s.StartStack = 1, 0 }, func(s *hostfs.Stat) { s.StartCode, s.StartStack = 1, 0 }, nil},
		{"shown later", func(s *hostfs.Stat) { s.StartCode, s.StartStack = 1, 0 }, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := &answers{st: real}
			if tt.before != nil {
				tt.before(&a.st)
			}
			h := open(t, a, c.Process.Pid)
			a.st = real
			if tt.then != nil {
				tt.then(&a.st)
			}
			if err := h.Check(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	c := start(t)
	for _, tt := range []struct {
		name string
		pid  int
		st   hostfs.Stat
		err  error
		want error
	}{
		{name: "self", pid: os.Getpid(), want: ErrSelf},
		{name: "zero", pid: 0, want: ErrGone},
		{name: "negative", pid: -1, want: ErrGone},
		{name: "no such process", pid: 1<<22 + 1, want: ErrGone},
		{name: "kernel", pid: c.Process.Pid, st: hostfs.Stat{Flags: 0x00200000}, want: ErrKernel},
		{name: "unreadable", pid: c.Process.Pid, err: fs.ErrPermission, want: fs.ErrPermission},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Open(&answers{tt.st, tt.err}, tt.pid)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestBits(t *testing.T) {
	c := start(t)
	h := open(t, &answers{st: hostfs.Stat{State: 'S', StartCode: 0x8048000, StartStack: 0xffd41e30}}, c.Process.Pid)
	if h.Bits() != 32 {
		t.Errorf("%d bits for a stack below 4 GiB", h.Bits())
	}
}

func TestClose(t *testing.T) {
	c := start(t)
	h := open(t, hostfs.New(""), c.Process.Pid)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := h.Check(); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("check after close: %v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	ppid := os.Getppid()
	h, err := Open(hostfs.New(""), ppid)
	if err != nil {
		b.Skip(err)
	}
	defer h.Close()
	b.ReportAllocs()
	for b.Loop() {
		if err := h.Check(); err != nil {
			b.Fatal(err)
		}
	}
}
