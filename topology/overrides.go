package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/internal/hostfs"
)

// Overrides is what the configuration says of the machine. It always wins.
type Overrides struct {
	// Tiers are the tables [tier.NAME] in the order of the file, which is the order of speed. A table without nodes
	// keeps the nodes that are discovered for that name, and so do tiers that no table names: one
	// table can put one node right. The name [TierNone] takes nodes out of all tiers.
	Tiers []TierNodes
	// GPUs are the tables [topology.gpu."BDF"]: the node near a GPU by its PCI address.
	GPUs map[string]int
}

// TierNodes is one table [tier.NAME].
type TierNodes struct {
	Name  string
	Nodes []int // nil: as discovered
}

// pciKey is a PCI address in the kernel's writing: lower case, with the domain.
func pciKey(s string) string {
	s = strings.ToLower(s)
	if strings.Count(s, ":") == 1 {
		s = "0000:" + s
	}
	return s
}

// validate reports every override that this host contradicts, each by the name of its key.
func (ov Overrides) validate(m *Machine) error {
	var errs []error
	var ids []int
	for _, n := range m.Nodes {
		ids = append(ids, n.ID)
	}
	check := func(key string, id int) {
		n := m.Node(id)
		switch {
		case n == nil:
			errs = append(errs, fmt.Errorf("%s: node %d is not on this host, which has %s", key, id, hostfs.FormatList(ids)))
		case n.Kind == KindNone:
			errs = append(errs, fmt.Errorf("%s: node %d has no memory", key, id))
		}
	}
	owner := map[int]string{}
	seen := map[string]bool{}
	for _, t := range ov.Tiers {
		key := "tier." + t.Name + ".nodes"
		if t.Name == "" {
			errs = append(errs, errors.New("tier: a name is empty"))
		}
		if seen[t.Name] {
			errs = append(errs, fmt.Errorf("tier.%s: named twice", t.Name))
		}
		seen[t.Name] = true
		for _, id := range t.Nodes {
			check(key, id)
			if other, ok := owner[id]; ok && other != t.Name {
				errs = append(errs, fmt.Errorf("%s: node %d is already in tier.%s.nodes", key, id, other))
				continue
			}
			owner[id] = t.Name
		}
	}
	var gpus []string
	for pci := range ov.GPUs {
		gpus = append(gpus, pci)
	}
	slices.Sort(gpus)
	normal := map[string]string{}
	for _, pci := range gpus {
		key := fmt.Sprintf("topology.gpu.%q", pci)
		if !hostfs.IsPCIAddress(pciKey(pci)) {
			errs = append(errs, fmt.Errorf("%s: not a PCI address such as \"0000:c1:00.0\"", key))
		}
		if other, ok := normal[pciKey(pci)]; ok {
			errs = append(errs, fmt.Errorf("%s: the same device as topology.gpu.%q", key, other))
		}
		normal[pciKey(pci)] = pci
		check(key+".node", ov.GPUs[pci])
	}
	return errors.Join(errs...)
}

// tierOf returns the tier that the operator gives a node.
func (ov Overrides) tierOf(id int) (string, bool) {
	for _, t := range ov.Tiers {
		if slices.Contains(t.Nodes, id) {
			return t.Name, true
		}
	}
	return "", false
}

// gpuNode returns the node that the operator gives a GPU.
func (ov Overrides) gpuNode(pci string) (int, bool) {
	for key, node := range ov.GPUs {
		if pciKey(key) == pci {
			return node, true
		}
	}
	return 0, false
}
