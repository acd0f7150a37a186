package topology

import "math"

// linesInFlight times a cache line is what one socket of a training host keeps on the way.
const (
	cacheLine     = 64
	linesInFlight = 512
	rankStep      = 1.05
)

// AccessNS is the effective cost of an access in nanoseconds: the latency of a loaded node, which is its idle
// latency and the time that 512 cache lines in flight take at its bandwidth. Training hosts are
// bound by bandwidth; the idle latency alone would put HBM (120 ns, 900 GiB/s) behind DRAM (100 ns, 200 GiB/s).
func AccessNS(latencyNS, bandwidthMiBs uint64) float64 {
	if bandwidthMiBs == 0 {
		return float64(latencyNS)
	}
	perNS := float64(bandwidthMiBs) * (1 << 20) / 1e9
	return float64(latencyNS) + cacheLine*linesInFlight/perNS
}

// assumedPerf is what a node of a kind is taken to do where HMAT does not say. The numbers are round figures of
// current hardware for one socket; they decide how much a move is worth, never which tier is faster.
//
//	kind        latency   bandwidth
//	dram         100 ns   200 GiB/s   8 to 12 channels of DDR5
//	hbm          120 ns   900 GiB/s   Xeon Max
//	cxl          350 ns    30 GiB/s   a x8 expander behind one hop
//	pmem         300 ns    20 GiB/s   Optane, mixed reads and writes
//	gpu-memory   800 ns   400 GiB/s   over NVLink-C2C, from the CPU
func assumedPerf(k Kind) (latencyNS, bandwidthMiBs uint64) {
	const gib = 1024
	switch k {
	case KindDRAM:
		return 100, 200 * gib
	case KindHBM:
		return 120, 900 * gib
	case KindCXL:
		return 350, 30 * gib
	case KindPMEM:
		return 300, 20 * gib
	case KindGPU:
		return 800, 400 * gib
	}
	return 0, 0
}

// performance sets what a node does: HMAT's numbers, and assumed ones for those that are missing.
func (d *discovery) performance(n *Node) {
	n.LatencyNS, n.BandwidthMiBs = assumedPerf(n.Kind)
	if n.LatencyNS == 0 {
		return
	}
	from := assumed + " for " + string(n.Kind)
	n.Provenance["latency_ns"], n.Provenance["bandwidth_mib_s"] = from, from
	p := n.perf()
	if p.latency > 0 {
		n.LatencyNS, n.Provenance["latency_ns"] = max(p.latency/2, 1), n.Provenance["access"]
	}
	if p.bandwidth > 0 {
		n.BandwidthMiBs, n.Provenance["bandwidth_mib_s"] = max(p.bandwidth/2, 1), n.Provenance["access"]
	}
	n.AccessNS = tenth(AccessNS(n.LatencyNS, n.BandwidthMiBs))
	n.Provenance["access_ns"] = "latency and bandwidth"
}

// accessCosts makes the cost rise from each tier to the next, for the tiers and for the nodes in them: where the
// numbers contradict the order of the tiers, the order is what the operator or better evidence decided.
func (d *discovery) accessCosts() {
	floor := 0.0
	for i := range d.m.Tiers {
		t := &d.m.Tiers[i]
		top := floor
		for _, id := range t.Nodes {
			n := d.m.Node(id)
			if n.AccessNS < floor {
				n.AccessNS = floor
				n.Provenance["access_ns"] = "raised: 5 % above the faster tier"
			}
			top = max(top, n.AccessNS)
		}
		t.AccessNS = tenth(d.rawAccess(t.Nodes))
		floor = math.Ceil(top*rankStep*10) / 10
	}
}

// tenth rounds to a tenth, upwards: the numbers are for people too, and no digit beyond means anything.
func tenth(v float64) float64 { return math.Ceil(v*10) / 10 }
