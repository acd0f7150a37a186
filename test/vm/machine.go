package vm

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Sizes in bytes.
const (
	MiB uint64 = 1 << 20
	GiB uint64 = 1 << 30
)

// remoteLatency is what an access across the sockets costs more than a local one, in nanoseconds, and
// remoteBandwidth is the most that passes between them.
const (
	remoteLatency   = 60
	remoteBandwidth = 60 * GiB
)

// DefaultTimeout bounds a run whose [Machine] has no Timeout.
const DefaultTimeout = 5 * time.Minute

// A Machine describes an emulated host. The zero value has no nodes and does not boot; start from [ThreeTier] or
// [TwoSocket], or fill in Nodes.
type Machine struct {
	// Kernel is the path of a vmlinuz, or a version such as "6.12" that [Kernel] finds. Empty is the environment's
	// TIERD_VM_KERNEL, or else DefaultKernel.
	Kernel string
	// Nodes are the NUMA nodes in the order of their numbers.
	Nodes []Node
	// Distances is the matrix of ACPI's SLIT: 10 on the diagonal. Nil leaves 20 between all nodes.
	Distances [][]int
	// CPUs is the number of CPUs. Zero is as many as the nodes list.
	CPUs int
	// LA57 makes the CPU offer 5-level page tables, which the kernel then uses; otherwise they have 4.
	LA57 bool
	// Parallel lets the CPUs run at the same time, for what is measured. Otherwise they take turns, because QEMU 7.2 now
	// and then runs an instruction that the kernel has just patched away on another CPU (jump labels, int3), and the
	// kernel panics.
	Parallel bool
	// Append is added to the kernel's command line.
	Append string
	// Timeout bounds the whole run, from the start of QEMU. Zero is DefaultTimeout.
	Timeout time.Duration
	// Init is a built guest init to use. Empty builds it, which needs the Go toolchain and this module's folder as working directory.
	Init string

	// silence overrides how long a booted guest may report nothing.
	silence time.Duration
}

// A Node is one NUMA node.
type Node struct {
	// Size of its memory in bytes; a multiple of 1 MiB. Zero is a node of CPUs only.
	Size uint64
	// CPUs on this node.
	CPUs []int
	// Initiator is the node whose CPUs are nearest, for a node without CPUs.
	Initiator int
	// Latency of a read from the nearest CPUs in nanoseconds, as the HMAT tells it; zero leaves it out.
	Latency int
	// Bandwidth from the nearest CPUs in bytes per second, as the HMAT tells it; zero leaves it out.
	Bandwidth uint64
}

// ThreeTier returns the machine that most tests use: node 0 is DRAM (384 MiB, two CPUs), node 1 is HBM (128 MiB), node
// 2 is CXL memory (2 GiB). Its page tables have 5 levels.
func ThreeTier() Machine {
	return Machine{
		Nodes: []Node{
			{Size: 384 * MiB, CPUs: []int{0, 1}, Latency: 100, Bandwidth: 200 * GiB},
			{Size: 128 * MiB, Initiator: 0, Latency: 120, Bandwidth: 900 * GiB},
			{Size: 2 * GiB, Initiator: 0, Latency: 350, Bandwidth: 30 * GiB},
		},
		Distances: [][]int{
			{10, 14, 30},
			{14, 10, 34},
			{30, 34, 10},
		},
		LA57: true,
	}
}

// TwoSocket returns a machine of two sockets: nodes 0 and 1 are DRAM (320 MiB and one CPU each), nodes 2 and 3 their HBM
// (128 MiB each), node 4 is CXL memory behind socket 0 (1 GiB). Its page tables have 5 levels.
func TwoSocket() Machine {
	return Machine{
		Nodes: []Node{
			{Size: 320 * MiB, CPUs: []int{0}, Latency: 100, Bandwidth: 200 * GiB},
			{Size: 320 * MiB, CPUs: []int{1}, Latency: 100, Bandwidth: 200 * GiB},
			{Size: 128 * MiB, Initiator: 0, Latency: 120, Bandwidth: 900 * GiB},
			{Size: 128 * MiB, Initiator: 1, Latency: 120, Bandwidth: 900 * GiB},
			{Size: 1 * GiB, Initiator: 0, Latency: 350, Bandwidth: 30 * GiB},
		},
		Distances: [][]int{
			{10, 20, 14, 24, 30},
			{20, 10, 24, 14, 40},
			{14, 24, 10, 28, 34},
			{24, 14, 28, 10, 44},
			{30, 40, 34, 44, 10},
		},
		LA57: true,
	}
}

// cpus returns the number of CPUs.
func (m Machine) cpus() int {
	n := m.CPUs
	for _, node := range m.Nodes {
		for _, c := range node.CPUs {
			n = max(n, c+1)
		}
	}
	return n
}

func (m Machine) validate() error {
	if len(m.Nodes) == 0 {
		return errors.New("machine: no nodes")
	}
	owner := map[int]int{}
	for i, n := range m.Nodes {
		if n.Size%MiB != 0 {
			return fmt.Errorf("node%d: size %d is not a multiple of 1 MiB", i, n.Size)
		}
		if n.Size == 0 && len(n.CPUs) == 0 {
			return fmt.Errorf("node%d: neither memory nor CPUs", i)
		}
		if n.Bandwidth%MiB != 0 {
			return fmt.Errorf("node%d: bandwidth %d is not a multiple of 1 MiB/s", i, n.Bandwidth)
		}
		for _, c := range n.CPUs {
			if other, taken := owner[c]; taken || c < 0 {
				return fmt.Errorf("node%d: cpu %d is negative or already on node%d", i, c, other)
			}
			owner[c] = i
		}
		if len(n.CPUs) == 0 && (n.Initiator < 0 || n.Initiator >= len(m.Nodes) || len(m.Nodes[n.Initiator].CPUs) == 0) {
			return fmt.Errorf("node%d: initiator %d is not a node with CPUs", i, n.Initiator)
		}
	}
	for c := range m.cpus() {
		if _, ok := owner[c]; !ok {
			return fmt.Errorf("cpu %d: on no node", c)
		}
	}
	if m.Distances != nil && len(m.Distances) != len(m.Nodes) {
		return fmt.Errorf("distances: %d rows for %d nodes", len(m.Distances), len(m.Nodes))
	}
	for i, row := range m.Distances {
		if len(row) != len(m.Nodes) {
			return fmt.Errorf("distances: row %d has %d entries for %d nodes", i, len(row), len(m.Nodes))
		}
		for j, d := range row {
			if (i == j && d != 10) || (i != j && (d <= 10 || d > 255)) {
				return fmt.Errorf("distances: %d from node%d to node%d", d, i, j)
			}
		}
	}
	return nil
}

// commandLine returns the kernel's command line.
func (m Machine) commandLine() string {
	// The message buffer goes to the console only where it warns; a panic ends the machine at once. With KASLR the kernel
	// lies in a node by chance, in one boot of twenty in the small HBM, whose size then is another.
	line := "console=ttyS0 panic=-1 quiet mitigations=off nokaslr"
	if m.Append != "" {
		line += " " + m.Append
	}
	return line
}

// args returns QEMU's arguments. File descriptors 3 and 4 receive the console and the frames.
func (m Machine) args(kernel, initrd string) []string {
	// QEMU 7.2 (Debian 12) computes the flags after cmpxchg16b from garbage now and then, trap flag included; the slab
	// allocator uses it on every call, and the kernel panics in one boot of several. Without the feature it takes a lock.
	cpu := "max,cx16=off"
	if !m.LA57 {
		cpu += ",la57=off"
	}
	hmat := slices.ContainsFunc(m.Nodes, func(n Node) bool { return n.Latency != 0 || n.Bandwidth != 0 })
	machine := "q35"
	if hmat {
		machine += ",hmat=on"
	}
	total := uint64(0)
	for _, n := range m.Nodes {
		total += n.Size
	}
	threads := "single"
	if m.Parallel {
		threads = "multi"
	}
	args := []string{
		"-no-user-config", "-nodefaults", "-no-reboot",
		"-accel", "tcg,thread=" + threads,
		"-cpu", cpu,
		"-machine", machine,
		"-smp", strconv.Itoa(m.cpus()),
		"-m", mib(total),
		"-display", "none",
		"-nic", "none",
		"-add-fd", "fd=3,set=1", "-add-fd", "fd=4,set=2",
		"-chardev", "file,id=console,path=/dev/fdset/1,append=on", "-serial", "chardev:console",
		"-chardev", "file,id=wire,path=/dev/fdset/2,append=on", "-serial", "chardev:wire",
		"-kernel", kernel,
		"-initrd", initrd,
		"-append", m.commandLine(),
	}
	for i, n := range m.Nodes {
		node := fmt.Sprintf("node,nodeid=%d", i)
		if n.Size > 0 {
			args = append(args, "-object", fmt.Sprintf("memory-backend-ram,id=mem%d,size=%s", i, mib(n.Size)))
			node += fmt.Sprintf(",memdev=mem%d", i)
		}
		for _, c := range n.CPUs {
			node += fmt.Sprintf(",cpus=%d", c)
		}
		if len(n.CPUs) == 0 && hmat {
			node += fmt.Sprintf(",initiator=%d", n.Initiator)
		}
		args = append(args, "-numa", node)
	}
	for i, row := range m.Distances {
		for j, d := range row {
			if i != j {
				args = append(args, "-numa", fmt.Sprintf("dist,src=%d,dst=%d,val=%d", i, j, d))
			}
		}
	}
	for i, from := range m.Nodes {
		if len(from.CPUs) == 0 {
			continue
		}
		for j, n := range m.Nodes {
			if n.Size == 0 {
				continue
			}
			latency, bandwidth := n.Latency, n.Bandwidth
			local := i == j || (len(n.CPUs) == 0 && n.Initiator == i)
			if !local && latency != 0 {
				latency += remoteLatency
			}
			if !local {
				bandwidth = min(bandwidth, remoteBandwidth)
			}
			pair := fmt.Sprintf("hmat-lb,initiator=%d,target=%d,hierarchy=memory", i, j)
			if latency != 0 {
				args = append(args, "-numa", fmt.Sprintf("%s,data-type=access-latency,latency=%d", pair, latency))
			}
			if bandwidth != 0 {
				args = append(args, "-numa", fmt.Sprintf("%s,data-type=access-bandwidth,bandwidth=%s", pair, mib(bandwidth)))
			}
		}
	}
	return args
}

func mib(n uint64) string { return strconv.FormatUint(n/MiB, 10) + "M" }

// ParseNode reads the description of a node as the tiervm command takes it: "size=384M,cpus=0-1,latency=100,bandwidth=200G", or
// "size=2G,initiator=0,…" for a node without CPUs. Units are K, M, G and T, powers of 1024; latency is in nanoseconds.
func ParseNode(s string) (Node, error) {
	var n Node
	fail := func(field string, err error) (Node, error) {
		return Node{}, fmt.Errorf("node %q: %s: %w", s, field, err)
	}
	for field := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(field, "=")
		var err error
		switch key {
		case "size":
			n.Size, err = parseSize(value)
		case "bandwidth":
			n.Bandwidth, err = parseSize(value)
		case "latency":
			n.Latency, err = strconv.Atoi(value)
		case "initiator":
			n.Initiator, err = strconv.Atoi(value)
		case "cpus":
			first, last, isRange := strings.Cut(value, "-")
			if !isRange {
				last = first
			}
			var a, b int
			if a, err = strconv.Atoi(first); err == nil {
				b, err = strconv.Atoi(last)
			}
			if err == nil && (b < a || b > 4096) {
				err = errors.New("not a range of CPUs")
			}
			for c := a; err == nil && c <= b; c++ {
				n.CPUs = append(n.CPUs, c)
			}
		default:
			err = errors.New("unknown (want size, cpus, initiator, latency or bandwidth)")
		}
		if err != nil {
			return fail(field, err)
		}
	}
	return n, nil
}

func parseSize(s string) (uint64, error) {
	shift := 0
	if n := len(s); n > 0 {
		if i := strings.IndexByte("KMGT", s[n-1]); i >= 0 {
			shift, s = 10*(i+1), s[:n-1]
		}
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, err
	}
	if v<<shift>>shift != v {
		return 0, strconv.ErrRange
	}
	return v << shift, nil
}
