package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/damon"
)

// Monitor is DAMON at work for tierd; *damon.Monitor is the real one.
type Monitor interface {
	Targets() []damon.Target
	Drain(say func(target int, heard []sampler.Heard)) error
	Worker() int
	Close() error
}

const (
	// A look at each region every so often at first, and so many for an account.
	firstLook, longestLook = 20 * time.Millisecond, 640 * time.Millisecond
	looksPerAccount        = 20
	// monitorAgain is for how long DAMON goes on with memory that has changed meanwhile, or is
	// not tried again.
	monitorAgain = 10 * time.Second
	// maxTargets bounds the processes that are monitored at a time.
	maxTargets = 16
)

// monitoring is what is heard by DAMON, while something must be.
type monitoring struct {
	source  Monitor
	members []*member // by target
	refused error     // why there is none although there should be
	lost    bool      // there was one
	at      time.Time // when it was started, or tried
	look    time.Duration
	ticks   uint64 // CPU time of the worker at the last scan
	ticksAt time.Time
}

// monitorNote is where the note on what runs for tierd is.
func (d *Daemon) monitorNote() string {
	return filepath.Join(filepath.Dir(d.cfg.Control.Socket.String()), "damon.json")
}

// allows tells whether the configuration lets a source be used.
func (d *Daemon) allows(s config.Source) bool {
	return len(d.cfg.Sampler.Sources) == 0 || slices.Contains(d.cfg.Sampler.Sources, s)
}

// monitor lets DAMON tell of memory of which the page tables do not.
func (d *Daemon) monitor() {
	if d.tracker == nil {
		return
	}
	m := &d.monitoring
	var members []*member
	var targets []damon.Target
	if d.allows(config.SourceDAMON) {
		pids := make([]int, 0, len(d.procs))
		for pid := range d.procs {
			pids = append(pids, pid)
		}
		slices.Sort(pids)
		for _, pid := range pids {
			if len(targets) == maxTargets {
				break
			}
			if regions := d.tracker.Unheard(d.procs[pid].life.ID(), damon.MaxRegions); regions != nil {
				members, targets = append(members, d.procs[pid]), append(targets, damon.Target{PID: pid, Regions: regions})
			}
		}
	}
	now := time.Now()
	if targets == nil {
		d.endMonitor()
		return
	}
	longer := m.source != nil && d.pace(now)
	if !m.at.IsZero() && now.Sub(m.at) < monitorAgain && !(m.source != nil && !slices.Equal(members, m.members)) {
		return
	}
	if m.source != nil && !longer && slices.Equal(members, m.members) && slices.EqualFunc(targets, m.source.Targets(), sameTarget) {
		return
	}
	look := max(m.look, firstLook)
	d.endMonitor()
	m.look, m.at = look, now
	m.source, m.refused = d.o.Monitor(damon.Settings{Targets: targets, Sample: look, Aggregate: looksPerAccount * look}, d.monitorNote())
	if m.refused != nil {
		m.source = nil
		d.note("", 0, m.refused)
		return
	}
	m.members = members
}

// pace chooses the time between looks by what the worker costs, within the sampler's budget. It tells
// whether that has changed.
func (d *Daemon) pace(now time.Time) bool {
	m := &d.monitoring
	st, err := d.o.Host.Stat(m.source.Worker())
	if err != nil {
		return false
	}
	used, since := float64(st.Ticks-min(m.ticks, st.Ticks))/userHz, now.Sub(m.ticksAt).Seconds()
	if since < monitorAgain.Seconds() {
		return false
	}
	first := m.ticksAt.IsZero()
	m.ticks, m.ticksAt = st.Ticks, now
	if first {
		return false
	}
	switch budget := d.cfg.Sampler.CPUBudget.Fraction(); {
	case used/since > budget && m.look < longestLook:
		m.look *= 2
	case used/since < budget/4 && m.look > firstLook:
		m.look /= 2
	default:
		return false
	}
	return true
}

// userHz is the unit of CPU times in /proc: USER_HZ, 100 on every architecture that matters here.
const userHz = 100

func sameTarget(a, b damon.Target) bool { return a.PID == b.PID && slices.Equal(a.Regions, b.Regions) }

// listen takes what DAMON has said meanwhile.
func (d *Daemon) listen() {
	m := &d.monitoring
	if m.source == nil {
		return
	}
	var said []sampler.Said
	err := m.source.Drain(func(target int, heard []sampler.Heard) {
		if target < len(m.members) {
			said = append(said, sampler.Said{ID: m.members[target].life.ID(), Heard: heard})
		}
	})
	d.tracker.Hear(sampler.DAMON, said...)
	if err != nil {
		if !errors.Is(err, damon.ErrEnded) {
			d.note("", 0, err)
		}
		at := m.at
		d.endMonitor()
		// It ends with the processes that it looks at, and the next scan finds out. Where they live somebody has ended it.
		*m = monitoring{refused: err, lost: true, at: at}
	}
}

// endMonitor ends the monitoring.
func (d *Daemon) endMonitor() {
	if m := &d.monitoring; m.source != nil {
		if err := m.source.Close(); err != nil {
			d.note("", 0, fmt.Errorf("DAMON: %w", err))
		}
	}
	d.monitoring = monitoring{}
}

// report is what the status says of the source; false while nothing must be heard by it.
func (m *monitoring) report() (s status.Source, ok bool) {
	s.Name = string(config.SourceDAMON)
	switch {
	case m.source != nil:
		s.Available = true
	case m.refused != nil:
		s.Reason, s.Lost = m.refused.Error(), m.lost
		var u *damon.Unavailable
		if errors.As(m.refused, &u) {
			s.Hint = u.Hint
		}
	default:
		return s, false
	}
	return s, true
}
