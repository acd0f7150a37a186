// Package movers tells who moves the pages of the host, by a tracepoint or else by the kernel's counters.
//
// The tracepoint tells of each call why it was made, who asked, and when it began and ended. Where it cannot be
// heard, the counters are all there is: the kernel counts every page that changes its place (pgmigrate_success) and, apart, those
// moved by NUMA balancing and by demotion. tierd knows its own. What is left was moved by
// somebody else: compaction, memory going offline, DAMON, another daemon. The counters do not
// tell whose pages they were.
//
// Kernel references: mm/migrate.c, mm/vmscan.c, mm/vmstat.c.
package movers

import (
	"fmt"

	"github.com/tierd/tierd/internal/hostfs"
)

// Mover is somebody who moves pages.
type Mover string

// The movers. They are labels in metrics.
const (
	Tierd         Mover = "tierd"
	NUMABalancing Mover = "numa_balancing" // of misplaced pages, promotions among them
	Demotion      Mover = "demotion"       // by reclaim, to slower memory
	Compaction    Mover = "compaction"     // within a node
	DAMON         Mover = "damon"
	Other         Mover = "other"
)

// All lists the movers.
func All() []Mover { return []Mover{Tierd, NUMABalancing, Demotion, Compaction, DAMON, Other} }

// The kernel's counters, in pages of the machine.
const (
	migrated    = "pgmigrate_success"
	balanced    = "numa_pages_migrated"
	faults      = "numa_hint_faults"
	faultsLocal = "numa_hint_faults_local"
)

// demoted are those of demotion, by who reclaims. Kernels have some or all of them.
var demoted = []string{"pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged", "pgdemote_proactive"}

var counters = append([]string{migrated, balanced, faults, faultsLocal}, demoted...)

// Totals are sums since the first look.
type Totals struct {
	// Bytes is what each has moved.
	Bytes map[Mover]uint64
	// HintFaults are those of NUMA balancing, LocalHintFaults those of them whose page lay
	// on the node of the CPU.
	HintFaults, LocalHintFaults uint64
	// Traced is what the trace has heard, nil where there is none.
	Traced map[Mover]Moved
}

// Watch looks at the counters now and then. It belongs to one goroutine.
type Watch struct {
	host  *hostfs.FS
	page  uint64
	first hostfs.Counters
	trace *Trace
	own   uint64 // at the first look
	now   Totals
}

// New makes a Watch of a host whose pages have a size in bytes.
func New(host *hostfs.FS, page uint64) *Watch { return &Watch{host: host, page: page} }

// Listen hears of migrations themselves from here on.
func (w *Watch) Listen() (err error) {
	w.trace, err = OpenTrace()
	return err
}

// Close ends what Listen began.
func (w *Watch) Close() {
	if w.trace != nil {
		w.trace.Close()
		w.trace = nil
	}
}

// Look reads the counters. own is how many bytes tierd has moved in all.
func (w *Watch) Look(own uint64) error {
	c, err := w.host.Vmstat(counters...)
	if err != nil {
		return err
	}
	if _, ok := c[migrated]; !ok {
		return fmt.Errorf("vmstat has no %s: the kernel does not move pages", migrated)
	}
	if w.first == nil {
		w.first, w.own = c, own
	}
	t := Totals{
		Bytes: map[Mover]uint64{
			Tierd:         since(own, w.own),
			NUMABalancing: since(c[balanced], w.first[balanced]) * w.page,
		},
		HintFaults: since(c[faults], w.first[faults]), LocalHintFaults: since(c[faultsLocal], w.first[faultsLocal]),
	}
	for _, name := range demoted {
		t.Bytes[Demotion] += since(c[name], w.first[name]) * w.page
	}
	known := t.Bytes[Tierd] + t.Bytes[NUMABalancing] + t.Bytes[Demotion]
	// Some counters are summed up late: what nobody claims now may be claimed in a moment.
	t.Bytes[Other] = max(since(since(c[migrated], w.first[migrated])*w.page, known), w.now.Bytes[Other])
	if w.trace != nil {
		if t.Traced, err = w.trace.Totals(); err != nil {
			return err
		}
		for m, moved := range t.Traced {
			t.Bytes[m] = moved.Pages * w.page
		}
	}
	w.now = t
	return nil
}

// Totals are those of the last look; nil before the first.
func (w *Watch) Totals() *Totals {
	if w.first == nil {
		return nil
	}
	t := w.now
	return &t
}

// Others is how many bytes all but tierd have moved.
func (w *Watch) Others() (sum uint64) {
	for m, bytes := range w.now.Bytes {
		if m != Tierd {
			sum += bytes
		}
	}
	return sum
}

// since is how far a counter has come from where it was; 0 if it went back.
func since(now, then uint64) uint64 { return now - min(now, then) }
