package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tierd/tierd/test/scenario"
	"github.com/tierd/tierd/test/vm"
)

// What is wanted of tierd, and where.
const (
	nodeHBM = 1
	nodeCXL = 2

	wantFast  = 0.89 // share of the accesses that HBM and DRAM serve
	wantHBM   = 0.80
	footprint = 1 << 30
	budget    = 0.25

	settle = 25 * time.Second // before a steady state is measured
	steady = 60 * time.Second
)

const tierdConfig = `mode = "enforce"
[workload.load]
comm = ["tierload"]
[workload.neighbour]
comm = ["neighbour"]
[sampler]
cpu_budget = "25%"
`

// memory is the workload of the tables a to d, without its pattern.
var memory = []string{"--size", "1GiB", "--node", "2"}

// run is one scenario under one mover.
func (b *bench) run(ctx context.Context, name string, mover scenario.Mover, d time.Duration, pattern ...string) (*scenario.Series, error) {
	return b.scenario(ctx, scenario.Scenario{
		Name: name, Mover: mover, Duration: d, Load: append(append([]string(nil), memory...), pattern...),
	})
}

// scenario runs one on the benchmark's machine.
func (b *bench) scenario(ctx context.Context, c scenario.Scenario) (*scenario.Series, error) {
	next := 0.0
	name, mover, d := c.Name, c.Mover, c.Duration
	c.Name = name + ", " + string(mover)
	if b.resume {
		if s, err := saved(b.series, c.Name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	c.Kernel, c.LA57, c.Parallel, c.Config, c.Programs, c.Log = b.kernel, true, true, tierdConfig, b.programs, b.log
	begun := false
	watch := func(p scenario.Sample) {
		begun = true
		if p.T >= next {
			next = p.T + 10
			fast := math.NaN()
			if p.Load.Fast != nil {
				fast = *p.Load.Fast
			}
			b.progress("%s, %s: %3.0f s of %.0f: HBM+DRAM %.2f, HBM %.2f, moved %d MiB", name, mover, p.T, d.Seconds(), fast, p.Load.Share[nodeHBM], p.MovedBytes>>20)
		}
	}
	s, err := c.Run(ctx, watch)
	// Patching of code races with emulated CPUs that run it, once in hundreds of boots.
	if errors.Is(err, vm.ErrPanic) && !begun {
		b.progress("%s: once more: %v", c.Name, err)
		s, err = c.Run(ctx, watch)
	}
	if err != nil {
		return nil, err
	}
	if len(s.End.Residue) > 0 || s.End.ExitCode != 0 {
		return nil, fmt.Errorf("%s: tierd ended with exit code %d and left %q", s.Name, s.End.ExitCode, s.End.Residue)
	}
	if b.series != "" {
		if err := save(b.series, &s); err != nil {
			return nil, err
		}
	}
	return &s, nil
}

// save writes a series to a folder for a closer look.
func save(dir string, s *scenario.Series) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	path := seriesFile(dir, s.Name)
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// saved reads a series back; fs.ErrNotExist if there is none.
func saved(dir, name string) (*scenario.Series, error) {
	path := seriesFile(dir, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(scenario.Series)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return s, nil
}

func seriesFile(dir, name string) string {
	return filepath.Join(dir, strings.ReplaceAll(strings.ReplaceAll(name, ", ", "-"), " ", "-")+".json")
}

// pair is a run of tierd and one of the kernel, one after the other.
type pair struct{ tierd, kernel *scenario.Series }

// both runs a pattern under both movers as often as asked.
func (b *bench) both(ctx context.Context, name string, d time.Duration, pattern ...string) ([]pair, error) {
	var pairs []pair
	for i := range b.runs {
		run := fmt.Sprintf("%s %d", name, i+1)
		t, err := b.run(ctx, run, scenario.Tierd, d, pattern...)
		if err != nil {
			return nil, err
		}
		k, err := b.run(ctx, run, scenario.Kernel, d, pattern...)
		if err != nil {
			return nil, err
		}
		pairs = append(pairs, pair{t, k})
	}
	return pairs, nil
}

// of is the median of a number over the runs, for tierd and for the kernel.
func of(pairs []pair, number func(*scenario.Series) float64) []float64 {
	var t, k []float64
	for _, p := range pairs {
		t, k = append(t, number(p.tierd)), append(k, number(p.kernel))
	}
	return []float64{median(t), median(k)}
}

// placement is the tables a and b: a hot set that shifts in the middle, under tierd and under the kernel.
func (b *bench) placement(ctx context.Context, id, piece string) (table, error) {
	d := b.length
	shift := d / 2
	pairs, err := b.both(ctx, id, d, "--hot", "96MiB", "--piece", piece, "--shift", shift.String())
	if err != nil {
		return table{}, err
	}
	return placementTable(id, piece, pairs, d.Seconds()), nil
}

func placementTable(id, piece string, pairs []pair, length float64) table {
	reach := func(phase int, v scenario.Value, want float64) []float64 {
		return of(pairs, func(s *scenario.Series) float64 { return s.Reach(phase, v, want) })
	}
	mean := func(s *scenario.Series) float64 { return s.Mean(scenario.Fast, 0, length) }
	var ratios []float64
	for _, p := range pairs {
		ratios = append(ratios, mean(p.tierd)/mean(p.kernel))
	}
	rows := []row{
		{name: fmt.Sprintf("share in HBM + DRAM ≥ %.2f, after the start", wantFast), values: reach(0, scenario.Fast, wantFast), show: seconds},
		{name: "the same, after the shift", values: reach(1, scenario.Fast, wantFast), show: seconds},
		{name: fmt.Sprintf("share in HBM ≥ %.2f, after the shift", wantHBM), values: reach(1, scenario.Node(nodeHBM), wantHBM), show: seconds},
		{name: fmt.Sprintf("mean share in HBM + DRAM, %.0f s", length), values: of(pairs, mean), show: share},
		{name: "its ratio to the kernel's", values: []float64{median(ratios)}, show: times},
		{name: "highest share in HBM + DRAM before the shift", values: of(pairs, func(s *scenario.Series) float64 { return s.Max(scenario.Fast, 0, length/2) }), show: share},
		{name: "highest share in HBM + DRAM after the shift", values: of(pairs, func(s *scenario.Series) float64 { return s.Max(scenario.Fast, length/2, length+5) }), show: share},
		{name: "share that an oracle would reach", values: of(pairs, oracle), show: share},
		{name: "moved", values: of(pairs, moved), show: mib},
		{name: "CPU of tierd, all of it, of one core", values: of(pairs, func(s *scenario.Series) float64 { return s.Rate(scenario.CPU, 0, length) }), show: percent},
	}
	if id == "a" {
		rows[0].want, rows[1].want, rows[2].want, rows[4].want = atMost(8), atMost(10), atMost(30), atLeast(1.25)
	} else {
		rows[4].want = atLeast(0.9)
	}
	var all []*scenario.Series
	for _, p := range pairs {
		all = append(all, p.tierd, p.kernel)
	}
	return table{
		id: id, title: "hot set of 96 MiB in pieces of " + piece, columns: []string{"tierd", "kernel"}, rows: rows,
		notes: conditions(all),
	}
}

func moved(s *scenario.Series) float64 { return s.Max(scenario.Moved, 0, math.Inf(1)) }

func oracle(s *scenario.Series) float64 {
	if s.Summary.OracleFast == nil {
		return math.NaN()
	}
	return *s.Summary.OracleFast
}

// quiet is table c: what is moved when moving cannot pay.
func (b *bench) quiet(ctx context.Context) (table, error) {
	var uniform, idle, rest []float64
	var all []*scenario.Series
	for i := range b.runs {
		u, err := b.run(ctx, fmt.Sprintf("c uniform %d", i+1), scenario.Tierd, 40*time.Second+steady, "--pattern", "uniform")
		if err != nil {
			return table{}, err
		}
		// The load's own runtime is not idle, so it says little.
		n, err := b.run(ctx, fmt.Sprintf("c idle %d", i+1), scenario.Tierd, steady, "--pattern", "idle", "--interval", "10s")
		if err != nil {
			return table{}, err
		}
		uniform, idle, rest = append(uniform, movedPerMinute(u)), append(idle, away(n)), append(rest, moved(n)-away(n))
		all = append(all, u, n)
	}
	filled := make([]float64, 0, len(all))
	for i := 0; i < len(all); i += 2 {
		filled = append(filled, all[i].Filled())
	}
	return table{
		id: "c", title: "nothing to gain", columns: []string{"tierd"},
		rows: []row{
			{name: "uniform: moved per minute after the first fill, of the footprint", values: []float64{median(uniform)}, show: percent, want: atMost(0.02)},
			{name: "uniform: fast nodes filled, after the start", values: []float64{median(filled)}, show: seconds},
			{name: "idle: of its memory elsewhere after a minute", values: []float64{median(idle)}, show: mib, want: atMost(0)},
			{name: "idle: all else that was moved", values: []float64{median(rest)}, show: mib},
		},
		notes: conditions(all),
	}, nil
}

// away is how many bytes of the load's memory, which began on the slowest node, are not there at the end.
func away(s *scenario.Series) (bytes float64) {
	for node, n := range s.Summary.Resident {
		if node != nodeCXL {
			bytes += float64(n)
		}
	}
	return bytes
}

// movedPerMinute is what was moved per minute after the first fill, as a share of the footprint.
func movedPerMinute(s *scenario.Series) float64 {
	return s.Rate(scenario.Moved, s.Filled(), s.Last()) * 60 / footprint
}

// cost is table d: what tierd costs when nothing changes.
func (b *bench) cost(ctx context.Context) (table, error) {
	var cpu, own, rss, move []float64
	var all []*scenario.Series
	for i := range b.runs {
		s, err := b.run(ctx, fmt.Sprintf("d %d", i+1), scenario.Tierd, settle+steady, "--hot", "96MiB")
		if err != nil {
			return table{}, err
		}
		from, to := settle.Seconds(), (settle + steady).Seconds()
		cpu = append(cpu, s.Rate(scenario.CPU, from, to))
		own = append(own, s.Rate(sampling, from, to))
		rss = append(rss, s.Max(scenario.RSS, 0, to+5))
		move = append(move, s.Rate(scenario.Moved, from, to)*60)
		all = append(all, s)
	}
	return table{
		id: "d", title: "steady state", columns: []string{"tierd"},
		rows: []row{
			{name: fmt.Sprintf("CPU of tierd over %.0f s, all of it, of one core", steady.Seconds()), values: []float64{median(cpu)}, show: percent, want: atMost(budget)},
			{name: "of it sampling, as tierd says", values: []float64{median(own)}, show: percent},
			{name: "moved per minute", values: []float64{median(move)}, show: mib},
			{name: "resident memory of tierd, at most", values: []float64{median(rss)}, show: mib},
		},
		notes: conditions(all),
	}, nil
}

// sampling is the CPU time of sampling by tierd's own account.
func sampling(s *scenario.Sample) (float64, bool) {
	if s.Tierd == nil || s.Tierd.Status == nil {
		return 0, false
	}
	return s.Tierd.Status.Sampler.CPUSecondsTotal, true
}

// conditions says on what, and how undisturbed, the runs were.
func conditions(all []*scenario.Series) []string {
	if len(all) == 0 {
		return nil
	}
	waited, stolen := math.NaN(), 0.0
	for _, s := range all {
		if s.Waited >= 0 && !(s.Waited <= waited) {
			waited = s.Waited
		}
		if n := len(s.Samples); n > 0 {
			stolen = max(stolen, s.Samples[n-1].Kernel.Stolen)
		}
	}
	queue := "unknown"
	if !math.IsNaN(waited) {
		queue = fmt.Sprintf("%.0f %%", waited*100)
	}
	return []string{fmt.Sprintf("%d runs on kernel %s. In the worst of them the emulator waited for a CPU of the host for %s of the time that it wanted one; the guest saw %.1f s of steal.",
		len(all), all[0].Release, queue, stolen)}
}
