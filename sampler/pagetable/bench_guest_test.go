//go:build guest

package pagetable_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Costs of one sample of a region of base pages, of another process.
func BenchmarkSample(b *testing.B) {
	s, err := openRanges()
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	c := start(b, s)
	const regions = 64
	at := c.do("map %d 0", regions*policy.RegionSize)
	c.do("bind 2 0")
	var addrs []uint64
	var ranges []pagetable.Range
	for i := range uint64(regions) {
		a := at + i*policy.RegionSize
		addrs = append(addrs, a)
		ranges = append(ranges, pagetable.Range{Start: a, End: a + policy.RegionSize})
	}
	per := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/regions, "µs/region")
	}
	b.Run("clear-old", func(b *testing.B) {
		for b.Loop() {
			_, _ = c.space.Clear(ranges)
		}
		per(b)
	})
	b.Run("clear-young", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			c.do("touch 0 %d", regions*512)
			b.StartTimer()
			_, _ = c.space.Clear(ranges)
		}
		per(b)
	})
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			_, _ = c.space.Walk(addrs, func(int, *pagetable.Block) {})
		}
		per(b)
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			_, _, _ = c.space.Mappings(func(pagetable.Run) {})
		}
	})
	b.Run("clock", func(b *testing.B) {
		var ts unix.Timespec
		for b.Loop() {
			_ = unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts)
		}
	})
}
