package pagetable

import (
	"errors"
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

func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR:
		default:
			return -1, errno
		}
	}
}

// linkTask makes an iterator link that visits one thread only.
func linkTask(prog, tid int) (int, error) {
	info := struct{ tid, pid, pidfd, pad uint32 }{tid: uint32(tid)}
	attr := struct {
		prog, target, attach, flags uint32
		info                        uint64
		infoLen, pad                uint32
	}{prog: uint32(prog), attach: bpfTraceIter, info: uint64(uintptr(unsafe.Pointer(&info))), infoLen: uint32(unsafe.Sizeof(info))}
	fd, err := bpf(bpfLinkCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	runtime.KeepAlive(&info)
	if err != nil {
		return -1, fmt.Errorf("bpf link: %w", err)
	}
	return fd, nil
}

// runIter runs a link's program once and passes on what it writes.
func runIter(link int, buf []byte, write func([]byte)) error {
	attr := struct{ link, flags uint32 }{link: uint32(link)}
	fd, err := bpf(bpfIterCreate, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	if err != nil {
		return fmt.Errorf("bpf iterator: %w", err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return fmt.Errorf("bpf iterator: read: %w", err)
		case n == 0:
			return nil
		}
		if write != nil {
			write(buf[:n])
		}
	}
}
