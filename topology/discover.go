package topology

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tierd/tierd/internal/hostfs"
)

// discovery is the work of one Discover.
type discovery struct {
	fs *hostfs.FS
	ov Overrides
	m  *Machine

	release  hostfs.Release
	gpuOf    map[int]string // GPU memory: node to PCI address, "" where only the resource map tells
	cxlOf    map[int]string // CXL window by node
	daxOf    map[int]hostfs.Dax
	dram     perf           // what a node with CPUs does, as HMAT says
	discName map[int]string // the tier that a node has without overrides
}

// Discover finds out what memory the host has. A host that does not say something is no error; overrides that
// contradict the host are.
func Discover(fs *hostfs.FS, ov Overrides) (*Machine, error) {
	d := &discovery{
		fs: fs, ov: ov,
		m: &Machine{SchemaVersion: SchemaVersion, Nodes: []Node{}, Tiers: []Tier{}, GPUs: []GPU{}, Findings: []Finding{}},
	}
	if r, err := fs.KernelRelease(); err == nil {
		d.release = r
		d.m.Kernel = r.Text
	}
	if err := d.nodes(); err != nil {
		return nil, err
	}
	zones, _ := fs.Zones() // optional: without it the page ranges are unknown
	d.pageSize(zones)
	d.pfnRanges(zones)
	d.gpuMemory()
	d.slowDevices()
	d.classify()
	if err := ov.validate(d.m); err != nil {
		return nil, err
	}
	d.tiers()
	d.gpus()
	return d.m, nil
}

// find notes something uncertain.
func (d *discovery) find(code, subject, override, format string, args ...any) {
	d.m.Findings = append(d.m.Findings, Finding{Code: code, Subject: subject, Text: fmt.Sprintf(format, args...), Override: override})
}

func nodeName(id int) string { return fmt.Sprintf("node%d", id) }

// nodes reads what each node says of itself.
func (d *discovery) nodes() error {
	ids, err := d.fs.Nodes()
	if err != nil {
		return d.singleNode(err)
	}
	withMemory, memErr := d.fs.NodesWith("has_memory")
	if memErr != nil {
		withMemory, memErr = d.fs.NodesWith("has_normal_memory")
	}
	kernelTiers, _ := d.fs.MemoryTiers() // before 6.1 there are none
	for _, id := range ids {
		n := Node{ID: id, Tier: TierNone, Rank: -1, MemoryTier: -1, Provenance: Provenance{}}
		p := n.Provenance
		if cpus, err := d.fs.NodeCPUs(id); err == nil {
			n.CPUs, p["cpus"] = cpus, "cpulist"
		} else {
			p["cpus"] = unknown
		}
		p["memory_bytes"], p["free_bytes"] = unknown, unknown
		if mi, err := d.fs.NodeMeminfo(id); err == nil {
			if v := mi.Get("MemTotal"); v.OK {
				n.MemoryBytes, n.MemoryKnown, p["memory_bytes"] = v.N, true, "meminfo"
			}
			if v := mi.Get("MemFree"); v.OK && n.MemoryKnown {
				n.FreeBytes, n.FreeKnown, p["free_bytes"] = min(v.N, n.MemoryBytes), true, "meminfo"
			}
		}
		switch {
		case n.MemoryKnown && n.MemoryBytes == 0:
			n.Kind, p["kind"] = KindNone, "meminfo"
		case !n.MemoryKnown && memErr == nil && !slices.Contains(withMemory, id):
			n.Kind, p["kind"] = KindNone, "has_memory"
			n.MemoryKnown, p["memory_bytes"] = true, "has_memory"
		case !n.MemoryKnown && memErr != nil:
			n.Kind, p["kind"] = KindUnknown, unknown
		}
		if size, err := d.fs.SideCache(id); err == nil && size > 0 {
			n.SideCacheBytes, p["side_cache_bytes"] = size, "memory_side_cache"
		}
		p["distances"] = unknown
		if dist, err := d.fs.NodeDistances(id); err == nil && len(dist) == len(ids) {
			n.Distances, p["distances"] = dist, "distance"
		}
		p["memory_tier"] = unknown
		for tier, nodes := range kernelTiers {
			if slices.Contains(nodes, id) {
				n.MemoryTier, p["memory_tier"] = tier, "memory_tiering"
			}
		}
		d.m.Nodes = append(d.m.Nodes, n)
	}
	// An initiator is judged by its CPUs, so this needs all the nodes.
	for i := range d.m.Nodes {
		d.access(&d.m.Nodes[i])
	}
	return nil
}

// singleNode describes a host whose kernel knows no nodes: all its memory is node 0 to the system calls too.
func (d *discovery) singleNode(cause error) error {
	mi, err := d.fs.Meminfo()
	total := mi.Get("MemTotal")
	if err != nil || !total.OK {
		return fmt.Errorf("topology: the host shows neither nodes nor its memory: %w", errors.Join(cause, err))
	}
	n := Node{
		Tier: TierNone, Rank: -1, MemoryTier: -1, MemoryBytes: total.N, MemoryKnown: true,
		Provenance: Provenance{
			"cpus": unknown, "memory_bytes": "meminfo of the host", "free_bytes": unknown, "distances": unknown,
			"memory_tier": unknown, "access": unknown,
		},
	}
	if free := mi.Get("MemFree"); free.OK {
		n.FreeBytes, n.FreeKnown, n.Provenance["free_bytes"] = min(free.N, total.N), true, "meminfo of the host"
	}
	d.m.Nodes = append(d.m.Nodes, n)
	d.find("no-numa", "node0", "", "the kernel shows no nodes (built without NUMA, or a partial copy of a host): all memory counts as node 0")
	return nil
}

// access reads HMAT's numbers. Class 1 is of CPUs only. Class 0 is of the nearest initiator of any kind, which may be
// a GPU with a fast way that no CPU has, so it counts only when its initiators have CPUs.
func (d *discovery) access(n *Node) {
	n.Provenance["access"] = unknown
	for _, class := range []int{1, 0} {
		a, err := d.fs.NodeAccess(n.ID, class)
		if err != nil {
			continue
		}
		cpus := len(a.Initiators) > 0
		for _, id := range a.Initiators {
			if from := d.m.Node(id); from == nil || len(from.CPUs) == 0 {
				cpus = false
			}
		}
		if !cpus {
			n.Provenance["access"] = fmt.Sprintf("unknown: access%d is from %s without CPUs", class, nodesWord(a.Initiators))
			continue
		}
		known := a.ReadLatencyNS.OK || a.WriteLatencyNS.OK || a.ReadBandwidthMiBs.OK || a.WriteBandwidthMiBs.OK
		if !known {
			n.Provenance["access"] = fmt.Sprintf("unknown: access%d has no numbers", class)
			continue
		}
		n.Access = &Access{
			Class: class, Initiators: a.Initiators,
			ReadLatencyNS: a.ReadLatencyNS.N, WriteLatencyNS: a.WriteLatencyNS.N,
			ReadBandwidthMiBs: a.ReadBandwidthMiBs.N, WriteBandwidthMiBs: a.WriteBandwidthMiBs.N,
		}
		n.Provenance["access"] = fmt.Sprintf("hmat access%d", class)
		return
	}
}

func nodesWord(ids []int) string {
	if len(ids) == 0 {
		return "no node"
	}
	if len(ids) == 1 {
		return fmt.Sprintf("node %d", ids[0])
	}
	return "nodes " + hostfs.FormatList(ids)
}
