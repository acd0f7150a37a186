package sim_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// recorded runs tierd over a workload and returns the recording, and how many
// plans were made.
func recorded(t *testing.T, w sim.Workload, all bool) (file []byte, r *record.Recorder) {
	t.Helper()
	m := sim.TwoTiers(w.Fast)
	file, err := record.Preamble(&record.Header{Version: "test", Tiers: m.Tiers, Nodes: m.Nodes})
	if err != nil {
		t.Fatal(err)
	}
	r = record.NewRecorder(func(b []byte) bool { file = append(file, b...); return true })
	r.All = all
	tierd := sim.DefaultTierd()
	tierd.Recorder = r
	sim.Run(sim.Options{Machine: m, Workload: w, Placer: tierd, Rate: 1 << 30, Seed: 1})
	r.Flush()
	return file, r
}

// replay plays a recording, from the first key frame that is not among the first
// so many frames, and returns how many frames it played and moves it planned.
func replay(t *testing.T, file []byte, skip int) (frames uint64, moves int) {
	t.Helper()
	in, err := record.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var p record.Player
	begun := false
	for n := 0; ; n++ {
		f, err := in.Next()
		if err == io.EOF {
			return frames, moves
		}
		if err != nil {
			t.Fatal(err)
		}
		if begun = begun || n >= skip && f.State != nil; !begun {
			continue
		}
		plan, same, err := p.Play(f)
		if err != nil || !same {
			t.Fatalf("frame %d: same %v, %v", f.Number, same, err)
		}
		frames++
		moves += len(plan.Moves)
	}
}

// Every plan of a recording is made again: of the whole, of one with frames left
// out, and from the middle on.
func TestReplayIsExact(t *testing.T) {
	for _, w := range []sim.Workload{alternate(15, 60), scattered()} {
		w.Seconds = 400
		for _, all := range []bool{true, false} {
			file, r := recorded(t, w, all)
			frames, moves := replay(t, file, 0)
			if frames != r.Stats().Frames || moves == 0 || r.Err() != nil {
				t.Errorf("%s, all %v: %d frames of %+v with %d moves, %v", w.Name, all, frames, r.Stats(), moves, r.Err())
			}
			if late, _ := replay(t, file, int(frames)/2); late == 0 || late > frames-frames/2 {
				t.Errorf("%s, all %v: %d frames from the middle on", w.Name, all, late)
			}
			t.Logf("%s, all %v: %+v", w.Name, all, r.Stats())
		}
	}
}

// scattered has its hot set in pages of 4 KiB anywhere, and another one after 200 s.
func scattered() sim.Workload {
	return sim.Workload{
		Name: "scattered", Regions: []int{regions}, Fast: 64, Start: 1,
		Begin: func(procs []*sim.Memory, _ *rand.Rand) sim.Changes {
			seed := uint64(0)
			return func(t float64) float64 {
				seed++
				hot(96*mib, 4<<10, seed)(procs[0])
				return t + 200
			}
		},
	}
}

// TestRecordingSize keeps to what an hour and GiB may take, on each workload.
func TestRecordingSize(t *testing.T) {
	if os.Getenv("TIERD_RECORD_SIZE") == "" {
		t.Skip("takes minutes: TIERD_RECORD_SIZE=1")
	}
	for _, w := range sim.Workloads() {
		t.Run(w.Name, func(t *testing.T) {
			for _, all := range []bool{true, false} {
				_, r := recorded(t, w, all)
				regions := 0
				for _, n := range w.Regions {
					regions += n
				}
				gib := float64(regions) * policy.RegionSize / (1 << 30)
				got := r.Stats()
				t.Logf("%-24s all %-5v %6d of %6d frames, %.2f MiB per hour and GiB", w.Name, all, got.Frames, got.Frames+got.LeftOut,
					float64(got.Bytes)/(1<<20)/gib/(w.Seconds/3600))
			}
		})
	}
}
