package status

import "time"

// Decision is one move that was handed to the mover, or planned in observe mode,
// with what it was decided by and what became of it.
type Decision struct {
	// ID names it until the daemon ends: d-EPOCH-NUMBER, the number being that of
	// the move in the epoch's plan, from 1.
	ID   string    `json:"id"`
	Time time.Time `json:"time"` // when its turn came
	// Says is the decision in a sentence or two, for a person.
	Says string `json:"says"`
	// PlannedOnly tells that nothing was to move: the workload is observed.
	PlannedOnly bool   `json:"planned_only"`
	Workload    string `json:"workload"`
	PID         int    `json:"pid"`
	// Address is that of the region of 2 MiB, in hexadecimal; Bytes is how much of it.
	Address string `json:"address"`
	Bytes   uint64 `json:"bytes"`
	Kind    string `json:"kind"` // promotion or demotion
	Rule    string `json:"rule"`
	From    Place  `json:"from"`
	To      Place  `json:"to"`

	// Rate is of what moves, Other of what it displaces (of what displaces it,
	// for a demotion); null without one.
	Rate  Rate  `json:"rate"`
	Other *Rate `json:"other"`
	// Separation is how surely the two differ, in standard deviations, against
	// the limit that was in force then; null where nothing was compared.
	Separation *Against `json:"separation"`
	// Payback is the benefit over the cost; null where that did not count.
	Payback *Against `json:"payback"`
	// Gain is the benefit over the horizon and Cost that of all moves that belong
	// together, in seconds; 0 where that did not count.
	GainSeconds    float64 `json:"gain_seconds"`
	CostSeconds    float64 `json:"cost_seconds"`
	HorizonSeconds float64 `json:"horizon_seconds"`
	// CostPerPageSeconds is what moving a page of 4 KiB was taken to cost.
	CostPerPageSeconds float64 `json:"cost_per_page_seconds"`
	// Evidence is in how many of the last eight samples it was hot, against how many
	// it must have been; null for demotions.
	Evidence *Against `json:"evidence"`
	// BudgetBytes is what the plan might move, both directions together.
	BudgetBytes uint64 `json:"budget_bytes"`
	// With has the ids of what was decided with it: the demotions that make room,
	// and the promotion that they are for. At most [MaxWith] of them.
	With []string `json:"with"`

	Outcome DecisionOutcome `json:"outcome"`
}

// MaxWith bounds Decision.With.
const MaxWith = 16

// Place is a node and its tier.
type Place struct {
	Tier string `json:"tier"`
	Node int    `json:"node"`
}

// Rate is an estimate.
type Rate struct {
	// AccessesPerSecond is of a page of 4 KiB.
	AccessesPerSecond float64 `json:"accesses_per_second"`
	// LogVariance is the variance of its natural logarithm.
	LogVariance float64 `json:"log_variance"`
}

// Against is a value and the least that it must be.
type Against struct {
	Value float64 `json:"value"`
	Least float64 `json:"least"`
}

// DecisionOutcome is what became of a decision.
type DecisionOutcome struct {
	// Time is when the mover last worked on it; null if it has not yet.
	Time *time.Time `json:"time"`
	// PagesTotal is how many pages of 4 KiB were asked for, and Pages what became of them, by the names
	// of migrate.ResultNames; zeros are left out.
	PagesTotal int            `json:"pages_total"`
	Pages      map[string]int `json:"pages"`
	Error      string         `json:"error,omitempty"`
	// Seconds is how long the moving took.
	Seconds float64 `json:"seconds"`
	// Verdict is that of the ledger on a promotion: paid, wasted, or undone before it
	// had paid; "" while it is open, and for demotions.
	Verdict       string  `json:"verdict,omitempty"`
	EarnedSeconds float64 `json:"earned_seconds,omitempty"`
}
