package daemon

import (
	"math"
	"testing"

	"github.com/tierd/tierd/policy"
)

// The proportions of what was measured count, of tiers of which enough is known.
func TestMeasuredLatency(t *testing.T) {
	tiers := []policy.Tier{{Name: "hbm", AccessNS: 100}, {Name: "dram", AccessNS: 100}, {Name: "cxl", AccessNS: 400}}
	var l latency
	l.add(0, 400*1000, 1000, 1)
	if got := l.measured(tiers); got[0] != tiers[0] {
		t.Errorf("one tier alone: %+v", got)
	}
	l.add(2, 800*1000, 1000, 1)
	l.add(1, 1e9, leastWeighed/2, 1)
	l.add(-1, 1e9, 1000, 1)
	got := l.measured(tiers)
	if ratio := got[2].AccessNS / got[0].AccessNS; math.Abs(ratio-2) > 1e-9 {
		t.Errorf("cxl takes %g times as long as hbm, want 2: %+v", ratio, got)
	}
	if mean := got[2].AccessNS * got[0].AccessNS; math.Abs(mean-100*400) > 1e-6 || got[1] != tiers[1] || tiers[0].AccessNS != 100 {
		t.Errorf("%+v of %+v", got, tiers)
	}
	// A loaded fast tier is slower than the slow one, within reason.
	for range 10 {
		l.add(0, 1e6*1000, 1000, 2)
	}
	if got = l.measured(tiers); got[0].AccessNS <= got[2].AccessNS || got[0].AccessNS > 100*mostStretch {
		t.Errorf("loaded: %+v", got)
	}
	// What is long ago is forgotten.
	l.add(0, 0.001, 0.001, 1000)
	if got = l.measured(tiers); got[0] != tiers[0] {
		t.Errorf("later: %+v", got)
	}
}
