package load

import (
	"math/bits"
)

const (
	// LineShift is the size of a cache line, the unit of an access, as a power of two.
	LineShift = 6
	// PageShift is the size of a page as a power of two.
	PageShift = 12
	// PageLines is the number of lines in a page.
	PageLines = 1 << (PageShift - LineShift)
)

// Pattern is a distribution of accesses over the pages of the memory. It never
// changes, so any number of workers may use it at once.
type Pattern interface {
	// Fill draws the lines (page<<6 | line in the page) of the next accesses
	// and returns how many it drew: len(lines), or 0 from a pattern that
	// makes no accesses.
	Fill(c *Cursor, lines []uint64) int
	// Classes splits the pages by how often they are accessed, hottest first.
	// Every page is in exactly one class and the probabilities add up to 1;
	// a pattern that makes no accesses has no classes.
	Classes() []Class
}

// Cursor is the state of one worker.
type Cursor struct {
	Rand Rand
	scan uint64 // the next line of this worker's scan
}

// Class is a set of pages and the share of all accesses that goes to it.
type Class struct {
	Name  string
	Prob  float64
	Pages int

	page func(i int) int
	// These two are for a class whose pages are not all equally likely. Pages
	// are then ordered, hottest first.
	at   func(u float64) int
	head func(k int) float64
}

// Page is the i-th page of the class.
func (c Class) Page(i int) int { return c.page(i) }

// Even tells whether all pages of the class are equally likely.
func (c Class) Even() bool { return c.at == nil }

// At is the index of the page at which the cumulated probability within the
// class passes u, for u in [0, 1): the inverse of the distribution.
func (c Class) At(u float64) int {
	if c.at != nil {
		return c.at(u)
	}
	return min(int(u*float64(c.Pages)), c.Pages-1)
}

// Head is the share of all accesses that goes to the hottest k pages of the class.
func (c Class) Head(k int) float64 {
	switch {
	case k <= 0:
		return 0
	case k >= c.Pages:
		return c.Prob
	case c.head != nil:
		return c.head(k)
	}
	return c.Prob * float64(k) / float64(c.Pages)
}

// pieces is a scattered order of equal pieces of the memory.
type pieces struct {
	order []uint32
	shift uint // lines per piece, as a power of two
}

func newPieces(size, piece Bytes, seed uint64) pieces {
	return pieces{
		order: scatter(int(size/piece), seed),
		shift: uint(bits.TrailingZeros64(uint64(piece))) - LineShift,
	}
}

func (p pieces) pagesPer() int { return 1 << (p.shift - (PageShift - LineShift)) }
func (p pieces) pages() int    { return len(p.order) * p.pagesPer() }

// page is the i-th page counted along the order from its first piece on,
// around the end.
func (p pieces) page(first, i int) int {
	per := p.pagesPer()
	at := (first + i/per) % len(p.order)
	return int(p.order[at])*per + i%per
}

// hotSet gives a share of the accesses to some pieces and the rest to the
// others. The hot pieces are a window of the scattered order, so the next hot
// set is the next window, and no table is needed for it.
type hotSet struct {
	pieces
	first, count int    // the window, in pieces
	share        uint64 // threshold of an access being hot, of 32 bits
	prob         float64

	// A scan beside the hot set.
	scan     uint64
	scanProb float64
	stride   uint64 // in lines
}

func newHotSet(p pieces, first, count int, share float64) *hotSet {
	if count >= len(p.order) {
		share = 1 // there is nothing else
	}
	return &hotSet{pieces: p, first: first % len(p.order), count: count, share: threshold(share), prob: share}
}

func (h *hotSet) withScan(share float64, stride Bytes) *hotSet {
	h.scan, h.scanProb, h.stride = threshold(share), share, uint64(stride)>>LineShift
	return h
}

func (h *hotSet) Fill(c *Cursor, lines []uint64) int {
	var (
		r         = c.Rand
		order     = h.order
		n         = len(order)
		shift     = h.shift & 63 // spares the check of a shift by more
		mask      = uint64(1)<<shift - 1
		all       = uint64(n) << shift
		hotFirst  = h.first
		hotLines  = uint64(h.count) << shift
		coldFirst = h.first + h.count
		coldLines = uint64(n-h.count) << shift
		share     = h.share
	)
	for i := range lines {
		if h.scan > 0 && r.Uint64()>>32 < h.scan {
			c.scan += h.stride
			if c.scan >= all {
				c.scan -= all
			}
			lines[i] = c.scan
			continue
		}
		// Written so that it compiles to conditional moves: which of the two
		// it will be cannot be predicted.
		first, span := hotFirst, hotLines
		// One number does for both: the upper half chooses the page, the
		// lower one whether it is a hot one.
		x := r.Uint64()
		cold := x&(1<<32-1) >= share
		if cold {
			first = coldFirst
		}
		if cold {
			span = coldLines
		}
		k, _ := bits.Mul64(x, span)
		at := first + int(k>>shift) // first < 2n, and nothing goes around twice
		if at >= n {
			at -= n
		}
		lines[i] = uint64(order[at])<<shift | k&mask
	}
	c.Rand = r
	return len(lines)
}

func (h *hotSet) Classes() []Class {
	per, total := h.pagesPer(), h.pages()
	hot, cold := h.count*per, total-h.count*per
	// A scan visits all pages alike, in the mean over a pass.
	even := h.scanProb / float64(total)
	classes := []Class{{
		Name:  "hot",
		Prob:  (1-h.scanProb)*h.prob + even*float64(hot),
		Pages: hot,
		page:  func(i int) int { return h.page(h.first, i) },
	}}
	if cold > 0 {
		classes = append(classes, Class{
			Name:  "cold",
			Prob:  (1-h.scanProb)*(1-h.prob) + even*float64(cold),
			Pages: cold,
			page:  func(i int) int { return h.page(h.first+h.count, i) },
		})
	}
	return classes
}

// uniform accesses all pages alike.
type uniform struct{ total int }

func (u uniform) Fill(c *Cursor, lines []uint64) int {
	r, n := c.Rand, uint64(u.total)*PageLines
	for i := range lines {
		lines[i], _ = bits.Mul64(r.Uint64(), n)
	}
	c.Rand = r
	return len(lines)
}

func (u uniform) Classes() []Class {
	return []Class{{Name: "all", Prob: 1, Pages: u.total, page: func(i int) int { return i }}}
}

// idle owns memory and never looks at it.
type idle struct{}

func (idle) Fill(*Cursor, []uint64) int { return 0 }
func (idle) Classes() []Class           { return nil }

var (
	_ Pattern = (*hotSet)(nil)
	_ Pattern = uniform{}
	_ Pattern = idle{}
	_ Pattern = (*zipf)(nil)
)
