package sampler

import (
	"math"
	"math/bits"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// ticksPerSecond is the resolution of a region's times; 32 bits last for two
// years.
const ticksPerSecond = 64

type tick uint32

func ticks(seconds float64) tick { return tick(seconds * ticksPerSecond) }

func (t tick) since(now tick) float64 { return float64(now-t) / ticksPerSecond }

// The lower bits of a region's flags are the policy's.
const (
	// inFlight marks a region whose accessed bits were cleared and not yet read.
	inFlight uint8 = 1 << 7
	// doubted marks a region whose last sample says that it has become another
	// one, and was not believed yet. A process that waits for something looks like that, too: the next
	// sample decides.
	doubted uint8 = 1 << 6
)

const noDetail int32 = -1

// region is what the tracker remembers of 2 MiB: it is kept small because a
// host of terabytes has a million of them.
type region struct {
	est     estimate
	block   uint32 // address / RegionSize
	movable uint32 // pieces that tierd may move
	// moment is the accesses per page that a sample saw which is doubted.
	moment  float32
	seen    tick // last sample
	changed tick // last time the rate changed
	moved   tick // last move; 0: never

	placed [3]policy.SlotPages
	skew   float32
	detail int32
	// evidence and flags are as in policy.Region; noted is when evidence got its
	// newest bit.
	noted           tick
	evidence, flags uint8
	key             key
	turn            uint8 // counts samples
}

// Most samples look at a slice of a region only: the cost of clearing grows
// with the pages, and what can be learnt grows more slowly.
const (
	slicePieces = 4
	sliceCount  = policy.PiecesPerRegion / slicePieces
	// wholeEvery is how often a sample looks at the whole region, to see
	// whether it has become hot only in parts.
	wholeEvery = 16
	wholeTurn  = 1
	// The dispersion, averaged, is 1 give or take 0.12 where the parts are
	// alike. Beyond evenSkew a region is looked at as a whole, beyond
	// partialSkew page by page.
	evenSkew, partialSkew = 1.35, 1.6
	// beyondDoubt is by how many standard deviations the dispersion of a slice
	// is off; chi-squared has a long tail.
	beyondDoubt = 8
)

// share is the mask of the pieces that the next sample looks at. A huge page
// has one accessed bit and must not be split; a region whose parts differ is
// looked at as a whole.
func (r *region) share() uint32 {
	if r.flags&policy.Huge != 0 || r.movable != policy.AllPieces || r.detail != noDetail || r.skew > evenSkew || r.searched() {
		return r.movable
	}
	return r.slice()
}

// slice is the mask of the pieces whose turn it is.
func (r *region) slice() uint32 {
	// 5 and 8 have no common factor: all slices have their turn.
	return (1<<slicePieces - 1) << (int(r.turn) * 5 % sliceCount * slicePieces)
}

// searched tells whether the next sample looks for pieces that are hotter than
// the rest.
func (r *region) searched() bool {
	return r.turn%wholeEvery == wholeTurn && r.detail == noDetail && r.flags&(policy.Huge|policy.Unseen) == 0
}

func (r *region) addr() uint64 { return uint64(r.block) * policy.RegionSize }

// key groups regions that suit the same window: a boundary and a rung.
type key uint8

const (
	// A rung is for regions that are ladder times hotter than those on the one
	// below: their windows are as much shorter, so that they do not saturate.
	rungs  = 4
	ladder = 4.0
	// maxKeys bounds the boundaries that have windows of their own.
	maxKeys = 16 * rungs
)

func (k key) boundary() int { return int(k) / rungs }

func (k key) rung() int { return int(k) % rungs }

// scattered tells whether a good part of the region lies on another node than the
// rest.
func (r *region) scattered() bool { return r.placed[1].Pages > policy.PagesPerRegion/16 }

// sampleable tells whether clearing and reading accessed bits makes sense.
func (r *region) sampleable() bool {
	return r.movable != 0 && r.flags&(policy.Shared|policy.Bound|policy.Immovable|inFlight) == 0
}

// place notes where the region's pages are.
func (r *region) place(b *pagetable.Block) {
	r.placed = [3]policy.SlotPages{}
	counts := b.Count
	if r.movable != policy.AllPieces && r.movable != 0 {
		// Pages of neighbours that share the region are not counted.
		mask := policy.PagesOf(r.movable)
		counts = [policy.MaxSlots]uint16{}
		for p, slot := range b.Slot {
			if int(slot) < len(counts) {
				word := b.Present[p/4] & mask[p/4] >> (p % 4 * 16)
				counts[slot] += uint16(bits.OnesCount16(uint16(word)))
			}
		}
	}
	for slot, n := range counts {
		if n == 0 {
			continue
		}
		at := policy.SlotPages{Pages: n, Slot: policy.Slot(slot)}
		for i := range r.placed {
			if at.Pages > r.placed[i].Pages {
				at, r.placed[i] = r.placed[i], at
			}
		}
	}
	if b.Kind == pagetable.KindLeaf {
		r.flags |= policy.Huge
	} else {
		r.flags &^= policy.Huge
	}
}

// shift notes that pages have moved, until the next sample sees it.
func (r *region) shift(from, to policy.Slot, pages int) {
	var left uint16
	for i := range r.placed {
		if p := &r.placed[i]; p.Slot == from && p.Pages > 0 {
			left = min(p.Pages, uint16(min(pages, policy.PagesPerRegion)))
			p.Pages -= left
		}
	}
	for i := range r.placed {
		if p := &r.placed[i]; p.Pages > 0 && p.Slot == to || p.Pages == 0 {
			p.Slot, p.Pages = to, p.Pages+left
			left = 0
			break
		}
	}
	for i := 1; i < len(r.placed); i++ {
		for j := i; j > 0 && r.placed[j].Pages > r.placed[j-1].Pages; j-- {
			r.placed[j], r.placed[j-1] = r.placed[j-1], r.placed[j]
		}
	}
}

// sample is one window of a region, ready to be counted.
type sample struct {
	window   float64 // seconds
	boundary float64 // accesses per second and page; 0: none
	now      tick
	pieces   uint32  // what was cleared
	fresh    bool    // it is evidence of its own
	noise    float64 // variance of ln(rate) that the window leaves
	chosen   bool    // the region was, for what it or its neighbours did a moment ago
	biased   bool    // the pieces were chosen for being hot: they do not speak for the region
}

// hot tells whether a count is above what the boundary's rate would give.
func (s sample) hot(n, k int) uint8 {
	if k > 0 && float64(k) > float64(n)*-math.Expm1(-s.boundary*s.window) {
		return 1
	}
	return 0
}

// note joins a verdict to evidence. What is seen within a moment is one thing: a
// scan comes past and is gone, however often one looks meanwhile.
// What was seen before the rate became another one is no evidence for it, but for
// the sample that said so first.
func (s sample) note(evidence, hot uint8, became bool) uint8 {
	switch {
	case became && s.fresh:
		return evidence&1<<1 | hot
	case became:
		return hot
	case s.fresh:
		return evidence<<1 | hot
	}
	return evidence&^1 | hot
}

// counts returns the present and the accessed pages of some pieces.
func counts(b *pagetable.Block, pieces uint32) (n, k int) {
	if pieces == policy.AllPieces {
		return int(b.PresentPages), int(b.YoungPages)
	}
	mask := policy.PagesOf(pieces)
	for i := range mask {
		n += bits.OnesCount64(b.Present[i] & mask[i])
		k += bits.OnesCount64(b.Present[i] & b.Young[i] & mask[i])
	}
	return n, k
}

// hugeLog is ln of the pages in a region: a huge page has one bit for all.
var hugeLog = float32(math.Log(policy.PagesPerRegion))

// news is what a sample says of a region.
type news uint8

const (
	same     news = iota
	doubtful      // it has become another one, unless the next sample denies it
	changed       // it has
	denied        // it has not
)

// hotter tells whether a sample saw more than was expected.
func hotter(n, k int, window float64, e estimate) bool {
	return float64(k) > float64(n)*-math.Expm1(-e.rate()*window)
}

// update joins a sample to the region.
func (r *region) update(b *pagetable.Block, s sample) (v news) {
	n, k := counts(b, s.pieces)
	if n == 0 {
		r.turn++ // the next slice may have pages
		r.place(b)
		return same
	}
	if huge := b.Kind == pagetable.KindLeaf; huge != (r.flags&policy.Huge != 0) {
		r.est.vari = unknownVar
	}
	r.place(b)
	if b.Kind == pagetable.KindLeaf {
		n, k = 1, min(k, 1)
	}
	v = r.join(n, k, s)
	r.turn++
	return v
}

// join joins what was seen of the region: k of n pages were accessed. A huge page is
// one.
func (r *region) join(n, k int, s sample) (v news) {
	boundary := s
	var shift float32
	if r.flags&policy.Huge != 0 {
		shift = hugeLog
		boundary.boundary *= policy.PagesPerRegion
	}
	dt := r.seen.since(s.now)
	if r.flags&policy.Unseen != 0 {
		r.est.vari = unknownVar
		dt = 0
	}
	first := r.est.vari >= unknownVar
	before, became := r.est.log, false
	r.est.log += shift
	switch contradicts := r.est.observe(n, k, s.window, dt, s.noise).contradicts; {
	case contradicts && !first && r.flags&doubted == 0:
		v = doubtful
		r.flags |= doubted
		if r.moment = 0; !s.chosen && hotter(n, k, s.window, r.est) {
			r.moment = accessesOf(n, k)
		}
		r.turn = wholeTurn - 1
	case contradicts:
		if r.est.restart(n, k, s.window) {
			v, r.changed = changed, s.now
		}
		r.flags &^= doubted
		became = !first && r.est.log-shift-before > changeLog/2
	default:
		r.est.add(n, k, s.window, dt, s.noise)
		if r.flags&doubted != 0 {
			v = denied
		}
		r.flags &^= doubted
	}
	r.est.log -= shift
	r.flags &^= policy.Unseen
	r.seen = s.now
	r.evidence = s.note(r.evidence, boundary.hot(n, k), became)
	if first {
		return same
	}
	return v
}

// dispersion says how unevenly the accesses of some pieces of a block are spread
// over them: 1 is what chance gives, with the given degrees of freedom, more is
// skew. There are none where a saturated window cannot tell.
func dispersion(b *pagetable.Block, mask uint32) (value float64, degrees int) {
	n, k := counts(b, mask)
	if b.Kind != pagetable.KindTable || n < 2*policy.PagesPerPiece || k < 4 || n-k < 4 {
		return 0, 0
	}
	p := float64(k) / float64(n)
	var sum float64
	for i := range policy.PiecesPerRegion {
		nj, kj := pieceCounts(b, i)
		if nj == 0 || mask>>i&1 == 0 {
			continue
		}
		degrees++
		d := float64(kj) - float64(nj)*p
		sum += d * d / (float64(nj) * p * (1 - p))
	}
	if degrees--; degrees < 1 {
		return 0, 0
	}
	return sum / float64(degrees), degrees
}

// disperse joins a sample's dispersion to the region's skew. A slice has too
// few pieces for anything but a skew that is beyond doubt.
func (r *region) disperse(b *pagetable.Block, s sample) {
	v, degrees := dispersion(b, s.pieces)
	whole := s.pieces == r.movable
	switch {
	case whole && degrees > 0:
		r.skew += 0.4 * (float32(v) - r.skew)
	case whole && b.Kind == pagetable.KindTable && b.YoungPages < 4:
		r.skew += 0.1 * (1 - r.skew) // nothing to tell apart: let it fade
	case degrees > 0 && (v-1)*math.Sqrt(float64(degrees)/2) > beyondDoubt:
		r.skew = max(r.skew, min(float32(v), 2*partialSkew))
	}
}

func pieceCounts(b *pagetable.Block, piece int) (n, k int) {
	at := piece % 4 * 16
	present := uint16(b.Present[piece/4] >> at)
	return bits.OnesCount16(present), bits.OnesCount16(present & uint16(b.Young[piece/4]>>at))
}

// probable tells whether a region looks hot, most probably is, and needs more
// samples as evidence.
func (r *region) probable(boundary float64) bool {
	return r.evidence&1 != 0 && bits.OnesCount8(r.evidence) < enoughEvidence && probablyAbove(r.est.rate(), boundary, r.est.vari)
}

func probablyAbove(rate, boundary float64, vari float32) bool {
	above := math.Log(rate / max(boundary, minRate))
	return above > 0 && above*above > probable*probable*float64(vari)
}
