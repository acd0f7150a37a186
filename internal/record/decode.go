package record

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"slices"

	"github.com/tierd/tierd/policy"
)

var (
	errShort = errors.New("content ends early")
	errNoKey = errors.New("first frame needs one before it that is not there")
)

// cursor reads a stream, and zeros beyond its end.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) u() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) i() int64 { return unzigzag(c.u()) }

func (c *cursor) take(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	b := c.b[:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) byte() byte {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) f64() float64 {
	if b := c.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (c *cursor) near(expected float64) float64 {
	switch c.byte() {
	case 0:
		return expected
	case 1:
		return math.Float64frombits(math.Float64bits(expected) ^ c.u())
	}
	return c.f64()
}

func (c *cursor) f32(before float32) float32 {
	v := c.u()
	d := uint32(unzigzag(v >> 1))
	if v&1 == 0 {
		d <<= 16
	}
	return math.Float32frombits(math.Float32bits(before) + d)
}

func (c *cursor) age(now int64) age {
	v := c.u()
	if v&1 == 0 {
		return runningSince(now - unzigzag(v>>1))
	}
	return standing(uint32(v >> 1))
}

// text reads a text, or a state, which may be longer.
func (c *cursor) text(most uint64) []byte {
	n := c.u()
	if n > most {
		c.bad, c.b = true, nil
		return nil
	}
	return c.take(n)
}

// count is that of a list whose items take so many bytes at least.
func (c *cursor) count(least, most int) int {
	n := c.u()
	if n > uint64(len(c.b)/least) || n > uint64(most) {
		c.bad, c.b = true, nil
		return 0
	}
	return int(n)
}

func (c *cursor) id() policy.ProcessID {
	return policy.ProcessID{PID: int(c.i()), Start: c.u(), Exec: c.u()}
}

// Decoder turns blocks into frames.
type Decoder struct {
	last    past
	begun   bool
	raw     [streams][]byte
	in      [streams]cursor
	left    uint64 // frames of the block at hand
	regions int    // of the frame at hand, and its details
	details int
	frame   Frame
	snap    policy.Snapshot
	unpack  unpacker
	version byte
}

// block begins the frames of a block.
func (d *Decoder) block(content []byte) error {
	n, err := d.unpack.block(content, &d.raw)
	if err != nil {
		return err
	}
	for i := range d.in {
		d.in[i] = cursor{b: d.raw[i]}
	}
	d.left = n
	return nil
}

// key tells whether the block begins with a key frame.
func (d *Decoder) key() bool {
	misc := d.in[streamMisc].b
	return d.left > 0 && len(misc) > 0 && misc[0]&frameKey != 0
}

func (d *Decoder) bad() bool {
	for i := range d.in {
		if d.in[i].bad {
			return true
		}
	}
	return false
}

// next reads the next frame of the block; nil after the last. It is valid until
// the next call.
func (d *Decoder) next() (*Frame, error) {
	if d.left == 0 {
		for i := range d.in {
			if len(d.in[i].b) > 0 {
				return nil, errors.New("block has more than its frames")
			}
		}
		return nil, nil
	}
	d.left--
	misc, l, s, f := &d.in[streamMisc], &d.last, &d.snap, &d.frame
	flags := misc.byte()
	if flags&frameKey != 0 {
		*l, d.begun = past{}, true
	}
	if misc.bad {
		return nil, errShort
	}
	if !d.begun {
		return nil, errNoKey
	}
	if flags&frameKey != 0 && flags&frameState == 0 {
		return nil, errors.New("key frame has no state")
	}
	f.Number = l.number + misc.u()
	s.Seconds = misc.near(l.seconds)
	tick := misc.i() + tickOf(s.Seconds)
	f.State = nil
	if flags&frameState != 0 {
		f.State = slices.Clone(misc.text(maxRaw))
		if f.State == nil {
			f.State = []byte{}
		}
	}
	d.done(misc)
	if flags&frameTiers != 0 {
		l.tiers = nil
		for range misc.count(9, 1<<16) {
			l.tiers = append(l.tiers, policy.Tier{Name: string(misc.text(maxText)), AccessNS: misc.f64()})
		}
	}
	d.nodes(misc)
	if flags&frameHomes != 0 {
		l.homes = nil
		for range misc.count(2, 1<<8) {
			h := policy.Home{Node: policy.NodeID(misc.i())}
			for range misc.count(8, 1<<10) {
				h.Stretch = append(h.Stretch, misc.f64())
			}
			l.homes = append(l.homes, h)
		}
	}
	if flags&frameWorkloads != 0 {
		l.workloads = nil
		for range misc.count(10, 1<<16) {
			w := policy.Workload{Name: string(misc.text(maxText)), Weight: misc.f64()}
			for range misc.count(1, 1<<16) {
				w.Limits = append(w.Limits, misc.u())
			}
			l.workloads = append(l.workloads, w)
		}
	}
	s.Tiers, s.Nodes, s.Homes, s.Workloads = l.tiers, l.nodes, l.homes, l.workloads
	s.MoveCost = misc.near(l.moveCost)
	s.SincePhase = misc.near(l.phase + (s.Seconds - l.seconds))
	s.Pressure = misc.near(l.pressure)
	l.params.Budget += uint64(misc.i())
	if flags&frameParams != 0 {
		for _, v := range paramNumbers(&l.params) {
			*v = misc.f64()
		}
		l.params.EvidenceFill, l.params.EvidenceExchange = int(misc.i()), int(misc.i())
		l.params.Split = misc.byte() != 0
	}
	f.Params, f.PlanHash = l.params, misc.u32()
	if err := d.processes(tick); err != nil {
		return nil, err
	}
	if d.bad() {
		return nil, errShort
	}
	l.number, l.seconds, l.tick = f.Number, s.Seconds, tick
	l.moveCost, l.phase, l.pressure = s.MoveCost, s.SincePhase, s.Pressure
	f.Snapshot = s
	return f, nil
}

func (d *Decoder) done(misc *cursor) {
	list := d.frame.Done[:0]
	for range misc.count(17, maxRaw) {
		v := policy.Done{ID: misc.id(), Addr: bits.RotateLeft64(misc.u(), regionBits), Strata: ^uint8(misc.u())}
		v.From, v.To, v.Kind = policy.Slot(misc.byte()), policy.Slot(misc.byte()), policy.Kind(misc.byte())
		v.Pages, v.Seconds = int(misc.i()), misc.f64()
		list = append(list, v)
	}
	d.frame.Done = list
}

func (d *Decoder) nodes(misc *cursor) {
	n := misc.count(5, 1<<10)
	list := d.last.nodes
	for len(list) < n {
		list = append(list, policy.Node{})
	}
	list = list[:n]
	for i := range list {
		at := &list[i]
		at.ID += policy.NodeID(misc.i())
		at.Tier += int(misc.i())
		at.Size += uint64(misc.i())
		at.Free += uint64(misc.i())
		at.Reserve += uint64(misc.i())
	}
	d.last.nodes = list
}

func (d *Decoder) processes(tick int64) error {
	misc, l, s := &d.in[streamMisc], &d.last, &d.snap
	for _, p := range l.procs {
		p.used = false
	}
	n := misc.count(5, maxProcesses)
	next := make([]*process, 0, n)
	d.regions, d.details = 0, 0
	for len(s.Processes) < n {
		s.Processes = append(s.Processes, policy.Process{})
	}
	s.Processes = s.Processes[:n]
	for i := range s.Processes {
		var q *process
		if at := misc.u(); at == 0 {
			q = &process{id: misc.id()}
		} else if at > uint64(len(l.procs)) || l.procs[at-1].used {
			return errors.New("process that was not there before")
		} else {
			q = l.procs[at-1]
		}
		q.used = true
		next = append(next, q)
		flags := misc.byte()
		if q.enforce = flags&1 != 0; flags&2 != 0 {
			q.workload = string(misc.text(maxText))
		}
		q.pressure = misc.near(q.pressure)
		if flags&4 != 0 {
			q.period = misc.near(q.period)
		}
		if flags&8 != 0 {
			q.home = misc.byte()
		}
		p := &s.Processes[i]
		p.ID, p.Workload, p.Enforce, p.Pressure, p.Period, p.Home = q.id, q.workload, q.enforce, q.pressure, q.period, q.home
		if err := d.regionsOf(q, misc.u(), tick); err != nil {
			return err
		}
		p.Regions = slices.Grow(p.Regions[:0], len(q.regions))
		for k := range q.regions {
			m := &q.regions[k]
			m.Stable, m.SinceMove = m.stable.value(tick, ticksPerSecond), m.moved.value(tick, ticksPerSecond)
			m.LogVar = m.vari.value(tick, varianceTicks)
			p.Regions = append(p.Regions, m.Region)
		}
		if err := d.detailsOf(q, misc.u(), misc.u()); err != nil {
			return err
		}
		p.Details = q.details
	}
	l.procs = next
	return nil
}

func (d *Decoder) regionsOf(q *process, ops uint64, tick int64) error {
	old, now := q.regions, q.spare[:0]
	gaps, masks := &d.in[streamGap], &d.in[streamMask]
	for ; ops > 0; ops-- {
		gap := gaps.u()
		if gap > uint64(len(old)) {
			return errors.New("region that was not there before")
		}
		now, old = append(now, old[:gap]...), old[gap:]
		mask := masks.byte()
		if masks.bad || gaps.bad {
			return errShort
		}
		var m memory
		if mask&isNew == 0 {
			if len(old) == 0 {
				return errors.New("region that was not there before")
			}
			m, old = old[0], old[1:]
			if mask == 0 {
				continue
			}
		} else {
			m = newMemory(0)
			if n := len(now); n > 0 {
				m.Addr = now[n-1].Addr
			}
			m.Addr += bits.RotateLeft64(d.in[streamRegion].u(), regionBits)
		}
		if len(now) >= maxRegions {
			return errors.New("too many regions")
		}
		d.region(&m, mask, tick)
		now = append(now, m)
	}
	now = append(now, old...)
	q.spare, q.regions = q.regions, now
	if d.regions += len(now); d.regions > maxRegions {
		return errors.New("too many regions")
	}
	return nil
}

func (d *Decoder) region(m *memory, mask byte, tick int64) {
	c := &d.in[streamRegion]
	if mask&hasRate != 0 {
		m.Rate = d.in[streamRate].f32(m.Rate)
	}
	if mask&hasVar != 0 {
		m.vari = d.in[streamVar].age(tick)
	}
	if mask&hasStable != 0 {
		m.stable = c.age(tick)
	}
	if mask&hasMove != 0 {
		m.moved = c.age(tick)
	}
	if mask&hasPlacement != 0 {
		for i := range m.Placement {
			m.Placement[i] = policy.SlotPages{Pages: uint16(c.u()), Slot: policy.Slot(c.byte())}
		}
	}
	if mask&hasEvidence != 0 {
		m.Evidence = m.Evidence<<1 ^ d.in[streamEvidence].byte()
	}
	if mask&hasFlags != 0 {
		m.Flags = c.byte()
		if d.version >= withHomes {
			m.Home = c.byte()
		}
		m.Detail = int32(c.i())
	}
}

func (d *Decoder) detailsOf(q *process, count, ops uint64) error {
	if count > uint64(maxDetails-d.details) {
		return errors.New("too many details")
	}
	d.details += int(count)
	n := int(count)
	if n < len(q.details) {
		q.details = q.details[:n]
	}
	for len(q.details) < n {
		q.details = append(q.details, policy.Detail{})
	}
	at := uint64(0)
	c := &d.in[streamDetail]
	for ; ops > 0; ops-- {
		gap := d.in[streamGap].u()
		if gap >= count-at {
			return errors.New("detail that is not there")
		}
		at += gap
		parts := c.byte()
		if d.in[streamGap].bad || c.bad {
			return errShort
		}
		for k := range q.details[at] {
			if parts>>k&1 != 0 {
				d.part(&q.details[at][k])
			}
		}
		at++
	}
	return nil
}

func (d *Decoder) part(p *policy.Portion) {
	mask := d.in[streamMask].byte()
	if mask&partRate != 0 {
		p.Rate = d.in[streamRate].f32(p.Rate)
	}
	if mask&partVar != 0 {
		p.LogVar = d.in[streamVar].f32(p.LogVar)
	}
	if mask&partPages != 0 {
		p.Pages = uint16(d.in[streamDetail].u())
	}
	if mask&partPlace != 0 {
		p.Slot, p.Stratum = policy.Slot(d.in[streamDetail].byte()), d.in[streamDetail].byte()
		p.Went = policy.Way(d.in[streamDetail].byte())
	}
	if mask&partEvidence != 0 {
		p.Evidence = p.Evidence<<1 ^ d.in[streamEvidence].byte()
	}
}
