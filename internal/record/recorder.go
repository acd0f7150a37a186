package record

import (
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
)

const (
	// blockSeconds and blockRaw bound how much is lost where a file breaks off:
	// a block is written when it is so old, or so large before it is packed.
	blockSeconds = 10
	blockRaw     = 1 << 20
	// keySeconds is how often a key frame comes, so that what is left of a ring
	// can be read.
	keySeconds = 300
	// PerHour is how many bytes an hour and tracked GiB may take, on average
	// over some minutes. A recorder leaves out frames to keep to it.
	PerHour = 1 << 20 * 9 / 10
	// creditSeconds is for how long what is not used of that is kept, for what
	// happens at once; firstSeconds is how much there is at the begin.
	creditSeconds, firstSeconds = 240, 240
	// guess is the part that packing leaves, as long as none has been seen.
	guess = 0.5
)

// Sink takes blocks, which it may keep, and does not wait; false says that the
// block was dropped.
type Sink func(block []byte) bool

// Stats are those of a Recorder, since its begin.
type Stats struct {
	// Frames were handed over, LeftOut to keep to the size, Dropped because who
	// should write them was too slow, or could not.
	Frames, LeftOut, Dropped uint64
	Bytes                    uint64 // handed to the sink
}

// Recorder takes part in the calls of a controller and writes down what went in
// and out.
type Recorder struct {
	// All leaves out nothing, however large that gets.
	All bool

	// hand takes a block, and says whether it did.
	hand func(*parcel) bool
	// queue, if set, is what takes them.
	queue *queue
	// blockSeconds bounds how long frames wait for their block to be written.
	blockSeconds float64
	encoder      *Encoder
	done         []policy.Done
	number       uint64
	missed       bool // frames since the last one that was written
	blockAt      float64
	keyAt        float64
	last         float64
	credit       float64
	ratio        float64 // packed by raw
	lastCost     float64 // of the last frame, in bytes
	begun        bool
	spare        [streams][]byte // room for the next block
	lost         uint64          // frames since the last one that was handed over
	choked       bool            // the queue was full; it is left to empty itself
	stats        Stats
	err          error
}

// NewRecorder makes a recorder, which begins with a key frame and packs at once.
func NewRecorder(to Sink) *Recorder {
	r := newRecorder()
	r.hand = func(p *parcel) bool {
		b, err := r.encoder.pack.block(p)
		if err != nil {
			r.err = err
			return false
		}
		r.packed(p.size(), len(b))
		if !to(slices.Clone(b)) {
			return false
		}
		r.stats.Bytes += uint64(len(b))
		return true
	}
	return r
}

func newRecorder() *Recorder {
	return &Recorder{encoder: NewEncoder(), ratio: guess, blockSeconds: blockSeconds}
}

// newQueued makes a recorder that leaves packing to who empties the queue.
func newQueued(q *queue) *Recorder {
	r := newRecorder()
	r.queue, r.hand = q, q.put
	return r
}

// Stats are what has become of the frames so far.
func (r *Recorder) Stats() Stats { return r.stats }

// Err is why nothing more is recorded; nil if all is well.
func (r *Recorder) Err() error { return r.err }

// Done notes what the controller is told of moves.
func (r *Recorder) Done(list []policy.Done) {
	const most = 1 << 20 // of moves that no frame has taken
	if len(r.done)+len(list) <= most {
		r.done = append(r.done, list...)
	}
}

// Decide lets the controller make a plan, and writes it down.
func (r *Recorder) Decide(c *policy.Controller, s *policy.Snapshot, p policy.Params) *policy.Plan {
	n := r.before(c, s, p)
	plan := c.Decide(s, p)
	r.after(n, plan)
	return plan
}

// pending is a plan that is about to be made.
type pending struct {
	frame Frame
	skip  bool
}

// before is called just before the plan is made, and after just after it.
func (r *Recorder) before(c *policy.Controller, s *policy.Snapshot, p policy.Params) pending {
	r.number++
	r.earn(s)
	if r.queue != nil && !r.heed() {
		return pending{skip: true}
	}
	// After a loss, or in another place, something has to be there soon: a key frame is
	// written on credit.
	if r.err != nil || !r.All && !r.encoder.Fresh() && r.credit < r.lastCost {
		r.stats.LeftOut++
		if r.due(s.Seconds) {
			r.flush(s.Seconds) // what was before is not to wait for what comes
		}
		if r.queue != nil {
			r.queue.leftOut.Add(1)
		}
		r.missed = true
		return pending{skip: true}
	}
	f := Frame{Number: r.number, Snapshot: s, Params: p, Done: r.done}
	if !(math.Abs(s.Seconds-r.keyAt) < keySeconds) && r.begun {
		r.flush(s.Seconds)
		r.encoder.Restart()
	}
	if r.encoder.Fresh() || r.missed {
		if r.encoder.Fresh() {
			r.keyAt = s.Seconds
		}
		state, err := c.MarshalBinary()
		if err != nil {
			r.err = err
		}
		f.State = state
	}
	return pending{frame: f}
}

// heed does what the other end of the queue asks for, and says whether there is
// anything to record for.
func (r *Recorder) heed() bool {
	q := r.queue
	if raw, packed := q.result(); raw > 0 {
		r.packed(raw, packed)
	}
	full := r.choked && q.waiting.Load() > 0
	if q.paused.Load() || full {
		n := r.encoder.Frames()
		r.encoder.take(r.encoder.out)
		r.encoder.Restart()
		r.stats.Frames -= uint64(n)
		r.lose(n + 1)
		r.done = r.done[:0]
		return false
	}
	r.choked = false
	if q.renew.Swap(false) && !r.encoder.Fresh() {
		r.flush(r.last)
		r.encoder.Restart()
	}
	return true
}

// lose counts frames.
func (r *Recorder) lose(frames int) {
	r.stats.Dropped += uint64(frames)
	r.lost += uint64(frames)
	if r.queue != nil {
		r.queue.lost.Add(uint64(frames))
	}
}

// after writes down the plan that was made.
func (r *Recorder) after(n pending, plan *policy.Plan) {
	if n.skip || r.err != nil {
		return
	}
	s := n.frame.Snapshot
	n.frame.PlanHash = Hash(plan)
	before := r.encoder.Raw()
	if !r.begun {
		r.blockAt, r.begun = s.Seconds, true
	}
	key := r.encoder.Fresh()
	r.encoder.Frame(&n.frame)
	cost := float64(r.encoder.Raw()-before) * r.ratio
	r.credit -= cost
	if !key {
		r.lastCost = cost
	}
	r.done, r.missed = r.done[:0], false
	r.stats.Frames++
	if r.encoder.Raw() >= blockRaw || r.due(s.Seconds) {
		r.flush(s.Seconds)
	}
}

// due tells that the block at hand is old enough to be written.
func (r *Recorder) due(now float64) bool { return !(math.Abs(now-r.blockAt) < r.blockSeconds) }

// earn lets the credit grow with time and tracked memory.
func (r *Recorder) earn(s *policy.Snapshot) {
	regions := 0
	for i := range s.Processes {
		regions += len(s.Processes[i].Regions)
	}
	rate := PerHour / 3600.0 * max(float64(regions)*policy.RegionSize/(1<<30), 1)
	if !r.begun {
		r.credit = rate * firstSeconds
	} else if d := s.Seconds - r.last; d > 0 {
		r.credit = min(r.credit+rate*min(d, creditSeconds), rate*creditSeconds)
	}
	r.last = s.Seconds
}

// Flush hands over what there is.
func (r *Recorder) Flush() { r.flush(r.last) }

func (r *Recorder) flush(now float64) {
	if r.encoder.Frames() > 0 && r.queue != nil {
		r.spare = r.queue.room()
	}
	p := r.encoder.take(r.spare)
	r.blockAt = now
	if p == nil {
		return
	}
	p.lost = r.lost
	taken := r.hand(p)
	if r.queue == nil { // else it is used over there
		r.spare = p.raw
	}
	if r.err != nil {
		return
	}
	if taken {
		r.lost = 0
	} else {
		r.stats.Frames -= uint64(p.frames)
		r.lose(p.frames)
		r.encoder.Restart()
		r.choked = true
	}
}

// packed learns what packing leaves.
func (r *Recorder) packed(raw, packed int) {
	ratio := float64(packed) / float64(raw)
	r.credit += float64(raw)*r.ratio - float64(packed) // what was guessed, and what it is
	r.ratio += (ratio - r.ratio) / 4
}
