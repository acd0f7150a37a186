package record

import (
	"testing"

	"github.com/tierd/tierd/policy"
)

// crowd is a snapshot of so many regions; step ages all by a second as the sampler
// does, in ticks, and gives one in a hundred a new sample.
func crowd(n int) (s *policy.Snapshot, step func()) {
	s = &policy.Snapshot{Processes: []policy.Process{{Regions: make([]policy.Region, n)}}}
	regions := s.Processes[0].Regions
	sampled := make([]int, n) // seconds ago
	for i := range regions {
		regions[i] = policy.Region{Addr: uint64(i) * policy.RegionSize, Rate: float32(i%1000 + 1), Detail: -1}
	}
	return s, func() {
		s.Seconds++
		for i := range regions {
			r := &regions[i]
			r.Stable++
			r.SinceMove++
			sampled[i]++
			if (i*7919+int(s.Seconds))%100 == 0 {
				r.Rate *= 1.25
				sampled[i] = 0
			}
			r.LogVar = float32(float64(sampled[i]*ticksPerSecond) / varianceTicks)
		}
	}
}

// BenchmarkFrame is what recording a million regions costs the loop: key frames and
// others, without packing, which is another goroutine's.
func BenchmarkFrame(b *testing.B) {
	for _, bench := range []struct {
		name string
		key  bool
	}{{"difference", false}, {"key", true}} {
		b.Run(bench.name, func(b *testing.B) {
			s, step := crowd(1_000_000)
			e := NewEncoder()
			e.Frame(&Frame{State: []byte{}, Snapshot: s})
			var room [streams][]byte
			for b.Loop() {
				b.StopTimer()
				step()
				if p := e.take(room); p != nil {
					room = p.raw
				}
				b.StartTimer()
				if bench.key {
					e.Restart()
				}
				e.Frame(&Frame{State: []byte{}, Snapshot: s})
			}
		})
	}
}

// BenchmarkPack is what packing the frames of ten plans of a million regions takes.
func BenchmarkPack(b *testing.B) {
	s, step := crowd(1_000_000)
	e := NewEncoder()
	e.Frame(&Frame{State: []byte{}, Snapshot: s})
	e.take([streams][]byte{})
	for range 10 {
		step()
		e.Frame(&Frame{Snapshot: s})
	}
	p := e.take([streams][]byte{})
	var pack packer
	for b.Loop() {
		if _, err := pack.block(p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(p.size()), "raw-bytes")
}
