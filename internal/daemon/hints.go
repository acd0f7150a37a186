package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/hintfault"
)

// Hints hears the hint faults of processes; *hintfault.Source is the real one.
type Hints interface {
	Watch(pid int) (hintfault.Watched, error)
	Drain() ([]hintfault.Faults, error)
	Rounds(least float64) ([]hintfault.Round, error)
	Stats() hintfault.Stats
	Close()
}

// leastRound is how old a round must be to count, in seconds: by then the faults of most are over.
const leastRound = 1.0

// hearing is what is heard by hint faults, while there are any.
type hearing struct {
	source  Hints
	members map[hintfault.SpaceID]*member
	// refused is why they cannot be heard although there are some, lost whether they could be, and triedAt when
	// that was tried; nil if nothing was tried.
	refused error
	lost    bool
	triedAt time.Time
}

// hear follows whether NUMA balancing makes hint faults, and counts those of the watched
// processes.
func (d *Daemon) hear(balancing bool) {
	h := &d.hearing
	switch wanted := balancing && d.allows(config.SourceHintFault); {
	case !wanted:
		d.deafen()
		return
	case h.source == nil && (h.refused == nil || time.Since(h.triedAt) >= openAgain):
		h.triedAt = time.Now()
		if h.source, h.refused = d.o.Hear(); h.refused != nil {
			h.source = nil
			d.note("", 0, h.refused)
		} else {
			h.lost = false
		}
		h.members = map[hintfault.SpaceID]*member{}
	}
	if h.source == nil {
		return
	}
	for pid, m := range d.procs {
		if m.heard != nil || m.err != nil {
			continue
		}
		w, err := h.source.Watch(pid)
		switch {
		case errors.Is(err, hintfault.ErrGone):
			continue // the next scan sees it
		case err != nil:
			d.note(m.workload.name, pid, fmt.Errorf("process %d: %w", pid, err))
			continue
		}
		m.heard = w
		h.members[w.ID()] = m
	}
	faults, err := h.source.Drain()
	var rounds []hintfault.Round
	if err == nil {
		rounds, err = h.source.Rounds(leastRound)
	}
	if err != nil {
		d.note("", 0, err)
		d.deafen()
		*h = hearing{refused: err, lost: true, triedAt: time.Now()}
		return
	}
	h.hearRounds(d.tracker, rounds)
	now := d.clock.Now()
	for i := range faults {
		f := &faults[i]
		if m := h.members[f.Space]; m != nil {
			m.workload.hintsLocal += uint64(f.Local)
			m.workload.hintsRemote += uint64(f.Remote)
			d.usedFrom(m, f.Addr, f.Node, f.Local+f.Remote+f.Unknown, now)
		}
	}
}

// hearRounds takes what pages of each process that were made inaccessible tell of how often they are used.
func (h *hearing) hearRounds(t *sampler.Tracker, rounds []hintfault.Round) {
	if t == nil {
		return
	}
	slices.SortFunc(rounds, func(a, b hintfault.Round) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Addr, b.Addr))
	})
	for len(rounds) > 0 {
		n := 1
		for n < len(rounds) && rounds[n].Space == rounds[0].Space {
			n++
		}
		if m := h.members[rounds[0].Space]; m != nil {
			t.HearRounds(m.life.ID(), rounds[:n])
		}
		rounds = rounds[n:]
	}
}

// usedFrom notes from which node a region of a process was used so many times. Of memory that others map, too, its
// keeper is told.
func (d *Daemon) usedFrom(m *member, addr uint64, node int, n uint32, now float64) {
	if d.tracker != nil && m.workload.shared {
		id, at, ok := d.tracker.Kept(m.life.ID(), addr)
		if k := d.memberOf(id); ok && k != nil {
			m, addr = k, at
		}
	}
	m.users.Hear(addr, node, n, now)
}

// deafen ends the hearing.
func (d *Daemon) deafen() {
	for _, m := range d.hearing.members {
		m.heard.Close()
		m.heard = nil
	}
	if d.hearing.source != nil {
		d.hearing.source.Close()
	}
	d.hearing = hearing{}
}

// unhear forgets a process.
func (d *Daemon) unhear(m *member) {
	if m.heard != nil {
		delete(d.hearing.members, m.heard.ID())
		m.heard.Close()
	}
}

// report is what the status says of the source; false while there is nothing to hear.
func (h *hearing) report() (s status.Source, ok bool) {
	s.Name = string(config.SourceHintFault)
	switch {
	case h.source != nil:
		s.Available, s.LostTotal = true, h.source.Stats().Lost
	case h.refused != nil:
		s.Reason, s.Lost = h.refused.Error(), h.lost
		var u *hintfault.Unavailable
		if errors.As(h.refused, &u) {
			s.Hint = u.Hint
		}
	default:
		return s, false
	}
	return s, true
}
