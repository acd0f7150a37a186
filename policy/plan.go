package policy

import "math"

// Kind says in which direction a move goes.
type Kind uint8

// The directions of a move.
const (
	Promotion Kind = iota // to a faster tier, or nearer within one
	Demotion              // to a slower tier
)

func (k Kind) String() string {
	if k == Promotion {
		return "promotion"
	}
	return "demotion"
}

// Rule names why something was or was not moved. The values are labels in
// metrics, the status and the documentation.
type Rule string

// Why a move was planned.
const (
	Fill     Rule = "fill"     // hot, and the faster tier has room
	Near     Rule = "near"     // used from elsewhere, and a nearer node of the tier has room
	Exchange Rule = "exchange" // hotter than a victim, which leaves for it
	Victim   Rule = "victim"   // leaves so that a hotter region fits
	Relief   Rule = "relief"   // a node is below its reserve: the coldest leave
	Share    Rule = "share"    // takes the place of a workload that has more than its share
	Limit    Rule = "limit"    // the workload is above its limit: its coldest leave
)

// Why a move was not planned.
const (
	VetoEvidence   Rule = "evidence"   // not yet seen hot often enough
	VetoLimit      Rule = "limit"      // the workload may hold no more of the tier
	VetoShare      Rule = "share"      // what is colder is within another's share
	VetoSeparation Rule = "separation" // not surely hotter than the victim
	VetoPayback    Rule = "payback"    // would not earn back its cost
	VetoSweep      Rule = "sweep"      // part of a sweep, and used as what it would displace
	VetoRoom       Rule = "room"       // no tier below has room for the victim
	VetoCooldown   Rule = "cooldown"   // moved too recently
	VetoBudget     Rule = "budget"     // this plan's bytes are spent
	VetoImmovable  Rule = "immovable"  // the kernel refuses to move it
	VetoBound      Rule = "bound"      // the owner's own memory policy
	VetoShared     Rule = "shared"     // several processes map it
	VetoRival      Rule = "rival"      // somebody else moves its pages
	VetoBreaker    Rule = "breaker"    // most of the workload's moves were undone
	VetoPressure   Rule = "pressure"   // memory is short: nothing moves but relief
)

// Vetoes lists every veto, in the order in which they are tested.
var Vetoes = [...]Rule{VetoImmovable, VetoBound, VetoShared, VetoRival, VetoPressure, VetoBreaker, VetoCooldown, VetoEvidence, VetoPayback, VetoLimit, VetoShare, VetoSeparation, VetoSweep, VetoRoom, VetoBudget}

// Reason explains one move in numbers.
type Reason struct {
	Rule Rule
	// Rate and VictimRate are accesses per second and page of what moves and
	// of what it displaces (of what displaces it, for a victim).
	Rate, VictimRate float32
	// Separation is the difference of the two log rates in standard
	// deviations; 0 without a victim, and of any sign under rule Share. What is the luck of being the extreme of
	// many is taken off first, so it may be less than the rates suggest. With
	// several victims it is that of the closest.
	Separation float32
	// Payback is the benefit over the horizon divided by the cost, of the
	// promotion and all the demotions that it needs; 0 for relief and limits.
	// Under rule Share what the victim loses does not count.
	Payback float32
}

// Move asks for the pages of a region that lie on one node to be put on
// another.
type Move struct {
	// Process is an index into Snapshot.Processes.
	Process int
	ID      ProcessID
	// Addr is the address of the region.
	Addr uint64
	// Strata has a bit for each stratum of the region to move.
	Strata uint8
	// Set is the pages that are moved. A plan leaves it empty: who carries it out
	// asks the sampler for the pages of the strata, at that time.
	Set PageSet
	// From and To are nodes; pages of the region elsewhere stay.
	From, To Slot
	// Pages is how many pages are expected to move.
	Pages  int
	Kind   Kind
	Huge   bool
	Reason Reason
}

// Plan is what should be done, in this order: what makes room stands before
// what needs it.
type Plan struct {
	Moves []Move
	// Terms has one entry for each move.
	Terms []Terms
	// Splits are huge pages to split in place, only ever of processes that are enforced.
	Splits []Split
	// Boundaries has, for each tier but the slowest, the rate (accesses per
	// second and page) that separates what should be in it or above from what
	// should be below. Zero when everything fits. They hold for all memory as if
	// it were one workload's.
	Boundaries []float32
	// Vetoed counts the pages of candidates that stayed, by the first rule
	// that held them back. A candidate is what belongs in a faster tier by the
	// boundaries and is used enough that a move there could pay.
	Vetoed map[Rule]uint64
	// Processes has one entry for each process of the snapshot.
	Processes []Summary
	// Thrash tells how the Controller steered this plan; an Engine leaves it empty.
	Thrash Thrash
	// Splitting has one entry for each workload that the snapshot has processes of, if
	// Params.Split.
	Splitting []Splitting
}

// Summary is where one process's memory and its accesses are.
type Summary struct {
	// Bytes has the present bytes per tier, Elsewhere those in no tier.
	Bytes     []uint64
	Elsewhere uint64
	// Heat has the estimated accesses per second per tier.
	Heat []float64
	// Located is the part of their sum of which it is known from where memory is used, and Local the
	// part of that on the nodes that are nearest.
	Located, Local float64
	// Immovable counts bytes that the kernel refuses to move; Bound those
	// under a policy of the owner, Shared those of several owners.
	Immovable, Bound, Shared uint64
	// Boundaries are those of the process's workload, given its limits and its
	// share of each tier; nil where the plan's hold.
	Boundaries []float32
	// Vetoed is the process's part of Plan.Vetoed.
	Vetoed map[Rule]uint64
	// Period is the length of the process's training steps in seconds; 0: not known.
	Period float64
	// Sweep is what each of them uses once.
	Sweep Sweep
}

// Sweep is memory that each training step uses once.
type Sweep struct {
	// Bytes is how much that is; 0: there is none. Fast is what the fastest tier has
	// for it beside memory that is used all the time: where that is less, no exchange
	// within the sweep helps, and what is there stays.
	Bytes, Fast uint64
}

// Params are the operator's choices, already in the engine's units.
type Params struct {
	// Separation is z: how many standard deviations a candidate must be
	// hotter than its victim.
	Separation float64
	// Payback is the least benefit over cost.
	Payback float64
	// Cooldown is for how many seconds after a move the region stays.
	Cooldown float64
	// Budget is the most bytes that one plan may move, both directions
	// together.
	Budget uint64
	// EvidenceFill and EvidenceExchange are how many of the last eight samples
	// must have seen a region hot before it is promoted into free room, or in
	// exchange for a victim.
	EvidenceFill, EvidenceExchange int
	// HorizonMin and HorizonMax, in seconds, bound for how long a region is
	// expected to stay as it has been.
	HorizonMin, HorizonMax float64

	// What follows is the Controller's. Of these, what is not positive stands for the
	// default.

	// MaxWaste is the cost of wasted moves per time, in seconds per second, above
	// which the separation rises and the budget falls.
	MaxWaste float64
	// Window is within how many seconds a move must be undone to be a ping-pong.
	Window float64
	// Breaker is the share of moves undone above which a workload's breaker opens.
	Breaker float64
	// MaxPressure is the memory pressure, as a share of time, above which nothing
	// moves but relief.
	MaxPressure float64
	// Split lets huge pages be split where their parts are worth more to a faster tier
	// than the whole.
	Split bool
}

// DefaultParams are the engine's defaults; Budget is the caller's to set.
func DefaultParams() Params {
	return Params{
		Separation:       2.5,
		Payback:          1.5,
		Cooldown:         10,
		EvidenceFill:     3,
		EvidenceExchange: 3,
		HorizonMin:       10,
		HorizonMax:       60,
		MaxWaste:         0.002,
		Window:           60,
		Breaker:          0.5,
		MaxPressure:      0.1,
	}
}

// minPlan lets every plan exchange at least one region with a cascade.
const minPlan = 4 * RegionSize

// PlanBytes is how many bytes one plan may move: what the rate allows, in bytes
// per second, and what can be done until the next plan is due, so many seconds
// later, if moving a page takes the given cost in seconds. A rate of 0 or +Inf
// is no limit.
func PlanBytes(seconds, cost, rate float64) uint64 {
	bytes := 0.8 * seconds / cost * PageSize
	if rate > 0 {
		bytes = math.Min(bytes, rate*seconds)
	}
	return uint64(math.Max(bytes, minPlan))
}
