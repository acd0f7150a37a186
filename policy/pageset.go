package policy

import "math/bits"

// PageSet has a bit for each 4 KiB page of a region.
type PageSet [PagesPerRegion / 64]uint64

// AllPages is a whole region.
func AllPages() (s PageSet) {
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}

// PagesOf are the pages of some pieces.
func PagesOf(pieces uint32) (s PageSet) {
	const perWord = 64 / PagesPerPiece
	for ; pieces != 0; pieces &= pieces - 1 {
		p := bits.TrailingZeros32(pieces)
		s[p/perWord] |= (1<<PagesPerPiece - 1) << (p % perWord * PagesPerPiece)
	}
	return s
}

// Count is the number of pages in the set.
func (s *PageSet) Count() (n int) {
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Has tells whether page i of the region is in the set.
func (s *PageSet) Has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

// Add puts page i of the region in the set.
func (s *PageSet) Add(i int) { s[i/64] |= 1 << (i % 64) }

// And are the pages that both sets have.
func (s PageSet) And(o PageSet) PageSet {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// Without are the pages of s that o does not have.
func (s PageSet) Without(o PageSet) PageSet {
	for i := range s {
		s[i] &^= o[i]
	}
	return s
}
