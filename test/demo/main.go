// Command demo shows tierd at work: it boots the emulated machine with three tiers of memory, runs tierload and tierd in
// it, and draws live which tier serves the load's accesses, while tierd finds the hot memory, and while it follows
// the hot memory when that becomes another one. At the end it leaves a picture.
//
// It needs what test/vm/deps.sh installs, and no root.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/tierd/tierd/test/scenario"
	"github.com/tierd/tierd/test/vm"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

const usage = `Shows tierd at work in an emulated machine with three tiers of memory.

usage: go run ./test/demo [flags]

  --kernel VERSION   the machine's kernel: a version such as 6.1, or the path of a vmlinuz
                     (default TIERD_VM_KERNEL, or 6.12)
  --duration TIME    how long the load runs (default 90s); its hot set shifts in the middle
  --png PATH         the picture (default out/demo.png); empty for none
  --quiet            print only the result
`

// The demonstration.
const (
	headStart   = 5 * time.Second // of the load before tierd starts
	minDuration = 30 * time.Second
	tierdConfig = `mode = "enforce"

[workload.demo]
comm = ["tierload"]

[sampler]
cpu_budget = "25%"   # an emulated CPU is slow
`
)

type options struct {
	kernel, png string
	duration    time.Duration
	quiet       bool
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage) }
	fs.StringVar(&o.kernel, "kernel", "", "")
	fs.StringVar(&o.png, "png", "out/demo.png", "")
	fs.DurationVar(&o.duration, "duration", 90*time.Second, "")
	fs.BoolVar(&o.quiet, "quiet", false, "")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if o.duration < minDuration {
		return o, fmt.Errorf("--duration %v: want at least %v", o.duration, minDuration)
	}
	return o, nil
}

// run is the whole program: exit code 0 when the memory was placed, 1 when not or when something is missing, 2 for usage, 130
// when it was interrupted.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 2
	}
	// Whatever ends this program also ends the machine: Run below waits for QEMU's end.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err = demonstrate(ctx, o, newScreen(stdout, env, o.quiet), stdout)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "demo: interrupted; the machine is gone")
		return 130
	}
	fmt.Fprintf(stderr, "demo: %v\n", err)
	return 1
}

// demonstrate runs the scenario and reports it.
func demonstrate(ctx context.Context, o options, screen *screen, stdout io.Writer) error {
	kernel, err := vm.Kernel(ctx, o.kernel)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tierd-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	screen.say("building tierd and its load")
	programs, err := scenario.Programs{}.Build(ctx, dir, scenario.Tierd)
	if err != nil {
		return err
	}
	screen.say("booting a machine with HBM (128 MiB), DRAM (384 MiB) and CXL memory (2 GiB); a load of 1 GiB, 96 MiB of it hot, starts in CXL")

	shift := o.duration / 2
	st := &story{total: o.duration.Seconds()}
	series, err := scenario.Scenario{
		Kernel: kernel,
		LA57:   true, Parallel: true,
		Load: []string{
			"--size", "1GiB", "--hot", "96MiB", "--hot-share", "0.9", "--piece", "2MiB", "--node", "2",
			"--shift", shift.String(),
		},
		Mover: scenario.Tierd, MoverDelay: headStart, Config: tierdConfig,
		Duration: o.duration - headStart,
		Programs: programs,
	}.Run(ctx, func(p scenario.Sample) {
		st.samples = append(st.samples, p)
		screen.show(st)
	})
	if err != nil {
		return err
	}
	st.release = series.Release
	if len(st.samples) > 0 {
		fmt.Fprintf(stdout, "\n%s", st.summary(&series))
		if o.png != "" {
			if err := writePicture(o.png, st); err != nil {
				return fmt.Errorf("picture: %w", err)
			}
			fmt.Fprintf(stdout, "The picture is %s.\n", strings.TrimPrefix(o.png, "./"))
		}
	}
	if why := st.failure(&series); why != "" {
		return errors.New(why)
	}
	return nil
}
