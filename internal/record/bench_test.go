package record

import (
	"testing"

	"github.com/tierd/tierd/policy"
)

// BenchmarkFrame is what recording costs the loop: a million regions, of which one in
// a hundred has a new sample, packing included.
func BenchmarkFrame(b *testing.B) {
	const n = 1_000_000
	s := &policy.Snapshot{Processes: []policy.Process{{Regions: make([]policy.Region, n)}}}
	regions := s.Processes[0].Regions
	for i := range regions {
		regions[i] = policy.Region{Addr: uint64(i) * policy.RegionSize, Rate: float32(i%1000 + 1), LogVar: 64.0 / varianceTicks, Detail: -1}
	}
	e := NewEncoder()
	e.Frame(&Frame{State: []byte{}, Snapshot: s})
	for b.Loop() {
		s.Seconds++
		for i := range regions {
			r := &regions[i]
			r.Stable++
			r.LogVar += 64.0 / varianceTicks
			if (i*7919+int(s.Seconds))%100 == 0 {
				r.Rate *= 1.25
				r.LogVar = 64.0 / varianceTicks
			}
		}
		e.Frame(&Frame{Snapshot: s})
		if e.Raw() >= blockRaw {
			if _, err := e.Block(); err != nil {
				b.Fatal(err)
			}
		}
	}
}
