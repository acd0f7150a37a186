package sampler

import (
	"math"
	"math/bits"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// Pages of a region that differ are told apart by what successive samples have in
// common: one sample of a region whose pages are used alike looks the same as one of
// a region with some hot pages anywhere, but in the next sample other pages are
// accessed in the one, and the same in the other.

// The strata of a region.
const (
	hotStratum = iota
	restStratum
	strataCount
)

const (
	// formedSamples is after how many samples the strata have been chosen, if not
	// before. Only later samples tell their rates: those that chose them speak for them.
	formedSamples = 2
	// alikeZ is by how many standard deviations the pages that two samples have in
	// common must be more than by chance, and alikePages how many they must be.
	alikeZ, alikePages = 4, 3
	// settledSamples is after how many samples a region is looked at in slices of
	// detailPieces.
	settledSamples, detailPieces = 4, 8
	// oddSamples is after how many samples it shows whether the strata differ, and
	// alikeLog the difference of ln(rate) below which they do not.
	oddSamples, alikeLog = 8, 0.5
	// A piece is beyond chance if so many of its pages are accessed, and by so many
	// standard deviations more than elsewhere.
	pieceShare, pieceZ = 0.75, 4
	// In a window in which more than mostRest of the other pages would be accessed,
	// being so says nothing.
	mostRest = 0.4
	// leastStep is how far above the rate of the rest, in ln, a window must look for
	// hot pages: a sixth of the others are accessed in it then.
	leastStep = 1.8
	// belowHot is how far below the rate of hot pages, in ln, a window looks: nearly all
	// of them are accessed in it, but how often can still be told.
	belowHot = 1.2
	// fewPages is by how many pages the place of pages may be wrong.
	fewPages = 8
	// hotEvery is how often such a window is chosen.
	hotEvery = 4
	// unknownNode is the index of no node.
	unknownNode = 3
)

// stratum is what is known of the pages that are used alike.
type stratum struct {
	est      estimate
	evidence uint8
}

// detail is what the tracker remembers of the pages of a region: for each how often
// it was accessed lately, in three bits, and where it lies.
//
// A page's level begins with 3, rises with each sample that finds the page accessed,
// and falls with each that does not. With 5 it joins the hot stratum, and below 4 it
// leaves it.
type detail struct {
	level   [3]policy.PageSet // the bits of each page's level, the lowest first
	hot     policy.PageSet    // the pages of the hot stratum
	present policy.PageSet    // and movable
	node    [2]policy.PageSet // the bits of an index into slots
	slots   [unknownNode]policy.Slot
	moved   policy.PageSet // of late
	up      policy.PageSet // and to a faster tier
	strata  [strataCount]stratum
	block   uint32 // of the region
	samples uint8
	stale   bool // the hot stratum has other pages than the last snapshot told of
}

func newDetail(block uint32) detail {
	d := detail{block: block}
	d.level[0], d.level[1] = policy.AllPages(), policy.AllPages()
	d.node = [2]policy.PageSet{policy.AllPages(), policy.AllPages()} // unknownNode
	for i := range d.slots {
		d.slots[i] = policy.NoSlot
	}
	for i := range d.strata {
		d.strata[i].est.vari = unknownVar
	}
	return d
}

// set is the present pages of a stratum. Hot ones of which no rate is known yet count
// among the rest.
func (d *detail) set(stratum int) (s policy.PageSet) {
	if d.strata[hotStratum].est.vari >= unknownVar {
		if stratum == restStratum {
			s = d.present
		}
		return s
	}
	return d.chosen(stratum)
}

// chosen is the present pages of a stratum, whether its rate is known or not.
func (d *detail) chosen(stratum int) policy.PageSet {
	if stratum == hotStratum {
		return d.present.And(d.hot)
	}
	return d.present.Without(d.hot)
}

// on is the pages whose node has an index.
func (d *detail) on(index int) (s policy.PageSet) {
	for i := range s {
		low, high := d.node[0][i], d.node[1][i]
		if index&1 == 0 {
			low = ^low
		}
		if index&2 == 0 {
			high = ^high
		}
		s[i] = low & high
	}
	return s
}

// lie notes that pages lie on the node of an index.
func (d *detail) lie(set policy.PageSet, index int) {
	for i, w := range set {
		d.node[0][i] &^= w
		d.node[1][i] &^= w
		if index&1 != 0 {
			d.node[0][i] |= w
		}
		if index&2 != 0 {
			d.node[1][i] |= w
		}
	}
}

// goes notes that pages were moved.
func (d *detail) goes(set policy.PageSet, up bool) {
	for i, w := range set {
		d.moved[i] |= w
		if d.up[i] &^= w; up {
			d.up[i] |= w
		}
	}
}

// went is which way most of some pages were moved of late.
func (d *detail) went(set policy.PageSet) policy.Way {
	moved := set.And(d.moved)
	up := moved.And(d.up)
	switch all := set.Count(); {
	case 2*moved.Count() <= all:
		return policy.Stayed
	case 2*up.Count() > moved.Count():
		return policy.WentUp
	}
	return policy.WentDown
}

// index is that of a node; unknownNode if there are too many.
func (d *detail) index(slot policy.Slot) int {
	free := unknownNode
	for i, s := range d.slots {
		if s == slot {
			return i
		}
		if on := d.on(i).And(d.present); free == unknownNode && on.Count() == 0 {
			free = i
		}
	}
	if free != unknownNode {
		d.slots[free] = slot
	}
	return free
}

// known tells whether there are strata whose rates are.
func (d *detail) known() bool { return d.strata[restStratum].est.vari < unknownVar }

// update joins a sample, and reports whether a stratum has become another one by far,
// and whether the hot stratum has other pages now.
func (d *detail) update(b *pagetable.Block, movable uint32, s sample, dt float64) (changed, others bool) {
	cleared := policy.PagesOf(s.pieces & movable)
	before := d.present
	d.present = policy.PagesOf(movable).And(b.Present)
	d.lie(d.present.Without(before), unknownNode)
	seen := d.present.And(cleared)
	young := seen.And(b.Young)
	if hot := d.chosen(hotStratum); d.samples >= formedSamples || hot.Count() > 0 {
		changed = d.learn(seen, young, s, dt)
	}
	if changed {
		d.rebase()
	}
	raise := young
	if rest := &d.strata[restStratum].est; rest.vari < unknownVar && -math.Expm1(-rest.rate()*s.window) > mostRest {
		raise = policy.PageSet{}
	}
	for i := range seen {
		d.step(i, raise[i], seen[i]&^young[i])
	}
	together := clusters(seen, raise)
	for i, w := range together {
		d.step(i, w, 0)
	}
	if d.samples < math.MaxUint8 {
		d.samples++
	}
	others = d.join(together, s)
	d.locate(b)
	return changed, others
}

// learn joins a sample to the rates of the strata, as they were chosen before it.
func (d *detail) learn(seen, young policy.PageSet, s sample, dt float64) (changed bool) {
	for i := range d.strata {
		if s.biased && i == restStratum {
			continue // what lies beside hot pages does not speak for the rest
		}
		set, st := d.chosen(i), &d.strata[i]
		in, hit := set.And(seen), set.And(young)
		n, k := in.Count(), hit.Count()
		if n == 0 {
			continue
		}
		first, before := st.est.vari >= unknownVar, st.est.log
		anew := st.est.add(n, k, s.window, dt, s.noise) && !first
		changed = changed || anew
		st.evidence = s.note(st.evidence, s.hot(n, k), !first && st.est.log-before > changeLog)
	}
	return changed
}

// rebase brings all levels to the middle, as many old samples say nothing any more, and
// gives the strata time to show whether they still differ.
func (d *detail) rebase() {
	d.samples = min(d.samples, formedSamples)
	for i := range d.level[2] {
		d.level[0][i], d.level[1][i] = ^d.level[2][i], ^d.level[2][i]
	}
}

// step raises the levels of some pages of a word and lowers those of others, between
// 0 and 7.
func (d *detail) step(i int, up, down uint64) {
	a, b, c := d.level[0][i], d.level[1][i], d.level[2][i]
	up &^= a & b & c
	carry := a & up
	a ^= up
	carry, b = b&carry, b^carry
	c ^= carry
	down &= a | b | c
	borrow := ^a & down
	a ^= down
	borrow, b = ^b&borrow, b^borrow
	c ^= borrow
	d.level[0][i], d.level[1][i], d.level[2][i] = a, b, c
}

// clusters are the accessed pages of pieces most of whose pages are, and beyond chance:
// neighbours speak for each other.
func clusters(seen, young policy.PageSet) (set policy.PageSet) {
	p := float64(young.Count()) / float64(max(seen.Count(), 1))
	for i := range policy.PiecesPerRegion {
		at := i % 4 * 16
		n := float64(bits.OnesCount16(uint16(seen[i/4] >> at)))
		hit := uint16(young[i/4] >> at)
		k := float64(bits.OnesCount16(hit))
		if k > 1 && k >= n*pieceShare && k-n*p > pieceZ*math.Sqrt(n*p*(1-p)) {
			set[i/4] |= uint64(hit) << at
		}
	}
	return set
}

// join renews the hot stratum, and reports whether it is another one; together are the
// pages that have just risen by two.
func (d *detail) join(together policy.PageSet, s sample) (others bool) {
	old, now := 0, 0
	for i := range d.hot {
		before := d.hot[i] & d.present[i]
		d.hot[i] = d.level[2][i] & (d.level[1][i] | d.level[0][i] | d.hot[i])
		old += bits.OnesCount64(d.hot[i] & before)
		now += bits.OnesCount64(d.hot[i] & d.present[i])
	}
	if others = 2*old < now || now == 0; !others {
		return false
	}
	// Two samples have seen its pages hot, or one; that a few were by chance, the next
	// one tells.
	hot := &d.strata[hotStratum]
	*hot = stratum{est: estimate{vari: unknownVar}}
	together = together.And(d.hot)
	switch {
	case now < alikePages || s.boundary*s.window > 1:
	case together.Count() > 0:
		hot.evidence = 1
	default:
		hot.evidence = 3
	}
	return true
}

// locate finds where the pages lie. The walk tells it of pieces that lie on one node;
// of others it is known from their moves, and else, where one node alone has pages
// that are not known of, that they are those. It may be wrong for a few pages that were
// freed and used again: to move them fails, and is counted.
func (d *detail) locate(b *pagetable.Block) {
	var mixed, same policy.PageSet // same: on last
	last := policy.NoSlot
	for p, slot := range b.Slot {
		set := &same
		switch {
		case slot == policy.NoSlot:
			set = &mixed
		case slot != last:
			if last != policy.NoSlot {
				d.lie(same, d.index(last))
			}
			same, last = policy.PageSet{}, slot
		}
		set[p/4] |= 0xffff << (p % 4 * 16)
	}
	if last != policy.NoSlot {
		d.lie(same, d.index(last))
	}
	mixed = mixed.And(b.Present)
	if mixed.Count() == 0 {
		return
	}
	for range 2 {
		// What is left of each node's pages when those are taken off whose place is
		// known.
		rest, most, wrong := policy.NoSlot, 0, false
		for slot, n := range b.Count {
			left := int(n)
			if i := slices.Index(d.slots[:], policy.Slot(slot)); i >= 0 {
				on := d.on(i).And(b.Present)
				left -= on.Count()
			}
			if left > most {
				rest, most = policy.Slot(slot), left
			}
			wrong = wrong || left < -fewPages
		}
		unknown := d.on(unknownNode).And(mixed)
		switch {
		case wrong: // somebody else has moved something
			d.lie(mixed, unknownNode)
			continue
		case unknown.Count() > 0 && unknown.Count() <= most+fewPages:
			d.lie(unknown, d.index(rest))
		}
		return
	}
}

// portions tells the policy of the strata.
func (d *detail) portions(out *policy.Detail) {
	*out = policy.Detail{}
	k := 0
	for i := range d.strata {
		st, set := &d.strata[i], d.set(i)
		for node := range unknownNode + 1 {
			on := set.And(d.on(node))
			n := on.Count()
			if n == 0 {
				continue
			}
			slot := policy.NoSlot
			if node != unknownNode {
				slot = d.slots[node]
			}
			out[k] = policy.Portion{
				Rate: coarse(float32(st.est.rate()), rateBits), LogVar: coarse(st.est.vari, rateBits),
				Pages: uint16(n), Slot: slot, Stratum: uint8(i), Evidence: st.evidence, Went: d.went(on),
			}
			k++
		}
	}
}

// mean is the rate of the region.
func (d *detail) mean() estimate {
	var rate, vari, sum float64
	for i := range d.strata {
		set := d.set(i)
		if n := float64(set.Count()); n > 0 {
			r := n * d.strata[i].est.rate()
			rate, vari, sum = rate+r, vari+r*r*float64(d.strata[i].est.vari), sum+n
		}
	}
	if sum == 0 {
		return estimate{vari: unknownVar}
	}
	return estimate{clampLog(rate / sum), float32(max(vari/(rate*rate), floor/4))}
}

// gain is the accesses per second by which the hot pages have more than the rest.
func (d *detail) gain() float64 {
	hot := d.set(hotStratum)
	return float64(hot.Count()) * (d.strata[hotStratum].est.rate() - d.strata[restStratum].est.rate())
}

// between is ln of the rate that the window of a turn should suit: most tell the
// strata apart, some how hot the hot one is.
func (d *detail) between(turn uint8) float32 {
	rest, hot := d.strata[restStratum].est.log, &d.strata[hotStratum].est
	between := rest + leastStep
	switch {
	case hot.vari >= unknownVar:
	case turn%hotEvery == 0:
		between = max(between, hot.log-belowHot)
	default:
		between = max(between, (hot.log+rest)/2)
	}
	return between
}

// odd tells whether a sample, the second one, has more pages in common with the first
// than chance would have it.
func (d *detail) odd(b *pagetable.Block) bool {
	var n, before, now, both int
	for i, w := range d.present {
		n += bits.OnesCount64(w)
		before += bits.OnesCount64(w & d.level[2][i])
		now += bits.OnesCount64(w & b.Young[i])
		both += bits.OnesCount64(w & d.level[2][i] & b.Young[i])
	}
	if n < 2 {
		return false
	}
	expected := float64(before) * float64(now) / float64(n)
	variance := expected * float64(n-before) * float64(n-now) / float64(n) / float64(n-1)
	return both >= alikePages && float64(both)-expected > alikeZ*math.Sqrt(variance)
}

// alike tells whether the strata are no longer different.
func (d *detail) alike() bool {
	if d.samples < oddSamples || !d.known() {
		return false
	}
	hot, rest := d.chosen(hotStratum), d.chosen(restStratum)
	return hot.Count() == 0 || rest.Count() == 0 || d.strata[hotStratum].est.log-d.strata[restStratum].est.log < alikeLog
}

// doubtful tells whether the hot stratum looks hot, most probably is, and needs more
// samples as evidence.
func (d *detail) doubtful(boundary float64) bool {
	st := &d.strata[hotStratum]
	set := d.chosen(hotStratum)
	if st.est.vari >= unknownVar {
		return set.Count() > 0
	}
	return boundary > 0 && set.Count() > 0 && st.evidence&1 != 0 && bits.OnesCount8(st.evidence) < enoughEvidence &&
		probablyAbove(st.est.rate(), boundary, st.est.vari)
}

// settled tells whether the strata are known so well that a part of the region says
// enough at a time.
func (d *detail) settled() bool {
	return d.known() && d.samples >= settledSamples && (d.strata[hotStratum].est.vari < unknownVar || d.hot == (policy.PageSet{}))
}

// slice is the mask of the pieces that a turn looks at, of a region that is settled.
func slice(turn uint8) uint32 {
	return (1<<detailPieces - 1) << (turn % (policy.PiecesPerRegion / detailPieces) * detailPieces)
}

// hotPieces is a mask of pieces that have hot pages: all of them, or, where that takes
// more than maxGroups ranges, those of one slice, the first from the turn's on that has
// any.
func (d *detail) hotPieces(turn uint8) (mask uint32) {
	set := d.chosen(hotStratum)
	for p := range policy.PiecesPerRegion {
		if uint16(set[p/4]>>(p%4*16)) != 0 {
			mask |= 1 << p
		}
	}
	if bits.OnesCount32(mask&^(mask<<1)) <= maxGroups {
		return mask
	}
	for mask&slice(turn) == 0 {
		turn++
	}
	return slice(turn)
}
