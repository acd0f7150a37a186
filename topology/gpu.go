package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// PCI vendors that make GPUs for computing.
const (
	vendorNVIDIA = 0x10de
	vendorAMD    = 0x1002
	vendorIntel  = 0x8086
)

func vendorName(id uint64) string {
	switch id {
	case vendorNVIDIA:
		return "nvidia"
	case vendorAMD:
		return "amd"
	case vendorIntel:
		return "intel"
	}
	return ""
}

// consoleChip says whether a device of a GPU vendor only draws a server's console: ATI's ES1000 family.
func consoleChip(vendor, device uint64) bool {
	return vendor == vendorAMD && slices.Contains([]uint64{0x515e, 0x5159, 0x5969, 0x4752}, device)
}

// gpus finds the GPUs and the node that each is near to.
func (d *discovery) gpus() {
	driver, _ := d.fs.NvidiaGPUs() // absent without the driver
	all, err := d.fs.PCIDevices()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.find("pci-unreadable", "pci", "", "PCI devices: %v", err)
	}
	for _, pci := range driver {
		if !slices.Contains(all, pci) {
			all = append(all, pci)
		}
	}
	slices.Sort(all)
	for _, pci := range all {
		d.gpu(pci, slices.Contains(driver, pci))
	}
	for key, node := range d.ov.GPUs {
		if d.m.GPU(pciKey(key)) == nil {
			d.find("gpu-absent", pciKey(key), "",
				"topology.gpu.%q.node = %d is for a GPU that this host does not show", key, node)
		}
	}
	// Maps have no order, and the result must have one.
	slices.SortStableFunc(d.m.Findings, func(a, b Finding) int {
		if a.Code != "gpu-absent" || b.Code != "gpu-absent" {
			return 0
		}
		if a.Subject < b.Subject {
			return -1
		}
		return 1
	})
}

// gpu adds a PCI device if it is a GPU.
func (d *discovery) gpu(pci string, driven bool) {
	if !driven {
		class, err := d.fs.PCIClass(pci)
		if err != nil || class>>16 != 0x03 && class>>16 != 0x12 {
			return
		}
	}
	dev := d.fs.PCIDevice(pci)
	g := GPU{
		PCI: pci, Vendor: vendorName(dev.Vendor.N), VendorID: dev.Vendor.N, DeviceID: dev.Device.N, Class: dev.Class.N,
		Node: -1, MemoryNode: -1, Provenance: Provenance{"vendor": "pci"},
	}
	switch {
	case driven && !dev.Vendor.OK:
		g.Vendor, g.Provenance["vendor"] = "nvidia", "nvidia driver"
	case !dev.Vendor.OK:
		d.find("display-unknown", pci, "", "%s is a display or accelerator of an unknown vendor: not counted as a GPU", pci)
		return
	case g.Vendor == "", consoleChip(dev.Vendor.N, dev.Device.N):
		return
	}
	if driven {
		if model, err := d.fs.NvidiaModel(pci); err == nil && model != "" {
			g.Name, g.Provenance["name"] = model, "nvidia driver"
		}
	}
	g.Provenance["memory_node"] = "none: its driver manages its memory"
	if g.Vendor != "nvidia" || !driven {
		g.Provenance["memory_node"] = unknown
	}
	for _, n := range d.m.Nodes {
		if d.gpuOf[n.ID] == pci {
			g.MemoryNode, g.Provenance["memory_node"] = n.ID, "nvidia numa_status"
			break
		}
	}
	d.gpuHome(&g, dev.NumaNode, dev.LocalCPUs)
	d.m.GPUs = append(d.m.GPUs, g)
}

// gpuHome finds the node near a GPU.
func (d *discovery) gpuHome(g *GPU, numaNode int, local []int) {
	set := func(node int, from string) { g.Node, g.Provenance["node"] = node, from }
	key := fmt.Sprintf("[topology.gpu.%q]\nnode = ", g.PCI)
	if node, ok := d.ov.gpuNode(g.PCI); ok {
		set(node, fmt.Sprintf("override: topology.gpu.%q.node", g.PCI))
		return
	}
	if n := d.m.Node(numaNode); n != nil {
		if _, own := d.gpuOf[n.ID]; !own {
			set(numaNode, "numa_node")
			return
		}
		// Its own memory is no home for DMA buffers and no place for CPUs.
		if near, ok := d.nearestCPUNode(n); ok {
			set(near, fmt.Sprintf("nearest node with CPUs to its memory, node %d", n.ID))
			return
		}
	}
	cpuNodes := d.cpuNodes()
	if len(cpuNodes) == 1 {
		set(cpuNodes[0], "the only node with CPUs")
		return
	}
	// With numa_node -1 the kernel gives all CPUs as local, which tells nothing; home wants those of one node.
	if node, ok := d.home(local); ok {
		set(node, "local_cpulist")
		return
	}
	for _, up := range d.fs.PCIParents(g.PCI) {
		p := d.fs.PCIDevice(up)
		node, from := p.NumaNode, "numa_node of the bridge "+up
		if d.m.Node(node) == nil {
			var ok bool
			if node, ok = d.home(p.LocalCPUs); !ok {
				continue
			}
			from = "local_cpulist of the bridge " + up
		}
		set(node, from)
		d.find("gpu-node-inferred", g.PCI, key+fmt.Sprint(node),
			"GPU %s: the firmware gives no numa_node; node %d is that of the bridge %s above it", g.PCI, node, up)
		return
	}
	set(-1, unknown)
	example := 0
	if len(cpuNodes) > 0 {
		example = cpuNodes[0]
	}
	why := "the firmware gives no numa_node, and no bridge above it has one"
	if numaNode >= 0 {
		why = fmt.Sprintf("its numa_node %d is no usable node of this host", numaNode)
	}
	d.find("gpu-node-unknown", g.PCI, key+fmt.Sprint(example)+"   # or whichever is right", "GPU %s: the node near it is unknown: %s", g.PCI, why)
}

// nearestCPUNode returns the one node with CPUs that is nearest to n.
func (d *discovery) nearestCPUNode(n *Node) (int, bool) {
	best, dist, ties := -1, 0, 0
	for i, other := range d.m.Nodes {
		if len(other.CPUs) == 0 || i >= len(n.Distances) {
			continue
		}
		switch v := n.Distances[i]; {
		case best < 0 || v < dist:
			best, dist, ties = other.ID, v, 1
		case v == dist:
			ties++
		}
	}
	return best, ties == 1
}
