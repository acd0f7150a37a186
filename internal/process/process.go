package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/policy"
)

// Why a process is not, or no longer, what it was.
var (
	// ErrGone: the process has exited, or only threads other than its first are
	// left, through which its memory cannot be reached.
	ErrGone = errors.New("process has exited")
	// ErrReused: its number belongs to another process.
	ErrReused = errors.New("process number belongs to another process")
	// ErrExec: it runs another program, with another memory.
	ErrExec = errors.New("process has executed another program")
	// ErrKernel: it is a thread of the kernel.
	ErrKernel = errors.New("thread of the kernel has no memory of its own")
	// ErrSelf: it is the caller.
	ErrSelf = errors.New("own process is never managed")
)

// StatReader reads what the kernel says of a process; *hostfs.FS does.
type StatReader interface {
	Stat(pid int) (hostfs.Stat, error)
}

var _ StatReader = (*hostfs.FS)(nil)

// Handle is one life of a process.
type Handle struct {
	stats StatReader
	fd    int
	id    policy.ProcessID
	bits  int
}

// Open takes hold of the process that has the number pid now. The error wraps
// ErrGone, ErrKernel, ErrSelf, or that of the system call.
func Open(stats StatReader, pid int) (*Handle, error) {
	if pid == os.Getpid() {
		return nil, fmt.Errorf("process %d: %w", pid, ErrSelf)
	}
	if pid <= 0 {
		return nil, fmt.Errorf("process %d: %w", pid, ErrGone)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("process %d: pidfd: %w", pid, explain(err))
	}
	h := &Handle{stats: stats, fd: fd}
	st, err := h.stat(pid)
	if err == nil && st.Kernel() {
		err = ErrKernel
	}
	if err == nil && !hasMemory(st) {
		err = ErrGone
	}
	if err != nil {
		h.Close()
		return nil, fmt.Errorf("process %d: %w", pid, err)
	}
	h.id = policy.ProcessID{PID: pid, Start: st.StartTime, Exec: Marker(st)}
	h.bits = 64
	if st.StartStack != 0 && st.StartStack < 1<<32 {
		h.bits = 32
	}
	return h, nil
}

// explain names the errors by which pidfd_open says that there is no such process.
func explain(err error) error {
	switch {
	case errors.Is(err, unix.ESRCH):
		return ErrGone
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return fmt.Errorf("not a process but a thread of one: %w", err)
	}
	return err
}

// ID names the process's life as it was at Open.
func (h *Handle) ID() policy.ProcessID { return h.id }

// FD is the pidfd: for polling, process_madvise and the like. It is the
// handle's to close.
func (h *Handle) FD() int { return h.fd }

// Bits is the width of the process's addresses: 32 when its stack lies below
// 4 GiB, as that of a 32-bit program does, else (also when unknown) 64. Moving
// pages needs no distinction; a display may.
func (h *Handle) Bits() int { return h.bits }

// Check returns nil while the process is the one that was opened, and else an
// error that wraps ErrGone, ErrReused or ErrExec.
func (h *Handle) Check() error {
	st, err := h.stat(h.id.PID)
	if err != nil {
		return fmt.Errorf("process %d: %w", h.id.PID, err)
	}
	switch {
	case st.StartTime != h.id.Start:
		// Unreachable while the pidfd is open, unless procfs shows another
		// PID namespace than the caller's.
		return fmt.Errorf("process %d: %w", h.id.PID, ErrReused)
	case !hasMemory(st):
		return fmt.Errorf("process %d: %w", h.id.PID, ErrGone)
	case h.id.Exec != 0 && Marker(st) != h.id.Exec:
		return fmt.Errorf("process %d: %w", h.id.PID, ErrExec)
	}
	return nil
}

// stat reads the process's stat file and makes sure that it was this process's.
func (h *Handle) stat(pid int) (hostfs.Stat, error) {
	st, err := h.stats.Stat(pid)
	// Only now: if the process lives on after the reading, its number had no
	// other owner during it.
	exited, pollErr := h.exited()
	switch {
	case pollErr != nil:
		return st, fmt.Errorf("pidfd: %w", pollErr)
	case exited && err == nil && h.id.PID != 0 && st.StartTime != h.id.Start:
		return st, ErrReused
	case exited:
		return st, ErrGone
	case hostfs.IsGone(err):
		// Alive, yet not shown: another PID namespace, or hidepid.
		return st, fmt.Errorf("process is not visible: %w", err)
	}
	return st, err
}

func (h *Handle) exited() (bool, error) {
	if h.fd < 0 {
		return false, os.ErrClosed // poll would take no notice of it
	}
	fds := [1]unix.PollFd{{Fd: int32(h.fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err == nil && fds[0].Revents&unix.POLLNVAL != 0 {
			err = unix.EBADF
		}
		return n > 0, err
	}
}

// Close lets go of the process.
func (h *Handle) Close() error {
	if h.fd < 0 {
		return nil
	}
	fd := h.fd
	h.fd = -1
	return unix.Close(fd)
}

// hasMemory says whether the process still has an address space. The kernel
// gives 1 for the address of the code where it hides the true one.
func hasMemory(st hostfs.Stat) bool {
	return st.StartCode != 0 && st.State != 'Z' && st.State != 'X'
}

// Marker mixes what changes with every execve into one number. It is 0 where the
// kernel hides that from the reader.
func Marker(st hostfs.Stat) uint64 {
	if st.StartStack == 0 || st.StartCode <= 1 {
		return 0
	}
	// The finaliser of splitmix64: different inputs stay different, and the
	// addresses do not show in a recording.
	x := st.StartStack ^ st.StartCode*0x9e3779b97f4a7c15
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	x ^= x >> 31
	return max(x, 1)
}
