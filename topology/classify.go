package topology

import (
	"fmt"
	"slices"
)

// perf is a node's performance: sums of read and write, as the kernel has them. 0 is unknown.
type perf struct{ latency, bandwidth uint64 }

func (n *Node) perf() perf {
	a := n.Access
	if a == nil {
		return perf{}
	}
	return perf{latency: both(a.ReadLatencyNS, a.WriteLatencyNS), bandwidth: both(a.ReadBandwidthMiBs, a.WriteBandwidthMiBs)}
}

// both adds a read and a write value; one that is not known is taken to be like the other.
func both(r, w uint64) uint64 {
	switch {
	case r == 0:
		return 2 * w
	case w == 0:
		return 2 * r
	}
	return r + w
}

// dramDistance is the kernel's abstract distance of DRAM, and chunk the width of one of its tiers
// (include/linux/memory-tiers.h): distance / chunk is the number of the memory tier, 4 for DRAM.
const (
	chunk        = 128
	dramDistance = 4*chunk + chunk/2
)

// abstractDistance is the kernel's measure of a node against DRAM (mt_perf_to_adistance): in proportion to the
// latency and in inverse proportion to the bandwidth, because both matter: HBM with 120 ns and 900 GB/s is
// faster than DRAM with 100 ns and 200 GB/s. The kernel wants all the numbers; here one of the two is enough.
func abstractDistance(p, dram perf) (int, bool) {
	dist := float64(dramDistance)
	known := false
	if p.latency > 0 && dram.latency > 0 {
		dist *= float64(p.latency) / float64(dram.latency)
		known = true
	}
	if p.bandwidth > 0 && dram.bandwidth > 0 {
		dist *= float64(dram.bandwidth) / float64(p.bandwidth)
		known = true
	}
	return int(min(dist, 1<<30)), known
}

// dramPerf is what a node with CPUs does: the median, so that one odd node does not shift all the others.
func (d *discovery) dramPerf() perf {
	var lat, bw []uint64
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		if len(n.CPUs) == 0 || n.Kind == KindNone {
			continue
		}
		p := n.perf()
		if p.latency > 0 {
			lat = append(lat, p.latency)
		}
		if p.bandwidth > 0 {
			bw = append(bw, p.bandwidth)
		}
	}
	median := func(v []uint64) uint64 {
		if len(v) == 0 {
			return 0
		}
		slices.Sort(v)
		return v[(len(v)-1)/2]
	}
	return perf{latency: median(lat), bandwidth: median(bw)}
}

// kernelDRAMTier is the kernel's tier of the nodes with CPUs; -1 is unknown.
func (d *discovery) kernelDRAMTier() int {
	for _, n := range d.m.Nodes {
		if len(n.CPUs) > 0 && n.MemoryTier >= 0 && n.Kind != KindNone {
			return n.MemoryTier
		}
	}
	return -1
}

// speed is a node's speed against DRAM: -1 faster, 0 the same, 1 slower.
type speed int

func (s speed) String() string {
	switch {
	case s < 0:
		return "faster than"
	case s > 0:
		return "slower than"
	}
	return "as fast as"
}

// hmatSpeed judges a node by HMAT.
func (d *discovery) hmatSpeed(n *Node) (speed, bool) {
	dist, ok := abstractDistance(n.perf(), d.dram)
	if !ok {
		return 0, false
	}
	switch tier := dist / chunk; {
	case tier < dramDistance/chunk:
		return -1, true
	case tier > dramDistance/chunk:
		return 1, true
	}
	return 0, true
}

// kernelSpeed judges a node by the kernel's tier.
func (d *discovery) kernelSpeed(n *Node) (speed, bool) {
	dram := d.kernelDRAMTier()
	switch {
	case dram < 0 || n.MemoryTier < 0:
		return 0, false
	case n.MemoryTier < dram:
		return -1, true
	case n.MemoryTier > dram:
		return 1, true
	}
	return 0, true
}

// classify decides on each node's kind. The order is that of the package comment.
func (d *discovery) classify() {
	d.dram = d.dramPerf()
	d.discName = map[int]string{}
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		name := TierNone
		switch n.Kind {
		case KindNone:
		case KindUnknown:
			d.find("memory-unknown", nodeName(n.ID), "", "node %d: the host does not say whether it has memory: it is in no tier", n.ID)
		default:
			name = d.classifyOne(n)
		}
		d.discName[n.ID] = name
	}
}

// override is the configuration that says what was decided of a node. Somebody may paste it unread, so it must not
// turn a decision round: what else may be true stands behind it as a comment.
func override(n *Node, tier string) string {
	return fmt.Sprintf("[tier.%s]\nnodes = \"%d\"", tier, n.ID)
}

const orFaster = "   # or [tier." + tierHBM + "], if it is faster than DRAM"

// classifyOne sets the kind of a node with memory and returns the tier that it has without overrides.
func (d *discovery) classifyOne(n *Node) string {
	set := func(k Kind, from string) { n.Kind, n.Provenance["kind"] = k, from }
	hmat, hmatOK := d.hmatSpeed(n)
	kernel, kernelOK := d.kernelSpeed(n)
	_, fixed := d.ov.tierOf(n.ID)

	if pci, ok := d.gpuOf[n.ID]; ok {
		set(KindGPU, "nvidia numa_status of "+pci)
		if pci == "" {
			set(KindGPU, "iomem: System RAM (NVIDIA)")
		}
		return TierNone
	}
	if len(n.CPUs) > 0 || n.Provenance["cpus"] == unknown && len(d.m.Nodes) == 1 {
		set(KindDRAM, "has CPUs")
		if len(n.CPUs) == 0 {
			set(KindDRAM, "the only node")
		}
		if hmatOK && hmat != 0 && !fixed {
			tier := tierHBM
			if hmat > 0 {
				tier = tierCXL
			}
			d.find("cpu-node-differs", nodeName(n.ID), override(n, tierDRAM)+"   # or [tier."+tier+"], if HMAT is right",
				"node %d has CPUs and counts as DRAM, but HMAT says that it is %s the other nodes with CPUs", n.ID, hmat)
		}
		return tierDRAM
	}
	if d.fromDevice(n, set) {
		d.kernelDisagrees(n, 1, n.Provenance["kind"], kernel, kernelOK)
		return tierCXL
	}
	if hmatOK {
		from := fmt.Sprintf("%s: %s DRAM", n.Provenance["access"], hmat)
		d.kernelDisagrees(n, hmat, "HMAT", kernel, kernelOK)
		switch {
		case hmat < 0:
			set(KindHBM, from)
			return tierHBM
		case hmat > 0:
			set(KindCXL, from)
			return tierCXL
		}
		set(KindDRAM, from)
		return tierDRAM
	}
	if kernelOK && kernel != 0 && d.release.AtLeast(6, 12) {
		from := fmt.Sprintf("memory_tier%d: %s DRAM", n.MemoryTier, kernel)
		if kernel < 0 {
			set(KindHBM, from)
			return tierHBM
		}
		set(KindCXL, from)
		if !fixed {
			d.find("tier-by-kernel", nodeName(n.ID), override(n, tierCXL)+orFaster,
				"node %d has no CPUs and no HMAT data; the kernel's memory_tier%d says slower than DRAM, which is also what it says of "+
					"special-purpose memory that it knows nothing of", n.ID, n.MemoryTier)
		}
		return tierCXL
	}
	why := ""
	switch {
	case kernelOK && kernel == 0:
		why = fmt.Sprintf("; the kernel has it in memory_tier%d with DRAM, where it puts whatever it knows nothing of", n.MemoryTier)
	case kernelOK:
		why = fmt.Sprintf("; memory_tier%d of a kernel before 6.12, or of unknown age, ignores HMAT", n.MemoryTier)
	}
	set(KindCXL, assumed+": no CPUs, and nothing tells how fast")
	if far := d.nearestCPUDistance(n); far > 0 {
		set(KindCXL, fmt.Sprintf("distance %d, no CPUs", far))
	}
	if !fixed {
		d.find("tier-assumed", nodeName(n.ID), override(n, tierCXL)+orFaster,
			"node %d has no CPUs and the host does not tell how fast it is: taken to be slower than DRAM%s", n.ID, why)
	}
	return tierCXL
}

// fromDevice sets the kind of a node by the device that its memory is on.
func (d *discovery) fromDevice(n *Node, set func(Kind, string)) bool {
	if w, ok := d.cxlOf[n.ID]; ok {
		set(KindCXL, "cxl window "+w)
		return true
	}
	x, ok := d.daxOf[n.ID]
	if !ok {
		return false
	}
	switch x.Provider {
	case "cxl":
		set(KindCXL, "target_node of "+x.Name+" (cxl)")
		return true
	case "nvdimm":
		set(KindPMEM, "target_node of "+x.Name+" (nvdimm)")
		return true
	}
	// Memory that the firmware sets apart may be HBM or CXL: HMAT decides.
	return false
}

// kernelDisagrees reports a kernel tier that contradicts better evidence.
func (d *discovery) kernelDisagrees(n *Node, s speed, evidence string, kernel speed, known bool) {
	if !known || kernel == s {
		return
	}
	if _, fixed := d.ov.tierOf(n.ID); fixed {
		return
	}
	tier := map[speed]string{-1: tierHBM, 0: tierDRAM, 1: tierCXL}[s]
	d.find("kernel-tier-differs", nodeName(n.ID), override(n, tier),
		"node %d is %s DRAM by %s, but the kernel's memory_tier%d says %s DRAM (kernels before 6.12 ignore HMAT): the kernel's own tiering "+
			"treats it so, tierd does not", n.ID, s, evidence, n.MemoryTier, kernel)
}

// nearestCPUDistance is the distance from a node to the nearest other one with CPUs; 0 is unknown.
func (d *discovery) nearestCPUDistance(n *Node) int {
	best := 0
	for i, other := range d.m.Nodes {
		if other.ID == n.ID || len(other.CPUs) == 0 || i >= len(n.Distances) {
			continue
		}
		if v := n.Distances[i]; best == 0 || v < best {
			best = v
		}
	}
	return best
}

// tiers puts the nodes into tiers, and ranks those.
func (d *discovery) tiers() {
	nodes := map[string][]int{}
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		n.Tier = d.discName[n.ID]
		n.Provenance["tier"] = n.Provenance["kind"]
		if n.Kind == KindGPU {
			n.Provenance["tier"] = "GPU memory is in no tier unless the configuration names it"
		}
		if name, ok := d.ov.tierOf(n.ID); ok {
			n.Tier, n.Provenance["tier"] = name, "override: tier."+name+".nodes"
		}
		if n.Tier != TierNone {
			nodes[n.Tier] = append(nodes[n.Tier], n.ID)
		}
		d.performance(n)
	}
	for _, name := range d.order(nodes) {
		rank := len(d.m.Tiers)
		d.m.Tiers = append(d.m.Tiers, Tier{Name: name, Rank: rank, Nodes: nodes[name]})
		for _, id := range nodes[name] {
			d.m.Node(id).Rank = rank
		}
	}
	d.accessCosts()
}

// order ranks the names of the tiers: the configuration's in its order, and the discovered ones that it does
// not name where they belong among them.
func (d *discovery) order(nodes map[string][]int) []string {
	var names []string
	for _, t := range d.ov.Tiers {
		if t.Name != TierNone && len(nodes[t.Name]) > 0 {
			names = append(names, t.Name)
		}
	}
	standard := []string{tierHBM, tierDRAM, tierCXL}
	for rank, name := range standard {
		if len(nodes[name]) == 0 || slices.Contains(names, name) {
			continue
		}
		at := slices.IndexFunc(names, func(other string) bool {
			if k := slices.Index(standard, other); k >= 0 {
				return k > rank
			}
			return d.rawAccess(nodes[other]) > d.rawAccess(nodes[name])
		})
		if at < 0 {
			at = len(names)
		}
		names = slices.Insert(names, at, name)
	}
	return names
}

// rawAccess is the mean cost of nodes by their size.
func (d *discovery) rawAccess(ids []int) float64 {
	var sum, weight float64
	for _, id := range ids {
		n := d.m.Node(id)
		w := max(float64(n.MemoryBytes), 1)
		sum += w * n.AccessNS
		weight += w
	}
	return sum / weight
}

// home returns the only node that a set of CPUs is on.
func (d *discovery) home(cpus []int) (int, bool) {
	home := -1
	for _, n := range d.m.Nodes {
		for _, c := range n.CPUs {
			if _, found := slices.BinarySearch(cpus, c); found {
				if home >= 0 {
					return -1, false
				}
				home = n.ID
				break
			}
		}
	}
	return home, home >= 0
}

// cpuNodes returns the nodes with CPUs.
func (d *discovery) cpuNodes() []int {
	var ids []int
	for _, n := range d.m.Nodes {
		if len(n.CPUs) > 0 {
			ids = append(ids, n.ID)
		}
	}
	return ids
}
