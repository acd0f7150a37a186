package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/test/vm"
)

// Mover is what moves memory in a run.
type Mover string

// The movers.
const (
	Tierd Mover = "tierd"
	// Kernel is the kernel's own tiering: numa_balancing=2, demotion on, and promotion limited to 200 MB/s.
	Kernel Mover = "kernel"
	None   Mover = "none"
)

// Interval is the time between samples.
const Interval = time.Second

// Scenario is what to run.
type Scenario struct {
	// Name is for messages only.
	Name string
	// Machine is the host; without nodes it is [vm.ThreeTier]. Its Kernel, LA57 and Timeout do not count.
	Machine vm.Machine
	// Kernel is a version such as "6.1" or a path; empty is the environment's TIERD_VM_KERNEL, or vm.DefaultKernel.
	Kernel string
	// LA57 gives the machine page tables of 5 levels; otherwise they have 4.
	LA57 bool
	// Load is added to tierload's command line (docs/tierload.md). Ready and start file, capacity, interval and
	// duration are the scenario's.
	Load []string
	// Neighbour, if not empty, is the command line of a second one, whose process is called [NeighbourName]. It begins with
	// the first, and its samples come with the first one's.
	Neighbour []string
	// Mover is None if empty.
	Mover Mover
	// MoverDelay is how long the accesses go on before the mover starts. Times of shifts count from the accesses' start, so that
	// with a delay they come that much earlier in a sample's T.
	MoverDelay time.Duration
	// InPlace starts the mover before the accesses, as on a host where it is a service: they begin, and T counts, when
	// tierd has seen the memory, which lies idle until then.
	InPlace bool
	// Balancing is kernel.numa_balancing during the run; with the Kernel as the mover it does not count.
	Balancing int
	// Config is tierd's configuration. [control] socket must be left as it is.
	Config string
	// Duration is how long to sample from the mover's start on.
	Duration time.Duration
	// Enough ends the run early: as soon as HBM and DRAM serve this share of the accesses. Zero: never.
	Enough float64
	// Capacity is what the oracle may fill, fastest node first, as tierload's --capacity takes it. Empty: the nodes of
	// the default machine (1, 0, 2) with what they have free when the load starts.
	Capacity string
	// Timeout bounds the run, the boot included. Zero: what Duration and MoverDelay take, and four minutes.
	Timeout time.Duration
	// Parallel is as in [vm.Machine].
	Parallel bool
	// Programs are built ones; those that are missing are built for the run.
	Programs Programs
	// Log receives what tierd and tierload write to their standard error, line by line.
	Log io.Writer
}

// Programs are paths of static binaries.
type Programs struct {
	Tierd, Load, Guest string
}

// Build builds the programs that p lacks into dir; tierd only where the mover is Tierd. It needs the Go toolchain and a
// working directory in this module.
func (p Programs) Build(ctx context.Context, dir string, movers ...Mover) (Programs, error) {
	const module = "github.com/tierd/tierd/"
	build := func(to *string, name, pkg string) error {
		if *to != "" {
			return nil
		}
		path := filepath.Join(dir, name)
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", path, module+pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w: %s", name, err, bytes.TrimSpace(out))
		}
		*to = path
		return nil
	}
	err := errors.Join(build(&p.Load, "tierload", "cmd/tierload"), build(&p.Guest, "scenario-guest", "test/scenario/guest"))
	for _, m := range movers {
		if m == Tierd && err == nil {
			err = build(&p.Tierd, "tierd", "cmd/tierd")
		}
	}
	return p, err
}

// Paths in the guest.
const (
	guestProgram = "/usr/bin/scenario-guest"
	SpecPath     = "/etc/scenario.json"
	LoadPath     = "/usr/bin/tierload"
	// NeighbourName is the name of a neighbour's process.
	NeighbourName = "neighbour"
	TierdPath     = "/usr/bin/tierd"
	ConfigPath    = "/etc/tierd/tierd.toml"
	SocketPath    = "/run/tierd/tierd.sock"
)

// Spec is what the guest's program is told.
type Spec struct {
	Load, Neighbour      []string
	Mover                Mover
	MoverDelay, Duration time.Duration
	Enough               float64
	Capacity             string
	InPlace              bool
	Balancing            int
}

// Line is what the guest's program prints; one of the fields is set.
type Line struct {
	Capacity []load.Capacity `json:"capacity,omitempty"`
	Sample   *Sample         `json:"sample,omitempty"`
	Summary  *load.Summary   `json:"summary,omitempty"`
	End      *End            `json:"end,omitempty"`
}

// Run boots the machine and runs the scenario in it. onSample, where it is not nil, is told each sample as it comes, from
// one goroutine. With an error comes what there is of the series.
func (s Scenario) Run(ctx context.Context, onSample func(Sample)) (Series, error) {
	series := Series{Name: s.Name, Mover: s.Mover, Waited: -1}
	if s.Mover == "" {
		s.Mover, series.Mover = None, None
	}
	fail := func(err error) (Series, error) {
		if s.Name != "" {
			err = fmt.Errorf("%s: %w", s.Name, err)
		}
		return series, err
	}
	if s.Duration <= 0 {
		return fail(errors.New("scenario without a duration"))
	}
	if s.Mover != Tierd && s.Mover != Kernel && s.Mover != None {
		return fail(fmt.Errorf("mover %q: want tierd, kernel or none", s.Mover))
	}
	dir, err := os.MkdirTemp("", "scenario-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if s.Programs, err = s.Programs.Build(ctx, dir, s.Mover); err != nil {
		return fail(err)
	}
	program, err := s.program(dir)
	if err != nil {
		return fail(err)
	}

	reader := &reader{series: &series, onSample: onSample}
	tail := &tail{next: s.Log}
	program.Stdout, program.Stderr = reader, tail
	result, err := s.machine().Run(ctx, program)
	series.Release, series.Boot = result.Release, result.Boot
	switch {
	case err == nil && reader.err != nil:
		err = reader.err
	case err == nil && result.ExitCode != 0:
		err = fmt.Errorf("guest program: exit code %d: %s", result.ExitCode, tail)
	case err == nil && !reader.ended:
		err = errors.New("guest program: ended without its last line")
	case err == nil && len(series.Samples) == 0:
		err = errors.New("guest program: no samples")
	}
	if err != nil {
		return fail(err)
	}
	return series, nil
}

func (s Scenario) machine() vm.Machine {
	m := s.Machine
	if len(m.Nodes) == 0 {
		m = vm.ThreeTier()
	}
	m.Kernel, m.LA57, m.Timeout, m.Parallel = s.Kernel, s.LA57, s.Timeout, s.Parallel
	if m.Timeout == 0 {
		m.Timeout = s.Duration + s.MoverDelay + 4*time.Minute
	}
	return m
}

// program is the guest's program with everything that it needs; what is not there yet is written to dir.
func (s Scenario) program(dir string) (vm.Program, error) {
	spec, err := json.Marshal(Spec{s.Load, s.Neighbour, s.Mover, s.MoverDelay, s.Duration, s.Enough, s.Capacity, s.InPlace, s.Balancing})
	if err != nil {
		return vm.Program{}, err
	}
	p := vm.Program{Args: []string{guestProgram}, Files: map[string]string{guestProgram: s.Programs.Guest, LoadPath: s.Programs.Load}}
	add := func(guest, name string, data []byte) {
		if err == nil {
			p.Files[guest] = filepath.Join(dir, name)
			err = os.WriteFile(p.Files[guest], data, 0o644)
		}
	}
	add(SpecPath, "scenario.json", spec)
	if s.Mover == Tierd {
		p.Files[TierdPath] = s.Programs.Tierd
		add(ConfigPath, "tierd.toml", []byte(s.Config))
	}
	return p, err
}

// reader makes the series of the guest's lines.
type reader struct {
	series   *Series
	onSample func(Sample)
	wait     waiting
	partial  []byte
	ended    bool
	err      error
}

// Write implements io.Writer.
func (r *reader) Write(b []byte) (int, error) {
	r.partial = append(r.partial, b...)
	for {
		line, rest, whole := bytes.Cut(r.partial, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		if err := r.line(line); err != nil && r.err == nil {
			r.err = fmt.Errorf("guest program: line %.80q: %w", line, err)
		}
		r.partial = append([]byte(nil), rest...)
	}
}

func (r *reader) line(b []byte) error {
	var l Line
	if err := json.Unmarshal(b, &l); err != nil {
		return err
	}
	switch {
	case l.Capacity != nil:
		r.series.Capacity = l.Capacity
	case l.Sample != nil:
		r.series.Samples = append(r.series.Samples, *l.Sample)
		r.series.Waited = r.wait.share()
		if r.onSample != nil {
			r.onSample(*l.Sample)
		}
	case l.Summary != nil:
		r.series.Summary = *l.Summary
	case l.End != nil:
		r.series.End, r.ended = *l.End, true
	}
	return nil
}

// tail keeps the last lines for an error's message.
type tail struct {
	next  io.Writer
	lines []string
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		t.lines = append(t.lines, strings.TrimSpace(line))
	}
	t.lines = t.lines[max(0, len(t.lines)-8):]
	if t.next != nil {
		return t.next.Write(b)
	}
	return len(b), nil
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }
