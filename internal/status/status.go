package status

import "time"

// SchemaVersion is raised when a field of the JSON form changes its meaning or goes away.
const SchemaVersion = 1

// Modes of the daemon and of a workload.
const (
	Observe = "observe" // look and plan, move nothing
	Enforce = "enforce" // move
)

// Status is tierd as it was at the end of one epoch.
type Status struct {
	SchemaVersion int `json:"schema_version"`
	// Time is when the picture was made.
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	// Mode is what tierd does as a whole: observe when no workload is enforced.
	Mode string `json:"mode"`
	// Forced says that tierd observes although the configuration asks it to enforce;
	// ModeReason then says why, for a person.
	Forced        bool      `json:"forced"`
	ModeReason    string    `json:"mode_reason,omitempty"`
	StartedAt     time.Time `json:"started_at"`
	UptimeSeconds float64   `json:"uptime_seconds"`

	Epoch     Epoch      `json:"epoch"`
	Machine   Machine    `json:"machine"`
	Sources   []Source   `json:"sources"`
	Sampler   Sampler    `json:"sampler"`
	Workloads []Workload `json:"workloads"` // in the configuration's order
	Migrate   Migrate    `json:"migrate"`
	// SecondMover says who else moves memory; "" if nobody does.
	SecondMover string `json:"second_mover,omitempty"`
	// Host is what the kernel counts; null where it does not, or cannot be asked.
	Host   *Host  `json:"host"`
	Thrash Thrash `json:"thrash"`
	Record Record `json:"record"`
	// Config is laid over the loop's picture by [Board.Load].
	Config Config `json:"config"`
	// DropsTotal counts what was given up, by the reasons of [Drops].
	DropsTotal map[Drop]uint64 `json:"drops_total"`
	// LastErrors are the most recent errors, the newest last; at most [MaxErrors].
	LastErrors []Error `json:"last_errors"`
}

// Epoch is one turn of the loop.
type Epoch struct {
	Number uint64 `json:"number"` // from 1
	// Seconds is how long the last one took, without the waiting for the next.
	Seconds float64 `json:"seconds"`
}

// Machine is the host's memory as it was in the epoch.
type Machine struct {
	Tiers []Tier `json:"tiers"` // fastest first
	Nodes []Node `json:"nodes"` // ascending
}

// Tier is a rank of nodes.
type Tier struct {
	Name  string `json:"name"`
	Rank  int    `json:"rank"` // 0 is the fastest
	Nodes []int  `json:"nodes"`
}

// Node is a NUMA node with memory.
type Node struct {
	ID int `json:"id"`
	// Tier is "" for a node in no tier.
	Tier         string `json:"tier,omitempty"`
	SizeBytes    uint64 `json:"size_bytes"`
	FreeBytes    uint64 `json:"free_bytes"`
	ReserveBytes uint64 `json:"reserve_bytes"` // never filled by tierd
	// KernelPagesTotal has the kernel's own counts of [NodeCounters] since it booted, those that it has.
	KernelPagesTotal map[string]uint64 `json:"kernel_pages_total"`
}

// NodeCounters are what the kernel counts of each node, by its names for them: how allocations found the node
// that they wanted, and what NUMA balancing promoted and reclaim demoted (mm/vmstat.c).
func NodeCounters() []string {
	return []string{"numa_hit", "numa_miss", "numa_foreign", "numa_local", "numa_other",
		"pgpromote_success", "pgpromote_candidate", "pgdemote_kswapd", "pgdemote_direct", "pgdemote_khugepaged", "pgdemote_proactive"}
}

// GroupKinds are the kinds of memory that are told of control groups, by the kernel's names: shmem is
// part of file.
func GroupKinds() []string { return []string{"anon", "file", "shmem"} }

// Source is a way to see which memory is used: "page-table", "hint-fault", "precise", "damon".
type Source struct {
	Name      string `json:"name"`
	Available bool   `json:"available"`
	// Lost tells that it was available, and is no more. It is tried again.
	Lost   bool   `json:"lost,omitempty"`
	Reason string `json:"reason,omitempty"` // why it is not available
	Hint   string `json:"hint,omitempty"`   // what to do about it
	// RegionsTotal counts the times that the source told of a region, and DisagreedTotal those of them at
	// which that was hardly possible by what was known before: as the sources are fused, by what all of
	// them had told.
	RegionsTotal   uint64 `json:"regions_total"`
	DisagreedTotal uint64 `json:"disagreed_total"`
	// LostTotal counts events of watched processes for which its maps had no room, ThrottledTotal how often the kernel
	// stopped it for a while because it took too long.
	LostTotal      uint64 `json:"lost_total"`
	ThrottledTotal uint64 `json:"throttled_total"`
}

// Sampler is what looking costs and how it is steered.
type Sampler struct {
	// Boundaries has one entry for each tier but the slowest.
	Boundaries []Boundary `json:"boundaries"`
	// Regions is the number of 2 MiB regions that are tracked.
	Regions uint64 `json:"regions"`
	// Mappings is the number of mappings of all processes together.
	Mappings uint64 `json:"mappings"`
	// SamplesTotal counts the regions that were cleared and read again; TornTotal those of them that
	// changed while they were read, and count for nothing.
	SamplesTotal uint64 `json:"samples_total"`
	TornTotal    uint64 `json:"torn_total"`
	// CPUSecondsTotal is all CPU time of sampling, that of the kernel in tierd's name included.
	CPUSecondsTotal float64 `json:"cpu_seconds_total"`
	// CPUBudget is the share of one core that sampling may use now.
	CPUBudget float64 `json:"cpu_budget"`
}

// Boundary separates what belongs into a tier or above it from what belongs below.
type Boundary struct {
	Tier string `json:"tier"` // the faster side
	// AccessesPerSecond is of one page; 0 when everything fits.
	AccessesPerSecond float64 `json:"accesses_per_second"`
	// WindowSeconds is the time between clearing and reading of regions near the boundary.
	WindowSeconds float64 `json:"window_seconds"`
}

// Workload is a rule of the configuration and the processes that it matches. Every map by tier has an
// entry for each tier of Machine.Tiers.
type Workload struct {
	Name string `json:"name"`
	Mode string `json:"mode"` // what is done, not what was asked for
	// Processes is how many processes match.
	Processes int `json:"processes"`
	// ResidentBytes is by tier; ElsewhereBytes is on nodes in no tier.
	ResidentBytes  map[string]uint64 `json:"resident_bytes"`
	ElsewhereBytes uint64            `json:"elsewhere_bytes"`
	// What may not or cannot be moved; counted in ResidentBytes, too.
	ImmovableBytes uint64 `json:"immovable_bytes"` // the kernel refuses
	BoundBytes     uint64 `json:"bound_bytes"`     // under a policy of the owner
	SharedBytes    uint64 `json:"shared_bytes"`    // mapped by several processes
	// AccessesPerSecond estimates how often each tier is used, in accesses that clear
	// accessed bits can show. HitEstimate is each tier's share of their sum; both are empty before the first sample.
	AccessesPerSecond map[string]float64 `json:"accesses_per_second"`
	HitEstimate       map[string]float64 `json:"hit_estimate"`
	// Bytes that were moved to a faster, to a slower tier.
	PromotedBytesTotal uint64 `json:"promoted_bytes_total"`
	DemotedBytesTotal  uint64 `json:"demoted_bytes_total"`
	// The same for what would have been moved, in observe mode.
	PlannedPromotedBytesTotal uint64 `json:"planned_promoted_bytes_total"`
	PlannedDemotedBytesTotal  uint64 `json:"planned_demoted_bytes_total"`
	// OutcomesTotal counts pages of 4 KiB by what became of them, by the names of migrate.ResultNames;
	// moves that were only planned are not in it.
	OutcomesTotal map[string]uint64 `json:"outcomes_total"`
	// Vetoes has the pages that the last plan left where they are, by the first rule that held them back
	// (policy.Vetoes).
	Vetoes map[string]uint64 `json:"vetoes"`
	// Breaker stops the workload's moves while most of them are undone.
	Breaker Breaker `json:"breaker"`
	// PeriodSeconds is how long the training steps take, the longest of its processes' if
	// they differ; 0 if there are none or they are not known. SweepBytes is what each
	// step uses once.
	PeriodSeconds float64 `json:"period_seconds"`
	SweepBytes    uint64  `json:"sweep_bytes"`
	// Split is how trials of splitting huge pages stand; null without [policy] split.
	Split *Split `json:"split"`
	// HintFaultsTotal and LocalHintFaultsTotal are as in Host, of the workload's processes; they
	// are heard of while NUMA balancing is on.
	HintFaultsTotal      uint64 `json:"hint_faults_total"`
	LocalHintFaultsTotal uint64 `json:"local_hint_faults_total"`
	// LocalRatio estimates the share of accesses that find their page on the node of its tier that is nearest to
	// who uses it, of memory of which it is known who does; null where that is not known.
	LocalRatio *float64 `json:"local_ratio"`
	// GroupBytes is the memory of the control groups of the workload's processes by kind ([GroupKinds]) and tier: page
	// cache, too, and that of others in these groups. Null where there are none but the root. GroupsLeftOut
	// were too many to ask.
	GroupBytes    map[string]map[string]uint64 `json:"group_bytes"`
	GroupsLeftOut int                          `json:"groups_left_out"`
	// NUMAFaults are the hint faults of late by the node of the memory, as NUMA balancing remembers
	// them of the processes' first threads, while it is on.
	NUMAFaults map[int]uint64 `json:"numa_faults"`
	// ProcessDetails are at most [MaxProcesses] of the processes.
	ProcessDetails []Process `json:"process_details"`
	LastError      string    `json:"last_error,omitempty"`
}

// Split is how trials of splitting a workload's huge pages stand.
type Split struct {
	// SplitsTotal counts the pages that were split, RefusedTotal those that stayed huge.
	SplitsTotal  uint64 `json:"splits_total"`
	RefusedTotal uint64 `json:"refused_total"`
	// Pending is how many of them are being looked at.
	Pending int `json:"pending"`
	// GainRatio is the time saved by a page that was split, in seconds per second, as a
	// mean over the last judged; null before the first are.
	GainRatio *float64 `json:"gain_ratio"`
	// RestSeconds is for how long there will be none, because the last did not pay.
	RestSeconds float64 `json:"rest_seconds"`
}

// States of a process.
const (
	Watched = "watched" // sampled, and moved when its workload is enforced
	Waiting = "waiting" // matched, not yet looked at
	Refused = "refused" // cannot be watched; the error says why
)

// Process is one process of a workload.
type Process struct {
	PID   int    `json:"pid"`
	Comm  string `json:"comm"`
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

// Migrate is the mover.
type Migrate struct {
	// RateBytesPerSecond is the limit; 0 is none.
	RateBytesPerSecond uint64 `json:"rate_bytes_per_second"`
	// CostPerPageSeconds is measured on recent moves; null before the first.
	CostPerPageSeconds *float64 `json:"cost_per_page_seconds"`
	MovedBytesTotal    uint64   `json:"moved_bytes_total"`
	// BusySecondsTotal is the time spent in calls that move, WaitedSecondsTotal that spent waiting for the rate limit.
	BusySecondsTotal   float64 `json:"busy_seconds_total"`
	WaitedSecondsTotal float64 `json:"waited_seconds_total"`
	CallsTotal         uint64  `json:"calls_total"`
	// SlowCallsTotal are the calls that took longer than [migrate] batch_latency.
	SlowCallsTotal uint64 `json:"slow_calls_total"`
	BatchPages     uint64 `json:"batch_pages"`
	// HeldRegions is how many regions are not tried for now because the kernel refused them.
	HeldRegions uint64 `json:"held_regions"`
}

// Host is what the kernel has counted since tierd started, of all processes.
type Host struct {
	// MovedBytesTotal is by who moved: "tierd", "numa_balancing", "demotion", "other". The
	// counters do not tell whose memory it was.
	MovedBytesTotal map[string]uint64 `json:"moved_bytes_total"`
	// HintFaultsTotal are the faults by which NUMA balancing learns who uses a page;
	// LocalHintFaultsTotal those of them whose page lay on the node of the CPU.
	HintFaultsTotal      uint64 `json:"hint_faults_total"`
	LocalHintFaultsTotal uint64 `json:"local_hint_faults_total"`
	// FailedBytesTotal were to be moved and were not, and MoveSeconds how long the kernel's calls took, by who
	// moved; null where the kernel's tracepoint cannot be heard.
	FailedBytesTotal map[string]uint64    `json:"failed_bytes_total"`
	MoveSeconds      map[string]Histogram `json:"move_seconds"`
}

// Histogram counts by powers of two.
type Histogram struct {
	Count uint64  `json:"count"`
	Sum   float64 `json:"sum"`
	// Buckets has how many were above 2^(k-1) and at most 2^k, by k; those of 0 are left out.
	Buckets map[int]int64 `json:"buckets"`
}

// Config is the configuration in force.
type Config struct {
	Path     string    `json:"path,omitempty"` // "" for the defaults
	Hash     string    `json:"hash,omitempty"`
	LoadedAt time.Time `json:"loaded_at"`
	// LastReloadOK is false when the file was bad at the last reload and the configuration before it is still in force.
	LastReloadOK    bool      `json:"last_reload_ok"`
	LastReloadAt    time.Time `json:"last_reload_at"`
	LastReloadError string    `json:"last_reload_error,omitempty"`
	ReloadsTotal    uint64    `json:"reloads_total"` // tried, the start not counted
	NotActedOn      []string  `json:"not_acted_on"`  // keys that this version checks and ignores
	RestartNeeded   []string  `json:"restart_needed"`
}

// Error is something that went wrong.
type Error struct {
	Time     time.Time `json:"time"` // of the last occurrence
	Workload string    `json:"workload,omitempty"`
	PID      int       `json:"pid,omitempty"`
	Message  string    `json:"message"`
	Hint     string    `json:"hint,omitempty"`
	Count    uint64    `json:"count"` // occurrences in a row
}

// Bounds of a picture.
const (
	MaxErrors    = 16
	MaxProcesses = 64 // per workload
)

// Drop names why something was given up.
type Drop string

// Reasons of a drop. Each is a label in metrics.
const (
	DropGone     Drop = "gone"      // a process: it exited while it was looked at or planned for
	DropExec     Drop = "exec"      // a process: it executed another program, and is looked at afresh
	DropRights   Drop = "no_rights" // a process: tierd may not look at it, or not move its memory
	DropMappings Drop = "mappings"  // a process: too many mappings; the rest of them is not tracked
	DropRegions  Drop = "regions"   // a process: more memory than can be tracked
	DropDetail   Drop = "detail"    // page-level detail of a region, for want of detail_memory
	DropStale    Drop = "stale"     // a move: the region was no longer as planned
	DropLate     Drop = "late"      // a move: the epoch ended before its turn came
	DropStopped  Drop = "stopped"   // a move: tierd was told to stop, or to observe
	DropSample   Drop = "sample"    // a sample: the read failed
	DropLedger   Drop = "ledger"    // a promotion that the ledger had no room for: whether it paid is not known
	DropEpoch    Drop = "epoch"     // an epoch that was left out because the one before took too long
)

// Drops lists every reason.
func Drops() []Drop {
	return []Drop{
		DropGone, DropExec, DropRights, DropMappings, DropRegions, DropDetail, DropStale, DropLate, DropStopped, DropSample, DropLedger, DropEpoch,
	}
}
