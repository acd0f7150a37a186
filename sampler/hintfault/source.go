package hintfault

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/bpf"
)

// Unavailable says why hint faults cannot be heard on this host, and what an operator
// can do about it.
type Unavailable struct {
	// Step is what was tried: "hook", "load", "attach".
	Step string
	Err  error
	Hint string
}

func (u *Unavailable) Error() string { return fmt.Sprintf("hint faults: %s: %v", u.Step, u.Err) }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// ErrGone: the process has exited, or has no address space any more.
var ErrGone = bpf.ErrGone

const (
	blockShift = 21
	// batch is how many rounds are read at once.
	batch = 1024
)

// SpaceID names a watched address space; a Source never uses one twice.
type SpaceID uint32

// Faults is what was heard of 2 MiB of an address space since the last time.
type Faults struct {
	Space SpaceID
	// Addr is a multiple of 2 MiB.
	Addr uint64
	// Node is that of the CPUs that touched it.
	Node int
	// Local counts the faults whose page lay on that node, Remote the others; each is a
	// page, whatever its size. Of Unknown it is not known, nor whether they were hint faults.
	Local, Remote, Unknown uint32
}

// Stats counts since the Source was opened.
type Stats struct {
	// Faults are those of watched address spaces, Lost those of them that no
	// Drain has told of, because there were more places than the maps can hold.
	Faults, Lost uint64
}

// RoundSteps is how many steps tell how soon pages were touched.
const RoundSteps = 8

// StepSeconds is when a step ends, after the pages were made inaccessible; the last has no end.
func StepSeconds(step int) float64 { return float64(uint64(1)<<(20+2*step)) / 1e9 }

// Round is what became of the pages of 2 MiB of an address space that were made inaccessible at once.
type Round struct {
	Space SpaceID
	// Addr is a multiple of 2 MiB.
	Addr uint64
	// Age is in seconds since then.
	Age float64
	// Touched counts the pages that were touched in each step.
	Touched [RoundSteps]uint32
}

// Source hears hint faults. Open makes one.
type Source struct {
	spaces  *bpf.Spaces
	coll    *ebpf.Collection
	hook    link.Link
	arm     link.Link // nil where it is not heard when pages are made inaccessible
	counts  *bpf.Buffers[hintPlace, hintFaults]
	next    SpaceID
	told    uint64
	all     bool
	stats   Stats
	drained []Faults

	stretches []hintStretch
	rounds    []hintRound
	ended     []Round
}

// Watched is an address space whose faults are counted.
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

// hook finds the function that decides about hint faults, and the program for it.
func hook() (program string, err error) {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return "", &Unavailable{Step: "hook", Err: err, Hint: "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"}
	}
	return hookOf(spec)
}

func hookOf(spec *btf.Spec) (program string, err error) {
	for name, program := range map[string]string{"numa_migrate_check": hintProgChecked, "numa_migrate_prep": hintProgPrepared} {
		var f *btf.Func
		if err := spec.TypeByName(name, &f); err != nil {
			continue
		}
		proto, ok := f.Type.(*btf.FuncProto)
		if !ok || len(proto.Params) < 4 {
			continue
		}
		second, ok := proto.Params[1].Type.(*btf.Pointer)
		if !ok {
			continue
		}
		s, ok := btf.UnderlyingType(second.Target).(*btf.Struct)
		switch {
		case !ok:
		case program == hintProgPrepared && s.Name == "vm_fault":
			return hintProgPreparedFault, nil
		case program == hintProgPrepared && s.Name == "vm_area_struct", program == hintProgChecked && s.Name == "vm_fault":
			return program, nil
		}
	}
	return "", &Unavailable{
		Step: "hook", Err: errors.New("this kernel has no function numa_migrate_check or numa_migrate_prep that can be hooked"),
		Hint: "the kernel needs CONFIG_NUMA_BALANCING=y",
	}
}

// Open attaches the program. Where functions cannot be hooked, as some sandboxes forbid, it
// hears every page fault. The error is an *Unavailable.
func Open() (*Source, error) {
	program, err := hook()
	if err != nil {
		return nil, err
	}
	s, err := open(program)
	if err == nil {
		return s, nil
	}
	s, fallback := open(hintProgTouched)
	if fallback != nil {
		return nil, err
	}
	s.all = true
	return s, nil
}

// open attaches one program.
func open(program string) (*Source, error) {
	spec, err := loadHint()
	if err != nil {
		return nil, &Unavailable{Step: "load", Err: err}
	}
	arms := program != hintProgTouched && armable()
	for name := range spec.Programs {
		if name != program && !(arms && name == hintProgArmed) {
			delete(spec.Programs, name)
		}
	}
	spaces, err := bpf.OpenSpaces()
	if err != nil {
		return nil, &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, spaces.Replace())
	if err != nil {
		spaces.Close()
		return nil, &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	s := &Source{
		spaces: spaces, coll: coll,
		counts:    bpf.NewBuffers[hintPlace, hintFaults](coll.Maps[hintMapCounts0], coll.Maps[hintMapCounts1], coll.Variables[hintVarActive]),
		stretches: make([]hintStretch, batch), rounds: make([]hintRound, batch),
	}
	s.hook, err = link.AttachTracing(link.TracingOptions{Program: coll.Programs[program]})
	if err == nil && arms {
		if s.arm, err = link.AttachTracing(link.TracingOptions{Program: coll.Programs[hintProgArmed]}); err != nil {
			s.hook.Close()
		}
	}
	if err != nil {
		coll.Close()
		spaces.Close()
		return nil, &Unavailable{Step: "attach", Err: err, Hint: "some sandboxes and kernels without ftrace refuse to hook functions"}
	}
	return s, nil
}

// armable tells whether the function that makes pages inaccessible can be hooked.
func armable() bool {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return false
	}
	var f *btf.Func
	return spec.TypeByName("change_prot_numa", &f) == nil
}

// Rounds returns what became of pages that were made inaccessible, of the rounds of at least some age in
// seconds, each once and in no order; none where it is not heard when that is done. The result is valid until the next call.
func (s *Source) Rounds(least float64) ([]Round, error) {
	s.ended = s.ended[:0]
	if s.arm == nil {
		return nil, nil
	}
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return nil, fmt.Errorf("hint faults: %w", err)
	}
	now := uint64(ts.Nano())
	all := s.coll.Maps[hintMapRounds]
	var cursor ebpf.MapBatchCursor
	for {
		n, err := all.BatchLookup(&cursor, s.stretches, s.rounds, nil)
		for i := range n {
			k, r := &s.stretches[i], &s.rounds[i]
			if age := float64(now-min(r.Armed, now)) / 1e9; age >= least {
				s.ended = append(s.ended, Round{Space: SpaceID(k.Space), Addr: k.Block << blockShift, Age: age, Touched: r.Within})
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("hint faults: rounds: %w", err)
		}
	}
	// One that began anew meanwhile is lost, and there will be another.
	for i := range s.ended {
		r := &s.ended[i]
		if err := all.Delete(hintStretch{Block: r.Addr >> blockShift, Space: uint32(r.Space)}); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return s.ended[:i], fmt.Errorf("hint faults: rounds: %w", err)
		}
	}
	return s.ended, nil
}

// Close detaches the program and forgets everything.
func (s *Source) Close() {
	if s.arm != nil {
		s.arm.Close()
	}
	s.hook.Close()
	s.coll.Close()
	s.spaces.Close()
}

// Watch begins to count the faults of the address space that the thread group leader pid
// has now. After an execve it has another one.
func (s *Source) Watch(pid int) (Watched, error) {
	w, err := s.spaces.Watch(pid, uint32(s.next))
	switch {
	case errors.Is(err, ErrGone):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("hint faults: %w", err)
	}
	s.next++
	return space{w, s.next - 1}, nil
}

func (p space) ID() SpaceID { return p.id }

// Drain returns what was heard since the last time, in no order. The result is valid
// until the next call.
func (s *Source) Drain() ([]Faults, error) {
	var seen uint64
	if err := s.coll.Variables[hintVarSeen].Get(&seen); err != nil {
		return nil, fmt.Errorf("hint faults: %w", err)
	}
	s.drained = s.drained[:0]
	err := s.counts.Drain(func(k *hintPlace, v *hintFaults) {
		s.told += uint64(v.Local) + uint64(v.Remote) + uint64(v.Unknown)
		s.drained = append(s.drained, Faults{
			Space: SpaceID(k.Space), Addr: k.Block << blockShift, Node: int(k.Node), Local: v.Local, Remote: v.Remote, Unknown: v.Unknown,
		})
	})
	if err != nil {
		return s.drained, fmt.Errorf("hint faults: %w", err)
	}
	// What was seen before the buffers changed places has been told, if it was not
	// pushed out by others.
	s.stats.Faults = seen
	s.stats.Lost = max(s.stats.Lost, seen-min(s.told, seen))
	return s.drained, nil
}

// All tells whether every page fault is heard, as functions cannot be hooked here and a
// tracepoint does not tell hint faults from others.
func (s *Source) All() bool { return s.all }

// Stats are those of the last Drain.
func (s *Source) Stats() Stats { return s.stats }
