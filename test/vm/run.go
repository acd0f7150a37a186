package vm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tierd/tierd/test/vm/wire"
)

// Limits of a guest's silence: while it boots, and then, when it beats once a second.
const (
	bootSilence = 3 * time.Minute
	runSilence  = time.Minute
)

// Sizes of what is kept of the console.
const (
	consoleLines = 20      // in an error
	consoleBytes = 1 << 20 // in a Result
)

var (
	// ErrUnavailable is wrapped when QEMU or a kernel is missing; the message says what to install.
	ErrUnavailable = errors.New("emulated machine not available")
	// ErrPanic is wrapped when the guest's kernel panicked.
	ErrPanic = errors.New("kernel panic")
	// ErrTimeout is wrapped when the guest did not end in time, or fell silent.
	ErrTimeout = errors.New("timed out")
	// ErrGuest is wrapped when the guest ended, or lost output, before everything was reported.
	ErrGuest = errors.New("guest broke")
)

// A Program is what to run in a machine.
type Program struct {
	// Files puts files into the guest: path there to path on this host. A folder comes with its content. Programs
	// must be linked statically.
	Files map[string]string
	// Args are the program, a path in the guest or the name of a tool of busybox, and its arguments.
	Args []string
	// Env is added to the guest's environment, as KEY=value.
	Env []string
	// Dir is the working directory in the guest. Empty is "/".
	Dir string
	// Collect names files of the guest to bring back after the program: paths or patterns of [filepath.Match]; folders
	// come whole.
	Collect []string
	// Stdout and Stderr receive the output line by line, as it is written. A nil Stderr is Stdout; a nil Stdout
	// discards it. Both are written from one goroutine.
	Stdout, Stderr io.Writer
	// Timeout ends only this program, not the machine. Zero is none.
	Timeout time.Duration
}

// A Result is what became of a program.
type Result struct {
	// ExitCode of the program; 128 plus the number of the signal that ended it; 127 if it could not start.
	ExitCode int
	// Signal that ended the program, such as "SIGSEGV", or empty.
	Signal string
	// TimedOut says that Program.Timeout ended it.
	TimedOut bool
	// Files collected, by their paths in the guest. What was not there is missing here.
	Files map[string][]byte
	// Release of the guest's kernel, as in uname -r.
	Release string
	// Console is what the kernel printed until the end of the machine; at most its last 1 MiB.
	Console string
	// Boot is the time from the start of QEMU until the guest was ready, Wall the time that the program took.
	Boot, Wall time.Duration
}

// Run boots the machine, runs p in it, and stops the machine. A program that ran and failed is not an error: see the
// exit code. Run needs QEMU; it does not need root.
func (m Machine) Run(ctx context.Context, p Program) (Result, error) {
	results, err := m.RunAll(ctx, []Program{p})
	if len(results) == 0 {
		return Result{ExitCode: -1}, err
	}
	return results[0], err
}

// RunAll boots the machine once and runs the programs in it one after the other. All their files are there from the
// start. With an error come the results of the programs that had ended, and what is known of the one that ran.
func (m Machine) RunAll(ctx context.Context, programs []Program) ([]Result, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return nil, fmt.Errorf("%w: qemu-system-x86_64 is not installed: run test/vm/deps.sh", ErrUnavailable)
	}
	kernel, err := Kernel(ctx, m.Kernel)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tiervm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	initrd, err := m.prepare(ctx, dir, programs)
	if err != nil {
		return nil, err
	}
	limit := m.Timeout
	if limit == 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%w: guest has not ended after %v", ErrTimeout, limit))
	defer cancel()
	return m.boot(ctx, qemu, m.args(kernel, initrd), programs)
}

// prepare writes the initramfs for programs into dir.
func (m Machine) prepare(ctx context.Context, dir string, programs []Program) (string, error) {
	spec := wire.Spec{Hostname: "tiervm"}
	files := map[string]string{}
	for _, p := range programs {
		if len(p.Args) == 0 {
			return "", errors.New("program: no arguments")
		}
		maps.Copy(files, p.Files)
		spec.Programs = append(spec.Programs, wire.Program{Args: p.Args, Env: p.Env, Dir: p.Dir, Collect: p.Collect, Timeout: p.Timeout})
	}
	for _, p := range programs {
		host, ok := files[p.Args[0]]
		if !ok {
			continue
		}
		if dynamic, err := isDynamic(host); err == nil && dynamic {
			return "", fmt.Errorf("program %s: linked dynamically: build it with CGO_ENABLED=0", host)
		}
	}
	init := m.Init
	if init == "" {
		init = filepath.Join(dir, "init")
		if err := buildInit(ctx, init); err != nil {
			return "", err
		}
	}
	initrd := filepath.Join(dir, "initrd")
	f, err := os.Create(initrd)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	err = writeInitramfs(w, init, spec, files)
	if err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return initrd, err
}

// boot starts QEMU and follows the guest to its end.
func (m Machine) boot(ctx context.Context, qemu string, args []string, programs []Program) (results []Result, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	consoleR, consoleW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer consoleR.Close()
	wireR, wireW, err := os.Pipe()
	if err != nil {
		consoleW.Close()
		return nil, err
	}
	defer wireR.Close()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, qemu, args...)
	cmd.ExtraFiles = []*os.File{consoleW, wireW}
	cmd.Stderr = &stderr
	cmd.WaitDelay = 10 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := time.Now()
	wait, err := start(cmd)
	consoleW.Close()
	wireW.Close()
	if err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}

	f := follower{programs: programs, started: started}
	var con console
	frames := make(chan wire.Frame)
	var readers sync.WaitGroup
	var damage error
	readers.Go(func() { con.read(consoleR) })
	readers.Go(func() {
		defer close(frames)
		r := wire.NewReader(wireR)
		for {
			fr, err := r.Next()
			if err == nil && fr.Lost > 0 {
				err = fmt.Errorf("%w: %d frames lost", wire.ErrCorrupt, fr.Lost)
			}
			if err != nil && damage == nil && err != io.EOF {
				damage = err
			}
			if err != nil && !errors.Is(err, wire.ErrCorrupt) {
				return
			}
			if err == nil || fr.Lost > 0 {
				frames <- fr
			}
		}
	})

	err = m.follow(ctx, &f, frames)
	cancel()
	for range frames { // until the reader has seen the end of the line
	}
	werr := wait()
	readers.Wait()
	f.flush()
	text := con.text()
	for i := range f.results {
		f.results[i].Console = text
	}
	switch line := con.panicLine(); {
	case line != "" && !f.done:
		err = fmt.Errorf("%w: %s", ErrPanic, line)
	case err == nil && !f.done:
		err = fmt.Errorf("%w: it ended before the program did", ErrGuest)
		if msg := strings.TrimSpace(stderr.String()); msg != "" {
			err = fmt.Errorf("qemu: %w: %s", werr, msg)
		}
	case err == nil && damage != nil:
		err = fmt.Errorf("%w: output incomplete: %w", ErrGuest, damage)
	}
	if err != nil && text != "" {
		err = fmt.Errorf("%w\nlast lines of the console:\n%s", err, con.tail())
	}
	return f.results, err
}

// start starts cmd on a thread of its own that lives as long as the command: the parent death signal goes out when
// the thread ends that made the child, not when the process does. The returned function waits for the end.
func start(cmd *exec.Cmd) (wait func() error, err error) {
	begun, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return nil, err
	}
	return func() error { return <-ended }, nil
}

// follow handles the guest's frames until the last one, the end of the line, silence, or the end of ctx.
func (m Machine) follow(ctx context.Context, f *follower, frames <-chan wire.Frame) error {
	limit := bootSilence
	silence := time.NewTimer(limit)
	defer silence.Stop()
	for {
		select {
		case fr, ok := <-frames:
			if !ok {
				return nil
			}
			if err := f.handle(fr); err != nil {
				return err
			}
			if f.done {
				return nil
			}
			limit = runSilence
			if m.silence > 0 {
				limit = m.silence
			}
			silence.Reset(limit)
		case <-silence.C:
			return fmt.Errorf("%w: guest has been silent for %v", ErrTimeout, limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// A follower turns frames into results.
type follower struct {
	programs []Program
	started  time.Time
	boot     time.Duration
	release  string
	results  []Result
	begun    time.Time
	out, err *lineWriter
	path     string
	file     []byte
	done     bool
}

func (f *follower) handle(fr wire.Frame) error {
	if fr.Type == wire.Hello {
		var g wire.Greeting
		if err := json.Unmarshal(fr.Payload, &g); err != nil {
			return fmt.Errorf("%w: greeting: %w", ErrGuest, err)
		}
		f.boot, f.release = time.Since(f.started), g.Release
		return nil
	}
	switch fr.Type {
	case wire.Beat:
		return nil
	case wire.Fail:
		return fmt.Errorf("%w: %s", ErrGuest, fr.Payload)
	case wire.Bye:
		f.done = len(f.results) == len(f.programs)
		return nil
	case wire.Start:
		i, err := strconv.Atoi(string(fr.Payload))
		if err != nil || i != len(f.results) || i >= len(f.programs) {
			return fmt.Errorf("%w: unexpected start of program %q", ErrGuest, fr.Payload)
		}
		p := f.programs[i]
		f.out = &lineWriter{w: p.Stdout}
		f.err = f.out
		if p.Stderr != nil {
			f.err = &lineWriter{w: p.Stderr}
		}
		f.begun = time.Now()
		f.results = append(f.results, Result{ExitCode: -1, Boot: f.boot, Release: f.release, Files: map[string][]byte{}})
		return nil
	}
	if len(f.results) == 0 {
		return fmt.Errorf("%w: frame of type %d before any program", ErrGuest, fr.Type)
	}
	r := &f.results[len(f.results)-1]
	switch fr.Type {
	case wire.Stdout:
		return f.out.write(fr.Payload)
	case wire.Stderr:
		return f.err.write(fr.Payload)
	case wire.FileBegin:
		var file wire.File
		if err := json.Unmarshal(fr.Payload, &file); err != nil {
			return fmt.Errorf("%w: file: %w", ErrGuest, err)
		}
		f.path, f.file = file.Path, []byte{}
	case wire.FileData:
		f.file = append(f.file, fr.Payload...)
	case wire.FileEnd:
		z, err := gzip.NewReader(bytes.NewReader(f.file))
		if err != nil {
			return fmt.Errorf("%w: file %s: %w", ErrGuest, f.path, err)
		}
		data, err := io.ReadAll(z)
		if err != nil {
			return fmt.Errorf("%w: file %s: %w", ErrGuest, f.path, err)
		}
		r.Files[f.path] = data
	case wire.Exit:
		var s wire.Status
		if err := json.Unmarshal(fr.Payload, &s); err != nil {
			return fmt.Errorf("%w: exit: %w", ErrGuest, err)
		}
		f.flush()
		r.ExitCode, r.Signal, r.TimedOut, r.Wall = s.Code, s.Signal, s.TimeOut, time.Since(f.begun)
		if s.Error != "" {
			return fmt.Errorf("program %s: %s", f.programs[len(f.results)-1].Args[0], s.Error)
		}
	default:
		return fmt.Errorf("%w: frame of unknown type %d", ErrGuest, fr.Type)
	}
	return nil
}

// flush hands on the last line where the program did not end it.
func (f *follower) flush() {
	if f.out != nil {
		_ = f.out.flush()
		_ = f.err.flush()
	}
}

// A lineWriter passes whole lines on.
type lineWriter struct {
	w   io.Writer
	buf []byte
}

func (l *lineWriter) write(b []byte) error {
	if l.w == nil {
		return nil
	}
	l.buf = append(l.buf, b...)
	end := bytes.LastIndexByte(l.buf, '\n') + 1
	if end == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf[:end])
	l.buf = append(l.buf[:0], l.buf[end:]...)
	return err
}

func (l *lineWriter) flush() error {
	if l.w == nil || len(l.buf) == 0 {
		return nil
	}
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

// A console keeps what the kernel prints.
type console struct {
	mu    sync.Mutex
	all   []byte
	panic string
}

const panicMark = "Kernel panic - not syncing"

func (c *console) read(r io.Reader) {
	s := bufio.NewReader(r)
	for {
		line, err := s.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		c.mu.Lock()
		if line != "" {
			c.all = append(append(c.all, line...), '\n')
		}
		if over := len(c.all) - consoleBytes; over > 0 {
			c.all = append(c.all[:0], c.all[over+consoleBytes/2:]...)
		}
		if i := strings.Index(line, panicMark); i >= 0 && c.panic == "" {
			c.panic = line[i:]
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.all)
}

func (c *console) panicLine() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.panic
}

func (c *console) tail() string {
	lines := strings.Split(strings.TrimRight(c.text(), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-consoleLines):], "\n")
}
