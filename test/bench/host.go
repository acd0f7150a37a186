//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

const (
	rounds      = 9
	probeTime   = 5 * time.Second
	probeRounds = 5
	watchTime   = 20 * time.Second
	queryPages  = 16384
	victimName  = "bench-victim"

	pageSize = 4096
	pmPageIn = 1 << 63 // Documentation/admin-guide/mm/pagemap.rst
)

// hostTable is table e: what looking at a process costs on this host, without emulation.
func (b *bench) hostTable(ctx context.Context) (table, error) {
	if os.Geteuid() != 0 {
		return table{}, fmt.Errorf("%w: reading another process's page tables needs root", errSkip)
	}
	host := hostfs.New("")
	size := uint64(b.size) / policy.RegionSize * policy.RegionSize
	info, err := host.Meminfo()
	if err != nil {
		return table{}, err
	}
	if info["MemAvailable"] < size+1<<30 {
		return table{}, fmt.Errorf("%w: %s needed and 1 GiB to spare, %s available", errSkip, mib(float64(size)), mib(float64(info["MemAvailable"])))
	}
	source, err := openSource(host)
	if err != nil {
		return table{}, err
	}
	defer source.Close()
	b.progress("e: a process of %s touches its memory", mib(float64(size)))
	v, err := startVictim(ctx, size)
	if err != nil {
		return table{}, err
	}
	defer v.stop()
	space, err := source.Attach(v.pid(), v.pidfd)
	if err != nil {
		return table{}, err
	}
	defer space.Close()

	t := table{id: "e", title: fmt.Sprintf("a process of %s in pages of 4 KiB, on the host", mib(float64(size))), columns: []string{"measured"}}
	for _, step := range []func() ([]row, error){
		func() ([]row, error) { return b.ways(v, space) },
		func() ([]row, error) { return b.stalls(ctx, v, space) },
		func() ([]row, error) { return b.tracked(ctx, v) },
	} {
		rows, err := step()
		if err != nil {
			return table{}, err
		}
		t.rows = append(t.rows, rows...)
	}
	release := "unknown"
	if r, err := host.KernelRelease(); err == nil {
		release = r.Text
	}
	t.notes = []string{fmt.Sprintf("Kernel %s, %s. Times are medians of %d alternating rounds over the whole process.", release, source.Format().Name, rounds)}
	return t, nil
}

// openSource opens the page tables of this host.
func openSource(host *hostfs.FS) (*pagetable.Source, error) {
	m, err := topology.Discover(host, topology.Overrides{})
	if err != nil {
		return nil, err
	}
	slots := map[int]policy.Slot{}
	var ranges []pagetable.PhysRange
	for _, s := range m.PFNSpans() {
		slot, ok := slots[s.Node]
		if !ok {
			if len(slots) == policy.MaxSlots {
				continue
			}
			slot = policy.Slot(len(slots))
			slots[s.Node] = slot
		}
		ranges = append(ranges, pagetable.PhysRange{Start: s.Start * m.PageSize, End: s.End * m.PageSize, Slot: slot})
	}
	return pagetable.Open(ranges)
}

// ways compares three ways to learn of every page whether it is there; the walk also tells its node and whether it is young.
func (b *bench) ways(v *victimProcess, space *pagetable.Space) ([]row, error) {
	pagemap, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", v.pid()))
	if err != nil {
		return nil, err
	}
	defer pagemap.Close()
	addrs := v.blocks()
	pages := int(v.size / pageSize)
	buffer := make([]byte, 1<<20)
	ask, answer := make([]uintptr, queryPages), make([]int32, queryPages)

	ways := []struct {
		name  string
		count func() (int, error)
		took  []float64
	}{
		{name: "walk and count", count: func() (int, error) {
			n := 0
			var young, nodes [policy.MaxSlots]int
			_, err := space.Walk(addrs, func(_ int, b *pagetable.Block) {
				n += int(b.PresentPages)
				young[0] += int(b.YoungPages)
				for i, c := range b.Count {
					nodes[i] += int(c)
				}
			})
			return n, err
		}},
		{name: "read and count pagemap", count: func() (int, error) {
			n, at, end := 0, int64(v.start/pageSize*8), int64((v.start+v.size)/pageSize*8)
			for at < end {
				got, err := pagemap.ReadAt(buffer[:min(int64(len(buffer)), end-at)], at)
				if got == 0 {
					return n, err
				}
				for i := 0; i+8 <= got; i += 8 {
					if binary.NativeEndian.Uint64(buffer[i:])&pmPageIn != 0 {
						n++
					}
				}
				at += int64(got)
			}
			return n, nil
		}},
		{name: "move_pages(nodes=NULL)", count: func() (int, error) {
			n := 0
			for first := 0; first < pages; first += queryPages {
				m := min(queryPages, pages-first)
				for i := range m {
					ask[i] = uintptr(v.start) + uintptr(first+i)*pageSize
				}
				_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, uintptr(v.pid()), uintptr(m), uintptr(unsafe.Pointer(&ask[0])), 0, uintptr(unsafe.Pointer(&answer[0])), 0)
				if errno != 0 {
					return n, fmt.Errorf("move_pages: %w", errno)
				}
				for _, node := range answer[:m] {
					if node >= 0 {
						n++
					}
				}
			}
			return n, nil
		}},
	}
	for round := range rounds + 1 {
		for i := range ways {
			w := &ways[i]
			begin := time.Now()
			n, err := w.count()
			took := time.Since(begin)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			// All pages were touched; a few may be on their way to another place.
			if n > pages || n < pages-pages/1000 {
				return nil, fmt.Errorf("%s: %d pages counted of %d", w.name, n, pages)
			}
			if round > 0 { // the first one warms up
				w.took = append(w.took, took.Seconds())
			}
		}
	}
	walk, pm, query := median(ways[0].took), median(ways[1].took), median(ways[2].took)
	b.progress("e: walk %s, pagemap %s, move_pages %s", millis(walk), millis(pm), millis(query))
	return []row{
		{name: ways[0].name, values: []float64{walk}, show: millis},
		{name: ways[1].name, values: []float64{pm}, show: millis},
		{name: ways[2].name + fmt.Sprintf(" in batches of %d", queryPages), values: []float64{query}, show: millis},
		{name: "walk faster than pagemap", values: []float64{pm / walk}, show: times, want: atLeast(4)},
		{name: "walk faster than move_pages", values: []float64{query / walk}, show: times, want: atLeast(10)},
	}, nil
}

// stalls measures how long a thread of the process waits for its address space, with and without somebody who samples
// it without a pause.
func (b *bench) stalls(ctx context.Context, v *victimProcess, space *pagetable.Space) ([]row, error) {
	addrs := v.blocks()
	ranges := make([]pagetable.Range, len(addrs))
	for i, a := range addrs {
		ranges[i] = pagetable.Range{Start: a, End: a + policy.RegionSize}
	}
	// sampled probes while this goroutine clears and walks.
	sampled := func(realtime bool) (probed, int, error) {
		type answer struct {
			p   probed
			err error
		}
		done := make(chan answer, 1)
		go func() {
			p, err := v.probe(probeTime, realtime)
			done <- answer{p, err}
		}()
		for turns := 0; ; turns++ {
			select {
			case a := <-done:
				return a.p, turns, a.err
			case <-ctx.Done():
				v.kill()
				<-done
				return probed{}, turns, ctx.Err()
			default:
			}
			_, err := space.Clear(ranges)
			if err == nil {
				_, err = space.Walk(addrs, func(int, *pagetable.Block) {})
			}
			if err != nil {
				v.kill()
				<-done
				return probed{}, turns, fmt.Errorf("sampling: %w", err)
			}
		}
	}
	var rows []row
	for _, realtime := range []bool{false, true} {
		kind := "an ordinary thread"
		if realtime {
			kind = "a real-time thread"
		}
		var alone, with probes
		for range probeRounds {
			p, err := v.probe(probeTime, realtime)
			if err != nil {
				return nil, err
			}
			alone = append(alone, p)
			p, turns, err := sampled(realtime)
			if err != nil {
				return nil, err
			}
			with = append(with, p)
			b.progress("e: mmap+munmap of %s: alone %+v, with %d rounds of sampling %+v", kind, alone[len(alone)-1], turns, p)
		}
		add := func(name string, want *limit, of func(probes) float64) {
			rows = append(rows,
				row{name: name + ", continuous sampling", values: []float64{of(with)}, show: millis, want: want},
				row{name: "the same, no sampling", values: []float64{of(alone)}, show: millis})
		}
		add(fmt.Sprintf("longest mmap+munmap of %s in %.0f s", kind, probeTime.Seconds()), atMost(0.002), probes.longest)
		add(fmt.Sprintf("longest of all in %d times %.0f s", probeRounds, probeTime.Seconds()), nil, probes.worst)
		add("99.9 % of them", nil, probes.p999)
	}
	return rows, nil
}

// tracked measures tierd's own memory while it observes the process.
func (b *bench) tracked(ctx context.Context, v *victimProcess) ([]row, error) {
	dir, err := os.MkdirTemp("", "bench-tierd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	socket, file := filepath.Join(dir, "tierd.sock"), filepath.Join(dir, "tierd.toml")
	text := fmt.Sprintf("mode = \"observe\"\n[workload.victim]\ncomm = [%q]\n[metrics]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = %q\n", victimName, socket)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.programs.Tierd, "run", "--config", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = &stderr, &stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	b.progress("e: tierd observes for %v", watchTime)
	select {
	case err := <-ended:
		return nil, fmt.Errorf("tierd ended early: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	case <-time.After(watchTime):
	}
	rss, errRSS := vmRSS(cmd.Process.Pid)
	client := control.NewClient(socket)
	defer client.Close()
	s, errStatus := client.Status(ctx)
	_ = cmd.Process.Signal(unix.SIGTERM)
	err = <-ended
	if err := errors.Join(errRSS, errStatus, err); err != nil {
		return nil, fmt.Errorf("tierd: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	regions := uint64(v.size / policy.RegionSize)
	if s.Sampler.Regions < regions {
		return nil, fmt.Errorf("tierd tracks %d regions, want at least %d", s.Sampler.Regions, regions)
	}
	gib := float64(v.size) / (1 << 30)
	return []row{
		{name: fmt.Sprintf("resident memory of tierd after %.0f s", watchTime.Seconds()), values: []float64{rss}, show: mib, want: atMost(48<<20 + gib*(32<<10))},
		{name: "CPU of its sampling, as tierd says, of one core", values: []float64{s.Sampler.CPUSecondsTotal / s.UptimeSeconds}, show: percent},
	}, nil
}

// vmRSS is the resident memory of a process in bytes.
func vmRSS(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
			return kib * 1024, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmRSS", pid)
}

// victimArg, as the first argument, makes this program the process that is looked at.
const victimArg = "victim"

// victimProcess is a child with memory that is all touched.
type victimProcess struct {
	cmd         *exec.Cmd
	pidfd       int
	in          io.WriteCloser
	out         *bufio.Scanner
	start, size uint64
}

func startVictim(ctx context.Context, size uint64) (*victimProcess, error) {
	return startProcess(ctx, victimArg, size)
}

// startProcess starts this program as what it is to be.
func startProcess(ctx context.Context, arg string, size uint64) (*victimProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	v := &victimProcess{cmd: exec.CommandContext(ctx, self, arg, strconv.FormatUint(size, 10)), size: size, pidfd: -1}
	v.cmd.Stderr = os.Stderr
	v.cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if v.in, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.out = bufio.NewScanner(out)
	if err := v.cmd.Start(); err != nil {
		return nil, err
	}
	if v.pidfd, err = unix.PidfdOpen(v.pid(), 0); err == nil {
		err = v.answer("%d", &v.start)
	}
	if err != nil {
		v.stop()
		return nil, err
	}
	return v, nil
}

func (v *victimProcess) pid() int { return v.cmd.Process.Pid }

func (v *victimProcess) kill() { _ = v.cmd.Process.Kill() }

func (v *victimProcess) stop() {
	v.in.Close()
	v.kill()
	_ = v.cmd.Wait()
	if v.pidfd >= 0 {
		unix.Close(v.pidfd)
	}
}

// blocks are the addresses of the memory in steps of a region.
func (v *victimProcess) blocks() []uint64 {
	addrs := make([]uint64, 0, v.size/policy.RegionSize)
	for a := v.start; a < v.start+v.size; a += policy.RegionSize {
		addrs = append(addrs, a)
	}
	return addrs
}

func (v *victimProcess) answer(format string, args ...any) error {
	if !v.out.Scan() {
		return errors.Join(errors.New("the process that is looked at has ended"), v.out.Err())
	}
	if _, err := fmt.Sscanf(v.out.Text(), format, args...); err != nil {
		return fmt.Errorf("the process that is looked at says %q", v.out.Text())
	}
	return nil
}

// probed is what a thread saw that maps, touches and unmaps a page again and again, in seconds.
type probed struct {
	Count     int
	P999, Max float64
}

func (v *victimProcess) probe(d time.Duration, realtime bool) (p probed, err error) {
	if _, err := fmt.Fprintln(v.in, int64(d), realtime); err != nil {
		return p, err
	}
	return p, v.answer("%d %g %g", &p.Count, &p.P999, &p.Max)
}

// probes are those of several rounds; a figure of theirs is the rounds' median, because a host that takes its processors
// away for some milliseconds does so in one round or another.
type probes []probed

func (ps probes) median(of func(probed) float64) float64 {
	values := make([]float64, 0, len(ps))
	for _, p := range ps {
		values = append(values, of(p))
	}
	return median(values)
}

func (ps probes) longest() float64 { return ps.median(func(p probed) float64 { return p.Max }) }

func (ps probes) p999() float64 { return ps.median(func(p probed) float64 { return p.P999 }) }

func (ps probes) worst() (most float64) {
	for _, p := range ps {
		most = max(most, p.Max)
	}
	return most
}

// summary of times in nanoseconds.
func summary(times []int64) probed {
	if len(times) == 0 {
		return probed{P999: math.NaN(), Max: math.NaN()}
	}
	slices.Sort(times)
	n := len(times)
	return probed{n, float64(times[min(n-1, n*999/1000)]) / 1e9, float64(times[n-1]) / 1e9}
}
