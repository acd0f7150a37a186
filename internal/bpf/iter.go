package bpf

import (
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Commands and the attach type of bpf(2), include/uapi/linux/bpf.h. The
// library's iterator links cannot name a task, and a link that visits every
// task costs time in proportion to the processes of the host.
const (
	bpfLinkCreate = 28
	bpfIterCreate = 33
	bpfTraceIter  = 28
)

// Brief makes a system call that normally ends within about a millisecond
// (clearing may wait for the lock of the address space), without telling the
// Go scheduler: for each call of more than 20 µs that it knows of,
// its monitor thread wakes up some fifty times, which costs more than sampling
// itself. The price is that a garbage collection may have to wait for the call.
//
//go:uintptrescapes
func Brief(trap, a, b, c, d, e uintptr) (uintptr, unix.Errno) {
	r, _, errno := unix.RawSyscall6(trap, a, b, c, d, e, 0)
	return r, errno
}

func call(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, errno := Brief(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// LinkTask makes an iterator link that visits one thread only, and returns its file descriptor.
func LinkTask(prog, tid int) (int, error) {
	info := &struct{ tid, pid, pidfd, pad uint32 }{tid: uint32(tid)}
	// Its address is hidden in a number: it must not move.
	var pin runtime.Pinner
	pin.Pin(info)
	defer pin.Unpin()
	attr := struct {
		prog, target, attach, flags uint32
		info                        uint64
		infoLen, pad                uint32
	}{prog: uint32(prog), attach: bpfTraceIter, info: uint64(uintptr(unsafe.Pointer(info))), infoLen: uint32(unsafe.Sizeof(*info))}
	fd, err := call(bpfLinkCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return -1, fmt.Errorf("bpf link: %w", err)
	}
	return fd, nil
}

// RunIter runs a link's program once and passes on what it writes. mayWait is
// for programs that are no brief call: a walk over mappings waits for the
// process's lock.
func RunIter(link int, buf []byte, mayWait bool, write func([]byte)) error {
	attr := struct{ link, flags uint32 }{link: uint32(link)}
	fd, err := call(bpfIterCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return fmt.Errorf("bpf iterator: %w", err)
	}
	defer Brief(unix.SYS_CLOSE, uintptr(fd), 0, 0, 0, 0)
	for {
		var n uintptr
		var errno unix.Errno
		if mayWait {
			n, _, errno = unix.Syscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		} else {
			n, errno = Brief(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), 0, 0)
		}
		switch {
		case errno == unix.EINTR || errno == unix.EAGAIN:
			continue
		case errno != 0:
			return fmt.Errorf("bpf iterator: read: %w", errno)
		case n == 0:
			return nil
		}
		if write != nil {
			write(buf[:n])
		}
	}
}
