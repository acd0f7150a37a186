package daemon

import (
	"slices"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/status"
)

const (
	// leastFailed is how many reads of page tables must have failed since the last scan, and none succeeded,
	// for the source to be lost. Single ones fail where memory goes away meanwhile.
	leastFailed = 16
	// openAgain is after how long a source that was lost, or could not be opened, is tried again.
	openAgain = 30 * time.Second
)

// sight tells whether page tables can still be read: a kernel may be locked down while tierd runs.
type sight struct {
	read, failed uint64
	lost         string // why they cannot; "" while they can
}

// look compares the counts of reads with those of the last look. It tells whether that changes what is known.
func (s *sight) look(read, failed uint64) (changed bool) {
	was := s.lost
	switch more := failed - s.failed; {
	case read != s.read:
		s.lost = ""
	case more >= leastFailed:
		s.lost = "page tables can be read no more: the kernel refuses programs to read its memory, as it does when it is locked down"
	}
	s.read, s.failed = read, failed
	return s.lost != was
}

// watchSight notices that page tables can be read no more. What was seen last says little of what is hot later, so
// nothing moves until they can be read again.
func (d *Daemon) watchSight() {
	if d.tracker == nil {
		return
	}
	st := d.tracker.Stats()
	if !d.sight.look(st.Samples, st.Unreadable) {
		return
	}
	if d.sight.lost != "" {
		d.o.Log.Warn("source lost", "source", config.SourcePageTable, "reason", d.sight.lost)
		d.drops[status.DropStale] += uint64(len(d.queue))
		d.queue, d.marks = nil, nil
	} else {
		d.o.Log.Info("source is back", "source", config.SourcePageTable)
	}
	i := slices.IndexFunc(d.sources, func(s status.Source) bool { return s.Name == string(config.SourcePageTable) })
	d.sources[i].Available, d.sources[i].Lost, d.sources[i].Reason = d.sight.lost == "", d.sight.lost != "", d.sight.lost
}
