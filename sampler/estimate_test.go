package sampler

import (
	"math"
	"math/rand/v2"
	"testing"
)

// observe draws how many of n pages are accessed in w seconds at a rate.
func observe(r *rand.Rand, n int, rate, w float64) int {
	p, k := -math.Expm1(-rate*w), 0
	for range n {
		if r.Float64() < p {
			k++
		}
	}
	return k
}

func TestEstimateConverges(t *testing.T) {
	for _, tt := range []struct{ rate, w float64 }{{0.1, 1}, {1, 1}, {10, 0.1}, {10, 0.3}, {0.01, 1}} {
		r := rand.New(rand.NewPCG(1, 2))
		e := estimate{vari: unknownVar}
		for range 20 {
			e.add(512, observe(r, 512, tt.rate, tt.w), tt.w, tt.w, 0)
		}
		if off := math.Abs(math.Log(e.rate() / tt.rate)); off > 4*math.Sqrt(float64(e.vari)) || off > 0.3 {
			t.Errorf("rate %g in windows of %g s: got %g (variance %g)", tt.rate, tt.w, e.rate(), e.vari)
		}
	}
}

// The stated variance must be honest: the policy's test of separation builds
// on it.
func TestEstimateVarianceIsHonest(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var off, claimed float64
	const regions = 400
	for range regions {
		e := estimate{vari: unknownVar}
		for range 12 {
			e.add(512, observe(r, 512, 0.8, 0.9), 0.9, 1, 0)
		}
		d := math.Log(e.rate() / 0.8)
		off += d * d
		claimed += float64(e.vari)
	}
	if ratio := off / claimed; ratio > 1.5 {
		t.Errorf("the error's variance is %.2f times the claimed one", ratio)
	}
}

func TestEstimateFollowsAShiftAtOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, tt := range []struct{ from, to float64 }{{0.5, 50}, {50, 0.5}, {0.001, 5}} {
		e := estimate{vari: unknownVar}
		for range 30 {
			e.add(512, observe(r, 512, tt.from, 0.3), 0.3, 0.5, 0)
		}
		changed := e.add(512, observe(r, 512, tt.to, 0.3), 0.3, 0.5, 0)
		if !changed || math.Abs(math.Log(min(e.rate(), 20)/min(tt.to, 20))) > 0.5 {
			t.Errorf("%g to %g: got %g, changed %v", tt.from, tt.to, e.rate(), changed)
		}
	}
}

// A window that is too long for the rate saturates: it must not pull a good
// estimate down.
func TestEstimateIgnoresSaturation(t *testing.T) {
	e := estimate{log: float32(math.Log(70)), vari: 0.01}
	for range 20 {
		e.add(512, 512, 1.1, 1.1, 0)
	}
	if e.rate() < 50 {
		t.Errorf("rate fell to %g by saturated samples", e.rate())
	}
}

func FuzzEstimate(f *testing.F) {
	f.Add(512, 3, 0.1, 1.0, float32(1), float32(1))
	f.Fuzz(func(t *testing.T, n, k int, w, dt float64, l, v float32) {
		if n < 1 || n > 512 || k < 0 || k > n || !(w > 1e-3 && w < 100) || !(dt >= 0 && dt < 1e6) {
			return
		}
		if !(l > -9 && l < 16) || !(v > 0 && v <= unknownVar) {
			return
		}
		e := estimate{l, v}
		e.add(n, k, w, dt, 0)
		if r := e.rate(); !(r >= minRate/2 && r <= maxRate*2) || !(e.vari > 0 && e.vari <= unknownVar) {
			t.Fatalf("rate %g variance %g", r, e.vari)
		}
	})
}
