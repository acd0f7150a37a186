//go:build linux

package main

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/test/scenario"
)

func TestTable(t *testing.T) {
	tab := table{
		id: "x", title: "numbers", columns: []string{"tierd", "kernel"},
		rows: []row{
			{name: "time", values: []float64{3.25, math.Inf(1)}, show: seconds, want: atMost(8)},
			{name: "ratio", values: []float64{1.2}, show: times, want: atLeast(1.25)},
			{name: "never", values: []float64{math.Inf(1), 2}, show: seconds, want: atMost(8)},
			{name: "unknown", values: []float64{math.NaN(), 1 << 20}, show: mib, want: atLeast(1)},
			{name: "for information", values: []float64{0.5, 0.25}, show: percent},
		},
		notes: []string{"A note."},
	}
	want := `|                 | tierd  | kernel  | wanted    |       |
|-----------------|--------|---------|-----------|-------|
| time            | 3.2 s  | never   | ≤ 8.0 s   | ok    |
| ratio           | 1.20 × | –       | ≥ 1.25 ×  | SHORT |
| never           | never  | 2.0 s   | ≤ 8.0 s   | SHORT |
| unknown         | –      | 1.0 MiB | ≥ 0.0 MiB | SHORT |
| for information | 50.0 % | 25.0 %  |           |       |

A note.
`
	if diff := cmp.Diff(want, tab.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestUpdateDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	old := "# Doc\n\n<!-- bench x: begin -->\nold\n<!-- bench x: end -->\n\nend\n"
	if err := os.WriteFile(path, []byte(old), 0o644); err != nil {
		t.Fatal(err)
	}
	tab := table{id: "x", columns: []string{"v"}, rows: []row{{name: "n", values: []float64{1}, show: share}}}
	for range 2 { // the second time changes nothing more
		if err := updateDocument(path, tab, "go run ./test/bench -update"); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := os.ReadFile(path)
	want := "# Doc\n\n<!-- bench x: begin -->\n\n    go run ./test/bench -update\n\n" + tab.String() + "\n<!-- bench x: end -->\n\nend\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := updateDocument(path, table{id: "y"}, ""); !errors.Is(err, errNoPlace) {
		t.Errorf("no marks: %v", err)
	}
}

func TestTheDocumentHasAPlaceForEachTable(t *testing.T) {
	for _, tab := range tables {
		doc, err := os.ReadFile(filepath.Join("..", "..", documentOf(tab.id)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := replace(string(doc), table{id: tab.id}, ""); err != nil {
			t.Error(err)
		}
	}
}

func TestMedian(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tt := range []struct {
		x    []float64
		want float64
	}{
		{[]float64{3, 1, 2}, 2}, {[]float64{4, 1}, 2.5}, {[]float64{1, inf, inf}, inf}, {[]float64{inf, inf}, inf}, {[]float64{nan, 5}, 5}, {nil, nan},
	} {
		if got := median(tt.x); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%v: %v, want %v", tt.x, got, tt.want)
		}
	}
}

// steps is a series with a sample a second and the given shares in fast memory, all of them HBM; it shifts in the middle.
func steps(fast ...float64) *scenario.Series {
	s := &scenario.Series{Release: "6.12", Waited: 0.25, Capacity: []load.Capacity{{Node: 1}, {Node: 0}, {Node: 2}}}
	for i, f := range fast {
		p := scenario.Sample{T: float64(i), MovedBytes: int64(i) << 20, Tierd: &scenario.TierdSample{CPUSeconds: float64(i) / 10}}
		p.Load.Fast, p.Load.Share = &f, map[int]float64{nodeHBM: f}
		p.Load.Resident = map[int]int64{1: int64(1000 * f)}
		if i >= len(fast)/2 {
			p.Load.Phase, p.Load.PhaseT = 1, float64(i-len(fast)/2)
		}
		s.Samples = append(s.Samples, p)
	}
	s.Summary.OracleFast = new(float64)
	*s.Summary.OracleFast = 0.937
	return s
}

func TestPlacementTable(t *testing.T) {
	tierd, kernel := steps(0, 0.9, 0.9, 0.9, 0, 0, 0.9, 0.9), steps(0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4)
	got := placementTable("a", "2MiB", []pair{{tierd, kernel}}, 7)
	var verdicts []string
	for _, r := range got.rows {
		if r.want != nil {
			verdicts = append(verdicts, r.cell(0)+" "+r.verdict())
		}
	}
	want := []string{"1.0 s ok", "2.0 s ok", "2.0 s ok", "1.56 × ok"}
	// Means: tierd (0.45+0.9+0.9+0.45+0+0.45+0.9)/7, kernel (0.2+6*0.4)/7.
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, got)
	}
	if text := got.String(); !strings.Contains(text, "7.0 MiB") || !strings.Contains(text, "10.0 %") || !strings.Contains(text, "25 % of the time") || !strings.Contains(text, "0.937") {
		t.Errorf("table\n%s", text)
	}
	if r := placementTable("b", "64KiB", []pair{{kernel, tierd}}, 7).rows[4]; r.verdict() != "SHORT" || r.wanted() != "≥ 0.90 ×" {
		t.Errorf("b: %s, %s", r.verdict(), r.wanted())
	}
}

func TestMovedPerMinute(t *testing.T) {
	s := steps(0, 0.5, 1, 1, 1, 1) // a MiB per second
	if got, want := movedPerMinute(s), 60.0/1024; math.Abs(got-want) > 1e-9 {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestSummary(t *testing.T) {
	var x []int64
	for i := range 2000 {
		x = append(x, int64(2000-i))
	}
	if got, want := summary(x), (probed{2000, 1999e-9, 2000e-9}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := summary(nil); !math.IsNaN(got.Max) {
		t.Errorf("%+v", got)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-only", "z"}, {"-runs", "0"}, {"-update", "-patterns", "zipf"}, {"x"}, {"-nothing"}, {"-length", "1s"}, {"-resume"}} {
		var out, errs strings.Builder
		if code := run(t.Context(), args, nil, &out, &errs); code != 2 || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%v: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
}

func TestSuiteTable(t *testing.T) {
	run := func(share, mibPerSecond float64) *scenario.Series {
		s := steps(slices.Repeat([]float64{share}, 61)...)
		s.Summary.Resident = map[int]int64{nodeHBM: 1 << 30}
		for i := range s.Samples {
			s.Samples[i].MovedBytes = int64(float64(i) * mibPerSecond * (1 << 20))
			s.Samples[i].Kernel.Migrated = s.Samples[i].MovedBytes
		}
		return s
	}
	tierd, kernel := run(0.9, 1), run(0.45, 2)
	got := suiteTable([]patternRuns{
		{pattern{name: "shifting", shift: true}, []pair{{tierd, kernel}}},
		{pattern{name: "quiet", quiet: true}, []pair{{kernel, kernel}}},
	})
	var verdicts []string
	for _, r := range got.rows {
		verdicts = append(verdicts, r.name+": "+r.cell(0)+" "+r.verdict())
	}
	want := []string{
		"shifting: 2.00 × ok", "quiet: 1.00 × ok", "geometric mean: 1.41 × ok", "migrated in all: 0.75 × SHORT",
		"shifting: 0.95 of the oracle again: 0.0 s ok",
		"quiet: moved per minute once settled, of the footprint: 11.7 % SHORT", // 120 of 1024 MiB
	}
	if diff := cmp.Diff(want, verdicts); diff != "" {
		t.Errorf("(-want +got)\n%s\n%s", diff, got)
	}
}

// TestSavedSeries: a run that was saved is read back as it was, one that was not is to be made, and a torn file is an error.
func TestSavedSeries(t *testing.T) {
	dir := t.TempDir()
	want := scenario.Series{Name: "f zipf 0.99 1, tierd", Mover: scenario.Tierd, Release: "6.12", Samples: []scenario.Sample{{T: 1, MovedBytes: 2}}, Waited: -1}
	if err := save(dir, &want); err != nil {
		t.Fatal(err)
	}
	got, err := saved(dir, want.Name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Error(diff)
	}
	if _, err := saved(dir, "f zipf 0.99 2, tierd"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a run that was not saved: %v", err)
	}
	if err := os.WriteFile(seriesFile(dir, want.Name), []byte(`{"name":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := saved(dir, want.Name); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a torn file: %v", err)
	}
}
