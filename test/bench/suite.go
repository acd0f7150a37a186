//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tierd/tierd/test/scenario"
)

const (
	suiteLength = 60 * time.Second
	// suiteSettled is from when on a run of the suite counts as settled.
	suiteSettled                               = 30.0
	wantGeometric, wantMigrations, wantSettled = 1.2, 1.0 / 3, 0.02
	// wantOracle of the oracle is to be reached after a shift within so many seconds.
	wantOracle, wantAgain = 0.95, 10.0
)

// pattern is one way to use memory that the suite tries.
type pattern struct {
	name      string
	load      []string // the memory apart
	shift     bool     // as a whole in the middle
	quiet     bool     // there is nothing to gain from moving on and on
	neighbour []string
}

// patterns are those of training hosts.
var patterns = []pattern{
	{name: "hot set in pieces of 2 MiB, shifts in the middle", load: []string{"--hot", "96MiB", "--piece", "2MiB"}, shift: true},
	{name: "hot set in pieces of 64 KiB", load: []string{"--hot", "96MiB", "--piece", "64KiB"}},
	{name: "hot set in pieces of 4 KiB", load: []string{"--hot", "96MiB", "--piece", "4KiB"}},
	{name: "zipf 0.99", load: []string{"--pattern", "zipf", "--theta", "0.99"}},
	{name: "scan beside a hot set", load: []string{"--pattern", "scan", "--hot", "96MiB"}},
	{name: "uniform", load: []string{"--pattern", "uniform"}, quiet: true},
	{name: "hot set of twice the fast memory", load: []string{"--hot", "720MiB", "--piece", "2MiB"}, quiet: true},
	{name: "phases of 10 s", load: []string{"--pattern", "phases", "--hot", "96MiB", "--phase", "10s"}},
	{
		name: "two workloads", load: []string{"--size", "512MiB", "--hot", "64MiB"},
		neighbour: []string{"--size", "512MiB", "--node", "2", "--pattern", "zipf", "--theta", "0.99", "--seed", "2"},
	},
}

func (p pattern) scenario(mover scenario.Mover, run int) scenario.Scenario {
	s := scenario.Scenario{
		Name: fmt.Sprintf("f %s %d", p.name, run), Mover: mover, Duration: suiteLength,
		Load: append(append([]string(nil), memory...), p.load...), Neighbour: p.neighbour, InPlace: true,
	}
	if p.shift {
		s.Load = append(s.Load, "--shift", (suiteLength / 2).String())
	}
	return s
}

// suite is table f: every pattern under tierd and under the kernel.
func (b *bench) suite(ctx context.Context) (table, error) {
	var results []patternRuns
	for _, p := range patterns {
		if !strings.Contains(p.name, b.patterns) {
			continue
		}
		r := patternRuns{pattern: p}
		for i := range b.runs {
			t, err := b.scenario(ctx, p.scenario(scenario.Tierd, i+1))
			if err != nil {
				return table{}, err
			}
			k, err := b.scenario(ctx, p.scenario(scenario.Kernel, i+1))
			if err != nil {
				return table{}, err
			}
			r.pairs = append(r.pairs, pair{t, k})
		}
		results = append(results, r)
	}
	if len(results) == 0 {
		return table{}, fmt.Errorf("-patterns %q: no row of f has such a name", b.patterns)
	}
	return suiteTable(results), nil
}

// patternRuns is what came of one pattern.
type patternRuns struct {
	pattern
	pairs []pair
}

// migrated is what the kernel moved between nodes, for whomever.
func migrated(s *scenario.Series) float64 {
	return s.Max(func(p *scenario.Sample) (float64, bool) { return float64(p.Kernel.Migrated), true }, 0, math.Inf(1))
}

func suiteTable(results []patternRuns) table {
	length := suiteLength.Seconds()
	mean := func(s *scenario.Series) float64 { return s.Mean(scenario.BothFast, 0, length) }
	hbm := func(s *scenario.Series) float64 { return s.Mean(scenario.BothNode(nodeHBM), 0, length) }
	columns := []func(float64) string{times, share, share, share, share, mib, mib}
	t := table{id: "f", title: "every pattern, beside the kernel", columns: []string{
		"tierd : kernel", "mean share in HBM + DRAM, tierd", "kernel", "of it in HBM, tierd", "kernel", "migrated, tierd", "kernel",
	}}
	var logs, ours, theirs float64
	var more []row
	var all []*scenario.Series
	for _, r := range results {
		m, fastest, bytes := of(r.pairs, mean), of(r.pairs, hbm), of(r.pairs, migrated)
		ratio := m[0] / m[1]
		logs += math.Log(ratio)
		ours, theirs = ours+bytes[0], theirs+bytes[1]
		t.rows = append(t.rows, row{name: r.name, values: []float64{ratio, m[0], m[1], fastest[0], fastest[1], bytes[0], bytes[1]}, each: columns, want: atLeast(1)})
		if r.shift {
			again := of(r.pairs, func(s *scenario.Series) float64 { return s.Reach(1, scenario.Fast, wantOracle*oracle(s)) })
			more = append(more, row{name: fmt.Sprintf("%s: %.2f of the oracle again", r.name, wantOracle), values: again[:1], show: seconds, want: atMost(wantAgain)})
		}
		if r.quiet {
			settled := of(r.pairs, func(s *scenario.Series) float64 {
				size := 0.0
				for _, bytes := range s.Summary.Resident {
					size += float64(bytes)
				}
				return s.Rate(scenario.Moved, suiteSettled, s.Last()) * 60 / size
			})
			more = append(more, row{name: r.name + ": moved per minute once settled, of the footprint", values: settled[:1], show: percent, want: atMost(wantSettled)})
		}
		for _, p := range r.pairs {
			all = append(all, p.tierd, p.kernel)
		}
	}
	t.rows = append(t.rows,
		row{name: "geometric mean", values: []float64{math.Exp(logs / float64(len(results)))}, show: times, want: atLeast(wantGeometric)},
		row{name: "migrated in all", values: []float64{ours / theirs, math.NaN(), math.NaN(), math.NaN(), math.NaN(), ours, theirs}, each: columns, want: atMost(wantMigrations)})
	t.rows = append(t.rows, more...)
	t.notes = conditions(all)
	return t
}
