//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/test/scenario"
)

const document = "docs/benchmarks.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// bench is what was asked for.
type bench struct {
	kernel   string
	runs     int
	length   time.Duration
	series   string
	resume   bool
	size     load.Bytes
	patterns string
	programs scenario.Programs
	log      io.Writer
	stderr   io.Writer
}

// errSkip is wrapped when a table cannot be made on this host, and that is no fault.
var errSkip = errors.New("skipped")

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.stderr, "bench: "+format+"\n", args...)
}

// maker makes one table.
type maker struct {
	id   string
	make func(*bench, context.Context) (table, error)
}

// tables are made in this order.
var tables = []maker{
	{"a", func(b *bench, ctx context.Context) (table, error) { return b.placement(ctx, "a", "2MiB") }},
	{"b", func(b *bench, ctx context.Context) (table, error) { return b.placement(ctx, "b", "64KiB") }},
	{"c", (*bench).quiet},
	{"d", (*bench).cost},
	{"e", (*bench).hostTable},
	{"f", (*bench).suite},
	{"g", (*bench).overhead},
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == victimArg {
		return victim(args[1:], stdin, stdout, stderr)
	}
	if len(args) > 0 && args[0] == chaserArg {
		return chaser(args[1:], stdin, stdout, stderr)
	}
	b := &bench{size: 4 * load.GiB, stderr: stderr}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "a,b,c,d,e", "tables to make; f, which takes 22 minutes a run, and g, which goes into docs/overhead.md, only if asked for")
	flags.StringVar(&b.patterns, "patterns", "", "make only those rows of f whose names contain this")
	flags.IntVar(&b.runs, "runs", 1, "how often each run is made; tables show medians")
	flags.StringVar(&b.kernel, "kernel", "", "kernel of the emulated machine: a version or a path")
	flags.DurationVar(&b.length, "length", 100*time.Second, "length of the runs of a and b; the hot set shifts in the middle")
	flags.Var(&b.size, "host-size", "memory of the process of e")
	flags.StringVar(&b.series, "series", "", "folder that every run's series is written to")
	flags.BoolVar(&b.resume, "resume", false, "take the runs that -series already has from there; they must be of this build")
	verbose := flags.Bool("v", false, "show what tierd logs")
	update := flags.Bool("update", false, "rewrite the tables of "+document)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	wanted := strings.Split(*only, ",")
	for _, id := range wanted {
		if !slices.ContainsFunc(tables, func(t maker) bool { return t.id == id }) {
			fmt.Fprintf(stderr, "bench: -only %q: want some of a,b,c,d,e,f,g\n", id)
			return 2
		}
	}
	if *update && b.patterns != "" {
		fmt.Fprintln(stderr, "bench: -update wants all -patterns")
		return 2
	}
	if b.resume && b.series == "" {
		fmt.Fprintln(stderr, "bench: -resume wants a folder of -series")
		return 2
	}
	if flags.NArg() > 0 || b.runs < 1 || b.length < 20*time.Second {
		fmt.Fprintln(stderr, "bench: want no arguments, at least one run, and a length of at least 20s")
		return 2
	}
	if *verbose {
		b.log = stderr
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err == nil {
		defer os.RemoveAll(dir)
		b.programs, err = b.programs.Build(ctx, dir, scenario.Tierd)
	}
	if err != nil {
		fmt.Fprintf(stderr, "bench: %v\n", err)
		return 1
	}

	command := strings.Join(append([]string{"go run ./test/bench"}, args...), " ")
	code := 0
	for _, t := range tables {
		if !slices.Contains(wanted, t.id) {
			continue
		}
		before := loadAverage()
		made, err := t.make(b, ctx)
		if errors.Is(err, errSkip) {
			fmt.Fprintf(stdout, "%s. %v\n\n", t.id, err)
			continue
		}
		if err == nil {
			made.notes = append(made.notes, fmt.Sprintf("Host: %d CPUs, load average %s before and %s after.", runtime.NumCPU(), before, loadAverage()))
			fmt.Fprintf(stdout, "%s. %s\n\n%s\n", made.id, made.title, made)
			if *update {
				err = updateDocument(documentOf(t.id), made, command)
			}
		}
		if err != nil {
			fmt.Fprintf(stderr, "bench: %s: %v\n", t.id, err)
			code = 1
		}
		if ctx.Err() != nil {
			return 1
		}
	}
	return code
}

// documentOf is where a table stands.
func documentOf(id string) string {
	if id == "g" {
		return "docs/overhead.md"
	}
	return document
}

// updateDocument replaces a table in a file.
func updateDocument(path string, t table, command string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	doc, err := replace(string(old), t, command)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return os.WriteFile(path, []byte(doc), 0o644)
}

// loadAverage is the host's, over one minute.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	one, _, _ := strings.Cut(string(b), " ")
	if one == "" {
		return "unknown"
	}
	return one
}
