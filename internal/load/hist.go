package load

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1/32 wide, so that
// a percentile is at most 3 % too large.
type histogram struct {
	count  uint64
	max    time.Duration
	bucket [64 * 32]uint64
}

func bucketOf(ns uint64) int {
	if ns < 64 {
		return int(ns)
	}
	shift := bits.Len64(ns) - 6 // leaves 32 to 63
	return shift*32 + int(ns>>shift)
}

// upper is the largest duration of a bucket.
func upper(bucket int) uint64 {
	if bucket < 64 {
		return uint64(bucket)
	}
	shift := bucket/32 - 1
	return uint64(bucket%32+32+1)<<shift - 1
}

func (h *histogram) add(d time.Duration) {
	d = max(d, 0)
	h.count++
	h.max = max(h.max, d)
	h.bucket[bucketOf(uint64(d))]++
}

// quantile is a duration that a share q of the others does not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	want, seen := q*float64(h.count), uint64(0)
	for i, n := range h.bucket {
		seen += n
		if n > 0 && float64(seen) >= want {
			return min(time.Duration(upper(i)), h.max)
		}
	}
	return h.max
}
