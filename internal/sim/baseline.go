package sim

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"github.com/tierd/tierd/policy"
)

// The baselines look at memory free of charge and are told how much of it the
// fast tier holds: where they fall short it is by what they decide. They move
// whole regions between the fastest tier and the slowest, and keep to the rate.

// place is one region of a run, of any process.
type place struct{ proc, region int }

func places(h *Host) (all []place) {
	for p, m := range h.Procs {
		for i := range m.regions {
			all = append(all, place{p, i})
		}
	}
	return all
}

func (h *Host) slotOf(p place) policy.Slot { return h.Procs[p.proc].Slot(p.region) }

func (h *Host) isFast(p place) bool { return h.tier(h.slotOf(p)) == 0 }

// ends are the nodes of the fastest and of the slowest tier that have the most room.
func (h *Host) ends() (fast, slow policy.Slot) {
	return h.roomiest(0), h.roomiest(len(h.Machine.Tiers) - 1)
}

// roomiest is the node of a tier that has the most room.
func (h *Host) roomiest(tier int) (best policy.Slot) {
	best = policy.NoSlot
	for i := range h.Nodes {
		if h.Nodes[i].Tier == tier && (best == policy.NoSlot || h.Nodes[i].Room() > h.Nodes[best].Room()) {
			best = policy.Slot(i)
		}
	}
	return best
}

// moveRegion moves a region whole; false means that there was no room.
func (h *Host) moveRegion(p place, to policy.Slot) bool {
	moved := h.Move(p.proc, h.Procs[p.proc].addr(p.region), policy.AllPages(), h.slotOf(p), to)
	return moved.Count() > 0
}

// nothing moves nothing.
type nothing struct{}

func (nothing) Step(*Host) float64 { return math.Inf(1) }
func (nothing) Close()             {}

// static knows how much each region will be used in the whole run, and places it
// once.
type static struct{ totals [][]float64 }

func (s static) Step(h *Host) float64 {
	all := places(h)
	slices.SortStableFunc(all, func(a, b place) int {
		return cmp.Compare(s.totals[b.proc][b.region], s.totals[a.proc][a.region])
	})
	room := h.fastRegions()
	for _, p := range all[min(room, len(all)):] {
		if h.isFast(p) {
			_, slow := h.ends()
			h.moveRegion(p, slow)
		}
	}
	for _, p := range all[:min(room, len(all))] {
		if !h.isFast(p) {
			fast, _ := h.ends()
			h.moveRegion(p, fast)
		}
	}
	return math.Inf(1)
}

func (static) Close() {}

// fastRegions is how many regions the fastest tier can hold above its reserves,
// those that it does included.
func (h *Host) fastRegions() int {
	var bytes uint64
	for i := range h.Nodes {
		if h.Nodes[i].Tier == 0 {
			bytes += h.Nodes[i].Room()
		}
	}
	for _, m := range h.Procs {
		for i := range m.regions {
			if h.tier(m.Slot(i)) == 0 {
				bytes += policy.RegionSize - policy.PieceSize*uint64(bits.OnesCount32(m.regions[i].lacking))
			}
		}
	}
	return int(bytes / policy.RegionSize)
}

// oracle knows at all times how much each region is used, and keeps what is used
// most in the fast tier as far as the rate allows: nobody can do better. Of a
// workload that goes in steps it knows the means over the whole run, because
// nobody can follow within a step.
type oracle struct {
	totals [][]float64 // nil: it knows the present
	all    []place
}

const oracleTurn = 0.1

func (o *oracle) Step(h *Host) float64 {
	if o.all == nil {
		o.all = places(h)
	}
	rate := make([]float64, len(o.all))
	var up, down []int
	for i, p := range o.all {
		if rate[i] = h.Procs[p.proc].Rate(p.region); o.totals != nil {
			rate[i] = o.totals[p.proc][p.region]
		}
		if h.isFast(p) {
			down = append(down, i)
		} else {
			up = append(up, i)
		}
	}
	slices.SortStableFunc(down, func(a, b int) int { return cmp.Compare(rate[a], rate[b]) })
	slices.SortStableFunc(up, func(a, b int) int { return cmp.Compare(rate[b], rate[a]) })
	h.exchange(up, down, func(i int) place { return o.all[i] }, func(u, d int) bool { return rate[u] > rate[d]*1.01 }, oracleTurn)
	return h.Clock.seconds + oracleTurn
}

func (*oracle) Close() {}

// lru promotes what is touched, and demotes what has not been touched for
// longest: a list of ages, from one look a second at one page of each region.
type lru struct {
	all    []place
	before []float64
	age    []int
}

const lruTurn = 1.0

func (l *lru) Step(h *Host) float64 {
	if l.all == nil {
		l.all = places(h)
		l.before, l.age = make([]float64, len(l.all)), make([]int, len(l.all))
	}
	var up []int
	var down []int
	for i, p := range l.all {
		n := h.Procs[p.proc].Accesses(p.region)
		touched := h.Rand.Float64() < -math.Expm1(l.before[i]-n)
		l.before[i] = n
		if l.age[i]++; touched {
			l.age[i] = 0
		}
		switch fast := h.isFast(p); {
		case fast:
			down = append(down, i)
		case touched:
			up = append(up, i)
		}
	}
	h.Rand.Shuffle(len(up), func(i, j int) { up[i], up[j] = up[j], up[i] })
	slices.SortStableFunc(down, func(a, b int) int { return cmp.Compare(l.age[b], l.age[a]) })
	h.exchange(up, down, func(i int) place { return l.all[i] }, func(u, d int) bool { return l.age[d] > l.age[u] }, lruTurn)
	return h.Clock.seconds + lruTurn
}

func (*lru) Close() {}

// exchange promotes the candidates in turn, each into free room or in the place
// of the next victim that it beats, within what the rate lets through in so many
// seconds.
func (h *Host) exchange(up, down []int, at func(int) place, beats func(u, d int) bool, seconds float64) {
	left := h.Rate * seconds
	for _, u := range up {
		if left < policy.RegionSize {
			return
		}
		fast, slow := h.ends()
		if h.Nodes[fast].Room() < policy.RegionSize {
			if len(down) == 0 || left < 2*policy.RegionSize || !beats(u, down[0]) {
				return
			}
			fast = h.slotOf(at(down[0]))
			h.moveRegion(at(down[0]), slow)
			down, left = down[1:], left-policy.RegionSize
		}
		h.moveRegion(at(u), fast)
		left -= policy.RegionSize
	}
}

// histogram counts samples of accesses, halves the counts now and then, and
// wants in the fast tier what has more than a threshold, which is where the
// histogram of counts, in powers of two, says that the tier is full: the way of
// Memtis (Lee et al., SOSP 2023).
type histogram struct {
	all    []place
	before []float64
	count  []float64
	cooled float64
}

const (
	histogramTurn   = 0.5
	histogramEvents = 20_000.0 // samples per second, of all accesses
	histogramCool   = 20.0     // seconds
)

func (g *histogram) Step(h *Host) float64 {
	if g.all == nil {
		g.all = places(h)
		g.before, g.count = make([]float64, len(g.all)), make([]float64, len(g.all))
		g.cooled = h.Clock.seconds
	}
	news := make([]float64, len(g.all))
	var sum float64
	for i, p := range g.all {
		n := h.Procs[p.proc].Accesses(p.region)
		news[i], g.before[i] = n-g.before[i], n
		sum += news[i]
	}
	cool := h.Clock.seconds-g.cooled >= histogramCool
	if cool {
		g.cooled = h.Clock.seconds
	}
	var bins [64]int
	bin := func(i int) int { return int(math.Log2(g.count[i] + 1)) }
	for i := range g.all {
		if sum > 0 {
			g.count[i] += float64(poisson(h, news[i]/sum*histogramEvents*histogramTurn))
		}
		if cool {
			g.count[i] = math.Floor(g.count[i] / 2)
		}
		bins[bin(i)]++
	}
	room := h.fastRegions()
	threshold := len(bins)
	for held := 0; threshold > 1 && held+bins[threshold-1] <= room; threshold-- {
		held += bins[threshold-1]
	}
	var up, down []int
	for i, p := range g.all {
		switch hot := bin(i) >= threshold; {
		case hot && !h.isFast(p):
			up = append(up, i)
		case !hot && h.isFast(p):
			down = append(down, i)
		}
	}
	byCount := func(a, b int) int { return cmp.Compare(g.count[a], g.count[b]) }
	slices.SortStableFunc(down, byCount)
	slices.SortStableFunc(up, func(a, b int) int { return byCount(b, a) })
	h.exchange(up, down, func(i int) place { return g.all[i] }, func(u, d int) bool { return g.count[u] > g.count[d] }, histogramTurn)
	return h.Clock.seconds + histogramTurn
}

func (*histogram) Close() {}

// poisson draws how often what happens so often on average has happened.
func poisson(h *Host, mean float64) int {
	if mean > 30 {
		return max(0, int(math.Round(mean+math.Sqrt(mean)*h.Rand.NormFloat64())))
	}
	limit, n := math.Exp(-mean), 0
	for p := h.Rand.Float64(); p > limit; p *= h.Rand.Float64() {
		n++
	}
	return n
}

// hintFault is the kernel's tiering (numa_balancing=2 and demotion): a scanner
// unmaps 256 MiB a second in turn, and a page that faults sooner than a threshold
// is promoted; the threshold is steered so that as much qualifies as the rate
// lets through (mm/migrate.c and kernel/sched/fair.c). Reclaim demotes what was
// not touched between two of its looks. Each page decides for itself; a region,
// which stands for its pages, does with the probability that one of them does.
type hintFault struct {
	all       []place
	looked    []float64
	next      int
	hand      int
	threshold float64
	since     float64
	qualified float64 // bytes
}

const (
	hintTurn      = 0.125
	hintScan      = 256 * mib // per second
	hintThreshold = 1.0       // seconds, at first
	hintAdjust    = 60.0      // seconds
)

func (k *hintFault) Step(h *Host) float64 {
	now := h.Clock.seconds
	if k.all == nil {
		k.all, k.threshold, k.since = places(h), hintThreshold, now
		k.looked = make([]float64, len(k.all))
	}
	if now-k.since >= hintAdjust {
		most := h.Rate * hintAdjust
		switch {
		case k.qualified > most*1.1:
			k.threshold = max(k.threshold-hintThreshold/8, hintThreshold/8)
		case k.qualified < most*0.9:
			k.threshold = min(k.threshold+hintThreshold/8, 2*hintThreshold)
		}
		k.since, k.qualified = now, 0
	}
	left := h.Rate * hintTurn
	for range int(hintScan / policy.RegionSize * hintTurn) {
		p := k.all[k.next]
		k.next = (k.next + 1) % len(k.all)
		if h.isFast(p) {
			continue
		}
		m := h.Procs[p.proc]
		if h.Rand.Float64() >= -math.Expm1(-m.Rate(p.region)*m.pace*k.threshold) {
			continue
		}
		if k.qualified += policy.RegionSize; left < policy.RegionSize {
			continue
		}
		fast, slow := h.ends()
		if h.Nodes[fast].Room() < policy.RegionSize && !k.reclaim(h, slow) {
			continue
		}
		h.moveRegion(p, h.roomiest(0))
		left -= policy.RegionSize
	}
	return now + hintTurn
}

func (*hintFault) Close() {}

// reclaim demotes the first region that has not been touched since the hand
// passed it last, or after a while the next at all.
func (k *hintFault) reclaim(h *Host, slow policy.Slot) bool {
	const tries = 64
	for n, seen := 0, 0; n < len(k.all); n++ {
		i := k.hand
		p := k.all[i]
		k.hand = (k.hand + 1) % len(k.all)
		if !h.isFast(p) {
			continue
		}
		seen++
		total := h.Procs[p.proc].Accesses(p.region)
		touched := h.Rand.Float64() < -math.Expm1(k.looked[i]-total)
		k.looked[i] = total
		if !touched || seen >= tries {
			return h.moveRegion(p, slow)
		}
	}
	return false
}
