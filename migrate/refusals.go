package migrate

import (
	"time"

	"github.com/tierd/tierd/policy"
)

// When refusals are believed.
const (
	// refusalsInRow without any progress make a region immovable.
	refusalsInRow = 5
	// immovableFor is for how long that holds; then one attempt is made.
	immovableFor = 10 * time.Minute
	// backoff is the pause after the first refusal; it doubles.
	backoff = time.Second
	// refusalsCap is the default bound on remembered regions.
	refusalsCap = 64 << 10
)

// Refusals remembers what the kernel refused to move, so that it is not asked again
// and again.
//
// After a refusal (EBUSY) without any progress a region pauses for 1, 2, 4 and 8 s;
// after the fifth in a row it is immovable for ten minutes, after which one attempt
// decides again. Pages that several processes map make it immovable at once. When
// some pages of a region moved and others did not, only the remainder is held
// back: moves from the node where it lies. Such a region is not immovable but
// stuck.
//
// A target node outside the process's cpuset is remembered for the process, and the
// regions that were meant to go there are immovable.
//
// Memory is bounded: beyond the capacity the region that was refused longest ago is
// forgotten, and counted.
type Refusals struct {
	capacity int
	base     time.Time
	procs    map[policy.ProcessID]*refused
	slab     []refusal // slab[0] is the head of the list, newest first
	free     []int32
	evicted  uint64
}

// refused is what is remembered of one process.
type refused struct {
	id      policy.ProcessID
	regions map[uint64]int32
	denied  map[policy.Slot]int64
}

// refusal is what is remembered of one region.
type refusal struct {
	proc       *refused
	addr       uint64
	until      int64 // nanoseconds since base
	prev, next int32
	pages      uint16 // refused by the last attempt
	row        uint8  // refusals in a row without progress
	from       policy.Slot
	partial    bool // others of its pages did move
}

// NewRefusals returns an empty memory for so many regions; 0 means 65536.
func NewRefusals(capacity int) *Refusals {
	if capacity <= 0 {
		capacity = refusalsCap
	}
	return &Refusals{capacity: capacity, procs: map[policy.ProcessID]*refused{}, slab: make([]refusal, 1)}
}

func (r *Refusals) at(now time.Time) int64 {
	if r.base.IsZero() {
		r.base = now
	}
	return int64(now.Sub(r.base))
}

func (r *Refusals) find(id policy.ProcessID, addr uint64) *refusal {
	if p := r.procs[id]; p != nil {
		if i := p.regions[addr]; i != 0 {
			return &r.slab[i]
		}
	}
	return nil
}

// Allowed says whether the pages of a region that lie on one node may be tried now.
func (r *Refusals) Allowed(now time.Time, id policy.ProcessID, addr uint64, from policy.Slot) bool {
	e := r.find(id, addr)
	return e == nil || r.at(now) >= e.until || (e.partial && e.from != from)
}

// Immovable says whether the kernel's refusals are taken to hold for the region as
// a whole.
func (r *Refusals) Immovable(now time.Time, id policy.ProcessID, addr uint64) bool {
	e := r.find(id, addr)
	return e != nil && e.row >= refusalsInRow && !e.partial && r.at(now) < e.until
}

// Stuck returns how many pages of the region are held back on which node, while
// others of it could be moved. A planner should leave them out of the region's
// placement.
func (r *Refusals) Stuck(now time.Time, id policy.ProcessID, addr uint64) (from policy.Slot, pages int, ok bool) {
	e := r.find(id, addr)
	if e == nil || !e.partial || r.at(now) >= e.until {
		return policy.NoSlot, 0, false
	}
	return e.from, int(e.pages), true
}

// Denied says whether the process's cpuset is known to exclude the node.
func (r *Refusals) Denied(now time.Time, id policy.ProcessID, to policy.Slot) bool {
	p := r.procs[id]
	if p == nil {
		return false
	}
	until, ok := p.denied[to]
	return ok && r.at(now) < until
}

// Record learns from the outcome of a move that was tried.
func (r *Refusals) Record(now time.Time, m *policy.Move, o *Outcome) {
	by := &o.ByResult
	if by[Gone]+by[Exec]+by[Reused] > 0 {
		r.Forget(m.ID)
		return
	}
	pages := by[Busy] + by[Shared] + by[Denied]
	if pages == 0 {
		// Nothing was refused; forget only if that was put to the test.
		if o.Moved > 0 {
			if e := r.find(m.ID, m.Addr); e != nil && e.from == m.From {
				r.remove(e)
			}
		}
		return
	}
	at := r.at(now)
	e := r.touch(m.ID, m.Addr)
	if e.from != m.From {
		e.row, e.partial, e.from = 0, false, m.From
	}
	e.pages = uint16(pages)
	progress := o.Moved > 0
	if progress {
		e.row, e.partial = 0, true
	}
	switch {
	case by[Denied] > 0:
		if e.proc.denied == nil {
			e.proc.denied = map[policy.Slot]int64{}
		}
		if at >= e.proc.denied[m.To] { // not again for what was only remembered
			e.proc.denied[m.To] = at + int64(immovableFor)
		}
		e.row = refusalsInRow
	case by[Shared] > by[Busy]:
		e.row = refusalsInRow
	case !progress && e.row < refusalsInRow:
		e.row++
	}
	pause := backoff
	switch {
	case e.row >= refusalsInRow:
		pause = immovableFor
	case e.row > 1:
		pause = backoff << (e.row - 1)
	}
	e.until = at + int64(pause)
}

// Forget drops what is known of a process: it has exited, or its memory has changed.
func (r *Refusals) Forget(id policy.ProcessID) {
	p := r.procs[id]
	if p == nil {
		return
	}
	for _, i := range p.regions {
		r.unlink(i)
		r.free = append(r.free, i)
		r.slab[i] = refusal{}
	}
	delete(r.procs, id)
}

// Len is the number of regions remembered.
func (r *Refusals) Len() int { return len(r.slab) - 1 - len(r.free) }

// Evicted counts the regions forgotten for want of memory.
func (r *Refusals) Evicted() uint64 { return r.evicted }

// touch returns the region's entry, new if need be, as the newest of the list.
func (r *Refusals) touch(id policy.ProcessID, addr uint64) *refusal {
	if p := r.procs[id]; p != nil {
		if i := p.regions[addr]; i != 0 {
			r.unlink(i)
			r.link(i)
			return &r.slab[i]
		}
	}
	if r.Len() >= r.capacity {
		r.evicted++
		r.remove(&r.slab[r.slab[0].prev])
	}
	p := r.procs[id]
	if p == nil {
		p = &refused{id: id, regions: map[uint64]int32{}}
		r.procs[id] = p
	}
	var i int32
	if n := len(r.free); n > 0 {
		i, r.free = r.free[n-1], r.free[:n-1]
	} else {
		i = int32(len(r.slab))
		r.slab = append(r.slab, refusal{})
	}
	r.slab[i] = refusal{proc: p, addr: addr, from: policy.NoSlot}
	p.regions[addr] = i
	r.link(i)
	return &r.slab[i]
}

func (r *Refusals) remove(e *refusal) {
	p := e.proc
	i := p.regions[e.addr]
	delete(p.regions, e.addr)
	if len(p.regions) == 0 {
		delete(r.procs, p.id)
	}
	r.unlink(i)
	r.slab[i] = refusal{}
	r.free = append(r.free, i)
}

func (r *Refusals) link(i int32) {
	first := r.slab[0].next
	r.slab[i].prev, r.slab[i].next = 0, first
	r.slab[first].prev = i
	r.slab[0].next = i
}

func (r *Refusals) unlink(i int32) {
	e := &r.slab[i]
	r.slab[e.prev].next = e.next
	r.slab[e.next].prev = e.prev
}
