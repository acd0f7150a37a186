// Command tierload owns memory, accesses it in a known pattern and reports which
// node would serve how much of its accesses. See docs/tierload.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/load"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK         = 0
	exitProblem    = 1
	exitUsage      = 2
	exitNotAllowed = 4
)

func run(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()

	cfg, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, usage)
		return exitOK
	}
	if err == nil {
		var host load.Host
		if host, err = load.DetectHost(); err == nil {
			err = cfg.Check(host)
		}
	}
	if err == nil && len(cfg.CPUs) > 0 {
		err = load.Bind(cfg.CPUs)
	}
	if err == nil {
		// The reporter, the probe and the runtime must never wait for a worker.
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), cfg.Threads+3))
		err = load.Run(ctx, cfg, stdout)
	}
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "tierload: %v\n", err)
	var bad *load.UsageError
	switch {
	case errors.As(err, &bad):
		return exitUsage
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return exitNotAllowed
	}
	return exitProblem
}

// flagSet has the flags that fill c, and whether --fast was among them.
func flagSet(c *load.Config, fast *bool) *flag.FlagSet {
	fs := flag.NewFlagSet("tierload", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}

	fs.Var(&c.Size, "size", "")
	fs.StringVar(&c.Pattern, "pattern", c.Pattern, "")
	fs.Uint64Var(&c.Seed, "seed", c.Seed, "")
	fs.Var(&c.Hot, "hot", "")
	fs.Float64Var(&c.HotShare, "hot-share", c.HotShare, "")
	fs.Var(&c.Piece, "piece", "")
	fs.Func("shift", "", func(s string) error { return list(s, &c.Shift, time.ParseDuration) })
	fs.Float64Var(&c.Theta, "theta", c.Theta, "")
	fs.Float64Var(&c.ScanShare, "scan-share", c.ScanShare, "")
	fs.Var(&c.ScanStride, "scan-stride", "")
	fs.DurationVar(&c.Phase, "phase", c.Phase, "")
	fs.IntVar(&c.Phases, "phases", c.Phases, "")

	fs.Float64Var(&c.Write, "write", c.Write, "")
	fs.IntVar(&c.Threads, "threads", c.Threads, "")
	fs.Func("cpus", "", func(s string) error { return list(s, &c.CPUs, strconv.Atoi) })
	fs.Float64Var(&c.Rate, "rate", c.Rate, "")
	fs.Func("huge", "", func(s string) error {
		switch s {
		case "on", "off":
			c.Huge = s == "on"
			return nil
		}
		return errors.New("must be on or off")
	})
	fs.Func("node", "", func(s string) error {
		n, err := node(s)
		c.Node = n
		return err
	})
	fs.DurationVar(&c.Duration, "duration", c.Duration, "")
	fs.DurationVar(&c.Interval, "interval", c.Interval, "")
	fs.StringVar(&c.ReadyFile, "ready-file", "", "")
	fs.StringVar(&c.StartFile, "start-file", "", "")

	fs.Func("capacity", "", func(s string) error { return list(s, &c.Capacity, capacity) })
	fs.Func("fast", "", func(s string) error { *fast = true; return list(s, &c.Fast, node) })
	fs.IntVar(&c.Samples, "samples", c.Samples, "")
	fs.IntVar(&c.ExactEvery, "exact-every", c.ExactEvery, "")
	fs.BoolVar(&c.MmapProbe, "mmap-probe", c.MmapProbe, "")
	return fs
}

func parse(args []string) (*load.Config, error) {
	c, fast := load.Default(), false
	fs := flagSet(&c, &fast)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, &load.UsageError{Problem: err.Error()}
	}
	if fs.NArg() > 0 {
		return nil, &load.UsageError{Problem: fmt.Sprintf("unexpected argument %q", fs.Arg(0))}
	}
	if !fast && len(c.Capacity) > 1 {
		for _, p := range c.Capacity[:len(c.Capacity)-1] {
			c.Fast = append(c.Fast, p.Node)
		}
	}
	return &c, nil
}

// list parses what commas separate. An empty list is none.
func list[T any](s string, into *[]T, parse func(string) (T, error)) error {
	*into = nil
	if s == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		v, err := parse(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*into = append(*into, v)
	}
	return nil
}

func node(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n >= 1024 {
		return 0, fmt.Errorf("%q is not the number of a node", s)
	}
	return n, nil
}

func capacity(s string) (load.Capacity, error) {
	left, right, ok := strings.Cut(s, "=")
	if !ok {
		return load.Capacity{}, fmt.Errorf("%q is not node=bytes", s)
	}
	n, err := node(left)
	if err != nil {
		return load.Capacity{}, err
	}
	b, err := load.ParseBytes(right)
	return load.Capacity{Node: n, Bytes: b}, err
}
