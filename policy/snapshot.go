package policy

import "math"

const (
	// PageSize is the unit in which pages are counted, whatever the size of
	// the machine's own pages or of a huge page.
	PageSize = 4 << 10
	// RegionSize is the unit of accounting.
	RegionSize = 2 << 20
	// PieceSize is the unit in which a region's placement is seen, and in which
	// mappings share it.
	PieceSize = 64 << 10
	// PagesPerRegion is the number of 4 KiB pages in a region.
	PagesPerRegion = RegionSize / PageSize
	// PagesPerPiece is the number of 4 KiB pages in a piece.
	PagesPerPiece = PieceSize / PageSize
	// PiecesPerRegion is the number of pieces in a region; a uint32 holds a
	// mask of them.
	PiecesPerRegion = RegionSize / PieceSize
	// AllPieces is the mask of a whole region.
	AllPieces uint32 = math.MaxUint32
	// AllStrata stands for a whole region, whatever its strata.
	AllStrata uint8 = math.MaxUint8
	// MaxPortions bounds the portions of a region.
	MaxPortions = 8
	// MaxSlots bounds the nodes with memory that a snapshot can describe.
	MaxSlots = 32
)

// NodeID is the kernel's number of a NUMA node.
type NodeID int

// NoPressure stands for a memory pressure that is not known.
const NoPressure = -1

// Slot is the index of a node in Snapshot.Nodes: small, dense and stable for
// as long as the machine's nodes do not change.
type Slot uint8

// NoSlot marks the absence of a node.
const NoSlot Slot = 0xff

// Node is one NUMA node with memory, as it is now.
type Node struct {
	ID NodeID
	// Tier is the index into Snapshot.Tiers, or -1 for a node that belongs to
	// no tier: memory there is counted and never chosen as a target.
	Tier int
	// Size, Free and Reserve are in bytes. Reserve is never filled by tierd.
	Size, Free, Reserve uint64
}

// Room is how many bytes tierd may still put on the node.
func (n Node) Room() uint64 {
	if n.Free <= n.Reserve {
		return 0
	}
	return n.Free - n.Reserve
}

// Tier is a rank of nodes; its index in Snapshot.Tiers is its rank, 0 the
// fastest.
type Tier struct {
	Name string
	// AccessNS is the time in nanoseconds that one access to this tier costs a
	// loaded machine. It rises with the rank.
	AccessNS float64
}

// ProcessID names one life of a process: the number alone is reused.
type ProcessID struct {
	PID int
	// Start is the process's start time in clock ticks since boot
	// (/proc/PID/stat, field 22).
	Start uint64
	// Exec changes with every execve: after one, no address means what it
	// meant before.
	Exec uint64
}

// Snapshot is everything that one decision may look at.
type Snapshot struct {
	// Seconds is the time of the snapshot on a monotonic clock with any origin.
	Seconds float64
	Tiers   []Tier
	Nodes   []Node
	// Homes are where memory is used from; Process.Home and Region.Home name them by
	// their index from 1.
	Homes []Home
	// Processes are in a stable order; each belongs to one workload.
	Processes []Process
	// Workloads has what the operator said of workloads, in any order. One that
	// is not in it has weight 1 and no limits.
	Workloads []Workload
	// MoveCost is what moving one page costs, in seconds, as recent moves
	// measured it.
	MoveCost float64
	// SincePhase is how many seconds ago the memory in use last changed as a
	// whole; +Inf if never.
	SincePhase float64
	// Pressure is the share of time, 0 to 1, in which something of the host waited
	// for memory lately; NoPressure if that is unknown.
	Pressure float64
}

// Home is where memory is used from: the CPUs of a node.
type Home struct {
	Node NodeID
	// Stretch has, by slot, how many times as long as Tier.AccessNS an access from here
	// to the node takes. What is less than 1, or missing, stands for 1.
	Stretch []float64
}

// Workload is what the operator allows a workload.
type Workload struct {
	// Name is that of Process.Workload.
	Name string
	// Weight is for how many workloads it counts where they share a tier; 0 and
	// what makes no sense stand for 1.
	Weight float64
	// Limits has, by tier, the most bytes that the workload may hold there; 0, and
	// a tier beyond the end, stand for no limit. A limit of the slowest tier means
	// nothing: there is nowhere to go.
	Limits []uint64
}

// Process is one process of a workload and its memory.
type Process struct {
	ID ProcessID
	// Workload is the name of the rule that selected the process.
	Workload string
	// Enforce tells whether this process's moves will be carried out. The
	// engine plans the same either way.
	Enforce bool
	// Pressure is that of the process's own memory, as Snapshot.Pressure.
	Pressure float64
	// Period is the length of the process's training steps in seconds; 0 if there
	// are none, or they are not known.
	Period float64
	// Home is that of regions without one of their own; 0: not known, or several.
	Home uint8
	// Regions are sorted by address and do not overlap.
	Regions []Region
	// Details holds the portions of the regions that are hot in parts.
	Details []Detail
}

// Flags of a region.
const (
	// Huge: the region is mapped by one huge page and moves as a whole.
	Huge uint8 = 1 << iota
	// Immovable: the kernel refused again and again, or the owner forbade it.
	Immovable
	// Bound: an explicit memory policy of the owner covers the region.
	Bound
	// Shared: several processes map it, or a file backs it.
	Shared
	// Unseen: no sample has been taken yet; Rate means nothing.
	Unseen
	// MovedUp: the last move of the region was a promotion.
	MovedUp
	// Periodic: the region is used by turns, once in each Process.Period; Rate is the
	// mean over whole periods.
	Periodic
	// Rival: somebody else moves its pages, so tierd does not.
	Rival
)

// Region is 2 MiB of one process's address space.
type Region struct {
	// Addr is a multiple of RegionSize.
	Addr uint64
	// Rate is the estimated accesses per second and page; at least a small
	// positive number, never NaN.
	Rate float32
	// LogVar is the variance of ln(Rate).
	LogVar float32
	// Stable is for how many seconds the rate has been like this.
	Stable float32
	// SinceMove is how many seconds ago the region, or a part of it, was moved;
	// +Inf if never. Where it has detail, that tells which portions were.
	SinceMove float32
	// Placement says how many present pages lie where, most pages first; the
	// rest is unused and zero. Pages on nodes beyond the first three are not
	// counted.
	Placement [3]SlotPages
	// Evidence has one bit for each of the last eight samples, the newest in
	// bit 0: set when the sample saw the region hotter than the boundary.
	Evidence uint8
	Flags    uint8
	// Home is where the region is used from; 0: what the process says.
	Home uint8
	// Detail is an index into Process.Details, or -1.
	Detail int32
}

// SlotPages is a number of 4 KiB pages on one node.
type SlotPages struct {
	Pages uint16
	Slot  Slot
}

// Pages is the number of present pages that the region's placement counts.
func (r *Region) Pages() int {
	return int(r.Placement[0].Pages) + int(r.Placement[1].Pages) + int(r.Placement[2].Pages)
}

// Detail is what is known of a region portion by portion. Which pages a portion has is
// the sampler's knowledge alone: a move names a stratum, and the pages are found when it
// is carried out.
type Detail [MaxPortions]Portion

// Portion is the pages of one stratum that lie on one node. A stratum is the pages of a
// region that are used alike, wherever in the region they are.
type Portion struct {
	// Rate and LogVar are as in Region, and the same in all portions of a stratum.
	Rate   float32
	LogVar float32
	// Pages is the number of present pages; a portion without any is none.
	Pages uint16
	// Slot is the node of the pages; NoSlot where it is not known of each.
	Slot Slot
	// Stratum is less than 8: its bit is in the masks of strata.
	Stratum uint8
	// Evidence is as in Region.
	Evidence uint8
	// Went is which way most of its pages were moved, of late.
	Went Way
}

// Way is the direction of a move, or of none.
type Way uint8

// The ways.
const (
	Stayed Way = iota
	WentUp
	WentDown
)
