package migrate

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

// Flags are those of move_pages(2).
type Flags int

// The flags that tierd uses.
const (
	// MoveOwn moves pages that only the process maps (MPOL_MF_MOVE).
	MoveOwn Flags = 1 << 1
	// MoveAll also moves pages that several processes map (MPOL_MF_MOVE_ALL).
	MoveAll Flags = 1 << 2
)

// Pager is move_pages(2), or what stands for it. The process with number 0 is the
// caller. The slices of one call have the same length.
type Pager interface {
	// Query writes, for each address, the node of its page or a negative errno.
	Query(pid int, addrs []uintptr, status []int32) error
	// Move asks for each page to be put on its node and returns what the system
	// call does: 0, or the number of pages that were not moved or not tried; or
	// an error. It may leave elements of status as they were.
	Move(pid int, addrs []uintptr, nodes, status []int32, flags Flags) (int, error)
}

// Kernel is the real Pager.
type Kernel struct{}

var _ Pager = Kernel{}

// Query implements [Pager].
func (Kernel) Query(pid int, addrs []uintptr, status []int32) error {
	_, err := movePages(pid, addrs, nil, status, 0)
	return err
}

// Move implements [Pager].
func (Kernel) Move(pid int, addrs []uintptr, nodes, status []int32, flags Flags) (int, error) {
	if len(addrs) > 0 && len(nodes) != len(addrs) {
		return 0, unix.EINVAL // without nodes the kernel would take it for a query
	}
	return movePages(pid, addrs, nodes, status, flags)
}

func movePages(pid int, addrs []uintptr, nodes, status []int32, flags Flags) (int, error) {
	if len(addrs) == 0 {
		return 0, nil
	}
	if len(status) != len(addrs) || pid < 0 {
		return 0, unix.EINVAL
	}
	n, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, uintptr(pid), uintptr(len(addrs)),
		uintptr(unsafe.Pointer(unsafe.SliceData(addrs))),
		uintptr(unsafe.Pointer(unsafe.SliceData(nodes))),
		uintptr(unsafe.Pointer(unsafe.SliceData(status))), uintptr(flags))
	runtime.KeepAlive(addrs)
	runtime.KeepAlive(nodes)
	runtime.KeepAlive(status)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Recorder is a Pager that moves nothing: it asks the one below where pages are,
// and answers every move with success.
type Recorder struct {
	Pager Pager
	// Calls and Pages count the moves that were recorded; pages are those of the
	// machine, a huge page counts once.
	Calls, Pages uint64
}

var _ Pager = (*Recorder)(nil)

// Query implements [Pager].
func (r *Recorder) Query(pid int, addrs []uintptr, status []int32) error {
	return r.Pager.Query(pid, addrs, status)
}

// Move implements [Pager].
func (r *Recorder) Move(_ int, addrs []uintptr, nodes, status []int32, _ Flags) (int, error) {
	r.Calls++
	r.Pages += uint64(len(addrs))
	copy(status, nodes)
	return 0, nil
}

// Probe asks where a page of the caller is, and so finds out whether the kernel
// and the sandbox know move_pages at all. It moves nothing.
func Probe(p Pager) error {
	page := new([64]byte)
	page[0] = 1
	addrs := []uintptr{uintptr(unsafe.Pointer(page)) &^ (policy.PageSize - 1)}
	status := []int32{sentinel}
	err := p.Query(0, addrs, status)
	runtime.KeepAlive(page)
	switch {
	case err != nil:
		return fmt.Errorf("move_pages: %w", err)
	case status[0] < 0 && status[0] > -4096:
		return fmt.Errorf("move_pages: query of an own page: %w", unix.Errno(-status[0]))
	case status[0] < 0:
		return fmt.Errorf("move_pages: query of an own page: no answer")
	}
	return nil
}
