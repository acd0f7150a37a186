package load

import (
	"math"
	"math/bits"
	"sort"
)

// zipf gives the piece of rank r (from 1) accesses in proportion to r^-theta;
// the ranks are scattered over the memory. Drawing uses an alias table (Walker,
// Vose): exact, and two table reads per access whatever theta is.
type zipf struct {
	pieces
	slots []slot
	// cum[r] is the probability of the ranks up to and including r.
	cum []float64
}

type slot struct{ keep, other uint32 }

func newZipf(p pieces, theta float64) *zipf {
	n := len(p.order)
	z := &zipf{pieces: p, slots: make([]slot, n), cum: make([]float64, n)}
	total := 0.0
	for i := n - 1; i >= 0; i-- { // from the small ones, so that none is lost
		total += weight(i, theta)
	}
	sum := 0.0
	for i := range z.cum {
		sum += weight(i, theta) / total
		z.cum[i] = sum
	}
	z.cum[n-1] = 1

	// Vose: pair each slot that is less than full with one that is more.
	full := make([]float64, n)
	var small, large []uint32
	for i := range full {
		full[i] = weight(i, theta) / total * float64(n)
		if full[i] < 1 {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		z.slots[s] = slot{keep: uint32(min(full[s]*(1<<32), math.MaxUint32)), other: l}
		full[l] -= 1 - full[s]
		if full[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, rest := range [][]uint32{small, large} {
		for _, i := range rest {
			z.slots[i] = slot{keep: math.MaxUint32, other: i}
		}
	}
	return z
}

func weight(i int, theta float64) float64 { return math.Pow(float64(i+1), -theta) }

func (z *zipf) Fill(c *Cursor, lines []uint64) int {
	r, n, shift, down := c.Rand, uint64(len(z.slots)), z.shift&63, (64-z.shift)&63
	for i := range lines {
		// The low half is what the draw has left over within its slot.
		rank, rest := bits.Mul64(r.Uint64(), n)
		if s := z.slots[rank]; uint32(rest>>32) >= s.keep {
			rank = uint64(s.other)
		}
		lines[i] = uint64(z.order[rank])<<shift | r.Uint64()>>down
	}
	c.Rand = r
	return len(lines)
}

func (z *zipf) below(rank int) float64 {
	if rank == 0 {
		return 0
	}
	return z.cum[rank-1]
}

func (z *zipf) Classes() []Class {
	per := z.pagesPer()
	return []Class{{
		Name:  "zipf",
		Prob:  1,
		Pages: z.pages(),
		page:  func(i int) int { return z.page(0, i) },
		at: func(u float64) int {
			rank := min(sort.Search(len(z.cum), func(i int) bool { return z.cum[i] > u }), len(z.cum)-1)
			within := 0.0
			if p := z.cum[rank] - z.below(rank); p > 0 {
				within = (u - z.below(rank)) / p
			}
			return rank*per + min(max(int(within*float64(per)), 0), per-1)
		},
		head: func(k int) float64 {
			rank, part := k/per, float64(k%per)/float64(per)
			return z.below(rank) + part*(z.cum[rank]-z.below(rank))
		},
	}}
}
