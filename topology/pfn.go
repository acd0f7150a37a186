package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/tierd/tierd/internal/hostfs"
)

// pageSize finds the size of the host's base page. A copy of a host does not say it, but the pages of a
// node times their size are its memory.
func (d *discovery) pageSize(zones []hostfs.Zone) {
	if size, ok := d.fs.PageSize(); ok {
		d.m.PageSize = uint64(size)
		return
	}
	d.m.PageSize = 4096
	for _, n := range d.m.Nodes {
		var managed uint64
		for _, z := range zones {
			if z.Node == n.ID {
				managed += z.Managed
			}
		}
		if managed == 0 || n.MemoryBytes == 0 {
			continue
		}
		for _, size := range []uint64{4096, 16384, 65536} {
			if got := n.MemoryBytes / managed; got > size*9/10 && got < size*11/10 {
				d.m.PageSize = size
				return
			}
		}
	}
}

// pfnRanges finds where each node's pages are: the spans of its zones. Where spans of two nodes overlap,
// which is so when the firmware interleaves nodes, the memory blocks of the node cut them down. What then still
// overlaps is left out, because a wrong node is worse than none.
func (d *discovery) pfnRanges(zones []hostfs.Zone) {
	spans := map[int][]PFNRange{}
	for _, z := range zones {
		if z.StartPFN.OK && z.Spanned > 0 && z.Present > 0 && z.StartPFN.N+z.Spanned > z.StartPFN.N {
			spans[z.Node] = append(spans[z.Node], PFNRange{z.StartPFN.N, z.StartPFN.N + z.Spanned})
		}
	}
	for id := range spans {
		spans[id] = merge(spans[id])
	}
	var perBlock uint64
	if size, err := d.fs.BlockSize(); err == nil {
		perBlock = size / d.m.PageSize
	}
	ranges := map[int][]PFNRange{}
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		own := spans[n.ID]
		overlap := false
		for other, theirs := range spans {
			overlap = overlap || other != n.ID && len(intersect(own, theirs)) > 0
		}
		switch {
		case n.Kind == KindNone:
			n.Provenance["pfn_ranges"] = "no memory"
		case len(own) > 0 && !overlap:
			ranges[n.ID], n.Provenance["pfn_ranges"] = own, "zoneinfo"
		default:
			blocks := d.blocks(n.ID, perBlock)
			switch {
			case len(blocks) == 0:
				n.Provenance["pfn_ranges"] = unknown
				if overlap {
					n.Provenance["pfn_ranges"] = "unknown: zones overlap and there are no memory blocks"
				}
			case len(own) == 0:
				ranges[n.ID], n.Provenance["pfn_ranges"] = blocks, "memory blocks"
			default:
				ranges[n.ID], n.Provenance["pfn_ranges"] = intersect(own, blocks), "zoneinfo and memory blocks"
			}
		}
	}
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		mine := ranges[n.ID]
		for _, other := range d.m.Nodes {
			if other.ID == n.ID {
				continue
			}
			if shared := intersect(ranges[n.ID], ranges[other.ID]); len(shared) > 0 {
				mine = subtract(mine, shared)
				n.Provenance["pfn_ranges"] += fmt.Sprintf(", less what node %d claims too", other.ID)
			}
		}
		n.PFNRanges = mine
	}
}

// blocks returns the page frames of a node's memory blocks.
func (d *discovery) blocks(id int, perBlock uint64) []PFNRange {
	if perBlock == 0 {
		return nil
	}
	ids, err := d.fs.NodeBlocks(id)
	if err != nil {
		return nil
	}
	var list []PFNRange
	for _, b := range ids {
		start := uint64(b) * perBlock
		if start/perBlock == uint64(b) && start+perBlock > start {
			list = append(list, PFNRange{start, start + perBlock})
		}
	}
	return merge(list)
}

// merge sorts ranges and joins those that touch.
func merge(list []PFNRange) []PFNRange {
	slices.SortFunc(list, func(a, b PFNRange) int {
		switch {
		case a.Start < b.Start:
			return -1
		case a.Start > b.Start:
			return 1
		}
		return 0
	})
	var out []PFNRange
	for _, r := range list {
		if k := len(out) - 1; k >= 0 && r.Start <= out[k].End {
			out[k].End = max(out[k].End, r.End)
			continue
		}
		out = append(out, r)
	}
	return out
}

// intersect returns what two merged lists have in common.
func intersect(a, b []PFNRange) []PFNRange {
	var out []PFNRange
	for i, j := 0, 0; i < len(a) && j < len(b); {
		lo, hi := max(a[i].Start, b[j].Start), min(a[i].End, b[j].End)
		if lo < hi {
			out = append(out, PFNRange{lo, hi})
		}
		if a[i].End < b[j].End {
			i++
		} else {
			j++
		}
	}
	return out
}

// subtract returns what is in a and not in b, both merged.
func subtract(a, b []PFNRange) []PFNRange {
	var out []PFNRange
	for _, r := range a {
		for _, cut := range b {
			if cut.End <= r.Start || cut.Start >= r.End {
				continue
			}
			if cut.Start > r.Start {
				out = append(out, PFNRange{r.Start, cut.Start})
			}
			r.Start = min(cut.End, r.End)
		}
		if r.Start < r.End {
			out = append(out, r)
		}
	}
	return out
}

// inBytes says whether any page of a node is within addresses [start, end).
func (d *discovery) inBytes(n *Node, start, end uint64) bool {
	return len(intersect(n.PFNRanges, []PFNRange{{start / d.m.PageSize, (end-1)/d.m.PageSize + 1}})) > 0
}

// gpuMemory finds the nodes that are a GPU's own memory.
func (d *discovery) gpuMemory() {
	d.gpuOf = map[int]string{}
	gpus, _ := d.fs.NvidiaGPUs() // absent without the driver
	for _, pci := range gpus {
		numa, err := d.fs.NvidiaNUMA(pci)
		if err != nil || numa.Node < 0 {
			continue
		}
		n := d.m.Node(numa.Node)
		if n == nil || n.Kind == KindNone {
			continue
		}
		if len(n.CPUs) > 0 {
			d.find("gpu-memory-has-cpus", nodeName(n.ID), "",
				"the NVIDIA driver says that node %d is the memory of GPU %s, but the node has CPUs: it counts as DRAM", n.ID, pci)
			continue
		}
		d.gpuOf[n.ID] = pci
	}
	res, err := d.fs.Iomem()
	if err != nil {
		return
	}
	for _, r := range res {
		// Without CAP_SYS_ADMIN all addresses are zero, and tell nothing.
		if r.Name != "System RAM (NVIDIA)" || r.End == 0 || r.End < r.Start || r.End+1 == 0 {
			continue
		}
		for i := range d.m.Nodes {
			n := &d.m.Nodes[i]
			if _, ok := d.gpuOf[n.ID]; !ok && len(n.CPUs) == 0 && d.inBytes(n, r.Start, r.End+1) {
				d.gpuOf[n.ID] = ""
			}
		}
	}
}

// slowDevices finds the nodes behind CXL windows and dax devices.
func (d *discovery) slowDevices() {
	d.cxlOf, d.daxOf = map[int]string{}, map[int]hostfs.Dax{}
	windows, err := d.fs.CXLWindows()
	if err != nil && !hostfs.IsGone(err) && !errors.Is(err, fs.ErrPermission) {
		d.find("cxl-unreadable", "cxl", "", "CXL windows: %v", err)
	}
	for _, w := range windows {
		for i := range d.m.Nodes {
			n := &d.m.Nodes[i]
			if _, ok := d.cxlOf[n.ID]; !ok && len(n.CPUs) == 0 && d.inBytes(n, w.Start, w.End) {
				d.cxlOf[n.ID] = w.Name
			}
		}
	}
	devices, _ := d.fs.DaxDevices() // absent without the module
	for _, x := range devices {
		n := d.m.Node(x.TargetNode)
		online := n != nil && n.Kind != KindNone
		d.m.Dax = append(d.m.Dax, Dax{Name: x.Name, TargetNode: x.TargetNode, Provider: x.Provider, Online: online})
		if online {
			if _, ok := d.daxOf[n.ID]; !ok {
				d.daxOf[n.ID] = x
			}
			continue
		}
		if x.TargetNode >= 0 {
			d.find("dax-offline", x.Name, "",
				"%s would be node %d, which is not online: its memory is no RAM of the host (daxctl reconfigure-device --mode=system-ram makes it so)",
				x.Name, x.TargetNode)
		}
	}
}
