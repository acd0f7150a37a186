package doctor

import (
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/topology"
)

// Numbers of capabilities (include/uapi/linux/capability.h).
const (
	capSysPtrace = unix.CAP_SYS_PTRACE
	capSysNice   = unix.CAP_SYS_NICE
	capPerfmon   = unix.CAP_PERFMON
	capBPF       = unix.CAP_BPF
)

// Kernel tries what only the running kernel can answer.
type Kernel interface {
	// Capabilities returns the effective set as bits.
	Capabilities() (uint64, error)
	// BPF makes and drops a map.
	BPF() error
	// PageTables opens the page-table source and says which format it found. m may be nil.
	PageTables(m *topology.Machine) (format string, err error)
	// HintFaults opens the source of hint faults, and says whether it hears all page faults instead.
	HintFaults() (all bool, err error)
	// MovePages asks where a page of this process is.
	MovePages() error
}

// Live is the running kernel.
type Live struct{}

var _ Kernel = Live{}

// Capabilities implements Kernel.
func (Live) Capabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, err
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// BPF implements Kernel.
func (Live) BPF() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return err
	}
	return m.Close()
}

// PageTables implements Kernel.
func (Live) PageTables(m *topology.Machine) (string, error) {
	var ranges []pagetable.PhysRange
	if m != nil {
		slots := map[int]policy.Slot{}
		for _, s := range m.PFNSpans() {
			slot, ok := slots[s.Node]
			if !ok && len(slots) == policy.MaxSlots {
				continue
			}
			if !ok {
				slot = policy.Slot(len(slots))
				slots[s.Node] = slot
			}
			ranges = append(ranges, pagetable.PhysRange{Start: s.Start * m.PageSize, End: s.End * m.PageSize, Slot: slot})
		}
	}
	s, err := pagetable.Open(ranges)
	if err != nil {
		return "", err
	}
	defer s.Close()
	return s.Format().Name, nil
}

// HintFaults implements Kernel.
func (Live) HintFaults() (all bool, err error) {
	s, err := hintfault.Open()
	if err != nil {
		return false, err
	}
	defer s.Close()
	return s.All(), nil
}

// MovePages implements Kernel.
func (Live) MovePages() error {
	page := make([]byte, 2*os.Getpagesize())
	page[len(page)/2] = 1
	addr := uintptr(unsafe.Pointer(&page[len(page)/2]))
	status := int32(0)
	_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, 1, uintptr(unsafe.Pointer(&addr)), 0, uintptr(unsafe.Pointer(&status)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
