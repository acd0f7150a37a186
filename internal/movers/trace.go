package movers

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// Trace hears of each migration why it was made, and how long it took.
type Trace struct {
	coll  *ebpf.Collection
	links []link.Link
	// by is the mover of each of the kernel's reasons.
	by [reasons]Mover
}

// reasons is how many the program knows apart, as REASONS in migrate.c.
const reasons = 32

// byReason are the kernel's reasons that somebody stands for, enum migrate_reason in
// include/linux/migrate_mode.h.
var byReason = map[string]Mover{
	"MR_COMPACTION": Compaction, "MR_NUMA_MISPLACED": NUMABalancing, "MR_DEMOTION": Demotion, "MR_DAMON": DAMON,
}

// Moved is what a mover has moved since the trace began.
type Moved struct {
	// Pages of the machine were moved, Failed were to be.
	Pages, Failed uint64
	// Calls took Seconds together. Took has the number of calls by how long each took:
	// Took[i] those of less than 2^(i-30) s, and not less than half of that.
	Calls   uint64
	Seconds float64
	Took    [48]uint64
}

// OpenTrace begins to listen. It needs CAP_BPF, CAP_PERFMON and the kernel's types.
func OpenTrace() (t *Trace, err error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	end, err := endProgram(spec)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	t = &Trace{by: reasonsOf(spec)}
	programs, err := loadMigrate()
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	for name := range programs.Programs {
		if name != "begin" && name != end {
			delete(programs.Programs, name)
		}
	}
	if t.coll, err = ebpf.NewCollection(programs); err != nil {
		return nil, fmt.Errorf("migrations: load: %w", err)
	}
	err = t.coll.Variables["own"].Set(uint32(os.Getpid()))
	for _, name := range []string{"begin", end} {
		if err != nil {
			break
		}
		var l link.Link
		if l, err = link.AttachTracing(link.TracingOptions{Program: t.coll.Programs[name]}); err == nil {
			t.links = append(t.links, l)
		}
	}
	if err != nil {
		t.Close()
		return nil, fmt.Errorf("migrations: attach: %w", err)
	}
	return t, nil
}

// endProgram is the program for the kernel's tracepoint, by how many numbers that tells.
func endProgram(spec *btf.Spec) (string, error) {
	var def *btf.Typedef
	if err := spec.TypeByName("btf_trace_mm_migrate_pages", &def); err != nil {
		return "", err
	}
	if p, ok := def.Type.(*btf.Pointer); ok {
		if f, ok := p.Target.(*btf.FuncProto); ok {
			switch len(f.Params) - 1 { // the first is the tracer's
			case 7:
				return "end_7", nil
			case 8:
				return "end_8", nil
			}
		}
	}
	return "", errors.New("this kernel tells of them in another way")
}

// reasonsOf reads the kernel's numbers of its reasons.
func reasonsOf(spec *btf.Spec) (by [reasons]Mover) {
	for i := range by {
		by[i] = Other
	}
	var enum *btf.Enum
	if spec.TypeByName("migrate_reason", &enum) != nil {
		return by
	}
	for _, v := range enum.Values {
		if m, ok := byReason[v.Name]; ok && v.Value < reasons {
			by[v.Value] = m
		}
	}
	return by
}

// Close ends it.
func (t *Trace) Close() {
	for _, l := range t.links {
		l.Close()
	}
	t.coll.Close()
}

// Totals are those of each mover since the trace began.
func (t *Trace) Totals() (map[Mover]Moved, error) {
	sums := map[Mover]Moved{}
	for _, m := range All() {
		sums[m] = Moved{}
	}
	for i := range uint32(2 * reasons) {
		var s migrateSums
		if err := t.coll.Maps["reasons"].Lookup(i, &s); err != nil {
			return nil, fmt.Errorf("migrations: %w", err)
		}
		// What is done to tierd's own memory, or while it works, is not its doing.
		by := t.by[i%reasons]
		if i >= reasons && by == Other {
			by = Tierd
		}
		m := sums[by]
		m.Pages, m.Failed, m.Calls, m.Seconds = m.Pages+s.Moved, m.Failed+s.Failed, m.Calls+s.Calls, m.Seconds+float64(s.Nanos)*1e-9
		for k, n := range s.Took {
			m.Took[k] += n
		}
		sums[by] = m
	}
	return sums, nil
}
