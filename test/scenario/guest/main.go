//go:build linux

// Command guest is the program of package scenario in the emulated machine: it starts tierload and the mover, and prints
// what happens as JSON lines.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/test/scenario"
)

const (
	loadStart = "/tmp/load.start"

	balancing = "/proc/sys/kernel/numa_balancing"
	rateLimit = "/proc/sys/kernel/numa_balancing_promote_rate_limit_MBps"
	demotion  = "/sys/kernel/mm/numa/demotion_enabled"
	kdamonds  = "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds"

	// The kernel as a mover promotes at most this, in MB/s.
	kernelRate = "200"

	touchLimit = 3 * time.Minute
	stopLimit  = 20 * time.Second
	placeLimit = time.Minute
	// userHz is the unit of CPU times in /proc: USER_HZ, 100 on every architecture that matters here.
	userHz = 100
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "scenario: %v\n", err)
		os.Exit(1)
	}
}

// runner is one run.
type runner struct {
	spec  scenario.Spec
	host  *hostfs.FS
	out   *json.Encoder
	load  *child
	tierd *child

	neighbour *child
	beside    atomic.Pointer[load.Sample] // the neighbour's last
	client    *control.Client
	base      scenario.Counters
	zero      time.Time // when the mover is or will be started
	programs  map[ebpf.ProgramID]bool
}

func run() error {
	r := &runner{host: hostfs.New("/"), out: json.NewEncoder(os.Stdout), client: control.NewClient(scenario.SocketPath)}
	defer r.client.Close()
	data, err := os.ReadFile(scenario.SpecPath)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, &r.spec); err != nil {
		return fmt.Errorf("%s: %w", scenario.SpecPath, err)
	}
	// Debian starts hosts of several nodes with balancing on.
	if err := errors.Join(write(balancing, "0"), writeIfThere(demotion, "0")); err != nil {
		return err
	}
	r.programs = bpfPrograms()
	lines, err := r.startLoads()
	defer r.load.kill()
	defer func() { r.neighbour.kill() }()
	if err != nil {
		return err
	}

	// With no delay the mover is first, so that its own start is part of what is measured.
	if r.spec.MoverDelay == 0 {
		err = r.startMover()
		defer func() { r.tierd.kill() }()
		if err == nil && r.spec.InPlace {
			err = r.inPlace()
		}
	} else {
		r.zero = time.Now().Add(r.spec.MoverDelay)
	}
	if err == nil {
		err = os.WriteFile(loadStart, nil, 0o644)
	}
	if err != nil {
		return err
	}
	var delay <-chan time.Time
	if r.spec.MoverDelay > 0 {
		delay = time.After(time.Until(r.zero))
	}
	end := time.After(time.Until(r.zero.Add(r.spec.Duration)))
	for {
		select {
		case <-delay:
			delay = nil
			if err := r.startMover(); err != nil {
				return err
			}
			defer r.tierd.kill()
		case l, ok := <-lines:
			if !ok {
				return fmt.Errorf("tierload ended early: %w", r.load.wait())
			}
			enough, err := r.line(l)
			if err != nil {
				return err
			}
			if enough {
				return r.finish(lines)
			}
		case <-r.tierd.ended():
			return fmt.Errorf("tierd ended early: %w", r.tierd.wait())
		case <-end:
			return r.finish(lines)
		}
	}
}

// finish stops tierd, then tierload, and prints the last lines.
func (r *runner) finish(lines <-chan line) error {
	end := r.stopTierd()
	_ = r.load.cmd.Process.Signal(unix.SIGTERM)
	limit := time.After(stopLimit)
	for summary := false; !summary; {
		select {
		case l, ok := <-lines:
			if !ok {
				return fmt.Errorf("tierload wrote no summary: %w", r.load.wait())
			}
			var head struct{ Type string }
			if err := json.Unmarshal(l.data, &head); err != nil {
				return fmt.Errorf("tierload: line %.80q: %w", l.data, err)
			}
			if head.Type != "summary" {
				continue // later than what was asked for
			}
			s := new(load.Summary)
			if err := json.Unmarshal(l.data, s); err != nil {
				return fmt.Errorf("tierload: summary: %w", err)
			}
			if err := r.out.Encode(scenario.Line{Summary: s}); err != nil {
				return err
			}
			summary = true
		case <-limit:
			return errors.New("tierload does not stop")
		}
	}
	return r.out.Encode(scenario.Line{End: end})
}

// line is one of tierload's, and when it came.
type line struct {
	data []byte
	at   time.Time
}

// startLoads starts tierload, and its neighbour if there is one, and returns when they have touched their memory. The
// channel is closed when the first one's output ends.
func (r *runner) startLoads() (<-chan line, error) {
	capacity := r.spec.Capacity
	if capacity == "" {
		var err error
		if capacity, err = r.freeCapacity(); err != nil {
			return nil, err
		}
	}
	var lines <-chan line
	var err error
	if r.load, lines, err = startLoad(scenario.LoadPath, capacity, r.spec.Load); err != nil {
		return nil, err
	}
	if len(r.spec.Neighbour) > 0 {
		path := filepath.Join("/tmp", scenario.NeighbourName)
		if err := os.Symlink(scenario.LoadPath, path); err != nil {
			return nil, err
		}
		var more <-chan line
		if r.neighbour, more, err = startLoad(path, capacity, r.spec.Neighbour); err != nil {
			return nil, err
		}
		go r.listen(more)
	}
	l := scenario.Line{}
	for item := range strings.SplitSeq(capacity, ",") {
		var c load.Capacity
		node, bytes, _ := strings.Cut(item, "=")
		if c.Node, err = strconv.Atoi(node); err == nil {
			c.Bytes, err = load.ParseBytes(bytes)
		}
		if err != nil {
			return nil, fmt.Errorf("capacity %q: %w", item, err)
		}
		l.Capacity = append(l.Capacity, c)
	}
	return lines, r.out.Encode(l)
}

// startLoad starts one tierload from a path and returns when it has touched its memory.
func startLoad(path, capacity string, more []string) (*child, <-chan line, error) {
	ready := path + ".ready"
	args := append([]string{"--ready-file", ready, "--start-file", loadStart, "--capacity", capacity,
		"--interval", scenario.Interval.String()}, more...)
	cmd := exec.Command(path, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	c, err := start(cmd, out)
	if err != nil {
		return nil, nil, err
	}
	lines := make(chan line, 16)
	go func() {
		defer close(lines)
		defer close(c.drained)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			lines <- line{append([]byte(nil), s.Bytes()...), time.Now()}
		}
	}()
	limit := time.After(touchLimit)
	for {
		if _, err := os.Stat(ready); err == nil {
			return c, lines, nil
		}
		select {
		case <-c.ended():
			return nil, nil, fmt.Errorf("tierload ended while it touched its memory: %w", c.wait())
		case <-limit:
			c.kill()
			return nil, nil, fmt.Errorf("tierload has not touched its memory after %v", touchLimit)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// listen keeps the neighbour's last sample.
func (r *runner) listen(lines <-chan line) {
	for l := range lines {
		s := new(load.Sample)
		if err := json.Unmarshal(l.data, s); err == nil && s.Type == "sample" {
			r.beside.Store(s)
		}
	}
}

// freeCapacity is what the nodes of the default machine have free, in whole MiB, fastest first. The slowest one has room for all.
func (r *runner) freeCapacity() (string, error) {
	var list []string
	for _, node := range []int{1, 0, 2} {
		info, err := r.host.NodeMeminfo(node)
		if err != nil {
			return "", fmt.Errorf("capacity: %w", err)
		}
		list = append(list, fmt.Sprintf("%d=%dMiB", node, info["MemFree"]>>20))
	}
	return strings.Join(list, ","), nil
}

// startMover starts what moves, and time. The kernel's counters count from here.
func (r *runner) startMover() error {
	var err error
	if err := r.begin(); err != nil {
		return err
	}
	switch r.spec.Mover {
	case scenario.Kernel:
		return errors.Join(write(demotion, "1"), write(rateLimit, kernelRate), write(balancing, "2"))
	case scenario.Tierd:
		if err := write(balancing, strconv.Itoa(r.spec.Balancing)); err != nil {
			return err
		}
		cmd := exec.Command(scenario.TierdPath, "run", "--config", scenario.ConfigPath)
		cmd.Stdout = os.Stderr
		r.tierd, err = start(cmd, nil)
	}
	return err
}

// begin lets the time and the counters begin.
func (r *runner) begin() (err error) {
	r.base, err = r.counters()
	r.zero = time.Now()
	return err
}

// inPlace waits until the mover is in place, and lets the time begin then.
func (r *runner) inPlace() error {
	for limit := time.Now().Add(placeLimit); r.spec.Mover == scenario.Tierd; time.Sleep(200 * time.Millisecond) {
		t, err := r.askTierd()
		if err != nil {
			return err
		}
		if t.Status != nil && t.Status.Sampler.SamplesTotal > t.Status.Sampler.Regions && t.Status.Sampler.Regions > 0 {
			break
		}
		if time.Now().After(limit) {
			return errors.New("tierd does not see the memory")
		}
	}
	return r.begin()
}

// line prints one of tierload's lines with what else there is to say, and tells whether it is good enough to end the run.
func (r *runner) line(l line) (enough bool, err error) {
	s := &scenario.Sample{T: math.Round(l.at.Sub(r.zero).Seconds()*1000) / 1000}
	if err := json.Unmarshal(l.data, &s.Load); err != nil {
		return false, fmt.Errorf("tierload: line %.80q: %w", l.data, err)
	}
	s.Neighbour = r.beside.Load()
	if s.Load.Type != "sample" {
		return false, errors.New("tierload: summary before the end")
	}
	if s.T >= 0 {
		now, err := r.counters()
		if err != nil {
			return false, err
		}
		s.Kernel = minus(now, r.base)
	}
	if r.tierd != nil {
		t, err := r.askTierd()
		if err != nil {
			return false, err
		}
		s.Tierd = t
		if t.Status != nil {
			s.MovedBytes = int64(t.Status.Migrate.MovedBytesTotal)
		}
	} else {
		s.MovedBytes = s.Kernel.Promoted + s.Kernel.Demoted
	}
	enough = r.spec.Enough > 0 && s.Load.Fast != nil && *s.Load.Fast >= r.spec.Enough
	return enough, r.out.Encode(scenario.Line{Sample: s})
}

// askTierd reads what tierd costs from the kernel, and the rest from tierd.
func (r *runner) askTierd() (*scenario.TierdSample, error) {
	var t scenario.TierdSample
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.tierd.cmd.Process.Pid))
	if err != nil {
		return nil, fmt.Errorf("tierd: %w", err)
	}
	// The name, in brackets, may contain anything; behind it user and system time are words 12 and 13 (proc(5): 14, 15).
	words := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(words) < 22 {
		return nil, fmt.Errorf("tierd: stat %q", b)
	}
	user, err1 := strconv.ParseUint(words[11], 10, 64)
	system, err2 := strconv.ParseUint(words[12], 10, 64)
	rss, err3 := strconv.ParseInt(words[21], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, fmt.Errorf("tierd: stat: %w", err)
	}
	t.CPUSeconds, t.RSSBytes = float64(user+system)/userHz, rss*int64(os.Getpagesize())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// That it does not answer yet is no error.
	if s, err := r.client.Status(ctx); err == nil {
		t.Status = s
	}
	return &t, nil
}

// stopTierd ends tierd and looks for what it left.
func (r *runner) stopTierd() *scenario.End {
	end := &scenario.End{}
	if r.tierd == nil {
		return end
	}
	begin := time.Now()
	_ = r.tierd.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-r.tierd.ended():
	case <-time.After(stopLimit):
		end.Residue = append(end.Residue, fmt.Sprintf("tierd does not stop within %v", stopLimit))
		r.tierd.kill()
	}
	_ = r.tierd.wait()
	end.StopSeconds = time.Since(begin).Seconds()
	state := r.tierd.cmd.ProcessState
	end.ExitCode = state.ExitCode()
	end.CPUSeconds = (state.UserTime() + state.SystemTime()).Seconds()
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		end.MaxRSS = u.Maxrss << 10
	}
	end.Residue = append(end.Residue, r.residue()...)
	return end
}

// residue names processes, sockets, BPF programs and settings that tierd left behind.
func (r *runner) residue() (left []string) {
	if _, err := os.Lstat(scenario.SocketPath); !errors.Is(err, fs.ErrNotExist) {
		left = append(left, "socket "+scenario.SocketPath)
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if comm, err := os.ReadFile("/proc/" + e.Name() + "/comm"); err == nil && string(comm) == "tierd\n" {
			left = append(left, "process "+e.Name())
		}
	}
	for path, want := range map[string]string{balancing: strconv.Itoa(r.spec.Balancing), demotion: "0", kdamonds: "0"} {
		b, err := os.ReadFile(path)
		got := strings.TrimSpace(string(b))
		if err == nil && got != want && !(path == demotion && got == "false") {
			left = append(left, fmt.Sprintf("%s is %s", path, got))
		}
	}
	// The kernel frees programs some time after their last user is gone.
	var programs []string
	for range 20 {
		programs = programs[:0]
		for id := range bpfPrograms() {
			if !r.programs[id] {
				programs = append(programs, fmt.Sprintf("BPF program %d", id))
			}
		}
		if len(programs) == 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	return append(left, programs...)
}

func bpfPrograms() map[ebpf.ProgramID]bool {
	ids := map[ebpf.ProgramID]bool{}
	for id, err := ebpf.ProgramGetNextID(0); err == nil; id, err = ebpf.ProgramGetNextID(id) {
		ids[id] = true
	}
	return ids
}

// counters reads the guest's counters since boot.
func (r *runner) counters() (c scenario.Counters, err error) {
	v, err := r.host.Vmstat()
	if err != nil {
		return c, err
	}
	page := int64(os.Getpagesize())
	c.Promoted = int64(v["pgpromote_success"]) * page
	for name, n := range v {
		if strings.HasPrefix(name, "pgdemote_") {
			c.Demoted += int64(n) * page
		}
	}
	c.Balanced = int64(v["numa_pages_migrated"]) * page
	c.Migrated = int64(v["pgmigrate_success"]) * page
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return c, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	// cpu user nice system idle iowait irq softirq steal …
	for i, word := range strings.Fields(first) {
		n, _ := strconv.ParseFloat(word, 64)
		switch i {
		case 1, 2, 3, 6, 7:
			c.Busy += n / userHz
		case 8:
			c.Stolen = n / userHz
		}
	}
	return c, nil
}

func minus(a, b scenario.Counters) scenario.Counters {
	return scenario.Counters{
		Promoted: a.Promoted - b.Promoted, Demoted: a.Demoted - b.Demoted,
		Balanced: a.Balanced - b.Balanced, Migrated: a.Migrated - b.Migrated,
		Busy: math.Round((a.Busy-b.Busy)*100) / 100, Stolen: math.Round((a.Stolen-b.Stolen)*100) / 100,
	}
}

// child is a process that was started and is waited for.
type child struct {
	cmd     *exec.Cmd
	drained chan struct{} // closed when nobody reads its output any more
	done    chan struct{}
	err     error
}

// start starts cmd; a reader of its output, if there is one, must close drained.
func start(cmd *exec.Cmd, out io.Reader) (*child, error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, drained: make(chan struct{}), done: make(chan struct{})}
	if out == nil {
		close(c.drained)
	}
	go func() {
		<-c.drained
		c.err = cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// ended is closed at the end of the process; of no process it never is.
func (c *child) ended() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.done
}

// wait returns why the process ended.
func (c *child) wait() error {
	<-c.done
	if c.err == nil {
		return errors.New("exit code 0")
	}
	return c.err
}

func (c *child) kill() {
	if c == nil {
		return
	}
	select {
	case <-c.done:
		return
	default:
	}
	_ = c.cmd.Process.Kill()
	select {
	case <-c.done:
	case <-time.After(time.Second): // its output waits for a reader who has gone
	}
}

func writeIfThere(path, text string) error {
	if err := write(path, text); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// write sets a kernel's switch by plain system calls: Go's poller may wait for ever on these files.
func write(path, text string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte(text)); err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return nil
}
