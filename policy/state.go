package policy

import (
	"cmp"
	"math"
	"slices"
)

// stateVersion is raised when what a saved state holds changes.
const stateVersion = 2

// StateError says why a saved state cannot be restored.
type StateError string

func (e StateError) Error() string { return "controller state: " + string(e) }

// MarshalBinary saves all that later plans depend on. Equal controllers save
// the same bytes. The error is always nil.
func (c *Controller) MarshalBinary() ([]byte, error) {
	w := &stateWriter{}
	w.u8(stateVersion)
	w.flag(c.procs != nil)
	w.flag(c.begun)
	for _, v := range c.numbers() {
		w.f64(*v)
	}
	w.u64(c.p.Budget)
	w.u64(uint64(c.p.EvidenceFill))
	w.u64(uint64(c.p.EvidenceExchange))

	w.u32(uint32(len(c.workloads)))
	for i := range c.workloads {
		w.breaker(&c.workloads[i])
	}
	w.ledger(&c.ledger)

	spots := make([]spot, 0, len(c.cool.regions))
	for at := range c.cool.regions {
		spots = append(spots, at)
	}
	slices.SortFunc(spots, bySpot)
	w.u32(uint32(len(spots)))
	for _, at := range spots {
		r := c.cool.regions[at]
		w.spot(at)
		w.u8(r.doublings)
		w.f64(r.until)
	}

	moves := make([]plannedMove, 0, len(c.planned))
	for m := range c.planned {
		moves = append(moves, m)
	}
	slices.SortFunc(moves, func(a, b plannedMove) int {
		return cmp.Or(bySpot(a.at, b.at), cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to))
	})
	w.u32(uint32(len(moves)))
	for _, m := range moves {
		why := c.planned[m]
		w.spot(m.at)
		w.u8(uint8(m.from))
		w.u8(uint8(m.to))
		w.text(string(why.rule))
		w.u32(math.Float32bits(why.rate))
		w.u32(uint32(why.workload))
		w.flag(why.back)
	}
	w.splits(c)
	return w.b, nil
}

// UnmarshalBinary makes the controller go on as the saved one would. The error
// is a StateError, and the controller is then as it was.
func (c *Controller) UnmarshalBinary(data []byte) error {
	r := &stateReader{b: data}
	if v := r.u8(); v != stateVersion {
		return StateError("of another version")
	}
	n := &Controller{index: map[string]int32{}}
	if r.flag() {
		n.procs, n.planned = map[ProcessID]int32{}, map[plannedMove]plannedReason{}
	}
	n.begun = r.flag()
	for _, v := range n.numbers() {
		*v = r.f64()
	}
	n.p.Budget = r.u64()
	n.p.EvidenceFill, n.p.EvidenceExchange = int(int64(r.u64())), int(int64(r.u64()))

	for range r.count(1) {
		b := r.breaker()
		if _, twice := n.index[b.name]; twice {
			return StateError("a workload twice")
		}
		n.index[b.name] = int32(len(n.workloads))
		n.workloads = append(n.workloads, b)
	}
	known := func(w int32) bool { return w >= 0 && int(w) < len(n.workloads) }
	r.ledger(&n.ledger)
	for i := range n.ledger.entries {
		if e := &n.ledger.entries[i]; !known(e.workload) {
			return StateError("a promotion of no workload")
		}
	}
	if len(n.ledger.index) != len(n.ledger.entries) {
		return StateError("a promotion twice")
	}
	for range r.count(1) {
		if n.cool.regions == nil {
			n.cool.regions = map[spot]cool{}
		}
		at := r.spot()
		n.cool.regions[at] = cool{min(r.u8(), maxDoublings), r.f64()}
	}
	for range r.count(1) {
		m := plannedMove{at: r.spot(), from: Slot(r.u8()), to: Slot(r.u8())}
		why := plannedReason{rule: Rule(r.text()), rate: math.Float32frombits(r.u32()), workload: int32(r.u32()), back: r.flag()}
		if !known(why.workload) || n.planned == nil {
			return StateError("a planned move of no workload")
		}
		n.planned[m] = why
	}
	r.splits(n)
	if len(n.splitters) > len(n.workloads) {
		return StateError("splits of no workload")
	}
	if r.bad || len(r.b) > 0 {
		return StateError("of the wrong length")
	}
	if n.procs == nil && (len(n.workloads) > 0 || len(n.ledger.entries) > 0) {
		return StateError("of a controller that has not begun")
	}
	n.engine = c.engine // its memory, for reuse
	n.engine.reins = nil
	*c = *n
	return nil
}

// numbers are those of the state, in the order in which they are saved.
func (c *Controller) numbers() []*float64 {
	p, l := &c.p, &c.ledger
	return []*float64{
		&c.now, &c.last, &c.phaseAt, &c.z, &c.share, &c.credit, &c.windowAt, &c.lost, &c.waste, &c.smooth,
		&c.judged, &c.failed, &c.judgedAt,
		&p.Separation, &p.Payback, &p.Cooldown, &p.HorizonMin, &p.HorizonMax,
		&p.MaxWaste, &p.Window, &p.Breaker, &p.MaxPressure,
		&l.booked, &l.owed, &l.owedAt, &l.judged, &l.excused, &l.totals.Seconds, &l.totals.WastedSeconds,
	}
}

// counts are those of the totals, in the order in which they are saved.
func (t *Totals) counts() []*uint64 {
	return []*uint64{&t.Paid, &t.Wasted, &t.Undone, &t.PingPongs, &t.Dropped}
}

func bySpot(a, b spot) int {
	return cmp.Or(cmp.Compare(a.id.PID, b.id.PID), cmp.Compare(a.id.Start, b.id.Start),
		cmp.Compare(a.id.Exec, b.id.Exec), cmp.Compare(a.addr, b.addr))
}

type stateWriter struct{ b []byte }

func (w *stateWriter) u8(v uint8)    { w.b = append(w.b, v) }
func (w *stateWriter) u32(v uint32)  { w.b = append(w.b, byte(v), byte(v>>8), byte(v>>16), byte(v>>24)) }
func (w *stateWriter) u64(v uint64)  { w.u32(uint32(v)); w.u32(uint32(v >> 32)) }
func (w *stateWriter) f64(v float64) { w.u64(math.Float64bits(v)) }

func (w *stateWriter) flag(v bool) {
	if v {
		w.u8(1)
	} else {
		w.u8(0)
	}
}

func (w *stateWriter) text(s string) {
	w.u32(uint32(len(s)))
	w.b = append(w.b, s...)
}

func (w *stateWriter) spot(at spot) {
	w.u64(uint64(at.id.PID))
	w.u64(at.id.Start)
	w.u64(at.id.Exec)
	w.u64(at.addr)
}

func (w *stateWriter) breaker(b *breaker) {
	w.text(b.name)
	w.u8(uint8(b.state))
	w.u64(b.trips)
	for _, v := range []float64{b.since, b.ratio, b.begun, b.probeAt} {
		w.f64(v)
	}
	for _, v := range []int{b.bad, b.moved, b.undone, b.tried, b.good, b.failed} {
		w.u64(uint64(v))
	}
}

func (w *stateWriter) ledger(l *ledger) {
	for _, v := range l.totals.counts() {
		w.u64(*v)
	}
	w.spot(l.victim)
	w.u8(l.victimStrata)
	w.u32(uint32(len(l.entries)))
	for i := range l.entries {
		e := &l.entries[i]
		w.spot(e.at)
		w.spot(e.victim)
		w.u8(e.strata)
		w.u8(e.left)
		w.u64(uint64(e.pages))
		w.u32(uint32(e.workload))
		w.u8(uint8(e.from))
		w.u8(uint8(e.to))
		w.u32(math.Float32bits(e.base))
		w.f64(e.opened)
		w.f64(e.cost)
		w.f64(e.earned)
		w.flag(e.probe)
		w.flag(e.late)
		w.flag(e.excused)
	}
}

func (w *stateWriter) splits(c *Controller) {
	w.flag(c.p.Split)
	w.u32(uint32(len(c.splitters)))
	for i := range c.splitters {
		x := &c.splitters[i]
		for _, v := range x.numbers() {
			w.f64(*v)
		}
		for _, v := range x.counts() {
			w.u64(uint64(*v))
		}
		w.u32(uint32(len(x.trials)))
		for _, t := range x.trials {
			w.spot(t.at)
			w.u8(uint8(t.from))
			w.f64(t.asked)
			w.f64(t.split)
		}
	}
	spots := make([]spot, 0, len(c.tried))
	for at := range c.tried {
		spots = append(spots, at)
	}
	slices.SortFunc(spots, bySpot)
	w.u32(uint32(len(spots)))
	for _, at := range spots {
		w.spot(at)
		w.f64(c.tried[at])
	}
}

// numbers and counts are those of the state, in the order in which they are saved.
func (x *splitter) numbers() []*float64 {
	return []*float64{&x.sum, &x.last, &x.rest, &x.restUntil}
}

func (x *splitter) counts() []*int {
	return []*int{&x.allowed, &x.judged, &x.lastCount, &x.splits, &x.refused}
}

// stateReader reads zeros beyond the end, and remembers that it did.
type stateReader struct {
	b   []byte
	bad bool
}

func (r *stateReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, 8)[:min(max(n, 0), 8)]
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *stateReader) u8() uint8 { return r.take(1)[0] }

func (r *stateReader) u32() uint32 {
	b := r.take(4)
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (r *stateReader) u64() uint64 {
	low := uint64(r.u32())
	return low | uint64(r.u32())<<32
}

func (r *stateReader) f64() float64 { return math.Float64frombits(r.u64()) }
func (r *stateReader) flag() bool   { return r.u8() != 0 }

// count is that of a list whose items take so many bytes at least.
func (r *stateReader) count(least int) int {
	n := int(r.u32())
	if n > len(r.b)/least {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *stateReader) text() string { return string(r.take(r.count(1))) }

func (r *stateReader) spot() spot {
	return spot{ProcessID{int(int64(r.u64())), r.u64(), r.u64()}, r.u64()}
}

func (r *stateReader) breaker() (b breaker) {
	b.name = r.text()
	b.state = min(BreakerState(r.u8()), Open)
	b.trips = r.u64()
	for _, v := range []*float64{&b.since, &b.ratio, &b.begun, &b.probeAt} {
		*v = r.f64()
	}
	for _, v := range []*int{&b.bad, &b.moved, &b.undone, &b.tried, &b.good, &b.failed} {
		*v = int(int64(r.u64()))
	}
	return b
}

func (r *stateReader) ledger(l *ledger) {
	for _, v := range l.totals.counts() {
		*v = r.u64()
	}
	l.victim, l.victimStrata = r.spot(), r.u8()
	n := r.count(100)
	if n > 0 {
		l.index = make(map[spot]int32, n)
	}
	for range n {
		e := entry{at: r.spot(), victim: r.spot(), strata: r.u8(), left: r.u8(), pages: int(int64(r.u64())), workload: int32(r.u32())}
		e.from, e.to, e.base = Slot(r.u8()), Slot(r.u8()), math.Float32frombits(r.u32())
		e.opened, e.cost, e.earned = r.f64(), r.f64(), r.f64()
		e.probe, e.late, e.excused = r.flag(), r.flag(), r.flag()
		l.index[e.at] = int32(len(l.entries))
		l.entries = append(l.entries, e)
	}
}

func (r *stateReader) splits(c *Controller) {
	c.p.Split = r.flag()
	for range r.count(1) {
		var x splitter
		for _, v := range x.numbers() {
			*v = r.f64()
		}
		for _, v := range x.counts() {
			*v = int(int64(r.u64()))
		}
		x.allowed, x.judged = min(max(x.allowed, firstSplits), mostSplits), max(x.judged, 0)
		for range r.count(49) {
			x.trials = append(x.trials, trial{at: r.spot(), from: Slot(r.u8()), asked: r.f64(), split: r.f64()})
		}
		c.splitters = append(c.splitters, x)
	}
	for range r.count(40) {
		if c.tried == nil {
			c.tried = map[spot]float64{}
		}
		c.tried[r.spot()] = r.f64()
	}
}
