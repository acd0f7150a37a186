package record

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// retryFirst is how long after a failure writing is tried again; the time doubles
	// up to retryMost, because each try costs the loop a key frame.
	retryFirst = 10 * time.Second
	retryMost  = time.Minute
)

// Settings are those of a ring.
type Settings struct {
	// Dir is where the segments lie; "" records nothing.
	Dir string
	// Size bounds all segments together, Segment is when a new one is begun, both in
	// bytes.
	Size, Segment int64
}

// RingStats is how a ring stands.
type RingStats struct {
	Settings
	// Failing tells that nothing is written for now; LastError says why.
	Failing     bool
	LastError   string
	LastErrorAt time.Time
	Errors      uint64
	// Bytes and Segments are in the directory, Oldest is when the first of them was
	// begun, by the machine's clock then.
	Bytes    int64
	Segments int
	Oldest   time.Time
	// Frames were written, LeftOut ones would have taken more than PerHour; Lost ones
	// came while writing was too slow or not possible.
	Frames, LeftOut, Lost uint64
}

// Ring records to a directory, all the time: the newest segments stay, up to a size.
// Set belongs to the loop; Stats may be called by any goroutine.
type Ring struct {
	tap    *Tap
	stream *stream
	open   func(dir string) (folder, error)

	changed chan struct{}
	mu      sync.Mutex
	want    Settings
	stats   RingStats

	// What follows is Run's.
	pack     packer
	header   *Header
	settings Settings
	segments *segments // nil while it is off, or failing
	lost     uint64    // frames since the last one that was written
	resumed  bool      // nothing was written since it was off or failing
	retry    *time.Timer
	wait     time.Duration
}

// NewRing makes a ring that is off.
func NewRing(tap *Tap) *Ring {
	return &Ring{tap: tap, stream: newStream(), open: openDisk, changed: make(chan struct{}, 1)}
}

// Set changes what is recorded where, soon.
func (r *Ring) Set(s Settings) {
	r.mu.Lock()
	same := r.want == s
	r.want = s
	r.mu.Unlock()
	if same {
		return
	}
	r.stream.recorder.Flush() // into what is open now
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Stats is how the ring stands.
func (r *Ring) Stats() RingStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Settings = r.want
	s.LeftOut, s.Lost = r.stream.leftOut.Load(), r.stream.lost.Load()
	return s
}

func (r *Ring) note(change func(*RingStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}

// Run writes until the tap is closed and all is written; or, while it is off, until
// ctx ends.
func (r *Ring) Run(ctx context.Context) {
	r.retry = time.NewTimer(0)
	r.retry.Stop()
	defer r.shut()
	for {
		select {
		case p, more := <-r.stream.parcels:
			if !more {
				return
			}
			r.take(p)
		case <-r.changed:
			r.adopt()
		case <-r.retry.C:
			r.start()
		case <-r.off(ctx):
			return
		}
	}
}

// off ends with ctx while there is nothing to wait for.
func (r *Ring) off(ctx context.Context) <-chan struct{} {
	if r.settings.Dir != "" {
		return nil
	}
	return ctx.Done()
}

// adopt takes the settings that are wanted now.
func (r *Ring) adopt() {
	// What was recorded before belongs to the place before.
	for range len(r.stream.parcels) {
		if p, more := <-r.stream.parcels; more {
			r.take(p)
		}
	}
	old := r.settings
	r.mu.Lock()
	r.settings = r.want
	r.mu.Unlock()
	now := r.settings
	r.wait = 0
	switch {
	case now.Dir == "":
		r.tap.leave(r.stream)
		r.shut()
		r.note(func(s *RingStats) { s.Failing = false })
	case now.Dir == old.Dir && r.segments != nil:
		if err := r.segments.limit(now.Size, now.Segment); err != nil {
			r.fail(err, 0)
		}
		r.count()
	default:
		r.shut()
		if old.Dir == "" {
			if err := r.tap.join(r.stream); err != nil {
				r.settings.Dir = "" // the loop has ended
				return
			}
		}
		r.start()
	}
}

// start opens the directory and asks for a key frame to begin with.
func (r *Ring) start() {
	f, err := r.open(r.settings.Dir)
	if err != nil {
		r.fail(err, 0)
		return
	}
	s, err := openSegments(f, r.settings.Size, r.settings.Segment)
	if err != nil {
		f.close()
		r.fail(err, 0)
		return
	}
	r.segments, r.resumed = s, true
	r.count()
	r.stream.renew.Store(true)
	r.stream.paused.Store(false)
}

// shut closes what is open.
func (r *Ring) shut() {
	r.retry.Stop()
	if r.segments == nil {
		return
	}
	if err := r.segments.close(); err != nil {
		r.failed(err, 0)
	}
	r.segments = nil
	r.note(func(s *RingStats) { s.Bytes, s.Segments, s.Oldest = 0, 0, time.Time{} })
}

// take writes a parcel, or gives it up.
func (r *Ring) take(p *parcel) {
	if p.header != nil {
		r.header = p.header
	}
	if p.frames == 0 {
		r.stream.finish(p, unpacked)
		return
	}
	r.lost += p.lost
	if r.segments == nil || r.header == nil || !p.key && r.segments.open == nil {
		// Without a key frame before it nobody could read it.
		r.stream.finish(p, unpacked)
		r.stream.renew.Store(true)
		r.lose(p.frames)
		return
	}
	err := r.write(p)
	switch {
	case errors.Is(err, errNoRoom):
		r.stream.renew.Store(true)
		r.failed(err, p.frames)
	case err != nil:
		r.fail(err, p.frames)
	default:
		if r.segments.full() {
			r.stream.renew.Store(true)
		}
		r.wait, r.lost, r.resumed = 0, 0, false
		r.note(func(s *RingStats) { s.Failing, s.Frames = false, s.Frames+uint64(p.frames) })
	}
	r.count()
}

func (r *Ring) write(p *parcel) error {
	begin := p.key && (r.segments.open == nil || r.segments.full())
	var h *Header
	if begin || p.key && r.lost > 0 {
		copied := *r.header
		copied.Began = time.Now().UTC().Truncate(time.Second)
		copied.Lost, copied.Resumed = r.lost, r.resumed
		h = &copied
	}
	b, err := r.pack.parcel(p, h)
	if err != nil {
		r.stream.finish(p, unpacked)
		return err
	}
	// Written before it is finished: what waits for a slow disk counts as waiting.
	defer r.stream.finish(p, len(b))
	if begin {
		return r.segments.begin(h.Began, b)
	}
	return r.segments.write(b)
}

func (r *Ring) lose(frames int) {
	r.stream.lost.Add(uint64(frames))
	r.lost += uint64(frames)
}

// failed notes what went wrong, and how many frames that has cost.
func (r *Ring) failed(err error, frames int) {
	r.lose(frames)
	r.note(func(s *RingStats) {
		s.LastError, s.LastErrorAt = err.Error(), time.Now()
		s.Errors++
	})
}

// fail stops writing for a while. The loop records nothing meanwhile.
func (r *Ring) fail(err error, frames int) {
	r.stream.paused.Store(true)
	r.shut()
	r.failed(err, frames)
	r.note(func(s *RingStats) { s.Failing = true })
	r.wait = min(max(2*r.wait, retryFirst), retryMost)
	r.retry.Reset(r.wait)
}

// count shows what is in the directory.
func (r *Ring) count() {
	s := r.segments
	if s == nil {
		return
	}
	r.note(func(st *RingStats) {
		st.Bytes, st.Segments, st.Oldest = s.total, len(s.list), time.Time{}
		if len(s.list) > 0 {
			st.Oldest = s.list[0].at
		}
	})
}
