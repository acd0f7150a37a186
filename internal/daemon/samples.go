package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/precise"
)

// Samples hears the processor's samples of accesses; *precise.Source is the real one.
type Samples interface {
	Watch(pid int) (precise.Watched, error)
	Drain() ([]precise.Hits, error)
	SetShare(share float64)
	Stats() precise.Stats
	Close()
}

// samplesShare is the part of the sampler's budget that samples may cost: beside page tables they tell little that is new.
const samplesShare = 0.25

// openSamples chooses the events of a host and begins to sample.
func openSamples(host *hostfs.FS, share float64) (Samples, error) {
	events, err := precise.Choose(host)
	if err != nil {
		return nil, err
	}
	return precise.Open(host, events, share)
}

// sampling is what is heard by samples, where the configuration names them.
type sampling struct {
	source  Samples
	members map[precise.SpaceID]*member
	// refused is why there are none, lost whether there were some, and triedAt when that was tried; nil if nothing was.
	refused error
	lost    bool
	triedAt time.Time
	drained float64 // when it was last, on the daemon's clock
	period  uint64  // of the samples since then
	latency latency
}

// takeSamples takes what was sampled since the last scan.
func (d *Daemon) takeSamples() {
	s := &d.sampling
	share := samplesShare * d.cfg.Sampler.CPUBudget.Fraction()
	switch {
	case !slices.Contains(d.cfg.Sampler.Sources, config.SourcePrecise) || d.tracker == nil:
		d.endSampling()
		return
	case s.source == nil && (s.refused == nil || time.Since(s.triedAt) >= openAgain):
		s.triedAt = time.Now()
		if s.source, s.refused = d.o.Sample(share); s.refused != nil {
			s.source = nil
			d.note("", 0, s.refused)
			break
		}
		s.lost, s.members = false, map[precise.SpaceID]*member{}
		s.drained, s.period = d.clock.Now(), s.source.Stats().Period
	}
	if s.source == nil {
		return
	}
	s.source.SetShare(share)
	for pid, m := range d.procs {
		if m.sampled != nil || m.err != nil {
			continue
		}
		w, err := s.source.Watch(pid)
		switch {
		case errors.Is(err, precise.ErrGone):
			continue // the next scan sees it
		case err != nil:
			d.note(m.workload.name, pid, fmt.Errorf("process %d: %w", pid, err))
			continue
		}
		m.sampled = w
		s.members[w.ID()] = m
	}
	hits, err := s.source.Drain()
	if err != nil {
		d.note("", 0, err)
		d.endSampling()
		*s = sampling{refused: err, lost: true, triedAt: time.Now()}
		return
	}
	now := d.clock.Now()
	d.hearSamples(hits, (now-s.drained)/float64(max(s.period, 1)), now)
	s.drained, s.period = now, s.source.Stats().Period
}

// hearSamples takes what was sampled of each process: how often regions are used, from where, and how long accesses to the
// node took on which they lie.
func (d *Daemon) hearSamples(hits []precise.Hits, exposure, now float64) {
	s := &d.sampling
	slices.SortFunc(hits, func(a, b precise.Hits) int { return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Addr, b.Addr)) })
	lists := map[precise.SpaceID][]sampler.Sampled{}
	for i := range hits {
		h := &hits[i]
		m := s.members[h.Space]
		if m == nil {
			continue
		}
		d.usedFrom(m, h.Addr, h.Node, h.Count, now)
		if slot, ok := d.tracker.Lies(m.life.ID(), h.Addr); ok && int(slot) < len(d.nodes.list) {
			s.latency.add(d.nodes.list[slot].Tier, float64(h.Cycles), float64(h.Weighed), now)
		}
		list := lists[h.Space]
		if k := len(list) - 1; k >= 0 && list[k].Addr == h.Addr {
			list[k].Count += int(h.Count) // from several nodes
		} else {
			lists[h.Space] = append(list, sampler.Sampled{Addr: h.Addr, Count: int(h.Count)})
		}
	}
	for id, m := range s.members {
		d.tracker.HearSamples(m.life.ID(), lists[id], exposure) // that there are none tells, too
	}
}

// endSampling ends it.
func (d *Daemon) endSampling() {
	for _, m := range d.sampling.members {
		m.sampled.Close()
		m.sampled = nil
	}
	if d.sampling.source != nil {
		d.sampling.source.Close()
	}
	d.sampling = sampling{}
}

// unsample forgets a process.
func (d *Daemon) unsample(m *member) {
	if m.sampled != nil {
		delete(d.sampling.members, m.sampled.ID())
		m.sampled.Close()
	}
}

// report is what the status says of the source; false where the configuration does not name it.
func (s *sampling) report() (src status.Source, ok bool) {
	src.Name = string(config.SourcePrecise)
	switch {
	case s.source != nil:
		src.Available = true
		st := s.source.Stats()
		src.LostTotal, src.ThrottledTotal = st.Lost, st.Throttled
	case s.refused != nil:
		src.Reason, src.Lost = s.refused.Error(), s.lost
		var u *precise.Unavailable
		if errors.As(s.refused, &u) {
			src.Hint = u.Hint
		}
	default:
		return src, false
	}
	return src, true
}
