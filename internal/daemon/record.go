package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/status"
)

// ringWait is how long the end of the loop waits for the last plans to be written:
// a disk that does not answer must not hold up a stop.
const ringWait = 3 * time.Second

// startRing begins to write the ring of recordings, as far as the configuration
// wants one. What it returns ends all recordings, and waits for the last block.
func (d *Daemon) startRing() (stop func()) {
	d.recorder = record.NewRing(d.o.Tap)
	d.setRing()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.recorder.Run(ctx)
	}()
	return func() {
		d.o.Tap.Close()
		cancel()
		written := make(chan struct{})
		go func() {
			defer close(written)
			<-done
			d.o.Tap.Wait()
		}()
		wait := time.NewTimer(ringWait)
		defer wait.Stop()
		select {
		case <-written:
		case <-wait.C:
			d.o.Log.Warn("recording is not complete: who writes it takes too long")
		}
	}
}

func (d *Daemon) setRing() {
	c := &d.cfg.Record
	d.recorder.Set(record.Settings{Dir: c.Dir.String(), Size: int64(c.Size), Segment: int64(c.Segment)})
}

func (d *Daemon) reportRecord(s *status.Status) {
	st := d.recorder.Stats()
	s.Record = status.Record{
		Dir: st.Dir, SizeBytes: uint64(st.Size), SegmentBytes: uint64(st.Segment),
		Bytes: uint64(st.Bytes), Segments: st.Segments, OldestAt: st.Oldest,
		Failing: st.Failing, LastError: st.LastError, LastErrorAt: st.LastErrorAt, ErrorsTotal: st.Errors,
		FramesTotal: st.Frames, LeftOutTotal: st.LeftOut, LostTotal: st.Lost,
	}
	s.Record.Listeners, s.Record.ListenersLostTotal = d.o.Tap.Listeners()
	if st.Errors != d.recordErrors {
		d.recordErrors = st.Errors
		d.note("", 0, fmt.Errorf("recording: %s", st.LastError))
		s.LastErrors = d.errs.List()
	}
	if d.recordFailing && !st.Failing && st.Dir != "" {
		d.o.Log.Info("recording goes on", "dir", st.Dir, "lost_plans", st.Lost)
	}
	d.recordFailing = st.Failing
}
