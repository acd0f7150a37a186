package status

// Thrash is how moves that do not pay are kept down. Ratios are shares, 0 to 1.
type Thrash struct {
	// Separation is the z in force; it rises above the configured one while much is wasted.
	Separation float64 `json:"separation"`
	// BudgetRatio is the part of the bytes of a plan that may be used; it falls while much is wasted.
	BudgetRatio float64 `json:"budget_ratio"`
	// WasteRatio is the cost of promotions that did not pay, per time, in the last window of 5 s.
	WasteRatio float64 `json:"waste_ratio"`
	// PressureRatio is the host's memory pressure (some, avg10); null if the kernel does not tell.
	PressureRatio *float64 `json:"pressure_ratio"`
	// LeastPayback is the least benefit over cost of the promotions in the last plan; null if it has none.
	LeastPayback *float64 `json:"least_payback"`
	// PendingPromotions are not judged yet.
	PendingPromotions int `json:"pending_promotions"`
	// PaidTotal and WastedTotal count promotions that did and did not earn back their cost; UndoneTotal those
	// of the latter that were undone.
	PaidTotal   uint64 `json:"paid_total"`
	WastedTotal uint64 `json:"wasted_total"`
	UndoneTotal uint64 `json:"undone_total"`
	// PingPongsTotal counts the moves, paid or not, that undo the region's last one within the window.
	PingPongsTotal uint64 `json:"ping_pongs_total"`
	// SecondsTotal is what promotions, with the demotions for them, cost; WastedSecondsTotal the part wasted.
	SecondsTotal       float64 `json:"seconds_total"`
	WastedSecondsTotal float64 `json:"wasted_seconds_total"`

	Settings ThrashSettings `json:"settings"`
}

// ThrashSettings are the limits of [thrash], percentages as shares.
type ThrashSettings struct {
	Separation    float64 `json:"separation"`
	Payback       float64 `json:"payback"`
	MaxWaste      float64 `json:"max_waste"`
	WindowSeconds float64 `json:"window_seconds"`
	Breaker       float64 `json:"breaker"`
	PSI           float64 `json:"psi"`
}

// Breaker is how a workload's breaker stands.
type Breaker struct {
	State string `json:"state"` // a name of [BreakerStates]
	// Reason says why moves are held back, by the breaker or by memory pressure; "" if they are not.
	Reason string `json:"reason,omitempty"`
	// Seconds is for how long it has been in this state.
	Seconds float64 `json:"seconds"`
	// UndoneRatio is the share of moves that were undone before they had paid, in the last window with moves.
	UndoneRatio float64 `json:"undone_ratio"`
	TripsTotal  uint64  `json:"trips_total"`
	// PressureRatio is the memory pressure of its processes' cgroups, the highest; null if none is known.
	PressureRatio *float64 `json:"pressure_ratio"`
}

// BreakerStates are the states of a breaker: moves pass; they pass on trial; nothing passes but relief and a
// probe now and then.
func BreakerStates() []string { return []string{"closed", "half-open", "open"} }
