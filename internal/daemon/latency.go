package daemon

import (
	"math"

	"github.com/tierd/tierd/policy"
)

const (
	// latencyHalfLife is in how many seconds what was measured loses half of its weight.
	latencyHalfLife = 30
	// A tier's latency is known by so much weight of samples.
	leastWeighed = 200
	// mostStretch is by what factor a tier is believed to be slower or faster than it is known to be.
	mostStretch = 8
)

// latency is how long sampled accesses to each tier took, in cycles, of late.
type latency struct {
	cycles, weight []float64
	at             float64
}

// add counts samples of a tier.
func (l *latency) add(tier int, cycles, samples, now float64) {
	if tier < 0 || samples == 0 {
		return
	}
	for len(l.weight) <= tier {
		l.cycles, l.weight = append(l.cycles, 0), append(l.weight, 0)
	}
	if dt := now - l.at; dt > 0 {
		fade := math.Exp2(-dt / latencyHalfLife)
		for i := range l.weight {
			l.cycles[i], l.weight[i] = l.cycles[i]*fade, l.weight[i]*fade
		}
		l.at = now
	}
	l.cycles[tier] += cycles
	l.weight[tier] += samples
}

// measured is what the tiers' latencies are by what was measured: a fast one that is loaded may be slower than the next.
// Samples tell cycles, so the tiers of which enough is known are compared with each other: they keep their mean, and
// their proportions become those that were measured. The others stay as they are, and so do all if only one is known.
func (l *latency) measured(tiers []policy.Tier) []policy.Tier {
	known, told, expected := 0, 0.0, 0.0
	for i := range min(len(tiers), len(l.weight)) {
		if l.weight[i] >= leastWeighed && tiers[i].AccessNS > 0 {
			known++
			told += math.Log(l.cycles[i] / l.weight[i])
			expected += math.Log(tiers[i].AccessNS)
		}
	}
	if known < 2 {
		return tiers
	}
	scale := math.Exp((expected - told) / float64(known))
	out := append([]policy.Tier(nil), tiers...)
	for i := range min(len(tiers), len(l.weight)) {
		if ns := out[i].AccessNS; l.weight[i] >= leastWeighed && ns > 0 {
			out[i].AccessNS = min(max(scale*l.cycles[i]/l.weight[i], ns/mostStretch), ns*mostStretch)
		}
	}
	return out
}
