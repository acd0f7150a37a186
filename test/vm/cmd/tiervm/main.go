// Command tiervm boots the emulated machine of package vm: to try a program in it, to fetch kernels, and to run the
// module's guest tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/test/vm"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// exitError carries the exit code of a guest's program, or of failed tests, which have been reported already.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is about the command line.
type usageError struct{ error }

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "tiervm",
		Short:         "boot a machine with tiered memory in QEMU",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(runCommand(stdout, stderr), kernelCommand(stdout), testCommand(stdout))
	err := root.ExecuteContext(ctx)
	var exit exitError
	var usage usageError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "tiervm: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "tiervm: %v\n", err)
	return 1
}

// words makes a wrong number of arguments an error of usage.
func words(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func runCommand(stdout, stderr io.Writer) *cobra.Command {
	var (
		m         = vm.ThreeTier()
		topology  string
		nodes     []string
		distances []string
		files     []string
		collect   []string
		env       []string
		dir       string
		verbose   bool
	)
	cmd := &cobra.Command{
		Use:   "run [flags] -- PROGRAM [ARGS...]",
		Short: "run a program in the machine and exit with its code",
		Long: `Boots the machine and runs PROGRAM in it: the path of a static program on this host, which is then
put into the guest, or, where no such file exists here, a path or a tool of busybox in the guest.`,
		Example: `  tiervm run -- cat /sys/devices/system/node/has_memory
  tiervm run --kernel 6.1 --la57=false --file /etc/tierd.toml=tierd.toml -- ./bin/tierd doctor
  tiervm run --node size=512M,cpus=0-1 --node size=1G,initiator=0,latency=350,bandwidth=30G -- sh -c 'dmesg'`,
		Args: words(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if topology == "two-socket" {
				two := vm.TwoSocket()
				m.Nodes, m.Distances = two.Nodes, two.Distances
			} else if topology != "three-tier" {
				return usageError{fmt.Errorf("topology %q: want three-tier or two-socket", topology)}
			}
			if len(nodes) > 0 {
				m.Nodes, m.Distances = nil, nil
			}
			for _, s := range nodes {
				n, err := vm.ParseNode(s)
				if err != nil {
					return usageError{err}
				}
				m.Nodes = append(m.Nodes, n)
			}
			if err := setDistances(&m, distances); err != nil {
				return usageError{err}
			}
			p := vm.Program{Args: args, Env: env, Dir: dir, Stdout: stdout, Stderr: stderr, Files: map[string]string{}}
			for _, f := range files {
				guest, host, ok := strings.Cut(f, "=")
				if !ok {
					return usageError{fmt.Errorf("file %q: want GUEST=HOST", f)}
				}
				p.Files[guest] = host
			}
			targets := map[string]string{}
			for _, c := range collect {
				guest, host, ok := strings.Cut(c, ":")
				if !ok {
					return usageError{fmt.Errorf("collect %q: want GUEST:HOST", c)}
				}
				targets[guest] = host
				p.Collect = append(p.Collect, guest)
			}
			if _, given := p.Files[args[0]]; !given && strings.Contains(args[0], "/") {
				if info, err := os.Stat(args[0]); err == nil && info.Mode().IsRegular() {
					guest := "/usr/bin/" + filepath.Base(args[0])
					p.Files[guest] = args[0]
					p.Args = append([]string{guest}, args[1:]...)
				}
			}
			r, err := m.Run(cmd.Context(), p)
			if err == nil {
				err = save(r, targets)
			}
			if verbose {
				fmt.Fprintf(stderr, "tiervm: kernel %s, boot %v, program %v\n%s", r.Release, r.Boot.Round(time.Millisecond), r.Wall.Round(time.Millisecond), r.Console)
			}
			if err != nil {
				return err
			}
			if r.ExitCode != 0 {
				return exitError(r.ExitCode)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&m.Kernel, "kernel", "", "version, or path of a vmlinuz (default TIERD_VM_KERNEL, or "+vm.DefaultKernel+")")
	f.BoolVar(&m.LA57, "la57", m.LA57, "page tables with 5 levels")
	f.BoolVar(&m.Parallel, "parallel", m.Parallel, "let the CPUs run at the same time: faster, and QEMU 7.2 makes the kernel panic now and then")
	f.StringVar(&topology, "topology", "three-tier", "three-tier or two-socket")
	f.StringArrayVar(&nodes, "node", nil, "a node instead of the topology's: size=384M,cpus=0-1,latency=100,bandwidth=200G or size=2G,initiator=0,...")
	f.StringArrayVar(&distances, "distance", nil, "distance between two nodes in both directions: 0,2=30")
	f.IntVar(&m.CPUs, "cpus", 0, "number of CPUs (default as many as the nodes have)")
	f.StringVar(&m.Append, "append", "", "more of the kernel's command line")
	f.DurationVar(&m.Timeout, "timeout", vm.DefaultTimeout, "bound of the whole run")
	f.StringArrayVar(&files, "file", nil, "put a file or folder into the guest: GUEST=HOST")
	f.StringArrayVar(&collect, "collect", nil, "bring a file or folder back: GUEST:HOST")
	f.StringArrayVar(&env, "env", nil, "environment of the program: KEY=value")
	f.StringVar(&dir, "dir", "/", "working directory in the guest")
	f.BoolVarP(&verbose, "verbose", "v", false, "print times and the console at the end")
	return cmd
}

// setDistances applies "0,2=30" to the machine's matrix, in both directions.
func setDistances(m *vm.Machine, distances []string) error {
	for _, s := range distances {
		pair, value, _ := strings.Cut(s, "=")
		from, to, _ := strings.Cut(pair, ",")
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		d, err3 := strconv.Atoi(value)
		if err := errors.Join(err1, err2, err3); err != nil || a < 0 || b < 0 || a >= len(m.Nodes) || b >= len(m.Nodes) {
			return fmt.Errorf("distance %q: want FROM,TO=DISTANCE with nodes of the machine", s)
		}
		if m.Distances == nil {
			for i := range m.Nodes {
				row := make([]int, len(m.Nodes))
				for j := range row {
					row[j] = 20
				}
				row[i] = 10
				m.Distances = append(m.Distances, row)
			}
		}
		m.Distances[a][b], m.Distances[b][a] = d, d
	}
	return nil
}

// save writes the collected files to their targets: guest path to host path, where a folder takes what was below it.
func save(r vm.Result, targets map[string]string) error {
	for guest, host := range targets {
		found := false
		for name, data := range r.Files {
			rel, below := strings.CutPrefix(name, strings.TrimSuffix(guest, "/"))
			if !below || (rel != "" && rel[0] != '/') {
				continue
			}
			found = true
			to := filepath.Join(host, rel)
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(to, data, 0o644); err != nil {
				return err
			}
		}
		if !found {
			return fmt.Errorf("collect %s: not in the guest", guest)
		}
	}
	return nil
}

func kernelCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "kernel [VERSION...]",
		Short: "fetch kernels and print their paths",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{""}
			}
			for _, version := range args {
				path, err := vm.Kernel(cmd.Context(), version)
				if err != nil {
					return err
				}
				fmt.Fprintln(stdout, path)
			}
			return nil
		},
	}
}

func testCommand(stdout io.Writer) *cobra.Command {
	var kernels []string
	var levels, match string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "test [flags] [PACKAGE...]",
		Short: "run the module's guest tests, all of them unless packages are named",
		RunE: func(cmd *cobra.Command, args []string) error {
			depths := []bool{true, false}
			switch levels {
			case "4":
				depths = []bool{false}
			case "5":
				depths = []bool{true}
			case "both":
			default:
				return usageError{fmt.Errorf("levels %q: want 4, 5 or both", levels)}
			}
			dir, err := os.MkdirTemp("", "tiervm-test-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			suite, err := vm.BuildSuite(cmd.Context(), dir, match, args...)
			if err != nil {
				return err
			}
			broken := false
			for _, kernel := range kernels {
				for _, la57 := range depths {
					m := vm.ThreeTier()
					m.Kernel, m.LA57, m.Timeout = kernel, la57, timeout
					results, err := suite.Run(cmd.Context(), m, stdout)
					ok := summarize(stdout, kernel, la57, results)
					broken = broken || !ok
					if err != nil {
						return err
					}
				}
			}
			if broken {
				return exitError(1)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&kernels, "kernel", []string{""}, "versions, or paths of a vmlinuz (default TIERD_VM_KERNEL, or "+vm.DefaultKernel+")")
	f.StringVar(&levels, "levels", "both", "levels of the page tables: 4, 5 or both")
	f.StringVar(&match, "run", "", "tests to run, as in go test")
	f.DurationVar(&timeout, "timeout", 0, "bound of each machine's run (default by the number of packages)")
	return cmd
}

// summarize prints one line per package and each problem, and says whether there was none.
func summarize(w io.Writer, kernel string, la57 bool, results []vm.PackageResult) bool {
	levels := 4
	if la57 {
		levels = 5
	}
	ok := true
	for _, p := range results {
		passed, failed, skipped := p.Counts()
		verdict := "ok  "
		if failed > 0 || p.Err != nil {
			verdict, ok = "FAIL", false
		}
		name := kernel
		if name == "" {
			name = "default"
		}
		fmt.Fprintf(w, "%s\t%s\tkernel %s, %d levels: %d passed, %d failed, %d skipped\t%.1fs\n", verdict, p.Package, name, levels, passed, failed, skipped, p.Wall.Seconds())
		for _, t := range p.Tests {
			if problem := t.Problem(); problem != "" {
				fmt.Fprintf(w, "\t%s: %s\n", t.Name, problem)
			}
		}
		if p.Err != nil {
			fmt.Fprintf(w, "\t%v\n%s", p.Err, p.Output)
		}
	}
	return ok
}
