package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/sampler/precise"
	"github.com/tierd/tierd/topology"
)

func tiers(e *examination) Check {
	if e.machineErr != nil {
		return found(Fail, "tierd topo shows what can be read", "%v", e.machineErr)
	}
	m := e.machine
	var parts []string
	for _, t := range m.Tiers {
		parts = append(parts, fmt.Sprintf("%s (node %s)", t.Name, hostfs.FormatList(t.Nodes)))
	}
	list := strings.Join(parts, ", ")
	const observes = "nothing to do if that is so: tierd observes and moves nothing; else name the tiers in [tier.*]"
	switch {
	case len(m.Tiers) == 0:
		return found(Fail, "name the tiers in [tier.*]", "no node with memory is in a tier")
	case len(m.Nodes) == 1:
		return found(Warn, observes, "the host has one node: there is nothing to tier between")
	case len(m.Tiers) == 1:
		return found(Warn, observes, "all memory is in one tier: %s", list)
	}
	return found(OK, "", "%d tiers: %s", len(m.Tiers), list)
}

// facts tells what of the machine is guessed. What is about GPUs has its own probe.
func facts(e *examination) Check {
	if e.machineErr != nil {
		return found(Unknown, "", "%v", e.machineErr)
	}
	var texts, settle []string
	for _, f := range e.machine.Findings {
		if !aboutGPU(f) && f.Code != "no-numa" {
			texts = append(texts, f.Text)
			if f.Override != "" {
				settle = append(settle, strings.ReplaceAll(f.Override, "\n", " "))
			}
		}
	}
	if len(texts) == 0 {
		return found(OK, "", "nothing about the nodes is uncertain")
	}
	return found(Warn, do("settle it in the configuration", settle), "%s", strings.Join(texts, "; "))
}

func gpuLocality(e *examination) Check {
	if e.machineErr != nil {
		return found(Unknown, "", "%v", e.machineErr)
	}
	if len(e.machine.GPUs) == 0 {
		return found(OK, "", "no GPUs")
	}
	var texts, settle []string
	for _, f := range e.machine.Findings {
		// One node is near to everything.
		if aboutGPU(f) && len(e.machine.Nodes) > 1 {
			texts = append(texts, f.Text)
			if f.Override != "" {
				settle = append(settle, strings.ReplaceAll(f.Override, "\n", " "))
			}
		}
	}
	if len(texts) == 0 {
		return found(OK, "", "the home node of every GPU is known (%d)", len(e.machine.GPUs))
	}
	return found(Warn, do("settle it in the configuration", settle), "%s", strings.Join(texts, "; "))
}

func aboutGPU(f topology.Finding) bool {
	return strings.HasPrefix(f.Code, "gpu-") || strings.HasPrefix(f.Code, "pci-") || f.Code == "display-unknown"
}

// do joins an advice and its keys.
func do(advice string, keys []string) string {
	if len(keys) == 0 {
		return ""
	}
	return advice + ": " + strings.Join(keys, "; ")
}

func pageTable(e *examination) Check {
	if e.Kernel == nil {
		return needsLive()
	}
	format, err := e.Kernel.PageTables(e.machine)
	if err != nil {
		advice := "the other probes say what is missing; without this source tierd observes and moves nothing"
		if u := (*pagetable.Unavailable)(nil); errors.As(err, &u) && u.Hint != "" {
			advice = u.Hint
		}
		return found(Fail, advice, "%v", err)
	}
	return found(OK, "", "read and checked against own memory: %s", format)
}

func hintFaults(e *examination) Check {
	if e.Kernel == nil {
		return needsLive()
	}
	all, err := e.Kernel.HintFaults()
	switch {
	case err != nil:
		advice := ""
		if u := (*hintfault.Unavailable)(nil); errors.As(err, &u) {
			advice = u.Hint
		}
		return found(OK, advice, "not available, and not needed: %v", err)
	case all:
		return found(OK, "", "functions cannot be hooked here; every page fault tells from where memory is used, while NUMA balancing is on")
	}
	return found(OK, "", "tell from where memory is used, while NUMA balancing is on")
}

func damonSource(e *examination) Check {
	workers, _, err := e.Host.DAMON()
	switch {
	case err != nil:
		return e.unread(err, found(OK, "", "not available: the kernel has no DAMON; memory that several processes map cannot be placed"))
	case workers > 0:
		return found(OK, "", "not available: somebody has set up DAMON, and tierd leaves it to them")
	case e.Host.DAMONStat():
		return found(OK, "boot with damon_stat.enabled=0, or write N to that parameter of the kernel", "not available: the kernel's damon_stat uses it; memory that several processes map cannot be placed")
	}
	return found(OK, "", "tells of memory that several processes map, where its workload says shared = true")
}

func samples(e *examination) Check {
	if _, err := e.Host.EventSources(); err != nil {
		return e.unread(err, found(OK, "", "not available: the kernel shows no event sources"))
	}
	events, err := precise.Choose(e.Host)
	if err != nil {
		return found(OK, "", "not available, and not needed: %v", err)
	}
	var names []string
	for i := range events {
		names = append(names, events[i].Name)
	}
	return found(OK, "", "may be named in [sampler] source: %s", strings.Join(names, ", "))
}

func kernelBTF(e *examination) Check {
	const advice = "boot a kernel with CONFIG_DEBUG_INFO_BTF=y"
	if err := e.Host.KernelTypes(); err != nil {
		return e.unread(err, found(Fail, advice, "the kernel gives no type information"))
	}
	return found(OK, "", "the kernel gives type information")
}

func kernelBPF(e *examination) Check {
	if e.Kernel == nil {
		return needsLive()
	}
	switch err := e.Kernel.BPF(); {
	case err == nil:
		return found(OK, "", "a map could be made")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return found(Fail, "run as root or with CAP_BPF and CAP_PERFMON; in a container, allow bpf in its seccomp profile", "bpf is not allowed: %v", err)
	default:
		return found(Fail, "boot a kernel with CONFIG_BPF_SYSCALL=y", "bpf: %v", err)
	}
}

func lockdown(e *examination) Check {
	mode, err := e.Host.Lockdown()
	switch {
	case err != nil:
		return e.unread(err, found(OK, "", "the kernel has no lockdown"))
	case mode == "confidentiality":
		return found(Fail, "boot with lockdown=integrity, or without", "lockdown is in confidentiality mode, which forbids eBPF to read kernel memory")
	}
	return found(OK, "", "lockdown: %s", mode)
}

func movePages(e *examination) Check {
	if e.Kernel == nil {
		return needsLive()
	}
	switch err := e.Kernel.MovePages(); {
	case err == nil:
		return found(OK, "", "move_pages answers")
	case errors.Is(err, unix.ENOSYS):
		return found(Fail, "boot a kernel with CONFIG_NUMA=y and CONFIG_MIGRATION=y", "the kernel has no move_pages")
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return found(Fail, "allow move_pages in the seccomp profile of the unit or container", "move_pages is not allowed: %v", err)
	default:
		return found(Fail, "", "move_pages: %v", err)
	}
}

// single says whether there is nothing that another mover could move between.
func (e *examination) single() bool { return e.machine != nil && len(e.machine.Nodes) < 2 }

func numaBalancing(e *examination) Check {
	mode, err := e.Host.NumaBalancing()
	switch {
	case err != nil:
		return e.unread(err, found(OK, "", "the kernel has no NUMA balancing"))
	case mode == 0:
		return found(OK, "", "off")
	case e.single():
		return found(OK, "", "mode %d, without effect on one node", mode)
	case mode&2 != 0:
		return found(Warn, "before tierd enforces: sysctl kernel.numa_balancing=0", "mode %d: the kernel tiers memory, too, and both would move the same pages", mode)
	}
	return found(Warn, "before tierd enforces: sysctl kernel.numa_balancing=0", "mode %d: the kernel moves pages to the node whose CPUs use them", mode)
}

func demotion(e *examination) Check {
	on, err := e.Host.DemotionEnabled()
	switch {
	case err != nil:
		return e.unread(err, found(OK, "", "the kernel has no demotion"))
	case on && !e.single():
		return found(Warn, "before tierd enforces, write false to "+e.Host.DemotionPath(), "on: when a node is full, the kernel itself puts pages into slower nodes, just promoted ones too")
	case on:
		return found(OK, "", "on, without effect on one node")
	}
	return found(OK, "", "off")
}

func damon(e *examination) Check {
	workers, running, err := e.Host.DAMON()
	switch {
	case err != nil:
		return e.unread(err, found(OK, "", "DAMON is not in use"))
	case running > 0:
		return found(Warn, "make sure that none of its schemes migrates pages, and leave the setup to its owner", "somebody runs DAMON (%s); its schemes may move pages, too", count(running, "worker"))
	case workers > 0:
		return found(OK, "", "somebody has set up DAMON, and it does not run")
	}
	return found(OK, "", "nobody has set up DAMON")
}

func pressure(e *examination) Check {
	psi, err := e.Host.MemoryPressure()
	if err != nil {
		if e.Host.Live() && errors.Is(err, unix.EOPNOTSUPP) {
			return found(Warn, "boot with psi=1", "the kernel measures no memory pressure: [thrash] psi has no effect")
		}
		return e.unread(err, found(Warn, "boot with psi=1 on a kernel with CONFIG_PSI=y", "the kernel measures no memory pressure: [thrash] psi has no effect"))
	}
	return found(OK, "", "some avg10 %.2f %%", psi.Some.Avg10)
}

// right makes the probe of one capability.
func right(bit int, name string, without Verdict, need string) func(*examination) Check {
	return func(e *examination) Check {
		if e.Kernel == nil {
			return needsLive()
		}
		set, err := e.Kernel.Capabilities()
		switch {
		case err != nil:
			return found(Unknown, "", "capabilities: %v", err)
		case set&(1<<bit) == 0:
			return found(without, "run as root, or give the unit AmbientCapabilities="+name, "missing: tierd needs it to %s", need)
		}
		return found(OK, "", "effective")
	}
}

// The kernel's own namespaces have fixed inodes (include/linux/proc_ns.h).
const initPIDNamespace = "pid:[4026531836]"

func pidNamespace(e *examination) Check {
	if e.Kernel == nil {
		return needsLive()
	}
	ns, err := e.Host.Readlink(hostfs.PIDPath(os.Getpid(), "ns/pid"))
	switch {
	case err != nil:
		return found(Unknown, "", "%v", err)
	case ns != initPIDNamespace:
		return found(Warn, "in a container, start it with the host's PID namespace (hostPID: true, --pid=host)", "own PID namespace: tierd sees only the processes in it")
	}
	return found(OK, "", "the host's")
}

func configFile(e *examination) Check {
	check := "tierd check " + e.ConfigName
	var problems config.Problems
	switch {
	case errors.As(e.ConfigErr, &problems):
		return found(Fail, check, "%s: %s", e.ConfigName, count(len(problems), "problem"))
	case e.ConfigErr != nil:
		return found(Fail, check, "%v", e.ConfigErr)
	case e.Config == nil:
		return found(OK, "", "%s does not exist: tierd runs with defaults, and observes", e.ConfigName)
	}
	if e.machine != nil {
		if ps := e.Config.CheckNodes(NodesWithMemory(e.machine)); len(ps) > 0 {
			return found(Fail, check, "%s: %s", e.ConfigName, count(len(ps), "problem"))
		}
	}
	if n := len(e.Config.NotActedOn()); n > 0 {
		return found(Warn, check, "%s: %s that this version does not act on", e.ConfigName, count(n, "key"))
	}
	mode := "observes"
	if e.Config.Enforcing() {
		mode = "enforces"
	}
	return found(OK, "", "%s is good, and %s", e.ConfigName, mode)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// NodesWithMemory returns the nodes that a configuration may name.
func NodesWithMemory(m *topology.Machine) config.NodeSet {
	var ids []int
	for i := range m.Nodes {
		if m.Nodes[i].Kind != topology.KindNone {
			ids = append(ids, m.Nodes[i].ID)
		}
	}
	return config.NodeSetOf(ids...)
}
