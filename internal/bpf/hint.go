package bpf

import (
	"errors"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// LoadHint says what an operator can do when a program did not load; empty if that is
// not known.
func LoadHint(err error) string {
	// Without the kernel's types the library says the same as without BPF.
	_, noTypes := btf.LoadKernelSpec()
	switch {
	case errors.Is(err, unix.ENOSYS):
		return "the kernel needs CONFIG_BPF_SYSCALL=y and at least version 6.1"
	case errors.Is(err, unix.EPERM):
		return "give tierd CAP_BPF and CAP_PERFMON; kernel lockdown in confidentiality mode forbids it altogether"
	case noTypes != nil, errors.Is(err, btf.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"
	case errors.Is(err, ebpf.ErrNotSupported), errors.Is(err, unix.EINVAL):
		return "the kernel needs CONFIG_BPF_SYSCALL=y and at least version 6.1"
	}
	return ""
}
