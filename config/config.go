package config

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Bounds of a file. Beyond them it is refused as a whole or in part; nothing
// that a person writes comes near.
const (
	MaxFileSize  = 1 << 20 // bytes
	MaxTiers     = 64
	MaxWorkloads = 256
	MaxGPUs      = 256
	MaxGlobs     = 1024 // patterns and other selector values, in all workloads together
	MaxName      = 63   // bytes of a tier's or a workload's name
)

// Config is a validated configuration. Slices are in the file's order.
type Config struct {
	Mode      Mode       `json:"mode"`
	Tiers     []Tier     `json:"tier"`     // from fast to slow; empty: to be discovered
	GPUs      []GPU      `json:"gpu"`      // overrides of the machine's topology
	Workloads []Workload `json:"workload"` // the first that matches a process wins
	Sampler   Sampler    `json:"sampler"`
	Migrate   Migrate    `json:"migrate"`
	Policy    Policy     `json:"policy"`
	Thrash    Thrash     `json:"thrash"`
	Metrics   Metrics    `json:"metrics"`
	Control   Control    `json:"control"`
	Record    Record     `json:"record"`

	src     *source // nil for Default
	notices []Notice
}

// TierNone is the name of the table [tier.none]: its nodes are in no tier, and
// tierd puts nothing there.
const TierNone = "none"

// Tier is [tier.NAME]: nodes of about the same speed. Nodes is never empty,
// and no node is in two tiers.
type Tier struct {
	Name    string  `json:"name"`
	Nodes   NodeSet `json:"nodes"`
	Reserve Reserve `json:"reserve"` // of each node; at most 50%
}

// GPU is [topology.gpu."ADDRESS"].
type GPU struct {
	Address string `json:"address"` // PCI address as sysfs writes it: "0000:c1:00.0"
	Node    int    `json:"node"`    // the GPU's home node
}

// Workload is [workload.NAME]. Values of one selector are alternatives;
// different selectors must all hold. At least one selector is set.
type Workload struct {
	Name string `json:"name"`
	Mode Mode   `json:"mode"` // its own, else the Config's

	Comm         []Glob     `json:"comm,omitempty"`          // the process's name, at most 15 bytes
	Exe          []PathGlob `json:"exe,omitempty"`           // path of the executable
	Unit         []Glob     `json:"unit,omitempty"`          // systemd unit
	Slice        []Glob     `json:"slice,omitempty"`         // systemd slice
	Cgroup       []Glob     `json:"cgroup,omitempty"`        // cgroup path below the mount point, starting with "/"
	SlurmJob     []Glob     `json:"slurm_job,omitempty"`     // Slurm job number
	K8sNamespace []Glob     `json:"k8s_namespace,omitempty"` // Kubernetes namespace
	K8sPod       []Glob     `json:"k8s_pod,omitempty"`       // Kubernetes pod name
	UID          []uint32   `json:"uid,omitempty"`           // effective user
	GPU          bool       `json:"gpu,omitempty"`           // only processes that have a GPU open

	Near   Near    `json:"near"`
	Shared bool    `json:"shared"` // also place memory that several processes map
	Period Period  `json:"period"`
	Weight float64 `json:"weight"` // of its share where workloads share a tier: 0.01 to 100
	Limits []Limit `json:"limit,omitempty"`
}

// Limit is the most of one tier that a workload may hold.
type Limit struct {
	Tier  string `json:"tier"`
	Bytes Bytes  `json:"bytes"`
}

// Sampler is [sampler]. The budgets are shares of one core.
type Sampler struct {
	Sources      []Source `json:"source"` // empty: auto
	CPUBudget    Percent  `json:"cpu_budget"`
	BurstBudget  Percent  `json:"burst_budget"` // after a start or a phase change; at least CPUBudget
	DetailMemory Bytes    `json:"detail_memory"`
}

// Migrate is [migrate].
type Migrate struct {
	Rate         Rate     `json:"rate"`          // of all moves together
	BatchLatency Duration `json:"batch_latency"` // a longer move_pages call makes the next one smaller
}

// Policy is [policy].
type Policy struct {
	// Split lets huge pages be split where their parts are worth more to a faster tier
	// than the whole.
	Split bool `json:"split"`
}

// Thrash is [thrash].
type Thrash struct {
	Separation float64  `json:"separation"` // z, in standard deviations: 2 to 6
	Payback    float64  `json:"payback"`    // benefit over cost: 1 to 100
	MaxWaste   Percent  `json:"max_waste"`  // wasted move time per time
	Window     Duration `json:"window"`     // a move undone within this is a ping-pong
	Breaker    Percent  `json:"breaker"`    // of moves undone
	PSI        Percent  `json:"psi"`        // some, avg10; above it nothing moves
}

// Metrics is [metrics].
type Metrics struct {
	Listen ListenAddr `json:"listen"` // empty: only the socket that systemd passes
}

// Control is [control].
type Control struct {
	Socket SocketPath `json:"socket"`
}

// Record is [record]: a ring of recordings on disk.
type Record struct {
	Dir     DirPath `json:"dir"`     // empty: nothing is recorded
	Size    Bytes   `json:"size"`    // of all segments together
	Segment Bytes   `json:"segment"` // a new one is begun at this; at most a quarter of Size
}

// DefaultReserve is the reserve of a tier that sets none, and of a tier that
// is discovered.
func DefaultReserve() Reserve { return Reserve{Share: 2 * OnePercent} }

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		Mode: ModeObserve,
		Sampler: Sampler{
			CPUBudget:    3 * OnePercent,
			BurstBudget:  10 * OnePercent,
			DetailMemory: 64 * MiB,
		},
		Migrate: Migrate{
			Rate:         Rate(GiB),
			BatchLatency: Duration(20 * time.Millisecond),
		},
		Thrash: Thrash{
			Separation: 2.5,
			Payback:    1.5,
			MaxWaste:   OnePercent / 5,
			Window:     Duration(time.Minute),
			Breaker:    50 * OnePercent,
			PSI:        10 * OnePercent,
		},
		Metrics: Metrics{Listen: "127.0.0.1:9417"},
		Control: Control{Socket: "/run/tierd/tierd.sock"},
		Record:  Record{Size: 256 * MiB, Segment: 8 * MiB},
	}
}

// NotActedOn lists the keys of the file that are valid but that this version
// does not act on yet, in the file's order. Each is a warning.
func (c *Config) NotActedOn() []Notice { return append([]Notice(nil), c.notices...) }

// Hash returns 16 hexadecimal digits that are the same for two configurations
// that mean the same, whatever their comments and layout, and differ otherwise.
func (c *Config) Hash() string {
	text, err := json.Marshal(c)
	if err != nil {
		// Cannot be: every value of a Config has a text.
		text = fmt.Appendf(nil, "%v", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// Enforcing reports whether any memory may be moved at all: whether a workload
// that this version can select is to be enforced.
func (c *Config) Enforcing() bool {
	for i := range c.Workloads {
		if w := &c.Workloads[i]; w.Mode == ModeEnforce && w.Selectable() {
			return true
		}
	}
	return false
}

// CheckNodes reports the nodes that the configuration names but the machine
// does not have. existing holds the machine's nodes with memory.
func (c *Config) CheckNodes(existing NodeSet) Problems {
	var ps Problems
	src := c.src
	if src == nil {
		src = newSource("config", "")
		src.root = &node{}
	}
	hint := "the nodes with memory are " + existing.String()
	if existing.Empty() {
		hint = ""
	}
	check := func(nodes NodeSet, path ...string) {
		missing := nodes.Minus(existing)
		if missing.Empty() {
			return
		}
		message := fmt.Sprintf("node %s does not exist on this machine", missing)
		if missing.Len() > 1 {
			message = fmt.Sprintf("nodes %s do not exist on this machine", missing)
		}
		n := src.root.find(path...)
		if n == nil {
			// A Config that was not read from a file has no places.
			ps = append(ps, Problem{File: src.name, Key: keyPath(path), Message: message, Hint: hint})
			return
		}
		ps = append(ps, src.problem(n.val, keyPath(path), n.name, message, hint))
	}
	for _, t := range c.Tiers {
		check(t.Nodes, "tier", t.Name, "nodes")
	}
	for _, g := range c.GPUs {
		check(NodeSetOf(g.Node), "topology", "gpu", g.Address, "node")
	}
	for _, w := range c.Workloads {
		check(w.Near.Nodes, "workload", w.Name, "near")
	}
	sortProblems(ps)
	return ps
}
