package precise

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
)

// Event is what to count.
type Event struct {
	// Name is for people.
	Name string
	// Type and Config are those of perf_event_attr, PreciseIP how exact the place of the
	// sample in the program must be for the unit to give an address.
	Type      uint32
	Config    [3]uint64
	PreciseIP uint8
	// Leader must be in the same group before it; nil: nothing must.
	Leader *Event
	// CPUs that it counts for; nil: all.
	CPUs []int
	// Period is how many events are from one sample to the next at first, Step of what it must be a multiple.
	Period, Step uint64
	// Scaled tells that samples are a known part of the accesses, one for each Period of them.
	Scaled bool
}

// PageFaults is an event that every machine has: each page fault is a sample. It is for tests
// of the way from a sample to what is heard.
func PageFaults() Event {
	return Event{Name: "page-faults", Type: unix.PERF_TYPE_SOFTWARE, Config: [3]uint64{unix.PERF_COUNT_SW_PAGE_FAULTS}, Period: 1, Step: 1, Scaled: true}
}

const (
	// leastLatency is what a load must take to count, in cycles: more than the last-level cache of servers does,
	// because what a cache serves does not matter to where memory lies.
	leastLatency = 64
	// The periods to begin with: some thousand samples a second of a core that waits for memory all the time. IBS counts all
	// operations, not only those that wait.
	loadPeriod, opPeriod = 2003, 0x10000
	// opStep is of what IBS's period must be a multiple.
	opStep = 16
)

// errNone: no event source shows accesses to memory.
var errNone = errors.New("no event of memory accesses")

// ldlat is the term that says how long a load must take.
var ldlat = regexp.MustCompile(`ldlat=[^,]*`)

// Choose finds the events that show accesses to memory on a host. The error, an *Unavailable, says why there are none.
func Choose(host *hostfs.FS) (events []Event, err error) {
	var problems []error
	// Processors with two kinds of cores have a unit for each.
	for _, name := range []string{"cpu", "cpu_core", "cpu_atom"} {
		s, err := host.EventSource(name)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, err)
			}
			continue
		}
		switch e, err := loads(&s); {
		case err == nil:
			events = append(events, e)
		case !errors.Is(err, errNone):
			problems = append(problems, err)
		}
	}
	if s, err := host.EventSource("ibs_op"); err == nil {
		e, err := ops(&s)
		if err != nil {
			problems = append(problems, err)
		} else {
			events = append(events, e)
		}
	}
	if len(events) > 0 {
		return events, nil
	}
	return nil, &Unavailable{Step: "event", Err: errors.Join(append(problems, absent(host))...), Hint: "it needs Intel's PEBS or AMD's IBS; virtual machines have neither unless they are given one"}
}

// absent says what kind of machine it is that has no event.
func absent(host *hostfs.FS) error {
	names, err := host.EventSources()
	if err != nil {
		return fmt.Errorf("the kernel shows no event sources: %w", err)
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "arm_spe") }) {
		return fmt.Errorf("%w: ARM's SPE writes samples where eBPF does not see them", errNone)
	}
	model := "this processor"
	if cpu, err := host.CPU(); err == nil && cpu.Model != "" {
		model = fmt.Sprintf("%s (%s family %d, model %d)", cpu.Model, cpu.Vendor, cpu.Family, cpu.Number)
	}
	if !slices.Contains(names, "cpu") && !slices.Contains(names, "cpu_core") {
		return fmt.Errorf("%w: %s shows no unit that counts, as in a virtual machine", errNone, model)
	}
	return fmt.Errorf("%w: %s counts, but tells no addresses", errNone, model)
}

// loads is the load latency event of an Intel core, as the kernel publishes it.
func loads(s *hostfs.EventSource) (Event, error) {
	terms, ok := s.Events["mem-loads"]
	if !ok {
		return Event{}, errNone
	}
	terms = ldlat.ReplaceAllString(terms, fmt.Sprintf("ldlat=%d", leastLatency))
	c, err := encode(s, terms)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		Name: fmt.Sprintf("%s/%s/", s.Name, terms), Type: s.Type, Config: c, PreciseIP: 2, CPUs: s.CPUs, Period: loadPeriod, Step: 1,
	}
	if aux, ok := s.Events["mem-loads-aux"]; ok {
		// Golden Cove counts loads only while this is in the group, and first (Sapphire Rapids, Emerald Rapids).
		if c, err = encode(s, aux); err != nil {
			return Event{}, err
		}
		e.Leader = &Event{Name: fmt.Sprintf("%s/%s/", s.Name, aux), Type: s.Type, Config: c}
	}
	return e, nil
}

// ops is AMD's sampling of operations, of those alone that miss the last-level cache where the processor can tell.
func ops(s *hostfs.EventSource) (Event, error) {
	e := Event{Type: s.Type, CPUs: s.CPUs, Period: opPeriod, Step: opStep, Scaled: true}
	var terms []string
	for _, term := range []string{"cnt_ctl", "l3missonly"} { // count operations, not cycles
		if _, ok := s.Formats[term]; ok {
			terms = append(terms, term+"=1")
		}
	}
	if len(terms) > 0 {
		c, err := encode(s, strings.Join(terms, ","))
		if err != nil {
			return Event{}, err
		}
		e.Config = c
	}
	e.Name = fmt.Sprintf("ibs_op/%s/", strings.Join(terms, ","))
	return e, nil
}
