package metrics

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/internal/movers"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
)

// Type of a metric, as Prometheus names it.
type Type string

// Types of metrics.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Definition is one metric.
type Definition struct {
	Name   string
	Type   Type
	Labels []string
	Help   string

	// read emits the values; nil for what is not read from a picture.
	read func(v *view, emit emitter)
}

// moveSeconds is a histogram that pictures have.
const moveSeconds = "tierd_host_move_seconds"

// natives emit the histograms that pictures have, by the name of the metric.
var natives = map[string]func(v *view, emit func(h status.Histogram, labels ...string)){
	moveSeconds: func(v *view, emit func(h status.Histogram, labels ...string)) {
		if h := v.Host; h != nil && h.MoveSeconds != nil {
			for _, name := range movedBy() {
				emit(h.MoveSeconds[name], name)
			}
		}
	},
}

// emitter takes a value and the labels in the order of the definition.
type emitter func(value float64, labels ...string)

// Reasons why memory stays where it is, as label values.
const (
	reasonImmovable = "immovable"
	reasonBound     = "bound"
	reasonShared    = "shared"
)

// What became of huge pages that were to be split, as label values.
const (
	splitDone    = "split"
	splitRefused = "refused"
)

// other is the label of what is in no closed set.
const other = "other"

// none is the label of a node in no tier.
const none = "none"

// outcomes are the label values of what becomes of a page.
func outcomes() []string { return migrate.ResultNames() }

func vetoes() []string {
	var names []string
	for _, r := range policy.Vetoes {
		names = append(names, string(r))
	}
	return names
}

// localities are the label values of hint faults: the page lay on the node of the CPU, or not.
func localities() []string { return []string{"local", "remote"} }

func movedBy() []string {
	var names []string
	for _, m := range movers.All() {
		names = append(names, string(m))
	}
	return names
}

func drops() []string {
	var names []string
	for _, d := range status.Drops() {
		names = append(names, string(d))
	}
	return names
}

// epochName is the histogram, which is observed and not read.
const epochName = "tierd_epoch_duration_seconds"

// Definitions is the table of all metrics, in the order of their names.
func Definitions() []Definition {
	all := slices.Concat(thrashDefinitions(), breakerDefinitions(), recordDefinitions(), []Definition{
		{"tierd_build_info", Gauge, []string{"version", "revision", "goversion"}, "Always 1; the labels say which build is running.", nil},
		{"tierd_config_last_reload_success_timestamp_seconds", Gauge, nil, "When the configuration in force was loaded.", func(v *view, emit emitter) {
			emit(float64(v.Config.LoadedAt.UnixMilli()) / 1000)
		}},
		{"tierd_config_last_reload_successful", Gauge, nil, "1 while the configuration file was good at the last load; 0 when it was bad and the one before it is still in force.", func(v *view, emit emitter) {
			emit(flag(v.Config.LastReloadOK))
		}},
		{"tierd_config_reloads_total", Counter, nil, "Reloads that were tried, good or bad; the load at the start is none.", func(v *view, emit emitter) {
			emit(float64(v.Config.ReloadsTotal))
		}},
		{"tierd_drops_total", Counter, []string{"reason"}, "What was given up: processes, moves, samples and epochs.", func(v *view, emit emitter) {
			byName(v.DropsTotal, drops(), func(n float64, name string) { emit(n, name) })
		}},
		{"tierd_enforcing", Gauge, nil, "1 when tierd may move memory of at least one workload, 0 when it only observes.", func(v *view, emit emitter) {
			emit(flag(v.Mode == status.Enforce))
		}},
		{epochName, Histogram, nil, "How long an epoch of the loop took, without the waiting for the next.", nil},
		{"tierd_epochs_total", Counter, nil, "Epochs of the loop.", func(v *view, emit emitter) {
			emit(float64(v.Epoch.Number))
		}},
		{"tierd_host_hint_faults_total", Counter, []string{"locality"}, "Hint faults of NUMA balancing on the whole host, by whether the page lay on the node of the CPU; absent if the kernel does not count.", func(v *view, emit emitter) {
			if h := v.Host; h != nil {
				emit(float64(h.LocalHintFaultsTotal), localities()[0])
				emit(float64(h.HintFaultsTotal-min(h.LocalHintFaultsTotal, h.HintFaultsTotal)), localities()[1])
			}
		}},
		{"tierd_host_move_failed_bytes_total", Counter, []string{"mover"}, "Bytes that were to be moved on the whole host and stayed, by who wanted to move them. Absent where the tracepoint cannot be heard.", func(v *view, emit emitter) {
			if h := v.Host; h != nil && h.FailedBytesTotal != nil {
				byName(h.FailedBytesTotal, movedBy(), func(n float64, name string) { emit(n, name) })
			}
		}},
		{moveSeconds, Histogram, []string{"mover"}, "How long the kernel's calls that move pages took, by who moved; native buckets only, powers of two. Absent where the tracepoint cannot be heard.", nil},
		{"tierd_host_moved_bytes_total", Counter, []string{"mover"}, "Bytes that changed their node on the whole host since tierd started, by who moved them. Compaction and damon count among other where the tracepoint cannot be heard. Absent if the kernel does not count.", func(v *view, emit emitter) {
			if h := v.Host; h != nil {
				byName(h.MovedBytesTotal, movedBy(), func(n float64, name string) { emit(n, name) })
			}
		}},
		{"tierd_last_epoch_timestamp_seconds", Gauge, nil, "When the last epoch ended.", func(v *view, emit emitter) {
			emit(float64(v.Time.UnixMilli()) / 1000)
		}},
		{"tierd_migrate_batch_pages", Gauge, nil, "Pages of 4 KiB that the next call may move; it adapts to [migrate] batch_latency.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.BatchPages))
		}},
		{"tierd_migrate_call_seconds_total", Counter, nil, "Time spent in calls that move pages.", func(v *view, emit emitter) {
			emit(v.Migrate.BusySecondsTotal)
		}},
		{"tierd_migrate_calls_total", Counter, nil, "Calls that move pages.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.CallsTotal))
		}},
		{"tierd_migrate_held_regions", Gauge, nil, "Regions that are not tried for now because the kernel refused them.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.HeldRegions))
		}},
		{"tierd_migrate_moved_bytes_total", Counter, nil, "Bytes moved in either direction, of all workloads.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.MovedBytesTotal))
		}},
		{"tierd_migrate_page_cost_seconds", Gauge, nil, "Measured cost of moving a page of 4 KiB; absent before the first move.", func(v *view, emit emitter) {
			if c := v.Migrate.CostPerPageSeconds; c != nil {
				emit(*c)
			}
		}},
		{"tierd_migrate_rate_limit_bytes_per_second", Gauge, nil, "The limit of [migrate] rate; 0 is none.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.RateBytesPerSecond))
		}},
		{"tierd_migrate_slow_calls_total", Counter, nil, "Calls that took longer than [migrate] batch_latency.", func(v *view, emit emitter) {
			emit(float64(v.Migrate.SlowCallsTotal))
		}},
		{"tierd_migrate_wait_seconds_total", Counter, nil, "Time spent waiting for the rate limit.", func(v *view, emit emitter) {
			emit(v.Migrate.WaitedSecondsTotal)
		}},
		{"tierd_node_free_bytes", Gauge, []string{"node", "tier"}, "Free memory of a node.", func(v *view, emit emitter) {
			v.nodes(emit, func(n *status.Node) uint64 { return n.FreeBytes })
		}},
		{"tierd_node_kernel_pages_total", Counter, []string{"node", "tier", "counter"}, "What the kernel has counted of a node since it booted, in pages, by its own names: how allocations found the node that they wanted, what NUMA balancing promoted and reclaim demoted. Kernels have some or all of them.", func(v *view, emit emitter) {
			for i := range v.Machine.Nodes {
				n := &v.Machine.Nodes[i]
				byName(n.KernelPagesTotal, status.NodeCounters(), func(pages float64, counter string) {
					if _, known := n.KernelPagesTotal[counter]; known {
						emit(pages, strconv.Itoa(n.ID), tierOf(n), counter)
					}
				})
			}
		}},
		{"tierd_node_reserve_bytes", Gauge, []string{"node", "tier"}, "Memory of a node that tierd never fills.", func(v *view, emit emitter) {
			v.nodes(emit, func(n *status.Node) uint64 { return n.ReserveBytes })
		}},
		{"tierd_node_size_bytes", Gauge, []string{"node", "tier"}, "Memory of a node.", func(v *view, emit emitter) {
			v.nodes(emit, func(n *status.Node) uint64 { return n.SizeBytes })
		}},
		{"tierd_observe_forced", Gauge, nil, "1 when the configuration asks tierd to enforce and it observes all the same; tierd status says why.", func(v *view, emit emitter) {
			emit(flag(v.Forced))
		}},
		{"tierd_sampler_boundary_accesses_per_second", Gauge, []string{"tier"}, "Accesses per second and page that separate what belongs into a tier or above it from what belongs below; 0 when everything fits.", func(v *view, emit emitter) {
			for _, b := range v.Sampler.Boundaries {
				emit(b.AccessesPerSecond, b.Tier)
			}
		}},
		{"tierd_sampler_cpu_budget_ratio", Gauge, nil, "Share of one core that sampling may use now.", func(v *view, emit emitter) {
			emit(v.Sampler.CPUBudget)
		}},
		{"tierd_sampler_cpu_seconds_total", Counter, nil, "CPU time of sampling, that of the kernel in tierd's name included.", func(v *view, emit emitter) {
			emit(v.Sampler.CPUSecondsTotal)
		}},
		{"tierd_sampler_mappings", Gauge, nil, "Mappings of the watched processes together.", func(v *view, emit emitter) {
			emit(float64(v.Sampler.Mappings))
		}},
		{"tierd_sampler_regions", Gauge, nil, "Regions of 2 MiB that are tracked.", func(v *view, emit emitter) {
			emit(float64(v.Sampler.Regions))
		}},
		{"tierd_sampler_samples_total", Counter, nil, "Regions that were cleared and read again.", func(v *view, emit emitter) {
			emit(float64(v.Sampler.SamplesTotal))
		}},
		{"tierd_sampler_torn_samples_total", Counter, nil, "Samples that count for nothing because the page table changed while it was read.", func(v *view, emit emitter) {
			emit(float64(v.Sampler.TornTotal))
		}},
		{"tierd_sampler_window_seconds", Gauge, []string{"tier"}, "Time between clearing and reading of regions near the boundary below a tier.", func(v *view, emit emitter) {
			for _, b := range v.Sampler.Boundaries {
				emit(b.WindowSeconds, b.Tier)
			}
		}},
		{"tierd_source_available", Gauge, []string{"source"}, "1 when a source of accesses can be used on this host; tierd doctor says why not.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(flag(s.Available), s.Name)
			}
		}},
		{"tierd_source_disagreements_total", Counter, []string{"source"}, "Times that a source told of a region what was hardly possible by what was known before. Rising steadily, its sources do not fit together.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(float64(s.DisagreedTotal), s.Name)
			}
		}},
		{"tierd_source_lost", Gauge, []string{"source"}, "1 while a source that was available is no more; it is tried again, and tierd status says why.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(flag(s.Lost), s.Name)
			}
		}},
		{"tierd_source_lost_events_total", Counter, []string{"source"}, "Faults and samples of watched processes for which the source's maps had no room.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(float64(s.LostTotal), s.Name)
			}
		}},
		{"tierd_source_regions_total", Counter, []string{"source"}, "Times that a source told of a region of 2 MiB.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(float64(s.RegionsTotal), s.Name)
			}
		}},
		{"tierd_source_throttled_total", Counter, []string{"source"}, "Times that the kernel stopped a source for a while because it took too long.", func(v *view, emit emitter) {
			for _, s := range v.Sources {
				emit(float64(s.ThrottledTotal), s.Name)
			}
		}},
		{"tierd_second_mover", Gauge, nil, "1 while somebody else moves memory, too, of which tierd status tells; tierd leaves alone what they move.", func(v *view, emit emitter) {
			emit(flag(v.SecondMover != ""))
		}},
		{"tierd_start_timestamp_seconds", Gauge, nil, "When tierd was started.", func(v *view, emit emitter) {
			emit(float64(v.StartedAt.UnixMilli()) / 1000)
		}},
		{"tierd_workload_accesses_per_second", Gauge, []string{"workload", "tier"}, "Estimated accesses that a tier serves, as far as accessed bits show them.", func(v *view, emit emitter) {
			v.byTier(emit, func(g *group, tier string) float64 { return g.accesses[tier] })
		}},
		{"tierd_workload_demoted_bytes_total", Counter, []string{"workload"}, "Bytes moved to a slower tier.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.demoted) })
		}},
		{"tierd_workload_elsewhere_bytes", Gauge, []string{"workload"}, "Resident memory on nodes in no tier.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.elsewhere) })
		}},
		{"tierd_workload_enforcing", Gauge, []string{"workload"}, "1 when tierd moves the workload's memory, 0 when it observes.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return flag(g.enforcing) })
		}},
		{"tierd_workload_group_bytes", Gauge, []string{"workload", "kind", "tier"}, "Memory of the control groups that the workload's processes are in, page cache and other processes of these groups included; shmem is part of file. Absent where there is no group but the root.", func(v *view, emit emitter) {
			for i := range v.groups {
				g := &v.groups[i]
				for _, kind := range status.GroupKinds() {
					for _, t := range v.Machine.Tiers {
						if on, known := g.groups[kind]; known {
							emit(float64(on[t.Name]), g.label, kind, t.Name)
						}
					}
				}
			}
		}},
		{"tierd_workload_hint_faults_total", Counter, []string{"workload", "locality"}, "Hint faults of the workload's processes, by whether the page lay on the node of the CPU; they are heard of while the operator has kernel.numa_balancing on.", func(v *view, emit emitter) {
			for i := range v.groups {
				g := &v.groups[i]
				emit(float64(g.hintsLocal), g.label, localities()[0])
				emit(float64(g.hints-min(g.hintsLocal, g.hints)), g.label, localities()[1])
			}
		}},
		{"tierd_workload_local_ratio", Gauge, []string{"workload"}, "Estimated share of accesses that find their page on the node of its tier that is nearest to who uses it. Absent where it is not known who does.", func(v *view, emit emitter) {
			for i := range v.groups {
				if g := &v.groups[i]; g.located > 0 {
					emit(g.local/g.located, g.label)
				}
			}
		}},
		{"tierd_workload_numa_faults", Gauge, []string{"workload", "node"}, "Hint faults of late by the node of the memory, as NUMA balancing remembers them of the processes' first threads; they fade. Absent while it is off.", func(v *view, emit emitter) {
			for i := range v.groups {
				g := &v.groups[i]
				for j := range v.Machine.Nodes {
					id := v.Machine.Nodes[j].ID
					if n, known := g.numaFaults[id]; known {
						emit(float64(n), g.label, strconv.Itoa(id))
					}
				}
			}
		}},
		{"tierd_workload_hit_ratio", Gauge, []string{"workload", "tier"}, "Estimated share of the workload's accesses that a tier serves; absent before the first sample.", func(v *view, emit emitter) {
			for i := range v.groups {
				g := &v.groups[i]
				if g.total <= 0 {
					continue
				}
				for _, t := range v.Machine.Tiers {
					emit(g.accesses[t.Name]/g.total, g.label, t.Name)
				}
			}
		}},
		{"tierd_workload_pages_total", Counter, []string{"workload", "outcome"}, "Pages of 4 KiB that moves asked for, by what became of each.", func(v *view, emit emitter) {
			v.closed(emit, outcomes(), func(g *group) map[string]uint64 { return g.outcomes })
		}},
		{"tierd_workload_period_seconds", Gauge, []string{"workload"}, "Length of the workload's training steps; 0 if there are none, or they are not known. The workload's period says whether it is looked for.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return g.period })
		}},
		{"tierd_workload_planned_demoted_bytes_total", Counter, []string{"workload"}, "Bytes that would have moved to a slower tier, had the workload been enforced.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.plannedDemoted) })
		}},
		{"tierd_workload_planned_promoted_bytes_total", Counter, []string{"workload"}, "Bytes that would have moved to a faster tier, had the workload been enforced.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.plannedPromoted) })
		}},
		{"tierd_workload_processes", Gauge, []string{"workload"}, "Processes that match the workload.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.processes) })
		}},
		{"tierd_workload_promoted_bytes_total", Counter, []string{"workload"}, "Bytes moved to a faster tier.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.promoted) })
		}},
		{"tierd_workload_resident_bytes", Gauge, []string{"workload", "tier"}, "Resident memory of the workload's processes.", func(v *view, emit emitter) {
			v.byTier(emit, func(g *group, tier string) float64 { return float64(g.resident[tier]) })
		}},
		{"tierd_workload_split_gain_ratio", Gauge, []string{"workload"}, "Time saved by a huge page that was split, in seconds per second, as a mean over the last judged; absent before that, and without [policy] split. Below 0 there are no more for a while.", func(v *view, emit emitter) {
			for i := range v.groups {
				if s := v.groups[i].split; s != nil && s.GainRatio != nil {
					emit(*s.GainRatio, v.groups[i].label)
				}
			}
		}},
		{"tierd_workload_splits_total", Counter, []string{"workload", "outcome"}, "Huge pages that were to be split, by whether they were; only with [policy] split.", func(v *view, emit emitter) {
			for i := range v.groups {
				if s := v.groups[i].split; s != nil {
					emit(float64(s.SplitsTotal), v.groups[i].label, splitDone)
					emit(float64(s.RefusedTotal), v.groups[i].label, splitRefused)
				}
			}
		}},
		{"tierd_workload_swept_bytes", Gauge, []string{"workload"}, "Memory that each training step uses once.", func(v *view, emit emitter) {
			v.each(emit, func(g *group) float64 { return float64(g.swept) })
		}},
		{"tierd_workload_unmovable_bytes", Gauge, []string{"workload", "reason"}, "Resident memory that stays: the kernel refuses to move it, its owner has bound it, or several processes map it.", func(v *view, emit emitter) {
			for i := range v.groups {
				g := &v.groups[i]
				emit(float64(g.immovable), g.label, reasonImmovable)
				emit(float64(g.bound), g.label, reasonBound)
				emit(float64(g.shared), g.label, reasonShared)
			}
		}},
		{"tierd_workload_vetoed_pages", Gauge, []string{"workload", "reason"}, "Pages of 4 KiB that the last plan left where they are, by the first rule that held them back.", func(v *view, emit emitter) {
			v.closed(emit, vetoes(), func(g *group) map[string]uint64 { return g.vetoes })
		}},
	})
	slices.SortFunc(all, func(a, b Definition) int { return strings.Compare(a.Name, b.Name) })
	return all
}
