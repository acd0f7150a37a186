package topology

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/tierd/tierd/internal/hostfs"
)

// DrawOptions is how [Draw] writes.
type DrawOptions struct {
	// Width is the number of columns; 0 means 80. Prose is broken there; what cannot be broken may be longer.
	Width int
	// Color adds terminal colours to the names of tiers. They mean nothing that the text does not say. The caller
	// honours NO_COLOR and pipes.
	Color bool
}

// Draw writes a machine for a person.
func Draw(w io.Writer, m *Machine, opts DrawOptions) error {
	if opts.Width <= 0 {
		opts.Width = 80
	}
	out := bufio.NewWriter(w)
	d := drawing{out: out, m: m, opts: opts}
	d.head()
	for _, t := range m.Tiers {
		d.printf("\n%s  %s   about %.0f ns per access under load\n", d.strong(fmt.Sprintf("tier %d", t.Rank), t.Rank), d.strong(t.Name, t.Rank), t.AccessNS)
		for _, id := range t.Nodes {
			d.node(m.Node(id))
		}
	}
	d.outside()
	d.homeless()
	d.findings()
	return out.Flush()
}

type drawing struct {
	out  *bufio.Writer // keeps the first error until Flush
	m    *Machine
	opts DrawOptions
}

func (d *drawing) printf(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

// strong marks the words of a tier.
func (d *drawing) strong(s string, rank int) string {
	if !d.opts.Color {
		return s
	}
	colors := []string{"1;31", "1;33", "1;36", "1;34"}
	return "\x1b[" + colors[min(rank, len(colors)-1)] + "m" + s + "\x1b[0m"
}

func (d *drawing) head() {
	kernel := ""
	if d.m.Kernel != "" {
		kernel = ", kernel " + d.m.Kernel
	}
	d.printf("%s, %s, %s%s\n", count(len(d.m.Nodes), "node"), count(len(d.m.Tiers), "tier"), count(len(d.m.GPUs), "GPU"), kernel)
	if len(d.m.Tiers) < 2 {
		what := "all the memory is in one tier"
		switch {
		case len(d.m.Tiers) == 0:
			what = "no memory is in a tier"
		case len(d.m.Tiers[0].Nodes) == 1 && len(d.m.Nodes) == 1:
			what = "the host has one node"
		}
		d.prose("", what+": there is nothing to tier between. tierd observes and moves nothing.")
	}
}

// node writes one node, what is known of it, and the GPUs near it.
func (d *drawing) node(n *Node) {
	d.printf("  node %-4d%s\n", n.ID, d.size(n))
	d.prose("            ", strings.Join(nodeFacts(n), ", "))
	for _, g := range d.m.GPUs {
		if g.Node == n.ID {
			d.printf("            GPU %s  (%s)\n", gpuWords(g), g.Provenance["node"])
			d.gpuMemory(g)
		}
	}
}

func nodeFacts(n *Node) []string {
	facts := []string{"CPUs unknown"}
	if n.Provenance["cpus"] != unknown {
		facts[0] = "no CPUs"
		if len(n.CPUs) > 0 {
			facts[0] = "CPUs " + hostfs.FormatList(n.CPUs)
		}
	}
	if n.LatencyNS > 0 {
		facts = append(facts,
			fmt.Sprintf("%d ns%s", n.LatencyNS, isAssumed(n, "latency_ns")),
			fmt.Sprintf("%s%s", bandwidth(n.BandwidthMiBs), isAssumed(n, "bandwidth_mib_s")))
	}
	if n.SideCacheBytes > 0 {
		facts = append(facts, "behind a memory-side cache of "+bytesWord(n.SideCacheBytes))
	}
	if n.Kind != KindUnknown {
		facts = append(facts, fmt.Sprintf("%s (%s)", n.Kind, n.Provenance["kind"]))
	}
	if from := n.Provenance["tier"]; strings.HasPrefix(from, "override") {
		facts = append(facts, "tier by "+from)
	}
	return facts
}

func isAssumed(n *Node, fact string) string {
	if strings.HasPrefix(n.Provenance[fact], assumed) {
		return " (assumed)"
	}
	return ""
}

// size is a bar and numbers.
func (d *drawing) size(n *Node) string {
	if !n.MemoryKnown {
		return "size unknown"
	}
	if n.MemoryBytes == 0 {
		return "no memory"
	}
	if !n.FreeKnown {
		return bytesWord(n.MemoryBytes) + ", use unknown"
	}
	used := n.MemoryBytes - n.FreeBytes
	cells := max(10, min(40, d.opts.Width-50))
	full := int(float64(cells)*float64(used)/float64(n.MemoryBytes) + 0.5)
	return fmt.Sprintf("[%s%s] %s of %s used", strings.Repeat("#", full), strings.Repeat(".", cells-full), bytesWord(used), bytesWord(n.MemoryBytes))
}

// outside writes the nodes that are in no tier. Runs of nodes without memory, of which a GB200 has 28, take one line.
func (d *drawing) outside() {
	var empty []int
	head := false
	title := func() {
		if !head {
			d.printf("\nin no tier\n")
		}
		head = true
	}
	for i := range d.m.Nodes {
		n := &d.m.Nodes[i]
		if n.Rank >= 0 {
			continue
		}
		if n.Kind == KindNone && len(n.CPUs) == 0 && !d.hasGPU(n.ID) {
			empty = append(empty, n.ID)
			continue
		}
		title()
		d.node(n)
		for _, g := range d.m.GPUs {
			if g.MemoryNode == n.ID {
				d.prose("            ", fmt.Sprintf("the memory of GPU %s: used only if a [tier.NAME] names node %d", g.PCI, n.ID))
			}
		}
	}
	if len(empty) > 0 {
		title()
		d.printf("  %s without memory\n", nodesWord(empty))
	}
}

func (d *drawing) hasGPU(node int) bool {
	for _, g := range d.m.GPUs {
		if g.Node == node {
			return true
		}
	}
	return false
}

// homeless writes the GPUs of no known node.
func (d *drawing) homeless() {
	head := false
	for _, g := range d.m.GPUs {
		if d.m.Node(g.Node) != nil {
			continue
		}
		if !head {
			d.printf("\nGPUs of an unknown node\n")
		}
		head = true
		d.printf("  GPU %s\n", gpuWords(g))
		d.gpuMemory(g)
	}
}

func gpuWords(g GPU) string {
	s := g.PCI + "  " + g.Vendor
	if g.Name != "" {
		s = g.PCI + "  " + g.Name
	}
	return s
}

func (d *drawing) gpuMemory(g GPU) {
	switch {
	case g.MemoryNode >= 0:
		d.printf("              its own memory is node %d\n", g.MemoryNode)
	case g.Provenance["memory_node"] != unknown:
		d.printf("              its memory is the driver's: no node, and not tierd's business\n")
	}
}

func (d *drawing) findings() {
	if len(d.m.Findings) == 0 {
		return
	}
	d.printf("\nuncertain or unused, and the configuration that settles it\n")
	for _, f := range d.m.Findings {
		d.prose("  ", "- "+f.Text+" ["+f.Code+"]")
		if f.Override == "" {
			continue
		}
		for line := range strings.SplitSeq(f.Override, "\n") {
			d.printf("        %s\n", line)
		}
	}
}

// prose writes text broken at the width.
func (d *drawing) prose(indent, text string) {
	line := indent
	hang := indent
	if strings.HasPrefix(text, "- ") {
		hang += "  "
	}
	empty := true
	for word := range strings.FieldsSeq(text) {
		if !empty && len(line)+1+len(word) > d.opts.Width {
			d.printf("%s\n", line)
			line, empty = hang, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	d.printf("%s\n", line)
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// bytesWord writes a size in the largest unit that leaves a number above one.
func bytesWord(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v /= 1024
		u++
	}
	if u == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, units[u])
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}

func bandwidth(mib uint64) string {
	if mib >= 1024 {
		return fmt.Sprintf("%.0f GiB/s", float64(mib)/1024)
	}
	return fmt.Sprintf("%d MiB/s", mib)
}
