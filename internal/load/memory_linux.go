package load

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	mpolDefault   = 0
	mpolPreferred = 1
	// get_mempolicy flags
	mpolFlagAddr    = 1 << 1
	mpolFlagAllowed = 1 << 2

	align = 2 * MiB
)

// nodeMask has room for as many nodes as any kernel is built for.
type nodeMask [16]uint64

// DetectHost asks the kernel for the nodes and the memory of this machine.
func DetectHost() (Host, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Host{}, fmt.Errorf("sysinfo: %w", err)
	}
	h := Host{Memory: Bytes(info.Totalram) * Bytes(info.Unit)}
	var mask nodeMask
	_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, 0, uintptr(unsafe.Pointer(&mask)),
		uintptr(len(mask)*64), 0, mpolFlagAllowed, 0)
	switch errno {
	case 0:
	case unix.ENOSYS: // a kernel without NUMA
		mask[0] = 1
	default:
		return Host{}, fmt.Errorf("get_mempolicy: %w", errno)
	}
	for i, word := range mask {
		for ; word != 0; word &= word - 1 {
			h.Nodes = append(h.Nodes, i*64+bits.TrailingZeros64(word))
		}
	}
	return h, nil
}

// Memory is the memory that a run owns: anonymous, private, outside the Go
// heap, and aligned to 2 MiB.
type Memory struct {
	base   unsafe.Pointer
	size   Bytes
	addrs  []uintptr // of the pages of one question
	status []int32
}

// NewMemory maps size bytes and touches none of them.
func NewMemory(size Bytes, huge bool) (*Memory, error) {
	raw, err := unix.MmapPtr(-1, 0, nil, uintptr(size+align), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("mmap %v: %w", size, err)
	}
	before := -uintptr(raw) & uintptr(align-1)
	base := unsafe.Add(raw, before)
	if before > 0 {
		err = unix.MunmapPtr(raw, before)
	}
	err = errors.Join(err, unix.MunmapPtr(unsafe.Add(base, size), uintptr(align)-before))
	if err != nil {
		return nil, fmt.Errorf("munmap: %w", err)
	}
	m := &Memory{base: base, size: size}
	advice := unix.MADV_NOHUGEPAGE
	if huge {
		advice = unix.MADV_HUGEPAGE
	}
	// A kernel without transparent huge pages refuses both advices.
	if err := unix.Madvise(m.bytes(0, size), advice); err != nil && (huge || err != unix.EINVAL) {
		return nil, errors.Join(fmt.Errorf("madvise: %w", err), m.Close())
	}
	// The name shows in maps and smaps, where the kernel can do it.
	name := []byte("tierload\x00")
	_ = unix.Prctl(unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME, uintptr(base), uintptr(size), uintptr(unsafe.Pointer(&name[0])))
	runtime.KeepAlive(name)
	return m, nil
}

func (m *Memory) bytes(from, n Bytes) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(m.base, from)), n)
}

// Close gives the memory back.
func (m *Memory) Close() error { return unix.MunmapPtr(m.base, uintptr(m.size)) }

// Pages is the number of pages.
func (m *Memory) Pages() int { return int(m.size >> PageShift) }

// touchRetries is how often, and touchPause how long, Touch waits for the
// kernel to make room on a full node.
const (
	touchRetries = 40
	touchPause   = 50 * time.Millisecond
)

// Touch writes to every page, in order. With node ≥ 0 all of them come to lie
// there: the node is preferred, and each 2 MiB are looked at before going on. Binding
// instead would have the kernel kill a process when the node is full.
// The policy is back to the default when Touch returns.
func (m *Memory) Touch(ctx context.Context, node int) error {
	if node >= 0 {
		var mask nodeMask
		mask[node/64] |= 1 << (node % 64)
		if err := m.mbind(mpolPreferred, &mask); err != nil {
			if err == unix.ENOSYS && node == 0 {
				node = -1 // a kernel without NUMA
			} else {
				return fmt.Errorf("node %d: mbind: %w", node, err)
			}
		}
	}
	err := m.touch(ctx, node)
	if node >= 0 {
		if e := m.mbind(mpolDefault, nil); e != nil {
			err = errors.Join(err, fmt.Errorf("mbind to the default policy: %w", e))
		}
	}
	return err
}

func (m *Memory) touch(ctx context.Context, node int) error {
	for from := Bytes(0); from < m.size; from += align {
		n := min(align, m.size-from)
		for try := 0; ; try++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			for off := from; off < from+n; off += 1 << PageShift {
				// Different content, so that no page is merged with another.
				*(*uint64)(unsafe.Add(m.base, off)) = uint64(off) + 1
			}
			if node < 0 {
				break
			}
			ok, err := m.allOn(node, from, n)
			if err != nil {
				return err
			}
			if ok {
				break
			}
			if try == touchRetries {
				return fmt.Errorf("node %d: full after %v of %v", node, from, m.size)
			}
			if err := unix.Madvise(m.bytes(from, n), unix.MADV_DONTNEED); err != nil {
				return fmt.Errorf("madvise: %w", err)
			}
			time.Sleep(touchPause)
		}
	}
	return nil
}

func (m *Memory) allOn(node int, from, n Bytes) (bool, error) {
	pages := make([]int, n>>PageShift)
	nodes := make([]int, len(pages))
	for i := range pages {
		pages[i] = int(from>>PageShift) + i
	}
	if err := m.Locate(pages, nodes); err != nil {
		return false, err
	}
	for _, got := range nodes {
		if got != node {
			return false, nil
		}
	}
	return true, nil
}

func (m *Memory) mbind(mode int, mask *nodeMask) error {
	bits := 0
	if mask != nil {
		bits = len(mask) * 64
	}
	_, _, errno := unix.Syscall6(unix.SYS_MBIND, uintptr(m.base), uintptr(m.size), uintptr(mode),
		uintptr(unsafe.Pointer(mask)), uintptr(bits), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Policy is the memory policy that holds for the first page: 0 is the default.
func (m *Memory) Policy() (int, error) {
	var mode int32
	_, _, errno := unix.Syscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0,
		uintptr(m.base), mpolFlagAddr, 0)
	if errno != 0 {
		return 0, fmt.Errorf("get_mempolicy: %w", errno)
	}
	return int(mode), nil
}

// chunk is how many pages one move_pages asks about: the kernel holds the lock
// of the address space for so long.
const chunk = 1024

// Locate implements Placement. It is not safe for concurrent use.
func (m *Memory) Locate(pages, nodes []int) error {
	if m.addrs == nil {
		m.addrs, m.status = make([]uintptr, chunk), make([]int32, chunk)
	}
	for len(pages) > 0 {
		n := min(len(pages), chunk)
		for i, p := range pages[:n] {
			m.addrs[i] = uintptr(m.base) + uintptr(p)<<PageShift
		}
		_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, uintptr(n), uintptr(unsafe.Pointer(&m.addrs[0])),
			0, uintptr(unsafe.Pointer(&m.status[0])), 0)
		switch errno {
		case 0:
		case unix.ENOSYS: // a kernel without NUMA
			clear(m.status[:n])
		default:
			return fmt.Errorf("move_pages: %w", errno)
		}
		for i, s := range m.status[:n] {
			nodes[i] = max(int(s), -1)
		}
		pages, nodes = pages[n:], nodes[n:]
	}
	return nil
}

var _ Placement = (*Memory)(nil)
