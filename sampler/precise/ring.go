package precise

import "encoding/binary"

// recordThrottle is PERF_RECORD_THROTTLE: the kernel stops a counter that makes too many interrupts until the next tick.
const recordThrottle = 5

// throttled counts the records of throttling between two positions of a ring, whose size is a power of two. A record
// that is torn ends it.
func throttled(ring []byte, tail, head uint64) (n int) {
	size := uint64(len(ring))
	if size == 0 || size&(size-1) != 0 || head-tail > size {
		return 0
	}
	for head-tail >= 8 {
		var header [8]byte
		for i := range header {
			header[i] = ring[(tail+uint64(i))&(size-1)]
		}
		length := uint64(binary.NativeEndian.Uint16(header[6:]))
		if length < 8 || length > head-tail {
			break
		}
		if binary.NativeEndian.Uint32(header[:]) == recordThrottle {
			n++
		}
		tail += length
	}
	return n
}
