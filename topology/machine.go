package topology

import (
	"encoding/json"
	"sort"
)

// SchemaVersion is raised when a field of the JSON form changes its meaning or goes away.
const SchemaVersion = 1

// Kind is what a node's memory is believed to be. The tier that it belongs to is a second question.
type Kind string

// Kinds of nodes.
const (
	KindDRAM    Kind = "dram"
	KindHBM     Kind = "hbm"        // faster than DRAM, and without CPUs
	KindCXL     Kind = "cxl"        // slower than DRAM
	KindPMEM    Kind = "pmem"       // persistent memory used as RAM
	KindGPU     Kind = "gpu-memory" // a GPU's own memory as a node
	KindNone    Kind = "no-memory"
	KindUnknown Kind = "unknown"
)

// TierNone is the Tier of a node that is in no tier. As the name of a table ([tier.none]) it keeps nodes out of all tiers.
const TierNone = "none"

// Names of the tiers that are discovered.
const (
	tierHBM  = "hbm"
	tierDRAM = "dram"
	tierCXL  = "cxl"
)

// Provenance tells for each fact, by the name of its JSON field, where it comes from. "unknown" is an answer, and
// "assumed" begins the provenance of values that the host does not give.
type Provenance map[string]string

const (
	unknown = "unknown"
	assumed = "assumed"
)

// Machine is a host's memory. It is not changed after [Discover].
type Machine struct {
	SchemaVersion int       `json:"schema_version"`
	Kernel        string    `json:"kernel,omitempty"` // release; "" is unknown
	PageSize      uint64    `json:"page_size"`        // bytes
	Nodes         []Node    `json:"nodes"`            // ascending by ID
	Tiers         []Tier    `json:"tiers"`            // fastest first
	GPUs          []GPU     `json:"gpus"`             // ascending by PCI address
	Dax           []Dax     `json:"dax,omitempty"`
	Findings      []Finding `json:"findings"`
}

// Node is a NUMA node.
type Node struct {
	ID   int
	CPUs []int
	// MemoryBytes is 0 both for a node without memory and where the size is unknown: see MemoryKnown.
	MemoryBytes uint64
	MemoryKnown bool
	FreeBytes   uint64
	FreeKnown   bool
	// SideCacheBytes is the size of the memory-side cache in front of the node; 0 without one.
	SideCacheBytes uint64
	Kind           Kind
	Tier           string // TierNone, or the name of a tier
	Rank           int    // of the tier; -1 for none
	// Access is what HMAT says of the way from CPUs to the node; nil is unknown.
	Access *Access
	// LatencyNS and BandwidthMiBs are of the unloaded node, read and write averaged; from HMAT, or
	// assumed by Kind. 0 for nodes without memory.
	LatencyNS     uint64
	BandwidthMiBs uint64
	// AccessNS is the effective cost of an access: see [AccessNS]. 0 for nodes without memory.
	AccessNS float64
	// Distances has one number per node of Machine.Nodes, in their order; nil is unknown.
	Distances []int
	// MemoryTier is the kernel's own tier; -1 is unknown.
	MemoryTier int
	// PFNRanges are where the node's pages are, ascending; nil is unknown.
	PFNRanges  []PFNRange
	Provenance Provenance
}

// HasMemory says whether the node has memory, as far as is known.
func (n *Node) HasMemory() bool { return n.Kind != KindNone && n.Kind != KindUnknown }

// Access is the performance of a node that HMAT gives. 0 is unknown.
type Access struct {
	Class              int    `json:"class"`      // 1: CPUs only; 0: whatever is nearest, and here that is CPUs
	Initiators         []int  `json:"initiators"` // nodes with CPUs
	ReadLatencyNS      uint64 `json:"read_latency_ns,omitempty"`
	WriteLatencyNS     uint64 `json:"write_latency_ns,omitempty"`
	ReadBandwidthMiBs  uint64 `json:"read_bandwidth_mib_s,omitempty"`
	WriteBandwidthMiBs uint64 `json:"write_bandwidth_mib_s,omitempty"`
}

// PFNRange is a range of page frame numbers, in pages of Machine.PageSize; End is the first after it.
type PFNRange struct {
	Start uint64 `json:"start"`
	End   uint64 `json:"end"`
}

// Tier is a rank of nodes.
type Tier struct {
	Name     string  `json:"name"`
	Rank     int     `json:"rank"` // 0 is the fastest
	Nodes    []int   `json:"nodes"`
	AccessNS float64 `json:"access_ns"`
}

// GPU is an accelerator. A chip that only draws the console is none.
type GPU struct {
	PCI      string `json:"pci"`
	Vendor   string `json:"vendor"` // nvidia, amd or intel
	VendorID uint64 `json:"vendor_id,omitempty"`
	DeviceID uint64 `json:"device_id,omitempty"`
	Class    uint64 `json:"class,omitempty"`
	Name     string `json:"name,omitempty"`
	// Node is the node near it, for DMA; -1 is unknown.
	Node int `json:"node"`
	// MemoryNode is the node that its own memory is; -1 where its driver keeps that memory to itself.
	MemoryNode int        `json:"memory_node"`
	Provenance Provenance `json:"provenance"`
}

// Dax is a dax device, and the node that it is or could be.
type Dax struct {
	Name       string `json:"name"`
	TargetNode int    `json:"target_node"`        // -1 is unknown
	Provider   string `json:"provider,omitempty"` // cxl, nvdimm, hmem; "" is unknown
	Online     bool   `json:"online"`             // the target node is online
}

// Finding is a fact that is not certain.
type Finding struct {
	Code    string `json:"code"`    // stable
	Subject string `json:"subject"` // "node2", a PCI address, a dax device
	Text    string `json:"text"`
	// Override is TOML that settles it as it was decided, with a comment where something else may be true; "" where
	// no key settles it.
	Override string `json:"override,omitempty"`
}

// Node returns the node with a number; nil when the host has no such node.
func (m *Machine) Node(id int) *Node {
	i := sort.Search(len(m.Nodes), func(i int) bool { return m.Nodes[i].ID >= id })
	if i == len(m.Nodes) || m.Nodes[i].ID != id {
		return nil
	}
	return &m.Nodes[i]
}

// Tier returns the tier with a name; nil when there is none.
func (m *Machine) Tier(name string) *Tier {
	for i := range m.Tiers {
		if m.Tiers[i].Name == name {
			return &m.Tiers[i]
		}
	}
	return nil
}

// Rank returns the rank of a node's tier; -1 when it is in none.
func (m *Machine) Rank(id int) int {
	if n := m.Node(id); n != nil {
		return n.Rank
	}
	return -1
}

// Distance returns the distance between two nodes; 0 is unknown.
func (m *Machine) Distance(from, to int) int {
	n := m.Node(from)
	i := sort.Search(len(m.Nodes), func(i int) bool { return m.Nodes[i].ID >= to })
	if n == nil || i == len(m.Nodes) || m.Nodes[i].ID != to || i >= len(n.Distances) {
		return 0
	}
	return n.Distances[i]
}

// GPU returns the GPU at a PCI address; nil when there is none.
func (m *Machine) GPU(pci string) *GPU {
	for i := range m.GPUs {
		if m.GPUs[i].PCI == pci {
			return &m.GPUs[i]
		}
	}
	return nil
}

// PFNSpan is a range of page frames and the node that they are on.
type PFNSpan struct {
	PFNRange
	Node int
}

// PFNSpans returns the page frames of all nodes, ascending and without overlap, for a search by page frame.
func (m *Machine) PFNSpans() []PFNSpan {
	var spans []PFNSpan
	for _, n := range m.Nodes {
		for _, r := range n.PFNRanges {
			spans = append(spans, PFNSpan{PFNRange: r, Node: n.ID})
		}
	}
	sort.Slice(spans, func(i, j int) bool { return spans[i].Start < spans[j].Start })
	return spans
}

// MarshalJSON writes null for what is unknown.
func (n Node) MarshalJSON() ([]byte, error) {
	optional := func(v uint64, known bool) *uint64 {
		if !known {
			return nil
		}
		return &v
	}
	var tier *int
	if n.MemoryTier >= 0 {
		tier = &n.MemoryTier
	}
	cpus := n.CPUs
	if cpus == nil && n.Provenance["cpus"] != unknown {
		cpus = []int{}
	}
	return json.Marshal(struct {
		ID             int        `json:"id"`
		Tier           string     `json:"tier"`
		Rank           int        `json:"rank"`
		Kind           Kind       `json:"kind"`
		CPUs           []int      `json:"cpus"`
		MemoryBytes    *uint64    `json:"memory_bytes"`
		FreeBytes      *uint64    `json:"free_bytes"`
		SideCacheBytes uint64     `json:"side_cache_bytes,omitempty"`
		Access         *Access    `json:"access"`
		LatencyNS      uint64     `json:"latency_ns,omitempty"`
		BandwidthMiBs  uint64     `json:"bandwidth_mib_s,omitempty"`
		AccessNS       float64    `json:"access_ns,omitempty"`
		Distances      []int      `json:"distances"`
		MemoryTier     *int       `json:"memory_tier"`
		PFNRanges      []PFNRange `json:"pfn_ranges"`
		Provenance     Provenance `json:"provenance"`
	}{
		n.ID, n.Tier, n.Rank, n.Kind, cpus, optional(n.MemoryBytes, n.MemoryKnown), optional(n.FreeBytes, n.FreeKnown),
		n.SideCacheBytes, n.Access, n.LatencyNS, n.BandwidthMiBs, n.AccessNS, n.Distances, tier, n.PFNRanges, n.Provenance,
	})
}
