package hostfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	nodeDir = "sys/devices/system/node"
	tierDir = "sys/devices/virtual/memory_tiering"
	daxDir  = "sys/bus/dax/devices"
	cxlDir  = "sys/bus/cxl/devices"
)

func nodeFile(node int, name string) string {
	return nodeDir + "/node" + strconv.Itoa(node) + "/" + name
}

// Nodes returns the online nodes, ascending.
func (f *FS) Nodes() ([]int, error) {
	if list, err := read(f, nodeDir+"/online", smallFile, ParseList); err == nil && len(list) > 0 {
		return list, nil
	}
	ids, err := f.numbered(nodeDir, "node")
	if err == nil && len(ids) == 0 {
		err = &fs.PathError{Op: "read", Path: f.Path(nodeDir), Err: fs.ErrNotExist}
	}
	return ids, err
}

// NodesWith returns the nodes that the kernel lists in a state: "has_cpu", "has_memory", "has_normal_memory",
// "has_generic_initiator", "possible".
func (f *FS) NodesWith(state string) ([]int, error) {
	return read(f, join(nodeDir, state), smallFile, ParseList)
}

// NodeMeminfo returns a node's memory statistics, in bytes.
func (f *FS) NodeMeminfo(node int) (Counters, error) {
	return read(f, nodeFile(node, "meminfo"), mediumFile, fromReader(ParseMeminfo))
}

// NodeVmstat returns the named counters of a node; all of them without names.
func (f *FS) NodeVmstat(node int, names ...string) (Counters, error) {
	return read(f, nodeFile(node, "vmstat"), mediumFile, func(b []byte) (Counters, error) {
		return ParseVmstat(bytes.NewReader(b), names...)
	})
}

// NodeCPUs returns the CPUs of a node; an empty list is an answer.
func (f *FS) NodeCPUs(node int) ([]int, error) {
	cpus, err := read(f, nodeFile(node, "cpulist"), mediumFile, ParseList)
	if err == nil {
		return cpus, nil
	}
	if cpus, err := read(f, nodeFile(node, "cpumap"), mediumFile, ParseMask); err == nil {
		return cpus, nil
	}
	return nil, err
}

// NodeDistances returns the distances from a node to the online nodes, in their ascending order. 10 is the node itself.
func (f *FS) NodeDistances(node int) ([]int, error) {
	return read(f, nodeFile(node, "distance"), mediumFile, ParseInts)
}

// NodeBlocks returns the numbers of the memory blocks that lie, at least in part, on a node, ascending.
// Block M begins at M times [FS.BlockSize]. A node without any is an error that wraps fs.ErrNotExist, because
// kernels without memory hotplug show none.
func (f *FS) NodeBlocks(node int) ([]int, error) {
	dir := nodeDir + "/node" + strconv.Itoa(node)
	ids, err := f.numbered(dir, "memory")
	if err == nil && len(ids) == 0 {
		err = &fs.PathError{Op: "read", Path: f.Path(dir + "/memoryN"), Err: fs.ErrNotExist}
	}
	return ids, err
}

// BlockSize returns the size of a memory block in bytes.
func (f *FS) BlockSize() (uint64, error) {
	return read(f, "sys/devices/system/memory/block_size_bytes", smallFile, ParseHex)
}

// Access is what the firmware's HMAT says of the way from the best initiators to a node.
type Access struct {
	Class      int   // 0: initiators of any kind; 1: CPUs only
	Initiators []int // nodes
	// Latencies in nanoseconds, bandwidths in MiB/s. The kernel writes 0 for what the firmware does not say: unknown.
	ReadLatencyNS, WriteLatencyNS         Value
	ReadBandwidthMiBs, WriteBandwidthMiBs Value
}

// NodeAccess returns the performance of access class 0 or 1 of a node (nodeN/accessM/initiators).
func (f *FS) NodeAccess(node, class int) (Access, error) {
	dir := nodeFile(node, "access"+strconv.Itoa(class)+"/initiators")
	ids, err := f.numbered(dir, "node")
	if err != nil {
		return Access{}, err
	}
	a := Access{Class: class, Initiators: ids}
	for _, v := range []struct {
		name string
		dst  *Value
	}{
		{"read_latency", &a.ReadLatencyNS},
		{"write_latency", &a.WriteLatencyNS},
		{"read_bandwidth", &a.ReadBandwidthMiBs},
		{"write_bandwidth", &a.WriteBandwidthMiBs},
	} {
		n, err := read(f, dir+"/"+v.name, smallFile, ParseInt)
		if err == nil && n > 0 {
			*v.dst = Known(uint64(n))
		}
	}
	return a, nil
}

// SideCache returns the size in bytes of the memory-side caches in front of a node (nodeN/memory_side_cache),
// the sum over the levels.
func (f *FS) SideCache(node int) (uint64, error) {
	dir := nodeFile(node, "memory_side_cache")
	levels, err := f.numbered(dir, "index")
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, l := range levels {
		n, err := read(f, dir+"/index"+strconv.Itoa(l)+"/size", smallFile, ParseInt)
		if err != nil {
			return 0, err
		}
		sum += uint64(max(n, 0))
	}
	return sum, nil
}

// MemoryTiers returns the kernel's own tiers: nodes by the number of the tier. A smaller number is faster; plain DRAM is 4.
func (f *FS) MemoryTiers() (map[int][]int, error) {
	ids, err := f.numbered(tierDir, "memory_tier")
	if err != nil {
		return nil, err
	}
	tiers := map[int][]int{}
	for _, id := range ids {
		nodes, err := read(f, tierDir+"/memory_tier"+strconv.Itoa(id)+"/nodelist", smallFile, ParseList)
		if err != nil {
			return nil, err
		}
		tiers[id] = nodes
	}
	return tiers, nil
}

// Dax is a device of directly accessible memory.
type Dax struct {
	Name string
	// TargetNode is the node that the memory is, or would be once it is given to the kernel as RAM; -1 is unknown.
	TargetNode int
	// Provider tells what is behind it: "cxl", "nvdimm", "hmem" (memory that the firmware sets apart for special purposes), or "".
	Provider string
}

// DaxDevices returns the dax devices.
func (f *FS) DaxDevices() ([]Dax, error) {
	names, err := f.ReadDir(daxDir)
	if err != nil {
		return nil, err
	}
	var list []Dax
	for _, name := range names {
		d := Dax{Name: name, TargetNode: -1}
		if n, err := read(f, daxDir+"/"+name+"/target_node", smallFile, ParseInt); err == nil {
			d.TargetNode = n
		}
		link, err := f.Resolve(daxDir + "/" + name)
		if err != nil { // a partial copy of a host has the link but not what it leads to
			link, _ = f.Readlink(daxDir + "/" + name)
		}
		d.Provider = daxProvider(link)
		list = append(list, d)
	}
	return list, nil
}

// daxProvider tells from the device's place in the tree what is behind a dax device.
func daxProvider(link string) string {
	for part := range strings.SplitSeq(link, "/") {
		switch {
		case strings.HasPrefix(part, "dax_region"), strings.HasPrefix(part, "decoder"), strings.HasPrefix(part, "ACPI0017"):
			return "cxl"
		case strings.HasPrefix(part, "ndbus"):
			return "nvdimm"
		case strings.HasPrefix(part, "hmem"):
			return "hmem"
		}
	}
	return ""
}

// Window is a range of physical addresses; End is the first byte after it.
type Window struct {
	Name       string
	Start, End uint64
}

// CXLWindows returns the physical addresses that CXL decoders and regions map.
func (f *FS) CXLWindows() ([]Window, error) {
	names, err := f.ReadDir(cxlDir)
	if err != nil {
		return nil, err
	}
	var list []Window
	for _, name := range names {
		start := "start"
		switch {
		case strings.HasPrefix(name, "region"):
			start = "resource"
		case strings.HasPrefix(name, "decoder"):
		default:
			continue
		}
		at, err1 := read(f, cxlDir+"/"+name+"/"+start, smallFile, ParseHex)
		size, err2 := read(f, cxlDir+"/"+name+"/size", smallFile, ParseHex)
		if err1 != nil || err2 != nil || size == 0 || at+size < at {
			continue
		}
		list = append(list, Window{Name: name, Start: at, End: at + size})
	}
	return list, nil
}

// NvidiaNUMA is what the NVIDIA driver says of a GPU's memory as a node.
type NvidiaNUMA struct {
	Node   int    // -1: the memory is no node
	Status string // "online", "offline", "disabled" …
}

// ParseNvidiaNUMA reads /proc/driver/nvidia/gpus/BDF/numa_status.
func ParseNvidiaNUMA(r io.Reader) (NvidiaNUMA, error) {
	v := NvidiaNUMA{Node: -1}
	found := false
	s := lines(r)
	for s.Scan() {
		key, value, _ := strings.Cut(s.Text(), ":")
		switch strings.TrimSpace(key) {
		case "Node":
			n, err := ParseInt([]byte(value))
			if err != nil || n < -1 || n > maxListID {
				return NvidiaNUMA{}, fmt.Errorf("numa_status: bad node %.40q", value)
			}
			v.Node, found = n, true
		case "Status":
			v.Status = strings.TrimSpace(value)
		}
	}
	if err := s.Err(); err != nil {
		return NvidiaNUMA{}, err
	}
	if !found {
		return NvidiaNUMA{}, fmt.Errorf("numa_status: no line \"Node\"")
	}
	return v, nil
}

// ParseNvidiaModel reads the model's name from /proc/driver/nvidia/gpus/BDF/information; "" where it is not given.
func ParseNvidiaModel(r io.Reader) (string, error) {
	s := lines(r)
	for s.Scan() {
		if model, ok := strings.CutPrefix(s.Text(), "Model:"); ok {
			return strings.TrimSpace(model), nil
		}
	}
	return "", s.Err()
}

// NvidiaGPUs returns the PCI addresses of the GPUs that the NVIDIA driver serves.
func (f *FS) NvidiaGPUs() ([]string, error) { return f.ReadDir("proc/driver/nvidia/gpus") }

// NvidiaNUMA returns what the NVIDIA driver says of a GPU's memory as a node.
func (f *FS) NvidiaNUMA(bdf string) (NvidiaNUMA, error) {
	return read(f, join("proc/driver/nvidia/gpus", bdf, "numa_status"), smallFile, fromReader(ParseNvidiaNUMA))
}

// NvidiaModel returns the name of a GPU's model.
func (f *FS) NvidiaModel(bdf string) (string, error) {
	return read(f, join("proc/driver/nvidia/gpus", bdf, "information"), smallFile, fromReader(ParseNvidiaModel))
}

const pciDir = "sys/bus/pci/devices"

// PCI is one PCI device. Class, Vendor and Device are unknown in partial copies of a host.
type PCI struct {
	Address               string
	Class, Vendor, Device Value
	NumaNode              int // -1: the firmware does not say
	LocalCPUs             []int
}

// PCIDevices returns the addresses of the PCI devices.
func (f *FS) PCIDevices() ([]string, error) { return f.ReadDir(pciDir) }

// PCIClass returns the class of a PCI device: 0x030200 is a 3D controller.
func (f *FS) PCIClass(bdf string) (uint64, error) {
	return read(f, join(pciDir, bdf, "class"), smallFile, ParseHex)
}

// PCIDevice returns what is known of a PCI device.
func (f *FS) PCIDevice(bdf string) PCI {
	d := PCI{Address: bdf, NumaNode: -1}
	dir := join(pciDir, bdf)
	for name, dst := range map[string]*Value{"class": &d.Class, "vendor": &d.Vendor, "device": &d.Device} {
		if n, err := read(f, dir+"/"+name, smallFile, ParseHex); err == nil {
			*dst = Known(n)
		}
	}
	if n, err := read(f, dir+"/numa_node", smallFile, ParseInt); err == nil && n >= 0 {
		d.NumaNode = n
	}
	if cpus, err := read(f, dir+"/local_cpulist", mediumFile, ParseList); err == nil {
		d.LocalCPUs = cpus
	} else if cpus, err := read(f, dir+"/local_cpus", mediumFile, ParseMask); err == nil {
		d.LocalCPUs = cpus
	}
	return d
}

// PCIParents returns the bridges above a PCI device, the nearest first.
func (f *FS) PCIParents(bdf string) []string {
	link, err := f.Resolve(join(pciDir, bdf))
	if err != nil {
		return nil
	}
	var parents []string
	for part := range strings.SplitSeq(link, "/") {
		if part != bdf && IsPCIAddress(part) {
			parents = append(parents, part)
		}
	}
	slices.Reverse(parents)
	return parents
}

// IsPCIAddress says whether s is a full PCI address in the kernel's writing: "0000:c1:00.0".
func IsPCIAddress(s string) bool {
	domain, rest, ok := strings.Cut(s, ":")
	if !ok || len(domain) < 4 || len(domain) > 8 || len(rest) != len("c1:00.0") || rest[2] != ':' || rest[5] != '.' {
		return false
	}
	for _, part := range []string{domain, rest[:2], rest[3:5], rest[6:]} {
		for _, c := range part {
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
				return false
			}
		}
	}
	return true
}

// Exists says whether a host file is there. It opens and does not stat, as everything here.
func (f *FS) Exists(rel string) bool {
	fd, err := f.open(rel, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
