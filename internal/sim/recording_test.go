package sim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"testing"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

func built(t *testing.T, name string, seconds float64) sim.Workload {
	t.Helper()
	all := sim.Workloads()
	i := slices.IndexFunc(all, func(w sim.Workload) bool { return w.Name == name })
	if i < 0 {
		t.Fatalf("no workload %q", name)
	}
	w := all[i]
	w.Seconds = seconds
	w.Events = slices.DeleteFunc(slices.Clone(w.Events), func(at float64) bool { return at >= seconds })
	return w
}

// compared are what the oracle and tierd reach.
func compared(t *testing.T, m sim.Machine, w sim.Workload) (oracle, tierd sim.Summary) {
	t.Helper()
	contenders := append(sim.Baselines()[:2], sim.Contender{Name: "tierd", New: func(sim.Future) sim.Placer { return sim.DefaultTierd() }})
	sums, err := sim.Compare(context.Background(), m, w, 1<<30, contenders, []uint64{1})
	if err != nil {
		t.Fatal(err)
	}
	return sums[1], sums[2]
}

// A recording of a workload is nearly that workload: what the oracle and tierd reach
// on both is alike.
func TestRecordingIsTheWorkload(t *testing.T) {
	for _, tt := range []struct {
		name string
		// By how much the oracle's hit ratio may differ. The hottest memory of zipf is used
		// more often than accessed bits can tell.
		oracle float64
	}{
		{"static", 0.01}, {"hot2", 0.02}, {"zipf", 0.15},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := built(t, tt.name, 40)
			file, _ := recorded(t, w, false)
			in, err := record.NewReader(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			again, m, err := sim.FromRecording(in)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(again.Seconds-w.Seconds) > 3 || math.Abs(float64(again.Fast-w.Fast)) > 0.02*float64(w.Fast) {
				t.Errorf("%g s with %d fast regions, not %g and %d", again.Seconds, again.Fast, w.Seconds, w.Fast)
			}
			if !slices.Equal(again.Regions, w.Regions) {
				t.Errorf("regions %v, not %v", again.Regions, w.Regions)
			}
			oracle, tierd := compared(t, sim.TwoTiers(w.Fast), w)
			oracle2, tierd2 := compared(t, m, again)
			t.Logf("the oracle hits %.3f, with the recording %.3f; tierd %.3f, and moves %.1f GiB, with the recording %.3f and %.1f GiB",
				oracle.Hit, oracle2.Hit, tierd.Hit, tierd.Moved/(1<<30), tierd2.Hit, tierd2.Moved/(1<<30))
			if math.Abs(oracle.Hit-oracle2.Hit) > tt.oracle || math.Abs(tierd.OfOracle-tierd2.OfOracle) > 0.03 {
				t.Errorf("the oracle hits %.3f, with the recording %.3f; of that, tierd %.3f and %.3f", oracle.Hit, oracle2.Hit, tierd.OfOracle, tierd2.OfOracle)
			}
		})
	}
}

// frames are those of a recording that needs no file.
type frames []*record.Frame

func (f *frames) Next() (*record.Frame, error) {
	if len(*f) == 0 {
		return nil, io.EOF
	}
	first := (*f)[0]
	*f = (*f)[1:]
	if first == nil {
		return nil, record.ErrTorn
	}
	return first, nil
}

func frame(seconds float64, rates ...float32) *record.Frame {
	m := sim.TwoTiers(4)
	p := policy.Process{ID: policy.ProcessID{PID: 7, Start: 1}, Workload: "train"}
	for i, rate := range rates {
		if rate < 0 {
			continue // not there
		}
		p.Regions = append(p.Regions, policy.Region{
			Addr: uint64(i+1) * policy.RegionSize * 3, Rate: rate, LogVar: 0.01, Detail: -1, SinceMove: float32(math.Inf(1)),
			Placement: [3]policy.SlotPages{{Pages: 300, Slot: 0}, {Pages: 212, Slot: 1}},
		})
	}
	return &record.Frame{Snapshot: &policy.Snapshot{
		Seconds: seconds, Tiers: m.Tiers, Nodes: m.Nodes, MoveCost: 1e-6, SincePhase: math.Inf(1), Processes: []policy.Process{p},
	}}
}

func TestOddRecordings(t *testing.T) {
	nan := float32(math.NaN())
	other := frame(2, 1)
	other.Snapshot.Nodes = append(slices.Clone(other.Snapshot.Nodes), policy.Node{ID: 2, Tier: 1, Size: 1 << 30})
	foreign := frame(2, 1)
	foreign.Snapshot.Tiers = foreign.Snapshot.Tiers[:1]
	for _, tt := range []struct {
		name    string
		frames  frames
		err     error
		seconds float64 // 0: no workload
		regions int
	}{
		{"empty", nil, sim.ErrNothing, 0, 0},
		{"one frame", frames{frame(1, 1)}, sim.ErrNothing, 0, 0},
		{"no memory", frames{frame(1), frame(2)}, sim.ErrNothing, 0, 0},
		{"one tier", frames{foreign}, sim.ErrNothing, 0, 0},
		{"torn", frames{frame(1, 1), frame(3, 1), nil}, record.ErrTorn, 2, 1},
		{"torn at once", frames{nil}, record.ErrTorn, 0, 0},
		{"another machine", frames{frame(1, 1), frame(2, 1), other}, sim.ErrOtherMachine, 1, 1},
		{"clock goes back", frames{frame(100, 1), frame(102, 1), frame(5, 1), frame(6, 1)}, nil, 4, 1},
		{"long gap", frames{frame(1, 1), frame(1e9, 1)}, nil, 600, 1},
		{"time is no number", frames{frame(1, 1), frame(math.NaN(), 1), frame(math.Inf(1), 2), frame(2, 1)}, nil, 1, 1},
		{"rates of nothing", frames{frame(1, nan, 0), frame(5, nan, 0)}, nil, 4, 2},
		{"comes and goes", frames{frame(1, 1, -1), frame(3, -1, 2), frame(5, 1, 2), frame(9)}, nil, 8, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w, m, err := sim.FromRecording(&tt.frames)
			if !errors.Is(err, tt.err) {
				t.Fatalf("%v, not %v", err, tt.err)
			}
			if w.Seconds != tt.seconds {
				t.Fatalf("%g s, not %g", w.Seconds, tt.seconds)
			}
			if tt.seconds == 0 {
				return
			}
			if len(w.Regions) != 1 || w.Regions[0] != tt.regions {
				t.Errorf("regions %v, not %d", w.Regions, tt.regions)
			}
			for _, c := range append(sim.Baselines(), sim.Contender{New: func(sim.Future) sim.Placer { return sim.DefaultTierd() }}) {
				totals := [][]float64{make([]float64, tt.regions)}
				r := sim.Run(sim.Options{Machine: m, Workload: w, Placer: c.New(sim.Future{Totals: totals}), Rate: 1 << 30, Seed: 1})
				if math.IsNaN(r.Hit) || r.Hit < 0 || r.Hit > 1 {
					t.Errorf("%s hits %g", c.Name, r.Hit)
				}
			}
		})
	}
}
