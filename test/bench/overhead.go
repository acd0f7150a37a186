//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/damon"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
)

const (
	chaseTime   = time.Second
	chaseRounds = 31
	// settleTime is how long tierd samples before it counts as settled.
	settleTime = 75 * time.Second

	balancingFile = "/proc/sys/kernel/numa_balancing"
)

// overhead is table g: what each source costs the process that it looks at, on this host.
func (b *bench) overhead(ctx context.Context) (table, error) {
	if os.Geteuid() != 0 {
		return table{}, fmt.Errorf("%w: looking at another process needs root", errSkip)
	}
	size := uint64(b.size) / 4 / policy.RegionSize * policy.RegionSize
	v, err := startProcess(ctx, chaserArg, size)
	if err != nil {
		return table{}, err
	}
	defer v.stop()
	t := table{id: "g", title: fmt.Sprintf("what looking costs a process that follows pointers through %s", mib(float64(size))), columns: []string{"measured"}}
	noise, err := b.slowdown(ctx, v, "nothing", func() error { return nil }, func() error { return nil })
	if err != nil {
		return table{}, err
	}
	t.rows = append(t.rows, row{name: "slower with nothing: the noise of this host", values: []float64{noise}, show: perMille})
	for _, step := range []func(context.Context, *victimProcess) ([]row, error){b.costOfPageTable, b.costOfHintFaults, b.costOfDAMON} {
		rows, err := step(ctx, v)
		if errors.Is(err, errSkip) {
			t.notes = append(t.notes, err.Error()+".")
			continue
		}
		if err != nil {
			return table{}, err
		}
		t.rows = append(t.rows, rows...)
	}
	release := "unknown"
	if r, err := hostfs.New("").KernelRelease(); err == nil {
		release = r.Text
	}
	t.notes = append(t.notes, fmt.Sprintf("Kernel %s. A slowdown is the median of %d pairs of rounds of %v, with the source and without, in turns first.", release, chaseRounds, chaseTime))
	return t, nil
}

func perMille(v float64) string { return fmt.Sprintf("%.2f %%", v*100) }

func nanos(v float64) string { return fmt.Sprintf("%.0f ns", v) }

// costOfPageTable lets tierd observe the process with its default budget, and stops it in turns.
func (b *bench) costOfPageTable(ctx context.Context, v *victimProcess) ([]row, error) {
	dir, err := os.MkdirTemp("", "bench-tierd-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	socket, file := filepath.Join(dir, "tierd.sock"), filepath.Join(dir, "tierd.toml")
	text := fmt.Sprintf("[workload.victim]\ncomm = [%q]\n[metrics]\nlisten = \"127.0.0.1:0\"\n[control]\nsocket = %q\n", victimName, socket)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, b.programs.Tierd, "run", "--config", file)
	cmd.Stdout, cmd.Stderr = &stderr, &stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	b.progress("g: tierd observes for %v", settleTime)
	if _, err := v.chase(settleTime); err != nil {
		return nil, err
	}
	client := control.NewClient(socket)
	defer client.Close()
	before, err := client.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("tierd: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	if _, err := v.chase(10 * time.Second); err != nil {
		return nil, err
	}
	after, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	slower, err := b.slowdown(ctx, v, "page-table",
		func() error { return cmd.Process.Signal(unix.SIGCONT) }, func() error { return cmd.Process.Signal(unix.SIGSTOP) })
	if err != nil {
		return nil, err
	}
	spent := after.Sampler.CPUSecondsTotal - before.Sampler.CPUSecondsTotal
	samples := float64(after.Sampler.SamplesTotal - before.Sampler.SamplesTotal)
	return []row{
		{name: "page-table: a region of 2 MiB cleared and read, with all that follows", values: []float64{spent / samples * 1e9}, show: nanos},
		{name: "page-table: CPU once settled, of one core", values: []float64{spent / (after.UptimeSeconds - before.UptimeSeconds)}, show: perMille, want: atMost(0.03)},
		{name: "page-table: the process is slower by", values: []float64{slower}, show: perMille, want: atMost(0.01)},
	}, nil
}

// costOfHintFaults lets the kernel make hint faults all the time, and hears them in turns.
func (b *bench) costOfHintFaults(ctx context.Context, v *victimProcess) ([]row, error) {
	was, err := os.ReadFile(balancingFile)
	if err == nil {
		err = os.WriteFile(balancingFile, []byte("1"), 0)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: hint-fault: %w", errSkip, err)
	}
	defer func() { _ = os.WriteFile(balancingFile, bytes.TrimSpace(was), 0) }()
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, err
	}
	defer stats.Close()
	var source *hintfault.Source
	var runs, took, faults uint64
	all := false
	off := func() error {
		if source == nil {
			return nil
		}
		if _, err := source.Drain(); err != nil {
			return err
		}
		faults += source.Stats().Faults
		all = source.All()
		n, ns, err := programStats("checked", "prepared", "touched")
		runs, took = runs+n, took+ns
		source.Close()
		source = nil
		return err
	}
	on := func() (err error) {
		if source, err = hintfault.Open(); err != nil {
			source = nil
			return err
		}
		_, err = source.Watch(v.pid())
		return err
	}
	slower, err := b.slowdown(ctx, v, "hint-fault", on, off)
	var u *hintfault.Unavailable
	if errors.As(err, &u) {
		return nil, fmt.Errorf("%w: %w", errSkip, err)
	}
	if err != nil {
		return nil, errors.Join(err, off())
	}
	if faults < 1000 {
		return nil, fmt.Errorf("%w: hint-fault: only %d hint faults in %v", errSkip, faults, chaseRounds*chaseTime)
	}
	which := "hint fault"
	if all {
		which = "page fault, as functions cannot be hooked on this host"
	}
	return []row{
		{name: fmt.Sprintf("hint-fault: the program, of each %s (%d)", which, faults), values: []float64{float64(took) / float64(runs)}, show: nanos, want: atMost(500)},
		{name: "hint-fault: CPU of the program, of one core", values: []float64{float64(took) / float64(chaseRounds*chaseTime)}, show: perMille},
		{name: "hint-fault: the process is slower by, beside what the faults cost", values: []float64{slower}, show: perMille, want: atMost(0.02)},
	}, nil
}

// programStats sums up how often, and for how many nanoseconds, loaded programs of a name that begins with one of these ran.
func programStats(names ...string) (runs, nanos uint64, err error) {
	for id := ebpf.ProgramID(0); ; {
		if id, err = ebpf.ProgramGetNextID(id); errors.Is(err, os.ErrNotExist) {
			return runs, nanos, nil
		} else if err != nil {
			return 0, 0, err
		}
		p, err := ebpf.NewProgramFromID(id)
		if err != nil {
			continue // it went away meanwhile
		}
		info, err := p.Info()
		if err == nil {
			for _, name := range names {
				if strings.HasPrefix(info.Name, name) {
					if s, err := p.Stats(); err == nil {
						runs, nanos = runs+s.RunCount, nanos+uint64(s.Runtime)
					}
					break
				}
			}
		}
		p.Close()
	}
}

// costOfDAMON lets DAMON monitor the process in turns.
func (b *bench) costOfDAMON(ctx context.Context, v *victimProcess) ([]row, error) {
	host := hostfs.New("")
	dir, err := os.MkdirTemp("", "bench-damon-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	s := damon.Settings{Targets: []damon.Target{{PID: v.pid()}}, Sample: 20 * time.Millisecond, Aggregate: 400 * time.Millisecond}
	for _, a := range v.blocks() {
		s.Targets[0].Regions = append(s.Targets[0].Regions, pagetable.Range{Start: a, End: a + policy.RegionSize})
	}
	if n := len(s.Targets[0].Regions); n > damon.MaxRegions {
		s.Targets[0].Regions = s.Targets[0].Regions[:damon.MaxRegions]
	}
	var m *damon.Monitor
	var ticks, regions uint64
	off := func() error {
		if m == nil {
			return nil
		}
		if st, err := host.Stat(m.Worker()); err == nil {
			ticks += st.Ticks
		}
		err := m.Drain(func(_ int, heard []sampler.Heard) { regions += uint64(len(heard)) })
		err = errors.Join(err, m.Close())
		m = nil
		return err
	}
	on := func() (err error) {
		m, err = damon.Start(host, s, filepath.Join(dir, "note"))
		if err != nil {
			m = nil
		}
		return err
	}
	slower, err := b.slowdown(ctx, v, "damon", on, off)
	var u *damon.Unavailable
	if errors.As(err, &u) {
		return nil, fmt.Errorf("%w: %w", errSkip, err)
	}
	if err != nil {
		return nil, errors.Join(err, off())
	}
	looks := float64(len(s.Targets[0].Regions)) * float64(chaseRounds*chaseTime) / float64(s.Sample)
	cpu := float64(ticks) / 100
	return []row{
		{name: "damon: a look at a region, " + strconv.Itoa(len(s.Targets[0].Regions)) + " of them every 20 ms", values: []float64{cpu / looks * 1e9}, show: nanos},
		{name: "damon: CPU of its worker, of one core", values: []float64{cpu / (chaseRounds * chaseTime.Seconds())}, show: perMille},
		{name: "damon: the process is slower by", values: []float64{slower}, show: perMille, want: atMost(0.02)},
	}, nil
}
