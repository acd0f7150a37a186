// Command sim is behind make sim: it runs the built-in workloads under tierd and
// all baselines, and holds the means of the runs against the numbers that are
// wanted.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

const document = "docs/simulation.md"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "workloads to run, with commas between; all without it")
	seeds := flags.Int("seeds", 5, "how many runs each number is the mean of")
	seconds := flags.Float64("seconds", 0, "length of the runs; the workload's own without it")
	tune := flags.Bool("tune", false, "hold the defaults against 200 sampled sets of parameters instead, in shorter runs")
	update := flags.Bool("update", false, "rewrite the table of "+document)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 || *seeds < 1 || *seconds < 0 {
		fmt.Fprintln(stderr, "sim: want no arguments, at least one seed, and no negative length")
		return 2
	}
	chosen, err := choose(*only)
	if err != nil {
		fmt.Fprintf(stderr, "sim: %v\n", err)
		return 2
	}
	write := func(begin, end, text string) int {
		if !*update {
			return 0
		}
		command := strings.Join(append([]string{"go run ./test/sim"}, args...), " ")
		if err := rewrite(document, begin, end, command, text); err != nil {
			fmt.Fprintf(stderr, "sim: %v\n", err)
			return 1
		}
		return 0
	}
	for i := range chosen {
		switch {
		case *seconds > 0:
			chosen[i] = chosen[i].Lasting(*seconds)
		case *tune:
			chosen[i] = chosen[i].Lasting(briefly(chosen[i]))
		}
	}
	if *tune {
		text, err := tuned(ctx, chosen, *seeds, stdout, stderr)
		if err != nil {
			fmt.Fprintf(stderr, "sim: %v\n", err)
			return 1
		}
		return write(tuneBegin, tuneEnd, text)
	}
	var numbers []number
	var all []measured
	for _, w := range chosen {
		fmt.Fprintf(stderr, "sim: %s\n", w.Name)
		m, err := measure(ctx, w, *seeds)
		if err != nil {
			fmt.Fprintf(stderr, "sim: %s: %v\n", w.Name, err)
			return 1
		}
		all = append(all, m)
		numbers = append(numbers, m.numbers()...)
	}
	text := numbersTable(numbers) + "\n" + contendersTable(all)
	fmt.Fprint(stdout, text)
	return write(begin, end, text)
}

func choose(only string) ([]sim.Workload, error) {
	all := sim.Workloads()
	if only == "" {
		return all, nil
	}
	var chosen []sim.Workload
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(all, func(w sim.Workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("workload %q: not built in", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// measured is what all contenders reached on a workload; tierd is the last.
type measured struct {
	workload sim.Workload
	sums     []sim.Summary
}

// moveRate is the default of [migrate] rate.
const moveRate = 1 << 30

func measure(ctx context.Context, w sim.Workload, seeds int) (measured, error) {
	contenders := append(sim.Baselines(), sim.Contender{Name: "tierd", New: func(sim.Future) sim.Placer { return sim.DefaultTierd() }})
	list := make([]uint64, seeds)
	for i := range list {
		list[i] = uint64(i + 1)
	}
	sums, err := sim.Compare(ctx, sim.TwoTiers(w.Fast), w, moveRate, contenders, list)
	return measured{w, sums}, err
}

func (m measured) tierd() sim.Summary { return m.sums[len(m.sums)-1] }

// footprint is in bytes.
func (m measured) footprint() (bytes float64) {
	for _, n := range m.workload.Regions {
		bytes += float64(n) * policy.RegionSize
	}
	return bytes
}
