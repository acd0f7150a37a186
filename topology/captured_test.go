package topology_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/topology"
)

// captured unpacks the tree of a real host.
func captured(t *testing.T, name string) *topology.Machine {
	t.Helper()
	if testing.Short() {
		t.Skip("captured hosts: thousands of files each")
	}
	t.Parallel()
	dir := os.Getenv("TIERD_HOSTS")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "hosts")
	}
	archive := filepath.Join(dir, name+".tar.bz2")
	if _, err := os.Stat(archive); err != nil {
		t.Skipf("captured hosts: %v (TIERD_HOSTS names their folder)", err)
	}
	root := t.TempDir()
	if out, err := exec.Command("tar", "xf", archive, "-C", root).CombinedOutput(); err != nil {
		t.Skipf("captured hosts: tar: %v: %s", err, out)
	}
	inside, err := os.ReadDir(root)
	if err != nil || len(inside) != 1 {
		t.Fatalf("%s: %v, %v; want one folder", archive, inside, err)
	}
	fs := hostfs.New(filepath.Join(root, inside[0].Name()))
	m := discover(t, fs, topology.Overrides{})
	confirm(t, fs, m)
	return m
}

// nothingInvented checks facts that none of the captured trees holds.
func nothingInvented(t *testing.T, m *topology.Machine) {
	t.Helper()
	for _, n := range m.Nodes {
		if n.MemoryTier != -1 || n.Provenance["memory_tier"] != "unknown" {
			t.Errorf("node %d: the tree has no memory tiers: %d", n.ID, n.MemoryTier)
		}
		if n.PFNRanges != nil || !strings.HasPrefix(n.Provenance["pfn_ranges"], "unknown") {
			t.Errorf("node %d: the tree has no zones and no block size: %v", n.ID, n.PFNRanges)
		}
		if n.Access == nil && n.HasMemory() && !strings.HasPrefix(n.Provenance["latency_ns"], "assumed") {
			t.Errorf("node %d: latency by %q", n.ID, n.Provenance["latency_ns"])
		}
	}
	if err := topology.Draw(&bytes.Buffer{}, m, topology.DrawOptions{}); err != nil {
		t.Error(err)
	}
}

func TestCapturedDaxTargets(t *testing.T) {
	m := captured(t, "32em64t-2n8c+dax+nvme+mic+dimms")
	nothingInvented(t, m)
	if got := shape(m); got != "dram=0-1" {
		t.Errorf("tiers: %s", got)
	}
	var targets []int
	for _, x := range m.Dax {
		targets = append(targets, x.TargetNode)
		if x.Online || x.Provider != "nvdimm" {
			t.Errorf("dax: %+v; want NVDIMMs that are not online", x)
		}
	}
	if !slices.Equal(targets, []int{4, 5, 5}) {
		t.Errorf("dax target nodes: %v", targets)
	}
	if m.Kernel != "" {
		t.Errorf("kernel %q, and the tree names none", m.Kernel)
	}
	// An ASPEED chip and a Xeon Phi (class 0x0b40) are there.
	if len(m.GPUs) != 0 {
		t.Errorf("GPUs: %+v", m.GPUs)
	}
}

func TestCapturedHeterogeneous(t *testing.T) {
	m := captured(t, "fakeheteromemtiers")
	nothingInvented(t, m)
	if got := shape(m); got != "hbm=4 dram=0-2 cxl=6,8-9" {
		t.Errorf("tiers: %s", got)
	}
	n := m.Node(4)
	if n.Kind != topology.KindHBM || n.Access == nil || n.Access.ReadBandwidthMiBs != 10000 || n.Access.ReadLatencyNS != 0 {
		t.Errorf("node 4: %+v, %+v", n, n.Access)
	}
	if !strings.HasPrefix(n.Provenance["latency_ns"], "assumed") || n.Provenance["bandwidth_mib_s"] != "hmat access1" {
		t.Errorf("node 4: HMAT gives a bandwidth and no latency: %v", n.Provenance)
	}
	if m.Node(9).Kind != topology.KindPMEM {
		t.Errorf("node 9: %s", m.Node(9).Kind)
	}
	for _, want := range []string{"cpu-node-differs:node2", "dax-offline:dax0.0", "dax-offline:dax2.0", "dax-offline:dax6.0"} {
		if !strings.Contains(codes(m), want) {
			t.Errorf("findings %s lack %s", codes(m), want)
		}
	}
	for _, gap := range []int{3, 5, 7} {
		if m.Node(gap) != nil {
			t.Errorf("node %d is invented", gap)
		}
	}
}

func TestCapturedMemorySideCaches(t *testing.T) {
	m := captured(t, "memorysidecaches")
	nothingInvented(t, m)
	if got := shape(m); got != "dram=0-3" {
		t.Errorf("tiers: %s", got)
	}
	for _, n := range m.Nodes {
		if n.SideCacheBytes != 96<<30 {
			t.Errorf("node %d: side cache of %d bytes", n.ID, n.SideCacheBytes)
		}
		// The firmware's HMAT is all zeros, which is no performance.
		if n.Access != nil || !strings.HasPrefix(n.Provenance["access"], "unknown") {
			t.Errorf("node %d: %+v by %q", n.ID, n.Access, n.Provenance["access"])
		}
	}
}

func TestCapturedGPUNodes(t *testing.T) {
	m := captured(t, "nvidiagpunumanodes")
	nothingInvented(t, m)
	if got := shape(m); got != "dram=0,8 none=250-255" {
		t.Errorf("tiers: %s", got)
	}
	if len(m.GPUs) != 6 {
		t.Errorf("%d GPUs", len(m.GPUs))
	}
	home := map[string]int{"0004": 0, "0006": 0, "0007": 8, "0035": 8}
	for _, g := range m.GPUs {
		n := m.Node(g.MemoryNode)
		if g.Vendor != "nvidia" || n == nil || n.Kind != topology.KindGPU || g.Node != home[g.PCI[:4]] || g.Name != "" {
			t.Errorf("GPU: %+v", g)
		}
	}
	if g := m.GPU("0004:05:00.0"); g == nil || g.MemoryNode != 255 {
		t.Errorf("GPU 0004:05:00.0: %+v", g)
	}
	if d := m.Distance(0, 8); d != 40 {
		t.Errorf("distance 0 to 8: %d", d)
	}
}

func TestCapturedLocality(t *testing.T) {
	m := captured(t, "40intel64-2g2n4c+pcilocality")
	nothingInvented(t, m)
	if got := shape(m); got != "dram=0-3" {
		t.Errorf("tiers: %s", got)
	}
	// The only display is the console's Matrox chip.
	if len(m.GPUs) != 0 || codes(m) != "" {
		t.Errorf("GPUs %+v, findings %s", m.GPUs, codes(m))
	}
	if got := hostfs.FormatList(m.Node(3).CPUs); got != "3,7,11,15,19,23,27,31,35,39" {
		t.Errorf("CPUs of node 3: %s", got)
	}
}

func TestCapturedSparse(t *testing.T) {
	m := captured(t, "48amd64-4pa2n6c-sparse")
	nothingInvented(t, m)
	if got := shape(m); got != "dram=0-2,33-34,45,72-73" {
		t.Errorf("tiers: %s", got)
	}
	if d := m.Distance(33, 73); d != 22 {
		t.Errorf("distance 33 to 73: %d", d)
	}
	if d := m.Distance(33, 40); d != 0 || m.Rank(40) != -1 {
		t.Errorf("node 40 is invented: %d", d)
	}
}
