package load

// Rand is xorshift64*: one multiplication and three shifts per number, good in
// its upper bits, which are the ones that are used.
type Rand struct{ state uint64 }

// NewRand starts the stream-th sequence of a seed. Different streams of one
// seed are unrelated.
func NewRand(seed, stream uint64) Rand {
	// Two rounds of splitmix64, so that small seeds do not start alike.
	x := mix(mix(seed) + stream)
	if x == 0 {
		x = 1 // zero is the one state that xorshift cannot leave
	}
	return Rand{state: x}
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Uint64 is the next number.
func (r *Rand) Uint64() uint64 {
	x := r.state
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	r.state = x
	return x * 0x2545f4914f6cdd1d
}

// Float64 is the next number in [0, 1).
func (r *Rand) Float64() float64 { return float64(r.Uint64()>>11) / (1 << 53) }

// threshold turns a probability into a bound for the upper 32 bits of a number.
func threshold(p float64) uint64 { return uint64(p*(1<<32) + 0.5) }

// scatter is a random permutation of the first n numbers.
func scatter(n int, seed uint64) []uint32 {
	perm := make([]uint32, n)
	for i := range perm {
		perm[i] = uint32(i)
	}
	r := NewRand(seed, 0)
	for i := n - 1; i > 0; i-- {
		j := int(r.Uint64() >> 11 % uint64(i+1))
		perm[i], perm[j] = perm[j], perm[i]
	}
	return perm
}
