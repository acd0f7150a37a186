package precise

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/bpf"
	"github.com/tierd/tierd/internal/hostfs"
)

// Unavailable says why samples cannot be heard on this host, and what an operator can do about it.
type Unavailable struct {
	// Step is what was tried: "event", "load", "open".
	Step string
	Err  error
	Hint string
}

func (u *Unavailable) Error() string { return fmt.Sprintf("samples: %s: %v", u.Step, u.Err) }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// ErrGone: the process has exited, or has no address space any more.
var ErrGone = bpf.ErrGone

const blockShift = 21

// SpaceID names a watched address space; a Source never uses one twice.
type SpaceID uint32

// Hits is what was sampled of 2 MiB of an address space since the last time.
type Hits struct {
	Space SpaceID
	// Addr is a multiple of 2 MiB.
	Addr uint64
	// Node is that of the CPUs that used it.
	Node int
	// Count is how many samples, Weighed of how many of them it is known how long the accesses took: Cycles
	// together.
	Count, Weighed uint32
	Cycles         uint64
}

// Stats counts since the Source was opened.
type Stats struct {
	// Samples are all, Heard those of watched address spaces, Lost those of them that no Drain has told of, because there were
	// more places than the maps can hold.
	Samples, Heard, Lost uint64
	// Throttled is how often the kernel has stopped a counter for a while because it took too long.
	Throttled uint64
	// CPUSeconds is what the program has used, and interrupts by estimate.
	CPUSeconds float64
	// Period is how many events are from one sample to the next now, and Scaled whether these are all accesses
	// of the kind.
	Period uint64
	Scaled bool
	// Weighs tells that programs learn how long accesses took.
	Weighs bool
}

// Source hears samples. Open makes one.
type Source struct {
	host     *hostfs.FS
	spaces   *bpf.Spaces
	coll     *ebpf.Collection
	program  *ebpf.Program
	events   []Event
	counters []*counter
	online   []int
	counts   *bpf.Buffers[samplePlace, sampleHits]
	next     SpaceID
	told     uint64
	stats    Stats
	least    uint64
	share    float64
	steered  time.Time
	before   Stats // at that time
	drained  []Hits
}

// Watched is an address space whose samples are counted.
type Watched interface {
	// ID is what Drain calls it.
	ID() SpaceID
	// Close ends the counting.
	Close()
}

type space struct {
	*bpf.Space
	id SpaceID
}

func (p space) ID() SpaceID { return p.id }

// Open begins to sample with the events, for which the cost in CPU time may be a share of one processor. The error is an *Unavailable.
func Open(host *hostfs.FS, events []Event, share float64) (*Source, error) {
	spaces, err := bpf.OpenSpaces()
	if err != nil {
		return nil, &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	s := &Source{host: host, spaces: spaces, events: slices.Clone(events), share: share, steered: time.Now()}
	if err := s.load(); err != nil {
		spaces.Close()
		return nil, &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	s.stats.Scaled = true
	for i := range s.events {
		s.stats.Period = max(s.stats.Period, s.events[i].Period)
		s.stats.Scaled = s.stats.Scaled && s.events[i].Scaled
	}
	s.least = min(s.stats.Period, shortestPeriod)
	if err := s.count(); err != nil {
		s.Close()
		return nil, &Unavailable{Step: "open", Err: err, Hint: openHint(err)}
	}
	return s, nil
}

// load loads the program that learns how long accesses took, or else the one that does not.
func (s *Source) load() error {
	var failed error
	for _, name := range []string{sampleProgSampleWeight, sampleProgSample} {
		spec, err := loadSample()
		if err != nil {
			return err
		}
		for other := range spec.Programs {
			if other != name {
				delete(spec.Programs, other)
			}
		}
		coll, err := ebpf.NewCollectionWithOptions(spec, s.spaces.Replace())
		if err != nil {
			failed = err
			continue
		}
		s.coll, s.program, s.stats.Weighs = coll, coll.Programs[name], name == sampleProgSampleWeight
		s.counts = bpf.NewBuffers[samplePlace, sampleHits](coll.Maps[sampleMapCounts0], coll.Maps[sampleMapCounts1], coll.Variables[sampleVarActive])
		return nil
	}
	return failed
}

// openHint says what an operator can do where an event cannot be opened.
func openHint(err error) string {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "kernel.perf_event_paranoid above 2, as Debian has it, asks for CAP_SYS_ADMIN; below that CAP_PERFMON is enough"
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EINVAL):
		return "the processor, or the virtual machine, does not give what its kernel publishes"
	case errors.Is(err, unix.EBUSY):
		return "somebody else uses the unit for a group of its own"
	case errors.Is(err, unix.EMFILE):
		return "it takes two open files a CPU: raise LimitNOFILE"
	}
	return ""
}

// count opens the events on the CPUs that are online.
func (s *Source) count() error {
	online, err := s.host.OnlineCPUs()
	if err != nil {
		return err
	}
	s.stop()
	s.online = online
	for i := range s.events {
		e := &s.events[i]
		for _, cpu := range online {
			if e.CPUs != nil && !slices.Contains(e.CPUs, cpu) {
				continue
			}
			c, err := openCounter(e, cpu, s.program.FD())
			if err != nil {
				s.stop()
				return err
			}
			s.counters = append(s.counters, c)
		}
	}
	if len(s.counters) == 0 {
		return fmt.Errorf("no CPU to count on: %s", s.Events())
	}
	return nil
}

func (s *Source) stop() {
	for _, c := range s.counters {
		c.close()
	}
	s.counters = nil
}

// Events names what is counted.
func (s *Source) Events() string {
	var names []string
	for i := range s.events {
		names = append(names, s.events[i].Name)
	}
	return strings.Join(names, ", ")
}

// Close ends the sampling and forgets everything.
func (s *Source) Close() {
	s.stop()
	s.coll.Close()
	s.spaces.Close()
}

// Watch begins to count the samples of the address space that the thread group leader pid has
// now. After an execve it has another one.
func (s *Source) Watch(pid int) (Watched, error) {
	w, err := s.spaces.Watch(pid, uint32(s.next))
	switch {
	case errors.Is(err, ErrGone):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("samples: %w", err)
	}
	s.next++
	return space{w, s.next - 1}, nil
}

// Drain returns what was sampled since the last time, in no order, and steers the period. The result is valid until the
// next call. An error means that nothing is counted any more.
func (s *Source) Drain() ([]Hits, error) {
	var seen, runs, took uint64
	vars := s.coll.Variables
	if err := errors.Join(vars[sampleVarSeen].Get(&seen), vars[sampleVarRuns].Get(&runs), vars[sampleVarTookNs].Get(&took)); err != nil {
		return nil, fmt.Errorf("samples: %w", err)
	}
	s.drained = s.drained[:0]
	err := s.counts.Drain(func(k *samplePlace, v *sampleHits) {
		s.told += uint64(v.Count)
		s.drained = append(s.drained, Hits{
			Space: SpaceID(k.Space), Addr: k.Block << blockShift, Node: int(k.Node), Count: v.Count, Weighed: v.Weighed, Cycles: v.Weight,
		})
	})
	if err != nil {
		return s.drained, fmt.Errorf("samples: %w", err)
	}
	for _, c := range s.counters {
		s.stats.Throttled += uint64(c.throttles())
	}
	s.stats.Samples, s.stats.Heard, s.stats.CPUSeconds = runs, seen, float64(took)/1e9+float64(runs)*interruptSeconds
	// What was seen before the buffers changed places has been told, if it was not pushed out by others.
	s.stats.Lost = max(s.stats.Lost, seen-min(s.told, seen))
	if err := s.follow(float64(took) / 1e9); err != nil {
		return s.drained, fmt.Errorf("samples: %w", err)
	}
	return s.drained, nil
}

// follow keeps up with CPUs that come and go, and with the budget.
func (s *Source) follow(programSeconds float64) error {
	if online, err := s.host.OnlineCPUs(); err == nil && !slices.Equal(online, s.online) {
		if err := s.count(); err != nil {
			return err
		}
	}
	now := time.Now()
	seconds := now.Sub(s.steered).Seconds()
	samples := s.stats.Samples - s.before.Samples
	program := programSeconds - (s.before.CPUSeconds - float64(s.before.Samples)*interruptSeconds)
	next := steer(s.stats.Period, s.least, s.step(), samples, program, seconds, s.share)
	// A counter that is throttled makes fewer samples than its period says.
	if s.stats.Throttled > s.before.Throttled && next < s.stats.Period*2 {
		next = s.stats.Period * 2
	}
	s.steered, s.before = now, s.stats
	if next == s.stats.Period {
		return nil
	}
	for i := range s.events {
		s.events[i].Period = next
	}
	for _, c := range s.counters {
		if err := c.setPeriod(next); err != nil {
			return err
		}
	}
	s.stats.Period = next
	return nil
}

// step is of what the period must be a multiple.
func (s *Source) step() uint64 {
	step := uint64(1)
	for i := range s.events {
		step = max(step, s.events[i].Step)
	}
	return step
}

// SetShare changes what samples may cost, as a share of one processor.
func (s *Source) SetShare(share float64) { s.share = share }

// Stats are those of the last Drain.
func (s *Source) Stats() Stats { return s.stats }
