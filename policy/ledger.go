package policy

import "math"

const (
	// maxEntries bounds the ledger, and maxCooling the regions whose cool-down is
	// longer than usual.
	maxEntries = 64 << 10
	maxCooling = 16 << 10
	// judgedAfter is after how many seconds a promotion must have paid, or be on
	// the way to it.
	judgedAfter = 30
	// earnEvery is how often, in seconds, earnings are booked. Rates change more
	// slowly, and to look up every entry takes time.
	earnEvery = 1
	// maxDoublings bounds the cool-down to 64 times the usual.
	maxDoublings = 6
)

// spot is where a region is.
type spot struct {
	id   ProcessID
	addr uint64
}

// entry is one promotion whose benefit is not known yet.
type entry struct {
	at       spot
	victim   spot // what left for it; of no process if nothing did
	strata   uint8
	left     uint8 // strata of the victim
	pages    int
	workload int32
	from, to Slot
	base     float32 // rate of the victim then
	// opened is a time, cost and earned are seconds.
	opened, cost, earned float64
	// probe: it tries whether a breaker may close. late: booked as wasted, and
	// kept only to see whether it is undone as well.
	// excused: the phase changed before it was judged.
	probe, late, excused bool
}

// ledger books what promotions cost and earn. An exchange is booked net: what
// its victim would have earned in its place is no gain. The victim's present rate
// counts, as both sides of an exchange are extremes of noisy estimates and fall
// back towards the others: where all memory is used alike every winner seems to
// earn something, and every exchange earns nothing.
type ledger struct {
	entries []entry
	index   map[spot]int32
	booked  float64 // up to when the earnings are
	// owed is the cost of victims whose promotion has not been seen yet.
	owed         float64
	owedAt       float64
	victim       spot
	victimStrata uint8
	totals       Totals
	judged       float64 // cost of what was judged, paid or wasted
	excused      float64 // part of totals.WastedSeconds that a phase change explains
}

// Totals count since the start.
type Totals struct {
	// Paid, Wasted and Undone are promotions that earned their cost, that did
	// not, and those of the latter that were undone within the window.
	Paid, Wasted, Undone uint64
	// PingPongs are moves against the region's last one within the window, paid
	// or not.
	PingPongs uint64
	// Dropped are promotions that the ledger had no room for.
	Dropped uint64
	// Seconds is what all promotions, with the demotions for them, cost;
	// WastedSeconds the cost of those wasted.
	Seconds, WastedSeconds float64
}

// verdict is what became of an entry.
type verdict uint8

const (
	paid verdict = iota
	wasted
	undone // wasted, as it was undone before it had paid
)

// open books a promotion. One of the same region that has not paid yet becomes
// part of it: the way up may take several moves. It tells whether a verdict on a
// probe will come that would not have come without it.
func (l *ledger) open(e entry) (tried bool) {
	l.totals.Seconds += e.cost
	tried = e.probe
	if i, ok := l.index[e.at]; ok {
		old := &l.entries[i]
		if !old.late {
			// What is not earned yet is to be earned by both together. The
			// old one's time counts by its part of that.
			rest := max(old.cost-old.earned, 0)
			if sum := rest + e.cost; sum > 0 {
				e.opened = (rest*old.opened + e.cost*e.opened) / sum
			}
			if old.to == e.to {
				e.pages, e.strata = e.pages+old.pages, e.strata|old.strata
			}
			e.cost += rest
			tried = tried && !old.probe
			e.probe = e.probe || old.probe
		}
		*old = e
		return tried
	}
	if len(l.entries) >= maxEntries {
		l.totals.Dropped++
		return false
	}
	if l.index == nil {
		l.index = map[spot]int32{}
	}
	l.index[e.at] = int32(len(l.entries))
	l.entries = append(l.entries, e)
	return tried
}

// excuse takes what is not judged yet out of what is steered by.
func (l *ledger) excuse() {
	for i := range l.entries {
		l.entries[i].excused = true
	}
}

// remove forgets entry i; the last one takes its number.
func (l *ledger) remove(i int) {
	delete(l.index, l.entries[i].at)
	last := len(l.entries) - 1
	if i != last {
		l.entries[i] = l.entries[last]
		l.index[l.entries[i].at] = int32(i)
	}
	l.entries = l.entries[:last]
}

// leave notes a demotion, and returns the entry that it undoes, if that had not
// paid; fresh tells that it was not booked as wasted before. Where a part of it
// leaves, what stays goes on to earn.
func (l *ledger) leave(at spot, strata uint8, pages int, now, window float64) (e entry, fresh, ok bool) {
	i, found := l.index[at]
	if !found {
		return entry{}, false, false
	}
	have := &l.entries[i]
	if have.strata&strata == 0 {
		return entry{}, false, false
	}
	if 2*pages < have.pages { // most of it stays
		have.pages -= pages
		return entry{}, false, false
	}
	e = *have
	l.remove(int(i))
	if now-e.opened > window {
		return entry{}, false, false
	}
	if !e.late {
		l.count(&e, undone)
	} else {
		l.totals.Undone++
	}
	return e, !e.late, true
}

// returns tells whether a move takes a region back to where its last promotion, which is
// not judged yet, took it from.
func (l *ledger) returns(at spot, from, to Slot) bool {
	i, ok := l.index[at]
	return ok && l.entries[i].from == to && l.entries[i].to == from
}

func (l *ledger) count(e *entry, v verdict) {
	l.judged += e.cost
	switch v {
	case paid:
		l.totals.Paid++
		return
	case undone:
		l.totals.Undone++
	}
	l.totals.Wasted++
	l.totals.WastedSeconds += e.cost
	if e.excused {
		l.excused += e.cost
	}
}

// earn books what the entries have earned since the last time, and closes those
// of which enough is known. settled is told of each.
func (l *ledger) earn(s *Snapshot, procs map[ProcessID]int32, p *Params, now float64, settled func(*entry, verdict)) {
	since := now - l.booked
	if since < earnEvery {
		return
	}
	l.booked = now
	for i := 0; i < len(l.entries); {
		e := &l.entries[i]
		age := now - e.opened
		if !e.late {
			e.earned += e.gain(s, procs) * min(since, age)
			switch {
			case e.earned >= e.cost:
				l.count(e, paid)
				settled(e, paid)
				l.remove(i)
				continue
			// The engine promises a payback within the horizon, which may be longer:
			// what is on the way to it has time until then.
			case age >= judgedAfter && (age >= p.HorizonMax || e.earned*p.HorizonMax < e.cost*age):
				l.count(e, wasted)
				settled(e, wasted)
				e.late = true
			}
		}
		if e.late && age > p.Window {
			l.remove(i)
			continue
		}
		i++
	}
}

// gain is what an entry earns now, in seconds per second.
func (e *entry) gain(s *Snapshot, procs map[ProcessID]int32) float64 {
	rate, pages, ok := look(s, procs, e.at, e.strata, e.to)
	if !ok || pages == 0 {
		return 0
	}
	base := float64(e.base)
	if e.victim.id != (ProcessID{}) {
		if r, _, ok := look(s, procs, e.victim, e.left, NoSlot); ok {
			base = r
		}
	}
	return (rate - base) * float64(min(pages, e.pages)) * latencyGap(s, homeAt(s, procs, e.at), e.from, e.to)
}

// homeAt is where a region is used from.
func homeAt(s *Snapshot, procs map[ProcessID]int32, at spot) uint8 {
	pi, found := procs[at.id]
	if !found {
		return 0
	}
	p := &s.Processes[pi]
	if r := p.region(at.addr); r != nil {
		return s.homeOf(p, r)
	}
	return 0
}

// latencyGap is how many seconds an access from a home to the node from takes longer
// than one to the node to; 0 where the snapshot does not say.
func latencyGap(s *Snapshot, home uint8, from, to Slot) float64 {
	ns := func(slot Slot) float64 {
		if int(slot) < len(s.Nodes) {
			if t := s.Nodes[slot].Tier; t >= 0 && t < len(s.Tiers) {
				return s.Tiers[t].AccessNS * s.stretch(home, slot)
			}
		}
		return math.NaN()
	}
	if g := (ns(from) - ns(to)) * 1e-9; g > 0 && !math.IsInf(g, 1) {
		return g
	}
	return 0
}

// look returns the mean rate of some strata of a region, and how many of their
// pages lie on a node; ok is false when there is nothing to see.
func look(s *Snapshot, procs map[ProcessID]int32, at spot, strata uint8, slot Slot) (rate float64, pages int, ok bool) {
	pi, found := procs[at.id]
	if !found {
		return 0, 0, false
	}
	p := &s.Processes[pi]
	r := p.region(at.addr)
	if r == nil || r.Flags&Unseen != 0 {
		return 0, 0, false
	}
	if strata != AllStrata && r.Detail >= 0 && int(r.Detail) < len(p.Details) {
		n := 0
		for i := range p.Details[r.Detail] {
			q := &p.Details[r.Detail][i]
			v, good := cleanRate(q.Rate)
			if q.Stratum >= maxStrata || strata>>q.Stratum&1 == 0 || q.Pages == 0 || !good {
				continue
			}
			have := int(min(q.Pages, PagesPerRegion))
			rate, n = rate+float64(v)*float64(have), n+have
			if q.Slot == slot {
				pages += have
			}
		}
		return rate / float64(max(n, 1)), pages, n > 0
	}
	v, good := cleanRate(r.Rate)
	for _, q := range r.Placement {
		if q.Slot == slot {
			pages += int(min(q.Pages, PagesPerRegion))
		}
	}
	return float64(v), pages, good
}

// region finds a region by its address; nil if it is not there.
func (p *Process) region(addr uint64) *Region {
	low, high := 0, len(p.Regions)
	for low < high {
		if mid := (low + high) / 2; p.Regions[mid].Addr < addr {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low < len(p.Regions) && p.Regions[low].Addr == addr {
		return &p.Regions[low]
	}
	return nil
}

// cooling remembers the regions that came back before they had paid.
type cooling struct {
	regions map[spot]cool
}

type cool struct {
	doublings uint8
	until     float64
}

// double makes a region's cool-down twice as long, and forgets that after twice
// its length, or twice the window if that is longer.
func (c *cooling) double(at spot, now, base, window float64) {
	if c.regions == nil {
		c.regions = map[spot]cool{}
	}
	was, known := c.regions[at]
	if !known && len(c.regions) >= maxCooling {
		return
	}
	n := min(was.doublings+1, maxDoublings)
	c.regions[at] = cool{doublings: n, until: now + 2*max(window, base*float64(uint(1)<<n))}
}

// forget drops what is long ago. It is called now and then.
func (c *cooling) forget(now float64) {
	for at, r := range c.regions { // in any order: each is judged by itself
		if now >= r.until {
			delete(c.regions, at)
		}
	}
}

// factor is how many times longer than usual a region cools down.
func (c *cooling) factor(id ProcessID, r *Region) float64 {
	if len(c.regions) == 0 || r.SinceMove > math.MaxFloat32 {
		return 1
	}
	return float64(uint(1) << c.regions[spot{id, r.Addr}].doublings)
}
