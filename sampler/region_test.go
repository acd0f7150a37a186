package sampler

import (
	"math"
	"math/bits"
	"slices"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// blockOf is a region of base pages of which the first so many were accessed.
func blockOf(young int) *pagetable.Block {
	b := &pagetable.Block{Kind: pagetable.KindTable, LeafShift: 12, PresentPages: policy.PagesPerRegion, YoungPages: uint16(young)}
	b.Count[0] = policy.PagesPerRegion
	for i := range policy.PagesPerRegion {
		b.Present[i/64] |= 1 << (i % 64)
		if i < young {
			b.Young[i/64] |= 1 << (i % 64)
		}
	}
	return b
}

// known is a region that has been seen at a rate for a while.
func known(t *testing.T, rate float64) (r *region, now float64) {
	t.Helper()
	r = &region{est: estimate{vari: unknownVar}, movable: policy.AllPieces, detail: noDetail, flags: policy.Unseen}
	for now = 1; now < 20; now++ {
		r.update(blockOf(expectedYoung(rate, 0.1)), lookAt(now, 0.1))
	}
	if off := math.Abs(math.Log(r.est.rate() / rate)); off > 0.1 {
		t.Fatalf("rate %g, want %g", r.est.rate(), rate)
	}
	return r, now
}

func expectedYoung(rate, window float64) int {
	return int(math.Round(policy.PagesPerRegion * -math.Expm1(-rate*window)))
}

func lookAt(now, window float64) sample {
	return sample{window: window, boundary: 5, now: ticks(now), pieces: policy.AllPieces, fresh: true}
}

// One sample that contradicts changes nothing, in either direction: a pause looks
// like that, and a scan that comes past.
func TestContradictionNeedsTwoSamples(t *testing.T) {
	for _, tt := range []struct{ from, to float64 }{{1, 60}, {20, 0.2}} {
		r, now := known(t, tt.from)
		if v := r.update(blockOf(expectedYoung(tt.to, 0.1)), lookAt(now, 0.1)); v != doubtful {
			t.Errorf("%g to %g: the first sample is %d, want doubtful", tt.from, tt.to, v)
		}
		if off := math.Abs(math.Log(r.est.rate() / tt.from)); off > 0.1 {
			t.Errorf("%g to %g: rate %g after one sample", tt.from, tt.to, r.est.rate())
		}
		again := *r
		if v := again.update(blockOf(expectedYoung(tt.from, 0.1)), lookAt(now+1, 0.1)); v != denied {
			t.Errorf("%g to %g: the sample that is as before is %d, want denied", tt.from, tt.to, v)
		}
		if off := math.Abs(math.Log(again.est.rate() / tt.from)); off > 0.1 || again.changed == ticks(now+1) {
			t.Errorf("%g to %g: rate %g after it was denied", tt.from, tt.to, again.est.rate())
		}
		if v := r.update(blockOf(expectedYoung(tt.to, 0.1)), lookAt(now+1, 0.1)); v != changed {
			t.Errorf("%g to %g: the second sample is %d, want changed", tt.from, tt.to, v)
		}
		if off := math.Abs(math.Log(r.est.rate() / tt.to)); off > 0.3 || r.changed != ticks(now+1) {
			t.Errorf("%g to %g: rate %g after two samples", tt.from, tt.to, r.est.rate())
		}
	}
}

// Evidence of a rate is what was seen of that rate, and not within a moment.
func TestEvidenceIsOfTheRate(t *testing.T) {
	r, now := known(t, 6) // just above the boundary
	if bits.OnesCount8(r.evidence) != 8 {
		t.Fatalf("evidence %08b", r.evidence)
	}
	s := lookAt(now, 0.02)
	r.update(blockOf(expectedYoung(100, 0.02)), s)
	s.now = ticks(now + 1)
	r.update(blockOf(expectedYoung(100, 0.02)), s)
	if r.evidence != 0b11 {
		t.Errorf("evidence %08b after two samples of another rate, want 11", r.evidence)
	}
	s.fresh = false
	r.update(blockOf(expectedYoung(100, 0.02)), s)
	if r.evidence != 0b11 {
		t.Errorf("evidence %08b after a third within the same moment, want 11", r.evidence)
	}
}

func TestExtentLearnsMoments(t *testing.T) {
	p := &process{}
	// A hundred looks of 0.1 s a second; one in twenty sees a pass.
	now := 0.0
	for i := range 100_000 {
		now = float64(i) / 100
		p.lookedAt(uint32(i%extentRegions), now, 0.1)
		if i%20 == 0 {
			p.sawTurn(uint32(i%extentRegions), now, accessesOf(64, 64), false)
		}
	}
	const want = passAccesses / 2.0
	rate, variance := moments(p.extents, 0, now)
	if len(p.extents) != 1 || math.Abs(rate/want-1) > 0.01 || math.Sqrt(variance)/rate > 0.1 {
		t.Errorf("%d extents, rate %g ± %g, want %g", len(p.extents), rate, math.Sqrt(variance), want)
	}
	q := policy.Region{Rate: 1, LogVar: 0.01}
	joinMoments(&q, rate, variance, false)
	if math.Abs(float64(q.Rate)/(1+want)-1) > 0.02 || bits.OnesCount8(q.Evidence) < enoughEvidence {
		t.Errorf("region: rate %g, evidence %08b", q.Rate, q.Evidence)
	}
	// What many regions show at one time is luck once.
	p = &process{}
	for i := range 64 {
		p.lookedAt(uint32(i), 5, 0.1)
		p.sawTurn(uint32(i), 5, passAccesses, false)
	}
	if rate, _ := moments(p.extents, 0, 5); rate != 0 {
		t.Errorf("rate %g from a single moment", rate)
	}
	p.dropExtents()
	if len(p.extents) != 0 {
		t.Error("an extent without regions is kept")
	}
}

// A lap goes through all regions once, however many there are.
func TestLapsAreInterleaved(t *testing.T) {
	for _, regions := range []int{0, 1, 63, 64, 65, 127, 1000, 4096} {
		seen := make([]bool, regions)
		for turn := range regions {
			seen[interleaved(turn, regions)] = true
		}
		if i := slices.Index(seen, false); i >= 0 {
			t.Errorf("of %d regions, number %d has no turn", regions, i)
		}
	}
}
