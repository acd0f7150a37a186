package record

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/tierd/tierd/policy"
)

const (
	// maxStreams bounds who records at a time: each costs the loop as much.
	maxStreams = 4
	// queued is how many blocks wait for one who is slow to write them.
	queued = 16
	// streamSeconds is the age of blocks for one who may leave at any moment.
	streamSeconds = 2
)

// ErrBusy: as many record already as may.
var ErrBusy = errors.New("too many recordings at a time")

// Tap lets others record what a controller does, while it works. Decide and Done
// belong to the loop; Stream is called by any goroutine. The loop waits for none.
type Tap struct {
	// Version is that of tierd, for the header.
	Version string

	mu   sync.Mutex
	list []*stream // replaced, never changed
}

type stream struct {
	recorder *Recorder // the loop's
	begun    bool
	blocks   chan []byte
}

func (s *stream) put(b []byte) bool {
	select {
	case s.blocks <- b:
		return true
	default:
		return false
	}
}

func (t *Tap) streams() []*stream {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list
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
	list := t.streams()
	notes := make([]pending, len(list))
	for i, to := range list {
		if !to.begun {
			b, err := Preamble(&Header{Version: t.Version, Tiers: s.Tiers, Nodes: s.Nodes})
			if err != nil {
				to.recorder.err = err
			} else {
				to.begun = to.put(b)
			}
		}
		notes[i] = to.recorder.before(c, s, p)
	}
	plan := c.Decide(s, p)
	for i, to := range list {
		to.recorder.after(notes[i], plan)
	}
	return plan
}

// Stream hands a recording to write, from the next plan on, until ctx ends or
// write fails. The error is ErrBusy or that of write.
func (t *Tap) Stream(ctx context.Context, write func([]byte) error) error {
	s := &stream{blocks: make(chan []byte, queued)}
	s.recorder = NewRecorder(s.put)
	s.recorder.blockSeconds = streamSeconds
	if err := t.join(s); err != nil {
		return err
	}
	defer t.leave(s)
	for {
		select {
		case <-ctx.Done():
			return nil
		case b := <-s.blocks:
			if err := write(b); err != nil {
				return err
			}
		}
	}
}

func (t *Tap) join(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.list) >= maxStreams {
		return ErrBusy
	}
	t.list = append(slices.Clone(t.list), s)
	return nil
}

func (t *Tap) leave(s *stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(slices.Clone(t.list), func(other *stream) bool { return other == s })
}
