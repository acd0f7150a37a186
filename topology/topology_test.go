package topology_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/topology"
)

func discover(t *testing.T, fs *hostfs.FS, ov topology.Overrides) *topology.Machine {
	t.Helper()
	m, err := topology.Discover(fs, ov)
	if err != nil {
		t.Fatal(err)
	}
	invariants(t, m)
	return m
}

func fixture(t *testing.T, name string, ov topology.Overrides) *topology.Machine {
	t.Helper()
	return discover(t, hostfstest.Open(t, filepath.Join("testdata", name+".txtar")), ov)
}

// invariants holds for every machine.
func invariants(t *testing.T, m *topology.Machine) {
	t.Helper()
	seen := map[int]string{}
	floor := 0.0
	for i, tier := range m.Tiers {
		if tier.Rank != i || len(tier.Nodes) == 0 {
			t.Errorf("tier %s: rank %d at place %d, nodes %v", tier.Name, tier.Rank, i, tier.Nodes)
		}
		if tier.AccessNS < floor || tier.AccessNS <= 0 {
			t.Errorf("tier %s: %v ns, the faster tier wants %v", tier.Name, tier.AccessNS, floor)
		}
		for _, id := range tier.Nodes {
			n := m.Node(id)
			if other, ok := seen[id]; ok {
				t.Errorf("node %d is in tiers %s and %s", id, other, tier.Name)
			}
			seen[id] = tier.Name
			if n.Tier != tier.Name || n.Rank != tier.Rank || !n.HasMemory() || m.Rank(id) != tier.Rank {
				t.Errorf("node %d: %+v, in tier %s", id, n, tier.Name)
			}
			if n.AccessNS < floor {
				t.Errorf("node %d: %v ns, the faster tier wants %v", id, n.AccessNS, floor)
			}
		}
		floor = tier.AccessNS * 1.05
	}
	for _, n := range m.Nodes {
		if _, ok := seen[n.ID]; !ok && (n.Tier != topology.TierNone || n.Rank != -1) {
			t.Errorf("node %d has tier %q, rank %d, and no tier has it", n.ID, n.Tier, n.Rank)
		}
		for _, fact := range []string{"cpus", "memory_bytes", "free_bytes", "access", "distances", "memory_tier", "pfn_ranges", "tier"} {
			if n.Provenance[fact] == "" {
				t.Errorf("node %d: %s has no provenance", n.ID, fact)
			}
		}
	}
	for _, g := range m.GPUs {
		if g.Provenance["node"] == "" || g.Node >= 0 && m.Node(g.Node) == nil {
			t.Errorf("GPU %s: node %d by %q", g.PCI, g.Node, g.Provenance["node"])
		}
	}
	var last uint64
	for _, s := range m.PFNSpans() {
		if s.Start < last || s.End <= s.Start {
			t.Errorf("page frames %+v overlap or are empty", s)
		}
		last = s.End
	}
}

func TestHosts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatalf("fixtures: %v, %v", files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			m := fixture(t, name, topology.Overrides{})
			confirm(t, hostfstest.Open(t, file), m)
			var text bytes.Buffer
			if err := topology.Draw(&text, m, topology.DrawOptions{}); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/"+name+".txt", text.Bytes())
			js, err := json.MarshalIndent(m, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/"+name+".json", append(js, '\n'))
		})
	}
}

// shape is what matters first of a machine: "hbm=1 dram=0 cxl=2 none=3".
func shape(m *topology.Machine) string {
	var parts []string
	for _, tier := range m.Tiers {
		parts = append(parts, tier.Name+"="+hostfs.FormatList(tier.Nodes))
	}
	var out []int
	for _, n := range m.Nodes {
		if n.Rank < 0 {
			out = append(out, n.ID)
		}
	}
	if len(out) > 0 {
		parts = append(parts, "none="+hostfs.FormatList(out))
	}
	return strings.Join(parts, " ")
}

// confirm applies what each finding proposes: it must be a configuration, change nothing of what was decided, and
// settle the finding.
func confirm(t *testing.T, fs *hostfs.FS, m *topology.Machine) {
	t.Helper()
	for _, f := range m.Findings {
		if f.Override == "" {
			continue
		}
		c, err := config.Parse("tierd.toml", []byte(f.Override))
		if err != nil {
			t.Errorf("%s proposes %q: %v", f.Code, f.Override, err)
			continue
		}
		ov := topology.Overrides{GPUs: map[string]int{}}
		for _, x := range c.Tiers {
			ov.Tiers = append(ov.Tiers, topology.TierNodes{Name: x.Name, Nodes: x.Nodes.Slice()})
		}
		for _, g := range c.GPUs {
			ov.GPUs[g.Address] = g.Node
		}
		after := discover(t, fs, ov)
		if shape(after) != shape(m) {
			t.Errorf("%s proposes %q, which makes %s of %s", f.Code, f.Override, shape(after), shape(m))
		}
		if strings.Contains(codes(after), f.Code+":"+f.Subject) {
			t.Errorf("%s proposes %q, and stays", f.Code, f.Override)
		}
	}
}

// codes are the findings of a machine.
func codes(m *topology.Machine) string {
	var parts []string
	for _, f := range m.Findings {
		parts = append(parts, f.Code+":"+f.Subject)
	}
	return strings.Join(parts, " ")
}

func TestShapes(t *testing.T) {
	for _, tc := range []struct{ host, shape, findings string }{
		{"h100", "dram=0-1", ""},
		{"gh200", "dram=0 none=1-8", ""},
		{"gb200", "dram=0-1 none=2-33", ""},
		{"xeonmax", "hbm=2-3 dram=0-1", ""},
		{"cxl61", "dram=0-1 cxl=2", "kernel-tier-differs:node2"},
		{"gpunode", "dram=0-1", "gpu-node-inferred:0000:21:00.0 gpu-node-unknown:0000:41:00.0 gpu-node-inferred:0000:82:00.0"},
		{"onenode", "dram=0", ""},
		{"emulated", "hbm=1 dram=0 cxl=2", ""},
	} {
		m := fixture(t, tc.host, topology.Overrides{})
		if got := shape(m); got != tc.shape {
			t.Errorf("%s: %s, want %s", tc.host, got, tc.shape)
		}
		if got := codes(m); got != tc.findings {
			t.Errorf("%s: findings %q, want %q", tc.host, got, tc.findings)
		}
	}
}

func TestGPUs(t *testing.T) {
	type gpu struct {
		Vendor           string
		Node, MemoryNode int
		From             string
	}
	for _, tc := range []struct {
		host string
		ov   topology.Overrides
		want map[string]gpu
	}{
		{host: "gh200", want: map[string]gpu{"0009:01:00.0": {"nvidia", 0, 1, "numa_node"}}},
		{host: "gpunode", want: map[string]gpu{
			"0000:21:00.0": {"intel", 0, -1, "local_cpulist of the bridge 0000:20:01.0"},
			"0000:41:00.0": {"nvidia", -1, -1, "unknown"},
			"0000:82:00.0": {"amd", 1, -1, "numa_node of the bridge 0000:80:01.0"},
		}},
		{host: "gpunode", ov: topology.Overrides{GPUs: map[string]int{"41:00.0": 1, "0000:82:00.0": 0}}, want: map[string]gpu{
			"0000:21:00.0": {"intel", 0, -1, "local_cpulist of the bridge 0000:20:01.0"},
			"0000:41:00.0": {"nvidia", 1, -1, `override: topology.gpu."0000:41:00.0".node`},
			"0000:82:00.0": {"amd", 0, -1, `override: topology.gpu."0000:82:00.0".node`},
		}},
	} {
		m := fixture(t, tc.host, tc.ov)
		got := map[string]gpu{}
		for _, g := range m.GPUs {
			got[g.PCI] = gpu{g.Vendor, g.Node, g.MemoryNode, g.Provenance["node"]}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.host, d)
		}
	}
	m := fixture(t, "gpunode", topology.Overrides{GPUs: map[string]int{"0000:99:00.0": 1}})
	if !strings.Contains(codes(m), "gpu-absent:0000:99:00.0") {
		t.Errorf("findings %q say nothing of a GPU that is not there", codes(m))
	}
}

func TestOverrides(t *testing.T) {
	tiers := func(kv ...any) topology.Overrides {
		var ov topology.Overrides
		for i := 0; i < len(kv); i += 2 {
			nodes, _ := kv[i+1].([]int)
			ov.Tiers = append(ov.Tiers, topology.TierNodes{Name: kv[i].(string), Nodes: nodes})
		}
		return ov
	}
	for _, tc := range []struct {
		name, host string
		ov         topology.Overrides
		want       string
	}{
		{"all named, another order", "emulated", tiers("fast", []int{0}, "slow", []int{1, 2}), "fast=0 slow=1-2"},
		{"one node put right", "emulated", tiers("dram", []int{2}), "hbm=1 dram=0,2"},
		{"tables without nodes", "emulated", tiers("hbm", nil, "dram", nil, "cxl", nil), "hbm=1 dram=0 cxl=2"},
		{"an own name among the discovered", "emulated", tiers("far", []int{2}), "hbm=1 dram=0 far=2"},
		{"kept out", "emulated", tiers(config.TierNone, []int{2}), "hbm=1 dram=0 none=2"},
		{"the fastest kept out", "emulated", tiers(config.TierNone, []int{1}), "dram=0 cxl=2 none=1"},
		{"kept out, and the others named", "emulated", tiers("none", []int{0}, "slow", []int{2}, "fast", []int{1}), "slow=2 fast=1 none=0"},
		{"all kept out", "emulated", tiers("none", []int{0, 1, 2}), "none=0-2"},
		{"GPU memory that the operator allows", "gh200", tiers("hbm", []int{1}), "hbm=1 dram=0 none=2-8"},
		{"what the kernel says", "cxl61", tiers("dram", []int{2}), "dram=0-2"},
	} {
		m := fixture(t, tc.host, tc.ov)
		if got := shape(m); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if tc.host == "cxl61" && codes(m) != "" {
			t.Errorf("%s: the finding stays: %s", tc.name, codes(m))
		}
	}
	for _, tc := range []struct {
		name, host string
		ov         topology.Overrides
		want       []string
	}{
		{"overlap", "emulated", tiers("a", []int{0, 1}, "b", []int{1}), []string{"tier.b.nodes: node 1 is already in tier.a.nodes"}},
		{"no such node", "emulated", tiers("a", []int{7}), []string{"tier.a.nodes: node 7 is not on this host, which has 0-2"}},
		{"no memory", "gh200", tiers("a", []int{3}), []string{"tier.a.nodes: node 3 has no memory"}},
		{"GPUs", "emulated", topology.Overrides{GPUs: map[string]int{"0000:c1:00.0": 9, "gpu0": 0}}, []string{
			`topology.gpu."0000:c1:00.0".node: node 9 is not on this host`, `topology.gpu."gpu0": not a PCI address`,
		}},
		{"all at once", "emulated", tiers("a", []int{7, 0}, "a", nil, "b", []int{8, 0}), []string{
			"node 7", "tier.a: named twice", "node 8", "tier.b.nodes: node 0 is already in tier.a.nodes",
		}},
	} {
		_, err := topology.Discover(hostfstest.Open(t, filepath.Join("testdata", tc.host+".txtar")), tc.ov)
		if err == nil {
			t.Errorf("%s: no error", tc.name)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", tc.name, err, want)
			}
		}
	}
}

// part is a host in a few lines, for what no whole host shows.
func part(t *testing.T, text string) *topology.Machine {
	t.Helper()
	return discover(t, hostfs.New(hostfstest.Unpack(t, text)), topology.Overrides{})
}

const twoNodes = `
-- sys/devices/system/node/online --
0-1
-- sys/devices/system/node/node0/cpulist --
0-3
-- sys/devices/system/node/node0/meminfo --
Node 0 MemTotal: 4194304 kB
-- sys/devices/system/node/node1/cpulist --

-- sys/devices/system/node/node1/meminfo --
Node 1 MemTotal: 4194304 kB
`

func TestEvidence(t *testing.T) {
	for _, tc := range []struct {
		name, more            string
		shape, kind, findings string
	}{
		{
			name:  "nothing is known of the second node",
			shape: "dram=0 cxl=1", kind: "assumed: no CPUs, and nothing tells how fast", findings: "tier-assumed:node1",
		},
		{
			name:  "distance",
			more:  "-- sys/devices/system/node/node0/distance --\n10 14\n-- sys/devices/system/node/node1/distance --\n14 10\n",
			shape: "dram=0 cxl=1", kind: "distance 14, no CPUs", findings: "tier-assumed:node1",
		},
		{
			name: "the tiers of 6.1 prove nothing",
			more: "-- proc/sys/kernel/osrelease --\n6.1.0\n-- sys/devices/virtual/memory_tiering/memory_tier4/nodelist --\n0\n" +
				"-- sys/devices/virtual/memory_tiering/memory_tier2/nodelist --\n1\n",
			shape: "dram=0 cxl=1", kind: "assumed: no CPUs, and nothing tells how fast", findings: "tier-assumed:node1",
		},
		{
			name: "the tiers of 6.12 do",
			more: "-- proc/sys/kernel/osrelease --\n6.12.0\n-- sys/devices/virtual/memory_tiering/memory_tier4/nodelist --\n0\n" +
				"-- sys/devices/virtual/memory_tiering/memory_tier2/nodelist --\n1\n",
			shape: "hbm=1 dram=0", kind: "memory_tier2: faster than DRAM",
		},
		{
			name: "a CXL device",
			more: "-- sys/devices/platform/ACPI0017:00/root0/decoder0.0/region0/dax_region0/dax0.0/target_node --\n1\n" +
				"-- sys/bus/dax/devices/dax0.0 -> ../../../devices/platform/ACPI0017:00/root0/decoder0.0/region0/dax_region0/dax0.0 --\n",
			shape: "dram=0 cxl=1", kind: "target_node of dax0.0 (cxl)",
		},
		{
			name: "a CXL window around its pages",
			more: "-- proc/zoneinfo --\nNode 0, zone Normal\n spanned 1048576\n present 1048576\n managed 1048576\n start_pfn: 0\n" +
				"Node 1, zone Normal\n spanned 1048576\n present 1048576\n managed 1048576\n start_pfn: 1048576\n" +
				"-- sys/bus/cxl/devices/decoder0.0/start --\n0x100000000\n-- sys/bus/cxl/devices/decoder0.0/size --\n0x100000000\n",
			shape: "dram=0 cxl=1", kind: "cxl window decoder0.0",
		},
		{
			name: "special-purpose memory with no numbers is not called CXL for certain",
			more: "-- sys/devices/platform/hmem.0/dax0.0/target_node --\n1\n" +
				"-- sys/bus/dax/devices/dax0.0 -> ../../../devices/platform/hmem.0/dax0.0 --\n",
			shape: "dram=0 cxl=1", kind: "assumed: no CPUs, and nothing tells how fast", findings: "tier-assumed:node1",
		},
		{
			name: "GPU memory by the resource map, without the driver's files",
			more: "-- proc/zoneinfo --\nNode 0, zone Normal\n spanned 1048576\n present 1048576\n managed 1048576\n start_pfn: 0\n" +
				"Node 1, zone Movable\n spanned 1048576\n present 1048576\n managed 1048576\n start_pfn: 1048576\n" +
				"-- proc/iomem --\n00000000-ffffffff : System RAM\n100000000-1ffffffff : System RAM (NVIDIA)\n",
			shape: "dram=0 none=1", kind: "iomem: System RAM (NVIDIA)",
		},
		{
			name:  "HMAT of a GPU's way is not a CPU's",
			more:  hmat(0, 1, 0, 100, 200000) + hmat(1, 0, 1, 50, 3000000),
			shape: "dram=0 cxl=1", kind: "assumed: no CPUs, and nothing tells how fast", findings: "tier-assumed:node1",
		},
		{
			name:  "HMAT: no slower than DRAM is DRAM",
			more:  hmat(0, 1, 0, 100, 200000) + hmat(1, 1, 0, 105, 200000),
			shape: "dram=0-1", kind: "hmat access1: as fast as DRAM",
		},
		{
			name:  "HMAT: bandwidth outweighs latency",
			more:  hmat(0, 1, 0, 100, 200000) + hmat(1, 1, 0, 120, 900000),
			shape: "hbm=1 dram=0", kind: "hmat access1: faster than DRAM",
		},
	} {
		fs := hostfs.New(hostfstest.Unpack(t, twoNodes+tc.more))
		m := discover(t, fs, topology.Overrides{})
		confirm(t, fs, m)
		if got := shape(m); got != tc.shape {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.shape)
		}
		if got := m.Node(1).Provenance["kind"]; got != tc.kind {
			t.Errorf("%s: by %q, want %q", tc.name, got, tc.kind)
		}
		if got := codes(m); got != tc.findings {
			t.Errorf("%s: findings %q, want %q", tc.name, got, tc.findings)
		}
		for _, f := range m.Findings {
			if f.Code == "tier-assumed" && f.Override != "[tier.cxl]\nnodes = \"1\"   # or [tier.hbm], if it is faster than DRAM" {
				t.Errorf("%s: the way out is %q", tc.name, f.Override)
			}
		}
	}
}

// hmat is one node's access class.
func hmat(node, class, initiator, latency, bandwidth int) string {
	dir := fmtInt("sys/devices/system/node/node", node) + fmtInt("/access", class) + "/initiators/"
	text := "-- " + dir + fmtInt("node", initiator) + " -> ../../../" + fmtInt("node", initiator) + " --\n"
	for _, rw := range []string{"read", "write"} {
		text += "-- " + dir + rw + "_latency --\n" + fmtInt("", latency) + "\n-- " + dir + rw + "_bandwidth --\n" + fmtInt("", bandwidth) + "\n"
	}
	return text
}

func fmtInt(s string, n int) string {
	b, _ := json.Marshal(n)
	return s + string(b)
}

func TestHBMWithCPUsIsOneTier(t *testing.T) {
	text := "-- sys/devices/system/node/online --\n0-3\n"
	for i := range 4 {
		dir := fmtInt("sys/devices/system/node/node", i)
		text += "-- " + dir + "/cpulist --\n" + fmtInt("", i) + "\n-- " + dir + "/meminfo --\nNode " + fmtInt("", i) + " MemTotal: 134217728 kB\n" +
			hmat(i, 1, i, 120, 3900000)
	}
	if got := shape(part(t, text)); got != "dram=0-3" {
		t.Errorf("MI300A: %s", got)
	}
}

func TestPageFrames(t *testing.T) {
	spans := func(m *topology.Machine) map[int][]topology.PFNRange {
		got := map[int][]topology.PFNRange{}
		for _, n := range m.Nodes {
			got[n.ID] = n.PFNRanges
		}
		return got
	}
	overlap := "-- proc/zoneinfo --\nNode 0, zone Normal\n spanned 131072\n present 65536\n managed 100000\n start_pfn: 0\n" +
		"Node 1, zone Normal\n spanned 98304\n present 65536\n managed 100000\n start_pfn: 32768\n"
	blocks := "-- sys/devices/system/memory/block_size_bytes --\n8000000\n" +
		"-- sys/devices/system/node/node0/memory0/ --\n-- sys/devices/system/node/node0/memory2/ --\n" +
		"-- sys/devices/system/node/node1/memory1/ --\n-- sys/devices/system/node/node1/memory3/ --\n"
	for _, tc := range []struct {
		name, text string
		want       map[int][]topology.PFNRange
	}{
		{"zones overlap, blocks cut", overlap + blocks, map[int][]topology.PFNRange{
			0: {{Start: 0, End: 32768}, {Start: 65536, End: 98304}}, 1: {{Start: 32768, End: 65536}, {Start: 98304, End: 131072}},
		}},
		{"zones overlap, no blocks", overlap, map[int][]topology.PFNRange{0: nil, 1: nil}},
		{"blocks alone", blocks, map[int][]topology.PFNRange{
			0: {{Start: 0, End: 32768}, {Start: 65536, End: 98304}}, 1: {{Start: 32768, End: 65536}, {Start: 98304, End: 131072}},
		}},
		{"a block that both claim", blocks + "-- sys/devices/system/node/node1/memory2/ --\n", map[int][]topology.PFNRange{
			0: {{Start: 0, End: 32768}}, 1: {{Start: 32768, End: 65536}, {Start: 98304, End: 131072}},
		}},
		{"nothing", "", map[int][]topology.PFNRange{0: nil, 1: nil}},
	} {
		// 100000 pages of no size make 4 GiB: the page size stays at its default.
		m := part(t, twoNodes+tc.text)
		if d := cmp.Diff(tc.want, spans(m)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, d)
		}
	}
	if m := fixture(t, "gh200", topology.Overrides{}); m.PageSize != 65536 {
		t.Errorf("page size %d, want 65536", m.PageSize)
	}
}

func TestUnknownStaysUnknown(t *testing.T) {
	m := part(t, "-- sys/devices/system/node/node3/uevent --\n")
	n := m.Node(3)
	if n == nil || n.HasMemory() || n.MemoryKnown || n.FreeKnown || n.Access != nil || n.MemoryTier != -1 || n.Distances != nil || len(m.Tiers) != 0 {
		t.Errorf("of a node with nothing but a number: %+v", n)
	}
	js, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"memory_bytes":null`, `"free_bytes":null`, `"access":null`, `"memory_tier":null`, `"cpus":null`, `"distances":null`} {
		if !strings.Contains(string(js), want) {
			t.Errorf("%s is not in %s", want, js)
		}
	}
	m = part(t, "-- proc/meminfo --\nMemTotal: 1024 kB\n")
	if codes(m) != "no-numa:node0" || shape(m) != "dram=0" {
		t.Errorf("a kernel without nodes: %s, %s", shape(m), codes(m))
	}
	if _, err := topology.Discover(hostfs.New(t.TempDir()), topology.Overrides{}); err == nil {
		t.Error("an empty folder is a host")
	}
}

func TestAccessNS(t *testing.T) {
	hbm, dram, cxl := topology.AccessNS(120, 900*1024), topology.AccessNS(100, 200*1024), topology.AccessNS(350, 30*1024)
	if !(hbm < dram && dram < cxl) {
		t.Errorf("hbm %v, dram %v, cxl %v", hbm, dram, cxl)
	}
	// An order that the numbers contradict still rises.
	m := fixture(t, "emulated", topology.Overrides{Tiers: []topology.TierNodes{{Name: "a", Nodes: []int{2}}, {Name: "b", Nodes: []int{0}}, {Name: "c", Nodes: []int{1}}}})
	if shape(m) != "a=2 b=0 c=1" {
		t.Errorf("the operator's order became %s", shape(m))
	}
}

func TestDraw(t *testing.T) {
	m := fixture(t, "emulated", topology.Overrides{})
	var plain, color bytes.Buffer
	if err := topology.Draw(&plain, m, topology.DrawOptions{Width: 100}); err != nil {
		t.Fatal(err)
	}
	if err := topology.Draw(&color, m, topology.DrawOptions{Width: 100, Color: true}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(color.String(), "\x1b[") {
		t.Error("colour where none was asked for, or none where it was")
	}
	stripped := color.String()
	for _, code := range []string{"\x1b[0m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[1;36m", "\x1b[1;34m"} {
		stripped = strings.ReplaceAll(stripped, code, "")
	}
	if stripped != plain.String() {
		t.Error("colour says what the text does not")
	}
}

func TestRunningHost(t *testing.T) {
	fs := hostfs.New("/")
	if _, err := fs.Meminfo(); err != nil {
		t.Skip("no process file system here:", err)
	}
	m := discover(t, fs, topology.Overrides{})
	if len(m.Nodes) == 0 || m.Kernel == "" {
		t.Errorf("the running host: %+v", m)
	}
}
