package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/test/scenario"
	"github.com/tierd/tierd/test/vm"
)

// made is a run up to a time in seconds: tierd starts at 5 s, needs 6 s, the hot set shifts at 45 s, and is back 8 s later.
func made(until float64) *story {
	st := &story{total: 90, release: "6.12.94+deb12-amd64"}
	const oracleHBM, oracleDRAM = 0.902, 0.035
	for t := 0.0; t <= until; t++ {
		since, phase, phaseT, takes := t-5, 0, t, 6.0
		if t >= 45 {
			since, phase, phaseT, takes = t-45, 1, t-45, 8
		}
		part := min(max(since/takes, 0), 1)
		fastShare := part * 0.925
		hbm := fastShare * min(1, 0.4+part)
		oracle := oracleHBM + oracleDRAM
		up, down := uint64(part*400)<<20, uint64(0)
		if phase == 1 {
			up, down = up+400<<20, uint64(part*250)<<20
		}
		p := scenario.Sample{T: t - 5, Load: load.Sample{
			T: t, Phase: phase, PhaseT: phaseT,
			Share:  map[int]float64{0: fastShare - hbm, 1: hbm, 2: 1 - fastShare},
			Oracle: map[int]float64{0: oracleDRAM, 1: oracleHBM, 2: 1 - oracle},
			Fast:   &fastShare, OracleFast: &oracle,
		}}
		if p.T > 0 {
			p.Tierd = &scenario.TierdSample{CPUSeconds: p.T * 0.2}
		}
		if p.T > 1 {
			p.Tierd.Status = &status.Status{Workloads: []status.Workload{{PromotedBytesTotal: up, DemotedBytesTotal: down}}}
		}
		st.samples = append(st.samples, p)
	}
	return st
}

func TestFrame(t *testing.T) {
	for _, tt := range []struct {
		name  string
		until float64
		view  view
	}{
		{"start.txt", 2, view{width: 80, height: 24}},
		{"placing.txt", 8, view{width: 80, height: 24}},
		{"end.txt", 90, view{width: 80, height: 24}},
		{"tall.txt", 60, view{width: 120, height: 50}},
		{"narrow.txt", 60, view{width: 44, height: 18}},
		{"ascii.txt", 60, view{width: 80, height: 24, ascii: true}},
		{"color.txt", 60, view{width: 60, height: 24, color: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			golden.Check(t, "testdata/"+tt.name, strings.Join(frame(made(tt.until), tt.view), "\n")+"\n")
		})
	}
}

// TestFrameFits draws on terminals of all sizes: a line that wraps, or a frame that scrolls, would spoil the redrawing in place.
func TestFrameFits(t *testing.T) {
	codes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for _, until := range []float64{0, 1, 8, 46, 60, 120} {
		st := made(until)
		for width := 30; width < 140; width += 3 {
			for height := 8; height < 40; height += 3 {
				lines := frame(st, view{width: width, height: height, color: width%2 == 0})
				if len(lines) >= height {
					t.Fatalf("%d × %d: %d lines", width, height, len(lines))
				}
				for _, l := range lines {
					if n := utf8.RuneCountInString(codes.ReplaceAllString(l, "")); n >= width {
						t.Fatalf("%d × %d: line of %d characters: %q", width, height, n, l)
					}
				}
			}
		}
	}
}

func TestFrameOfNothing(t *testing.T) {
	if lines := frame(&story{}, view{width: 80, height: 24}); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
}

// TestReachedIsNotTakenBack tells nothing that the next sample may take back.
func TestReachedIsNotTakenBack(t *testing.T) {
	if _, _, ok := made(11).reached(0); ok {
		t.Error("reached after a single sample")
	}
	if after, share, ok := made(12).reached(0); !ok || after != 6 || share != 0.925 {
		t.Errorf("after %v: %v, %v", after, share, ok)
	}
}

// TestLines is what a log file gets.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out, func(string) string { return "" }, false)
	for until := 0.0; until <= 55; until++ {
		s.show(made(until))
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("codes of a terminal in what is none")
	}
	golden.Check(t, "testdata/lines.txt", out.String())

	out.Reset()
	s = newScreen(&out, func(string) string { return "" }, true)
	s.say("building")
	s.show(made(3))
	if out.Len() > 0 {
		t.Errorf("quiet: %q", out.String())
	}
}

func TestSummary(t *testing.T) {
	series := scenario.Series{End: scenario.End{CPUSeconds: 17}}
	golden.Check(t, "testdata/summary.txt", made(90).summary(&series))
}

func TestFailure(t *testing.T) {
	ok := scenario.Series{}
	if why := made(90).failure(&ok); why != "" {
		t.Errorf("a good run: %q", why)
	}
	for _, tt := range []struct{ name, want string }{
		{"empty", "reported nothing"},
		{"unplaced", "was not placed: HBM and DRAM never came to 95 %"},
		{"observed", "tierd only observed: no BPF here"},
		{"unrecovered", "was not placed again after the shift"},
		{"crashed", "exit code 2"},
		{"residue", "left behind: a link"},
	} {
		st, series := made(90), scenario.Series{}
		switch tt.name {
		case "empty":
			st = &story{}
		case "unplaced", "observed":
			st = made(8)
			if tt.name == "observed" {
				s := st.last().Tierd.Status
				s.Forced, s.ModeReason = true, "no BPF here"
			}
		case "unrecovered":
			st = made(50)
		case "crashed":
			series.End.ExitCode = 2
		case "residue":
			series.End.Residue = []string{"a link"}
		}
		why := st.failure(&series)
		if !strings.Contains(why, tt.want) || strings.Contains(why, "\n") {
			t.Errorf("%s: %q, want one line with %q", tt.name, why, tt.want)
		}
	}
}

// TestPicture looks at some places of the picture: below the curves, between them, above them.
func TestPicture(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "demo.png")
	if err := writePicture(path, made(90)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	if got := img.Bounds().Size(); got != image.Pt(1152, 576) {
		t.Errorf("size %v", got)
	}
	// Where each tier's colour begins and ends gives the frame of the plot without knowing its margins.
	area := func(i int) (n int) {
		c := color.RGBA{R: tiers[i].rgb[0], G: tiers[i].rgb[1], B: tiers[i].rgb[2], A: 255}
		for y := range img.Bounds().Dy() {
			for x := range img.Bounds().Dx() {
				if color.RGBAModel.Convert(img.At(x, y)) == c {
					n++
				}
			}
		}
		return n
	}
	st := made(90)
	series := scenario.Series{Samples: st.samples}
	all := float64(area(0) + area(1) + area(2))
	for i, tier := range tiers {
		want := series.Mean(scenario.Node(tier.node), series.Samples[0].T, series.Last())
		if got := float64(area(i)) / all; math.Abs(got-want) > 0.03 {
			t.Errorf("%s fills %.3f of the picture, and serves %.3f", tier.name, got, want)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{"--duration 1s", "--duration x", "more", "--nothing"} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args), os.Getenv, &out, &errs); code != 2 || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%s: exit code %d, %q, %q", args, code, out.String(), errs.String())
		}
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--kernel", "/no/such/vmlinuz"}, os.Getenv, &out, &errs); code != 1 || strings.Count(errs.String(), "\n") != 1 {
		t.Errorf("no kernel: exit code %d, %q", code, errs.String())
	}
}

// TestDemoFitsTheMachine keeps what the demo assumes true: its configuration, and which node is which.
func TestDemoFitsTheMachine(t *testing.T) {
	cfg, err := config.Parse("demo.toml", []byte(tierdConfig))
	if err != nil {
		t.Fatal(err)
	}
	if !cfg.Enforcing() || len(cfg.NotActedOn()) > 0 {
		t.Errorf("enforcing %v, not acted on %v", cfg.Enforcing(), cfg.NotActedOn())
	}
	nodes := vm.ThreeTier().Nodes
	if len(nodes) != len(tiers) {
		t.Fatalf("%d nodes", len(nodes))
	}
	hbm, dram, cxl := nodes[tiers[0].node], nodes[tiers[1].node], nodes[tiers[2].node]
	if hbm.Bandwidth <= dram.Bandwidth || len(dram.CPUs) == 0 || cxl.Latency <= dram.Latency {
		t.Errorf("HBM %+v, DRAM %+v, CXL %+v", hbm, dram, cxl)
	}
	if headStart >= minDuration/2-5*time.Second {
		t.Error("tierd would have no time before the shift")
	}
}
