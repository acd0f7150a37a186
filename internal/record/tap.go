package record

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/policy"
)

const (
	// maxStreams bounds who listens at a time: each costs the loop as much.
	maxStreams = 4
	// streamSeconds is the age of blocks for one who may leave at any moment.
	streamSeconds = 2
)

var (
	// ErrBusy: as many record already as may.
	ErrBusy = errors.New("too many recordings at a time")
	// ErrClosed: there will be nothing more to record.
	ErrClosed = errors.New("the daemon is stopping")
)

// Tap lets others record what a controller does, while it works. Decide, Done and
// Close belong to the loop; Stream is called by any goroutine. The loop waits for
// none.
type Tap struct {
	// Version is that of tierd, for the header.
	Version string

	run    uint64 // of the header; the loop's
	plans  uint64 // so far; the loop's
	lost   atomic.Uint64
	mu     sync.Mutex
	list   []*stream // replaced, never changed
	closed bool
	// writing are the calls of Stream.
	writing sync.WaitGroup
}

// stream is one that records.
type stream struct {
	recorder *Recorder // the loop's
	begun    bool      // the loop's
	listener bool      // one who may be turned away
	*queue
}

func newStream() *stream {
	s := &stream{queue: newQueue()}
	s.recorder = newQueued(s.queue)
	return s
}

func (t *Tap) streams() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
}

// Listeners is how many listen to Stream; lost is how many frames they or those
// before them were too slow for.
func (t *Tap) Listeners() (n int, lost uint64) {
	lost = t.lost.Load()
	for _, s := range t.streams() {
		if s.listener {
			n++
			lost += s.lost.Load()
		}
	}
	return n, lost
}

// Done tells the controller, and those who record, what became of moves.
func (t *Tap) Done(c *policy.Controller, list []policy.Done) {
	c.Done(list)
	for _, s := range t.streams() {
		s.recorder.Done(list)
	}
}

// Decide lets the controller make a plan.
func (t *Tap) Decide(c *policy.Controller, s *policy.Snapshot, p policy.Params) *policy.Plan {
	t.plans++
	list := t.streams()
	notes := make([]pending, len(list))
	for i, to := range list {
		if !to.begun {
			to.begun = to.put(&parcel{header: t.header(s)})
		}
		to.recorder.number = t.plans - 1
		notes[i] = to.recorder.before(c, s, p)
	}
	plan := c.Decide(s, p)
	for i, to := range list {
		to.recorder.after(notes[i], plan)
	}
	return plan
}

func (t *Tap) header(s *policy.Snapshot) *Header {
	for t.run == 0 {
		t.run = rand.Uint64()
	}
	return &Header{
		Version: t.Version, Tiers: slices.Clone(s.Tiers), Nodes: slices.Clone(s.Nodes),
		Run: fmt.Sprintf("%016x", t.run), Began: time.Now().UTC().Truncate(time.Second),
	}
}

// Close hands over what has not been yet, and ends all recordings. Nothing may be
// decided afterwards.
func (t *Tap) Close() {
	t.mu.Lock()
	list := t.list
	t.list, t.closed = nil, true
	t.mu.Unlock()
	for _, s := range list {
		s.recorder.Flush()
		close(s.parcels)
	}
}

// Wait returns when every Stream has ended, as they do when the tap is closed and what
// was recorded is written.
func (t *Tap) Wait() { t.writing.Wait() }

// Stream hands a recording to write, from the next plan on, until ctx ends, the tap
// is closed or write fails. The error is ErrBusy, ErrClosed, or that of packing or
// write.
func (t *Tap) Stream(ctx context.Context, write func([]byte) error) error {
	s := newStream()
	s.recorder.blockSeconds = streamSeconds
	s.listener = true
	if err := t.join(s); err != nil {
		return err
	}
	defer t.writing.Done()
	defer t.leave(s)
	var pack packer
	var header Header
	for {
		select {
		case <-ctx.Done():
			return nil
		case p, more := <-s.parcels:
			if !more {
				return nil
			}
			h := p.header
			if h != nil {
				header = *h
			} else if p.lost > 0 {
				again := header
				h, again.Lost = &again, p.lost
			}
			b, err := pack.parcel(p, h)
			if err != nil {
				return err
			}
			s.finish(p, len(b))
			if err := write(b); err != nil {
				return err
			}
		}
	}
}

func (t *Tap) join(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return ErrClosed
	}
	listeners := 0
	for _, other := range t.list {
		if other.listener {
			listeners++
		}
	}
	if s.listener && listeners >= maxStreams {
		return ErrBusy
	}
	if s.listener {
		t.writing.Add(1)
	}
	t.list = append(slices.Clone(t.list), s)
	return nil
}

func (t *Tap) leave(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(slices.Clone(t.list), func(other *stream) bool { return other == s })
	if s.listener {
		t.lost.Add(s.lost.Load())
	}
}
