package record

import (
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/policy"
)

// busy makes plans of memory that changes more than may be recorded, one a second.
func busy(r *Recorder, plans int, each func(second float64)) {
	var c policy.Controller
	random := rand.New(rand.NewPCG(1, 2))
	s := &policy.Snapshot{Processes: []policy.Process{{Regions: make([]policy.Region, 2000)}}}
	for range plans {
		s.Seconds++
		for i := range s.Processes[0].Regions {
			q := &s.Processes[0].Regions[i]
			q.Addr = uint64(i+1) << 21
			q.Rate = random.Float32()
		}
		r.Decide(&c, s, policy.DefaultParams())
		each(s.Seconds)
	}
}

// While plans are left out, those before are not held back.
func TestLeftOutHoldsNothingBack(t *testing.T) {
	r := NewRecorder(func([]byte) bool { return true })
	var since float64 // of the oldest plan that waits, or now
	waiting := 0
	busy(r, 600, func(now float64) {
		if n := r.encoder.Frames(); n == 0 || n < waiting || waiting == 0 {
			since = now
		}
		waiting = r.encoder.Frames()
		if now-since > blockSeconds {
			t.Fatalf("a plan waits for %.0f s to be written", now-since)
		}
	})
	if got := r.Stats(); got.LeftOut < 100 || got.Frames < 20 {
		t.Errorf("%+v", got)
	}
}

// After a loss there is a key frame soon, even where plans are left out; on average
// the size is kept all the same.
func TestKeyFrameOnCredit(t *testing.T) {
	refuse, lost, next := false, 0.0, 0.0
	r := NewRecorder(func([]byte) bool { return !refuse })
	written := uint64(0)
	busy(r, 3000, func(now float64) {
		switch frames := r.Stats().Frames; {
		case now == 1000:
			refuse = true
		case refuse && r.Stats().Dropped > 0:
			refuse, lost, written = false, now, frames
		case lost > 0 && next == 0 && frames > written:
			next = now
		}
	})
	if lost == 0 || next == 0 || next-lost > 2 {
		t.Errorf("lost at %.0f s, the next plan at %.0f s", lost, next)
	}
	const regions = 2000.0
	if most := PerHour / 3600 * regions * policy.RegionSize / (1 << 30) * (3000 + creditSeconds); float64(r.Stats().Bytes) > most*1.1 {
		t.Errorf("%d bytes, %.0f are allowed", r.Stats().Bytes, most)
	}
}
