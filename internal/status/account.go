package status

// Account tells where some memory lies, where it belongs, and what holds it back.
type Account struct {
	Workload  string `json:"workload"`
	Processes int    `json:"processes"`
	// Tiers has every tier, the fastest first.
	Tiers []TierAccount `json:"tiers"`
	// What of the memory is not in Tiers: on nodes of no tier, and what may not or
	// cannot move or whose use is not known yet, wherever it lies.
	ElsewhereBytes uint64 `json:"elsewhere_bytes"`
	FixedBytes     uint64 `json:"fixed_bytes"`
	UnknownBytes   uint64 `json:"unknown_bytes"`
	// UpBytes and DownBytes move in the plan that this is about.
	UpBytes   uint64 `json:"up_bytes"`
	DownBytes uint64 `json:"down_bytes"`
	// Sweep is what each of its training steps uses once; null if there is nothing like that.
	Sweep *Sweep `json:"sweep"`
	// HeldBytes are wanted in a faster tier and stay, by the rule (of policy.Vetoes) that
	// keeps them from the tier in which they belong. CountedBytes are those by the rule that keeps them
	// from the last tier that they were tried for, as the metrics count them.
	HeldBytes    map[string]uint64 `json:"held_bytes"`
	CountedBytes map[string]uint64 `json:"counted_bytes"`
	// Parts are those of the one region, or some that are held back, those that would gain
	// most first.
	Parts []Part `json:"parts"`
}

// Sweep is memory that each training step of a process uses once.
type Sweep struct {
	Bytes         uint64  `json:"bytes"`
	PeriodSeconds float64 `json:"period_seconds"` // of a step
	// FastBytes is what the fastest tier has for it beside what is used all the time.
	FastBytes uint64 `json:"fast_bytes"`
}

// TierAccount is what some memory has of a tier.
type TierAccount struct {
	Tier string `json:"tier"`
	// LiesBytes lie there, and BelongBytes would if each region lay where its rate puts it.
	LiesBytes   uint64 `json:"lies_bytes"`
	BelongBytes uint64 `json:"belong_bytes"`
	// CapacityBytes is how much it could hold of this memory; null for the slowest tier,
	// as are all that follow.
	CapacityBytes *uint64 `json:"capacity_bytes"`
	// Inside is in the tier, and Outside in slower ones, of what is used enough that a
	// move there could pay.
	Inside  *Worthy `json:"inside"`
	Outside *Worthy `json:"outside"`
	// StaticSubset tells that it is best to leave what lies there, although a good part of the
	// accesses goes elsewhere: much more is used alike than has room.
	StaticSubset bool `json:"static_subset"`
}

// Worthy is memory that is used enough for a place in a tier.
type Worthy struct {
	Bytes             uint64  `json:"bytes"`
	AccessesPerSecond float64 `json:"accesses_per_second"` // of a page, on average
	// AlikeBytes are used about as much as what is just worth a place: the tier's boundary.
	AlikeBytes uint64 `json:"alike_bytes"`
}

// Part is a region, or pages of it of which the same is true.
type Part struct {
	PID     int    `json:"pid"`
	Address string `json:"address"` // of the region
	// Whole tells that it is all of the region that lies on its node, and not only those
	// of the pages there that are used alike.
	Whole bool `json:"whole"`
	// Pages is how many pages of 4 KiB it has, Bytes the same in bytes.
	Pages int    `json:"pages"`
	Bytes uint64 `json:"bytes"`
	Lies  Place  `json:"lies"`
	// Belongs is the tier that the rate puts it in.
	Belongs string `json:"belongs"`
	// State is one of policy's: at_home, moving, held, idle, guest, fixed, unknown, outside.
	State string `json:"state"`
	// Rule is by which it moves or is held. Of what is held it is the rule that keeps it
	// from the tier For.
	Rule string `json:"rule,omitempty"`
	For  string `json:"for,omitempty"`
	To   *Place `json:"to"` // where it moves; null if it does not
	// Rate is of the hottest piece, MeanAccessesPerSecond that of all.
	Rate                  Rate    `json:"rate"`
	MeanAccessesPerSecond float64 `json:"mean_accesses_per_second"`
	// StableSeconds is for how long it has been so, HotSamples in how many of the last
	// eight samples it was hot.
	StableSeconds float64 `json:"stable_seconds"`
	HotSamples    int     `json:"hot_samples"`
	// WantedFrom is the rate from which a faster tier would want it; null if there is none.
	WantedFrom *float64 `json:"wanted_from_accesses_per_second"`
	// WaitSeconds is what is left of its cool-down.
	WaitSeconds float64 `json:"wait_seconds"`
	// PlannedOnly tells that its workload is only observed, so that it moves in plans alone.
	PlannedOnly bool     `json:"planned_only"`
	Tests       []Test   `json:"tests"`
	Changes     []Change `json:"changes"`
	Says        string   `json:"says"`
}

// Test is how a part fared when a place in a tier was looked for. What the rules
// did not come to is null.
type Test struct {
	Tier string `json:"tier"`
	// Rule forbade it; "" if it passed.
	Rule string `json:"rule"`
	// Skipped: not tried, as many hotter ones had failed by the same rule.
	Skipped        bool     `json:"skipped"`
	Payback        *Against `json:"payback"`
	GainSeconds    float64  `json:"gain_seconds"`
	CostSeconds    float64  `json:"cost_seconds"`
	HorizonSeconds float64  `json:"horizon_seconds"`
	Evidence       *Against `json:"evidence"`
	Separation     *Against `json:"separation"`
	// Victim is, of what could leave, that which the part is most surely hotter than.
	Victim        *Rate  `json:"victim"`
	VictimPID     int    `json:"victim_pid,omitempty"`
	VictimAddress string `json:"victim_address,omitempty"`
	Victims       int    `json:"victims"`
	// LacksBytes is by how much the budget or the limit falls short.
	LacksBytes uint64 `json:"lacks_bytes"`
}

// Change is something that would lift the rule that holds a part, all else being the same. It
// has been tried.
type Change struct {
	// Lever is one of policy's: rate, noise, samples, stable, time, move_cost, room, budget,
	// limit, weight, pressure. Now and Needed are in its unit.
	Lever  string  `json:"lever"`
	Now    float64 `json:"now"`
	Needed float64 `json:"needed"`
	Tier   string  `json:"tier,omitempty"` // of room and limits
	// Then is the rule that would hold it next; "" if it would move.
	Then string `json:"then"`
	Says string `json:"says"`
}
