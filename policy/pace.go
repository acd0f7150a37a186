package policy

import "math"

const (
	// shortestEpoch is as short as what is hot for a while needs it.
	shortestEpoch = 0.2
	// RestSeconds is how long after a decision the next one is due if nothing new
	// has been seen: time alone ends cool-downs, and others may take memory.
	RestSeconds = 1.0
	// longestEpoch is for hosts with so much memory that to decide takes long.
	longestEpoch = 30
	// decideShare is the part of the budget that deciding may use, and quietShare that
	// while there is nothing to do.
	decideShare, quietShare = 0.25, 0.08
)

// EpochAfter is how many seconds after the beginning of a decision that took so
// many seconds the next one is due, if all work may use a budget that is a share
// of one core. Quiet is when the last plan moved nothing and no phase has just begun.
func EpochAfter(took, budget float64, quiet bool) float64 {
	if !(took >= 0) || !(budget > 0) {
		return shortestEpoch
	}
	share := decideShare
	if quiet {
		share = quietShare
	}
	return math.Min(math.Max(shortestEpoch, took/(budget*share)), longestEpoch)
}
