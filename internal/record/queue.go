package record

import (
	"sync"
	"sync/atomic"
)

const (
	// queued is how many blocks wait for one who is slow to write them, and
	// queuedRaw how many bytes before packing, unless it is a single block.
	queued    = 16
	queuedRaw = 32 << 20
)

// queue is between a recorder, which waits for nothing, and who packs and writes
// its blocks on another goroutine.
type queue struct {
	parcels chan *parcel
	waiting atomic.Int64 // bytes that are not packed yet, those at work among them

	renew  atomic.Bool // a key frame is asked for
	paused atomic.Bool // nothing can be written: nothing needs to be recorded

	// lost counts frames that found no room here or nobody to write them,
	// leftOut those that would have taken too much room in the recording.
	lost, leftOut atomic.Uint64

	mu          sync.Mutex
	raw, packed int // since the recorder has asked
	used        [][streams][]byte
}

func newQueue() *queue { return &queue{parcels: make(chan *parcel, queued)} }

// put is the loop's.
func (q *queue) put(p *parcel) bool {
	n := int64(p.size())
	if w := q.waiting.Load(); w > 0 && w+n > queuedRaw {
		return false
	}
	// Before it is handed over: else it might be subtracted first.
	q.waiting.Add(n)
	select {
	case q.parcels <- p:
		return true
	default:
		q.waiting.Add(-n)
		return false
	}
}

// unpacked stands for what packing would have left.
const unpacked = -1

// finish notes how many bytes packing has left of a parcel, which is not used any
// more.
func (q *queue) finish(p *parcel, packed int) {
	n := p.size()
	q.mu.Lock()
	if packed != unpacked {
		q.raw, q.packed = q.raw+n, q.packed+packed
	}
	if len(q.used) < 2 {
		q.used = append(q.used, p.raw)
	}
	q.mu.Unlock()
	p.raw = [streams][]byte{}
	q.waiting.Add(int64(-n))
}

// result is what packing has left of how much since the last call.
func (q *queue) result() (raw, packed int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	raw, packed = q.raw, q.packed
	q.raw, q.packed = 0, 0
	return raw, packed
}

// room is that of a parcel that is not used any more, if there is one.
func (q *queue) room() (r [streams][]byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := len(q.used); n > 0 {
		r, q.used = q.used[n-1], q.used[:n-1]
	}
	return r
}
