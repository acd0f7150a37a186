package record

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"github.com/tierd/tierd/policy"
)

// Encoder turns frames into blocks.
type Encoder struct {
	last   past
	begun  bool
	out    [streams][]byte
	frames int
	key    bool // the first frame of the block is a key frame
	byID   map[policy.ProcessID]int
	votes  map[int64]int
	pack   packer
}

// NewEncoder returns an encoder whose first frame is a key frame.
func NewEncoder() *Encoder {
	return &Encoder{byID: map[policy.ProcessID]int{}, votes: map[int64]int{}}
}

// Restart makes the next frame a key frame. It needs a State.
func (e *Encoder) Restart() { e.begun = false }

// Fresh tells whether the next frame will be a key frame.
func (e *Encoder) Fresh() bool { return !e.begun }

// Raw is how many bytes the frames of the block at hand take before they are packed.
func (e *Encoder) Raw() (n int) {
	for i := range e.out {
		n += len(e.out[i])
	}
	return n
}

// Frames is how many frames the block at hand has.
func (e *Encoder) Frames() int { return e.frames }

func (e *Encoder) u(stream int, v uint64) {
	e.out[stream] = binary.AppendUvarint(e.out[stream], v)
}

func (e *Encoder) i(stream int, v int64) { e.u(stream, zigzag(v)) }

func (e *Encoder) byte(stream int, v byte) { e.out[stream] = append(e.out[stream], v) }

func (e *Encoder) text(s string) {
	e.u(streamMisc, uint64(len(s)))
	e.out[streamMisc] = append(e.out[streamMisc], s...)
}

func (e *Encoder) f64(v float64) {
	e.out[streamMisc] = binary.LittleEndian.AppendUint64(e.out[streamMisc], math.Float64bits(v))
}

// near writes a number that is often the expected one, to the last bit or nearly.
func (e *Encoder) near(v, expected float64) {
	switch d := math.Float64bits(v) ^ math.Float64bits(expected); {
	case d == 0:
		e.byte(streamMisc, 0)
	case d < 1<<40:
		e.byte(streamMisc, 1)
		e.u(streamMisc, d)
	default:
		e.byte(streamMisc, 2)
		e.f64(v)
	}
}

// f32 writes the difference of two numbers' bits; coarse numbers have none in
// the lower half.
func (e *Encoder) f32(stream int, v, before float32) {
	d := math.Float32bits(v) - math.Float32bits(before)
	if d&0xffff == 0 {
		e.u(stream, zigzag(int64(int32(d)>>16))<<1)
		return
	}
	e.u(stream, zigzag(int64(int32(d)))<<1|1)
}

func (e *Encoder) age(stream int, a age, now int64) {
	if at, runs := a.begin(); runs {
		e.u(stream, zigzag(now-at)<<1)
		return
	}
	e.u(stream, uint64(a.bits())<<1|1)
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// What a frame has beside the snapshot's numbers.
const (
	frameKey = 1 << iota
	frameState
	frameTiers
	frameWorkloads
	frameParams
	frameHomes
)

// Frame adds a frame to the block. It keeps no reference to it. A key frame
// must have a State.
func (e *Encoder) Frame(f *Frame) {
	if !e.begun {
		e.last = past{}
	}
	l, s := &e.last, f.Snapshot
	var flags byte
	if !e.begun {
		flags |= frameKey
	}
	if f.State != nil {
		flags |= frameState
	}
	if !slices.EqualFunc(l.tiers, s.Tiers, sameTier) {
		flags |= frameTiers
	}
	if !slices.EqualFunc(l.workloads, s.Workloads, sameWorkload) {
		flags |= frameWorkloads
	}
	if !slices.EqualFunc(l.homes, s.Homes, sameHome) {
		flags |= frameHomes
	}
	now, was := f.Params, l.params
	was.Budget = now.Budget
	if !sameParams(&now, &was) {
		flags |= frameParams
	}
	e.byte(streamMisc, flags)
	e.u(streamMisc, f.Number-l.number)
	e.near(s.Seconds, l.seconds)
	tick := e.clock(s)
	e.i(streamMisc, tick-tickOf(s.Seconds))
	if f.State != nil {
		e.text(string(f.State))
	}
	e.done(f.Done)
	if flags&frameTiers != 0 {
		e.u(streamMisc, uint64(len(s.Tiers)))
		for i := range s.Tiers {
			e.text(s.Tiers[i].Name)
			e.f64(s.Tiers[i].AccessNS)
		}
	}
	e.nodes(s.Nodes)
	if flags&frameHomes != 0 {
		e.u(streamMisc, uint64(len(s.Homes)))
		for i := range s.Homes {
			h := &s.Homes[i]
			e.i(streamMisc, int64(h.Node))
			e.u(streamMisc, uint64(len(h.Stretch)))
			for _, v := range h.Stretch {
				e.f64(v)
			}
		}
	}
	if flags&frameWorkloads != 0 {
		e.u(streamMisc, uint64(len(s.Workloads)))
		for i := range s.Workloads {
			w := &s.Workloads[i]
			e.text(w.Name)
			e.f64(w.Weight)
			e.u(streamMisc, uint64(len(w.Limits)))
			for _, v := range w.Limits {
				e.u(streamMisc, v)
			}
		}
	}
	e.near(s.MoveCost, l.moveCost)
	e.near(s.SincePhase, l.phase+(s.Seconds-l.seconds))
	e.near(s.Pressure, l.pressure)
	e.i(streamMisc, int64(f.Params.Budget-l.params.Budget))
	if flags&frameParams != 0 {
		for _, v := range paramNumbers(&now) {
			e.f64(*v)
		}
		e.i(streamMisc, int64(now.EvidenceFill))
		e.i(streamMisc, int64(now.EvidenceExchange))
		split := byte(0)
		if now.Split {
			split = 1
		}
		e.byte(streamMisc, split)
	}
	e.out[streamMisc] = binary.LittleEndian.AppendUint32(e.out[streamMisc], f.PlanHash)

	e.processes(s.Processes, tick)
	l.number, l.seconds, l.tick = f.Number, s.Seconds, tick
	l.moveCost, l.phase, l.pressure, l.params = s.MoveCost, s.SincePhase, s.Pressure, f.Params
	if flags&frameTiers != 0 {
		l.tiers = slices.Clone(s.Tiers)
	}
	if flags&frameWorkloads != 0 {
		l.workloads = cloneWorkloads(s.Workloads)
	}
	if flags&frameHomes != 0 {
		l.homes = cloneHomes(s.Homes)
	}
	l.nodes = append(l.nodes[:0], s.Nodes...)
	if e.frames == 0 {
		e.key = flags&frameKey != 0
	}
	e.begun = true
	e.frames++
}

func sameTier(a, b policy.Tier) bool { return a.Name == b.Name && same64(a.AccessNS, b.AccessNS) }

func sameWorkload(a, b policy.Workload) bool {
	return a.Name == b.Name && same64(a.Weight, b.Weight) && slices.Equal(a.Limits, b.Limits)
}

func sameHome(a, b policy.Home) bool {
	return a.Node == b.Node && slices.EqualFunc(a.Stretch, b.Stretch, same64)
}

func cloneHomes(list []policy.Home) []policy.Home {
	list = slices.Clone(list)
	for i := range list {
		list[i].Stretch = slices.Clone(list[i].Stretch)
	}
	return list
}

func cloneWorkloads(list []policy.Workload) []policy.Workload {
	list = slices.Clone(list)
	for i := range list {
		list[i].Limits = slices.Clone(list[i].Limits)
	}
	return list
}

// paramNumbers are those of the parameters that rarely change.
func paramNumbers(p *policy.Params) []*float64 {
	return []*float64{&p.Separation, &p.Payback, &p.Cooldown, &p.HorizonMin, &p.HorizonMax, &p.MaxWaste, &p.Window, &p.Breaker, &p.MaxPressure}
}

func sameParams(a, b *policy.Params) bool {
	x, y := paramNumbers(a), paramNumbers(b)
	for i := range x {
		if !same64(*x[i], *y[i]) {
			return false
		}
	}
	return a.Budget == b.Budget && a.EvidenceFill == b.EvidenceFill && a.EvidenceExchange == b.EvidenceExchange && a.Split == b.Split
}

// clock finds the tick at which the sampler has computed ages: a little after the
// snapshot's time. What most of the regions that were there before say is right.
func (e *Encoder) clock(s *policy.Snapshot) int64 {
	tick := tickOf(s.Seconds)
	if !e.begun {
		return tick
	}
	clear(e.votes)
	best := 0
	for i := range min(len(s.Processes), len(e.last.procs)) {
		p, q := &s.Processes[i], e.last.procs[i]
		for j := range min(len(p.Regions), len(q.regions), 64) {
			r, m := &p.Regions[j], &q.regions[j]
			age, runs := ageOf(r.Stable, 0, ticksPerSecond).begin()
			was, ran := m.stable.begin()
			if runs && ran && r.Addr == m.Addr {
				at := was - age
				if e.votes[at]++; e.votes[at] > best {
					best, tick = e.votes[at], at
				}
			}
		}
	}
	return tick
}

func (e *Encoder) id(id policy.ProcessID) {
	e.i(streamMisc, int64(id.PID))
	e.u(streamMisc, id.Start)
	e.u(streamMisc, id.Exec)
}

func (e *Encoder) done(list []policy.Done) {
	e.u(streamMisc, uint64(len(list)))
	for i := range list {
		d := &list[i]
		e.id(d.ID)
		e.u(streamMisc, bits.RotateLeft64(d.Addr, -regionBits))
		e.u(streamMisc, uint64(^d.Strata))
		e.byte(streamMisc, byte(d.From))
		e.byte(streamMisc, byte(d.To))
		e.byte(streamMisc, byte(d.Kind))
		e.i(streamMisc, int64(d.Pages))
		e.f64(d.Seconds)
	}
}

// regionBits is log2 of RegionSize.
const regionBits = 21

func (e *Encoder) nodes(list []policy.Node) {
	e.u(streamMisc, uint64(len(list)))
	for i := range list {
		var was policy.Node
		if i < len(e.last.nodes) {
			was = e.last.nodes[i]
		}
		n := &list[i]
		e.i(streamMisc, int64(n.ID-was.ID))
		e.i(streamMisc, int64(n.Tier-was.Tier))
		e.i(streamMisc, int64(n.Size-was.Size))
		e.i(streamMisc, int64(n.Free-was.Free))
		e.i(streamMisc, int64(n.Reserve-was.Reserve))
	}
}

func (e *Encoder) processes(list []policy.Process, tick int64) {
	l := &e.last
	clear(e.byID)
	for i, p := range l.procs {
		e.byID[p.id] = i
		p.used = false
	}
	next := make([]*process, 0, len(list))
	e.u(streamMisc, uint64(len(list)))
	for i := range list {
		p := &list[i]
		var q *process
		if at, known := e.byID[p.ID]; known && !l.procs[at].used {
			q = l.procs[at]
			e.u(streamMisc, uint64(at)+1)
		} else {
			q = &process{id: p.ID}
			e.u(streamMisc, 0)
			e.id(p.ID)
		}
		q.used = true
		next = append(next, q)

		var flags byte
		if p.Enforce {
			flags |= 1
		}
		if p.Workload != q.workload {
			flags |= 2
		}
		if p.Period != q.period {
			flags |= 4
		}
		if p.Home != q.home {
			flags |= 8
		}
		e.byte(streamMisc, flags)
		if p.Workload != q.workload {
			e.text(p.Workload)
		}
		e.near(p.Pressure, q.pressure)
		if p.Period != q.period {
			e.near(p.Period, q.period)
		}
		if p.Home != q.home {
			e.byte(streamMisc, p.Home)
		}
		q.workload, q.enforce, q.pressure, q.period, q.home = p.Workload, p.Enforce, p.Pressure, p.Period, p.Home
		e.regions(q, p.Regions, tick)
		e.details(q, p.Details)
	}
	l.procs = next
}

// regions writes what has changed: how many are as they were, then a mask, and
// so on.
func (e *Encoder) regions(q *process, list []policy.Region, tick int64) {
	at := len(e.out[streamMisc])
	ops, gap := 0, uint64(0)
	op := func(mask byte) {
		e.u(streamGap, gap)
		e.byte(streamMask, mask)
		ops, gap = ops+1, 0
	}
	// As long as nothing has come or gone, what is remembered stays where it is: there may
	// be a hundred megabytes of it, and the loop waits.
	i := 0
	for ; i < len(list) && i < len(q.regions) && q.regions[i].Addr == list[i].Addr; i++ {
		if mask := q.regions[i].changes(&list[i], tick); mask != 0 {
			op(mask)
			e.region(&q.regions[i], &list[i], mask, tick)
		} else {
			gap++
		}
	}
	if i < len(list) || i < len(q.regions) {
		old := q.regions
		now := append(slices.Grow(q.spare[:0], len(list)), old[:i]...)
		var prev uint64
		if i > 0 {
			prev = list[i-1].Addr
		}
		for j := i; j < len(list); {
			r := &list[j]
			switch {
			case i < len(old) && old[i].Addr == r.Addr:
				m := old[i]
				if mask := m.changes(r, tick); mask != 0 {
					op(mask)
					e.region(&m, r, mask, tick)
				} else {
					gap++
				}
				now = append(now, m)
				prev = r.Addr
				i, j = i+1, j+1
			case i < len(old) && old[i].Addr < r.Addr:
				op(0)
				i++
			default:
				m := newMemory(r.Addr)
				mask := m.changes(r, tick) | isNew
				op(mask)
				e.u(streamRegion, bits.RotateLeft64(r.Addr-prev, -regionBits))
				e.region(&m, r, mask, tick)
				now = append(now, m)
				prev = r.Addr
				j++
			}
		}
		for ; i < len(old); i++ {
			op(0)
		}
		q.regions, q.spare = now, old
	}
	// The count goes last, as it is known now: readers need it first, so it is put in
	// front of what this process has written to the stream since.
	e.out[streamMisc] = slices.Insert(e.out[streamMisc], at, binary.AppendUvarint(nil, uint64(ops))...)
}

// changes is the mask of what is not as the clock alone would have it.
func (m *memory) changes(r *policy.Region, tick int64) (mask byte) {
	if !same32(m.Rate, r.Rate) {
		mask |= hasRate
	}
	if !same32(m.vari.value(tick, varianceTicks), r.LogVar) {
		mask |= hasVar
	}
	if !same32(m.stable.value(tick, ticksPerSecond), r.Stable) {
		mask |= hasStable
	}
	if !same32(m.moved.value(tick, ticksPerSecond), r.SinceMove) {
		mask |= hasMove
	}
	if m.Placement != r.Placement {
		mask |= hasPlacement
	}
	if m.Evidence != r.Evidence {
		mask |= hasEvidence
	}
	if m.Flags != r.Flags || m.Detail != r.Detail || m.Home != r.Home {
		mask |= hasFlags
	}
	return mask
}

// region writes what the mask says, and remembers it.
func (e *Encoder) region(m *memory, r *policy.Region, mask byte, tick int64) {
	if mask&hasRate != 0 {
		e.f32(streamRate, r.Rate, m.Rate)
	}
	if mask&hasVar != 0 {
		m.vari = ageOf(r.LogVar, tick, varianceTicks)
		e.age(streamVar, m.vari, tick)
	}
	if mask&hasStable != 0 {
		m.stable = ageOf(r.Stable, tick, ticksPerSecond)
		e.age(streamRegion, m.stable, tick)
	}
	if mask&hasMove != 0 {
		m.moved = ageOf(r.SinceMove, tick, ticksPerSecond)
		e.age(streamRegion, m.moved, tick)
	}
	if mask&hasPlacement != 0 {
		for _, p := range r.Placement {
			e.u(streamRegion, uint64(p.Pages))
			e.byte(streamRegion, byte(p.Slot))
		}
	}
	if mask&hasEvidence != 0 {
		e.byte(streamEvidence, r.Evidence^m.Evidence<<1)
	}
	if mask&hasFlags != 0 {
		e.byte(streamRegion, r.Flags)
		e.byte(streamRegion, r.Home)
		e.i(streamRegion, int64(r.Detail))
	}
	m.Region = *r
}

func (e *Encoder) details(q *process, list []policy.Detail) {
	ops, at := 0, len(e.out[streamMisc])
	gap := uint64(0)
	for i := range list {
		if i >= len(q.details) {
			q.details = append(q.details, policy.Detail{})
		}
		d := &q.details[i]
		var parts byte
		for k := range list[i] {
			if partChanges(&d[k], &list[i][k]) != 0 {
				parts |= 1 << k
			}
		}
		if parts == 0 {
			gap++
			continue
		}
		e.u(streamGap, gap)
		gap, ops = 0, ops+1
		e.byte(streamDetail, parts)
		for k := range list[i] {
			if parts>>k&1 != 0 {
				e.part(&d[k], &list[i][k])
			}
		}
	}
	q.details = q.details[:len(list)]
	counts := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(list))), uint64(ops))
	e.out[streamMisc] = slices.Insert(e.out[streamMisc], at, counts...)
}

func partChanges(d, p *policy.Portion) (mask byte) {
	if !same32(d.Rate, p.Rate) {
		mask |= partRate
	}
	if !same32(d.LogVar, p.LogVar) {
		mask |= partVar
	}
	if d.Pages != p.Pages {
		mask |= partPages
	}
	if d.Slot != p.Slot || d.Stratum != p.Stratum || d.Went != p.Went {
		mask |= partPlace
	}
	if d.Evidence != p.Evidence {
		mask |= partEvidence
	}
	return mask
}

func (e *Encoder) part(d, p *policy.Portion) {
	mask := partChanges(d, p)
	e.byte(streamMask, mask)
	if mask&partRate != 0 {
		e.f32(streamRate, p.Rate, d.Rate)
	}
	if mask&partVar != 0 {
		e.f32(streamVar, p.LogVar, d.LogVar)
	}
	if mask&partPages != 0 {
		e.u(streamDetail, uint64(p.Pages))
	}
	if mask&partPlace != 0 {
		e.byte(streamDetail, byte(p.Slot))
		e.byte(streamDetail, p.Stratum)
		e.byte(streamDetail, byte(p.Went))
	}
	if mask&partEvidence != 0 {
		e.byte(streamEvidence, p.Evidence^d.Evidence<<1)
	}
	*d = *p
}

// Block ends the block at hand and returns it, ready to be written; nil if it
// has no frames. It is valid until the next call.
func (e *Encoder) Block() ([]byte, error) {
	p := e.take([streams][]byte{})
	if p == nil {
		return nil, nil
	}
	b, err := e.pack.block(p)
	e.reuse(p.raw)
	return b, err
}

// take ends the block at hand and hands it out, not yet packed; nil if it has no
// frames. The next one is written into what room it is given.
func (e *Encoder) take(room [streams][]byte) *parcel {
	if e.frames == 0 {
		return nil
	}
	p := &parcel{frames: e.frames, key: e.key, raw: e.out}
	e.frames = 0
	e.reuse(room)
	return p
}

func (e *Encoder) reuse(room [streams][]byte) {
	for i := range room {
		e.out[i] = room[i][:0]
	}
}
