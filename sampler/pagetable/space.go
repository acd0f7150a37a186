package pagetable

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/bpf"
	"github.com/tierd/tierd/policy"
)

// ErrGone: the process has exited, or has no address space any more.
var ErrGone = errors.New("process is gone")

// ErrTooMany: the process has more different mappings than tierd follows.
var ErrTooMany = errors.New("too many mappings")

// maxRuns bounds the runs of mappings that one listing delivers.
const maxRuns = 1 << 16

// Kind tells how a block is mapped.
type Kind uint8

// What the walk found at a block.
const (
	KindNone  Kind = iota // nothing is mapped
	KindTable             // base pages
	KindLeaf              // a part or the whole of one huge page
	KindTorn              // the table changed while it was read: not a sample
	KindFault             // the table could not be read
)

func (k Kind) String() string {
	return [...]string{"unmapped", "table", "huge", "torn", "unreadable"}[min(k, KindFault)]
}

// Block is what the walk sees of 2 MiB of address space. Its layout is that
// of struct block in walk.c; a test holds them together.
type Block struct {
	// Young and Present have a bit for each 4 KiB page.
	Young, Present [8]uint64
	// Slot is the node of each 64 KiB piece; policy.NoSlot where its pages are
	// on several nodes, or there are none.
	Slot [policy.PiecesPerRegion]policy.Slot
	// Count is the number of present 4 KiB pages on each node.
	Count                    [policy.MaxSlots]uint16
	PresentPages, YoungPages uint16
	Kind                     Kind
	// LeafShift is the log2 of what the entry that ended the walk maps, or, for
	// KindNone, leaves unmapped.
	LeafShift uint8
	// ArmedPages are present, and made inaccessible by NUMA balancing: their next access is a hint fault.
	ArmedPages uint16
}

// What one run of the program is asked to do, as enum mode in walk.c.
const (
	modeWalk = iota
	modeCalibrate
	modeWaiters
)

// Range is a piece of address space, End excluded.
type Range struct{ Start, End uint64 }

// Class says what kind of mapping a run is; 0 is private anonymous memory.
type Class uint32

// The bits of a Class, as enum class in walk.c.
const (
	ClassFile    Class = 1 << iota // backed by a file
	ClassShared                    // MAP_SHARED
	ClassDevice                    // device or driver memory
	ClassLocked                    // mlocked: cannot be cleared
	ClassHugeTLB                   // hugetlbfs
	ClassBound                     // an explicit memory policy
)

// Run is a stretch of neighbouring mappings of one class.
type Run struct {
	Range
	Class Class
	// VMAs is how many mappings it joins.
	VMAs int
	// Object and Offset tell of shared memory what is mapped, and from where in it on.
	Object Object
	Offset uint64
	// Huge tells whether a mapping of it allows the kernel to turn base pages into
	// huge ones behind tierd's back (khugepaged; the host may forbid it).
	Huge bool
}

// Object is what several processes map: a file, or a piece of memory that the kernel takes for one.
// The zero Object is none.
type Object struct {
	Dev   uint32 // as the kernel writes it, major number << 20 | minor
	Inode uint64
}

// Space is the address space of one process, seen through a Source.
type Space struct {
	s          *Source
	walk, list int
	pidfd      int
	iov        [clearVectors]iovec
}

// Attach opens the address space of the thread group leader pid. The pidfd
// stays the caller's.
func (s *Source) Attach(pid, pidfd int) (*Space, error) {
	walk, err := bpf.LinkTask(s.coll.Programs[walkProgWalkTask].FD(), pid)
	if err != nil {
		return nil, err
	}
	list, err := bpf.LinkTask(s.coll.Programs[walkProgListVmas].FD(), pid)
	if err != nil {
		unix.Close(walk)
		return nil, err
	}
	return &Space{s: s, walk: walk, list: list, pidfd: pidfd}, nil
}

// Close releases the space.
func (p *Space) Close() {
	unix.Close(p.walk)
	unix.Close(p.list)
}

func (p *Space) run() error {
	p.s.res.Visited, p.s.res.Done = 0, 0
	if err := bpf.RunIter(p.walk, p.s.buf, false, nil); err != nil {
		return err
	}
	if p.s.res.Visited < 2 {
		return ErrGone
	}
	return nil
}

// Walk reads the blocks at addrs, multiples of 2 MiB, and calls visit for
// each with its index. The block is only valid during the call. It returns
// how many were visited.
func (p *Space) Walk(addrs []uint64, visit func(i int, b *Block)) (int, error) {
	req, res := p.s.req, p.s.res
	req.Mode, req.Levels, req.PhysMask = modeWalk, uint32(p.s.format.Levels), p.s.format.Phys
	req.Base, req.BudgetNs = p.s.base, maxNanos
	for at := 0; at < len(addrs); {
		n := copy(req.Addr[:], addrs[at:])
		req.N = uint32(n)
		if err := p.run(); err != nil {
			return at, err
		}
		done := int(res.Done)
		if done == 0 || done > n {
			return at, fmt.Errorf("walk of %d blocks: %d done", n, done)
		}
		for i := range done {
			visit(at+i, (*Block)(unsafe.Pointer(&res.Block[i])))
		}
		at += done
	}
	return len(addrs), nil
}

// ExecID changes with every execve of the process; it is what the last Walk
// saw.
func (p *Space) ExecID() uint64 { return p.s.res.Exec }

// A call of process_madvise stays short, so that nobody waits long for the
// lock of the address space: newer kernels hold it for the whole call. Between
// two calls there is a pause, because a reader that comes back at once takes
// the lock again before the writer that waits for it has woken up, for 4 ms on
// end (rwsem_down_read_slowpath, kernel/locking/rwsem.c). So the pause lasts
// until nobody waits any more.
const (
	clearVectors = 32
	// ClearBytes is the most that one call clears.
	ClearBytes = 4 << 20
	clearPause = 100 * 1000 // ns
	maxPauses  = 100
)

// giveWay pauses between two calls that take the lock of the address space.
func (p *Space) giveWay() error {
	for range maxPauses {
		pause := unix.Timespec{Nsec: clearPause}
		bpf.Brief(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0, 0, 0)
		p.s.req.Mode = modeWaiters
		if err := p.run(); err != nil {
			return err
		}
		if p.s.res.Waiters == 0 {
			return nil
		}
	}
	return nil // they are many: each had its turn
}

// iovec is the kernel's struct iovec for addresses of another process, which
// must not look like pointers to the garbage collector.
type iovec struct{ base, len uint64 }

// Clear clears the accessed bits of the ranges and flushes them from the
// TLBs (process_madvise with MADV_COLD, mm/madvise.c). A range must lie
// inside mappings that allow it; one that does not is passed over. It returns
// how many bytes were cleared.
func (p *Space) Clear(ranges []Range) (uint64, error) {
	var cleared uint64
	for first := true; len(ranges) > 0; first = false {
		if !first {
			if err := p.giveWay(); err != nil {
				return cleared, err
			}
		}
		n, size := 0, uint64(0)
		for n < len(ranges) && n < clearVectors && (n == 0 || size+ranges[n].End-ranges[n].Start <= ClearBytes) {
			p.iov[n] = iovec{ranges[n].Start, ranges[n].End - ranges[n].Start}
			size += ranges[n].End - ranges[n].Start
			n++
		}
		r, errno := bpf.Brief(unix.SYS_PROCESS_MADVISE, uintptr(p.pidfd), uintptr(unsafe.Pointer(&p.iov[0])), uintptr(n), unix.MADV_COLD, 0)
		switch errno {
		case 0:
			cleared += uint64(r)
			done := uint64(r)
			if done == size {
				ranges = ranges[n:]
				continue
			}
			// It stopped at a range: go on after it.
			i := 0
			for i < n && done >= ranges[i].End-ranges[i].Start {
				done -= ranges[i].End - ranges[i].Start
				i++
			}
			ranges = ranges[min(i+1, len(ranges)):]
		case unix.EINTR:
		case unix.ENOMEM, unix.EINVAL, unix.EFAULT:
			ranges = ranges[1:]
		case unix.ESRCH:
			return cleared, ErrGone
		default:
			return cleared, fmt.Errorf("process_madvise: %w", errno)
		}
	}
	return cleared, nil
}

// Mappings lists the process's mappings in order of address, neighbours of
// one class as one run. It holds the lock of the address space for reading and
// gives way to who waits for it. policyMode is the mode of the
// task's own memory policy, or -1.
func (p *Space) Mappings(visit func(Run)) (vmas, policyMode int, err error) {
	*p.s.last, *p.s.vmas, *p.s.policy, *p.s.listed = walkRun{}, 0, 0, 0
	runs, bad := 0, false
	deliver := func(r *walkRun) {
		if runs++; runs <= maxRuns {
			visit(Run{
				Range: Range{r.Start, r.End}, Class: Class(r.Class), VMAs: int(r.Vmas), Huge: r.Huge > 0,
				Object: Object{Dev: r.Dev, Inode: r.Inode}, Offset: r.Offset,
			})
		}
	}
	size := int(unsafe.Sizeof(walkRun{}))
	err = bpf.RunIter(p.list, p.s.buf, true, func(b []byte) {
		for ; len(b) >= size; b = b[size:] {
			deliver((*walkRun)(unsafe.Pointer(&b[0])))
		}
		bad = bad || len(b) != 0
	})
	switch {
	case err != nil:
		return 0, -1, err
	case bad:
		return 0, -1, errors.New("list of mappings: torn record")
	case p.s.last.Vmas == 0:
		return 0, -1, ErrGone
	}
	last := *p.s.last
	deliver(&last)
	if runs > maxRuns {
		err = ErrTooMany
	}
	return int(*p.s.vmas), int(*p.s.policy) - 1, err
}
