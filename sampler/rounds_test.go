package sampler_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/samplertest"
)

// round lets pages of a region be made inaccessible, and touched at a rate each, for so many seconds.
func round(rng *rand.Rand, m *samplertest.Memory, region, pages int, rate, age float64) hintfault.Round {
	r := hintfault.Round{Addr: m.Base + uint64(region)*policy.RegionSize, Age: age}
	m.Regions[region].Armed = pages
	for range pages {
		at := rng.ExpFloat64() / rate
		if at > age {
			continue
		}
		m.Regions[region].Armed--
		step := 0
		for step < hintfault.RoundSteps-1 && at > hintfault.StepSeconds(step) {
			step++
		}
		r.Touched[step]++
	}
	return r
}

// How soon pages are touched after they have been made inaccessible tells how often they are used, whichever part of
// a region the kernel takes, and of how little use there is.
func TestRoundsTellRates(t *testing.T) {
	rates := []float64{0.05, 1, 5, 25, 200}
	tr, m, c := tracked(len(rates)*8, 0.2)
	tr.SetDeaf(true)
	tr.SetBoundaries([]float32{20, 1})
	rng := rand.New(rand.NewPCG(1, 2))
	run(tr, c, 3)
	for range 6 {
		run(tr, c, 2)
		var list []hintfault.Round
		for i := range m.Regions {
			list = append(list, round(rng, m, i, 512>>(i%4), rates[i/8], 1.5))
		}
		tr.HearRounds(job, list)
	}
	for i, r := range tr.Snapshot()[0].Regions {
		want := rates[i/8]
		if off := math.Abs(math.Log(float64(r.Rate) / want)); r.Flags&policy.Unseen != 0 || off > 0.7 && want < 200 || r.Rate < 50 && want == 200 {
			t.Errorf("region %d: rate %g, want %g", i, r.Rate, want)
		}
	}
	if s := tr.Stats(); s.ClearedBytes != 0 || s.Heard[sampler.HintFaults].Regions != uint64(6*len(m.Regions)) {
		t.Errorf("%+v", s)
	}
	// What the kernel has left out says nothing, and what is younger than any step does not, either.
	before := tr.Snapshot()[0].Regions[0]
	tr.HearRounds(job, []hintfault.Round{round(rng, m, 0, 0, 1, 1.5), round(rng, m, 1, 512, 1, 1e-4)})
	tr.HearRounds(policy.ProcessID{PID: 99}, []hintfault.Round{round(rng, m, 0, 512, 1, 1.5)})
	if after := tr.Snapshot()[0].Regions[0]; after.Rate != before.Rate {
		t.Errorf("from %+v to %+v", before, after)
	}
}

// A huge page is touched, or not: it has one fault.
func TestRoundsOfHugePages(t *testing.T) {
	tr, m, c := tracked(8, 0.2)
	for _, r := range m.Regions {
		r.Huge = true
	}
	tr.SetDeaf(true)
	tr.SetBoundaries([]float32{0.01})
	rng := rand.New(rand.NewPCG(3, 4))
	run(tr, c, 3)
	for range 20 {
		run(tr, c, 2)
		var list []hintfault.Round
		for i := range m.Regions {
			rate := 0.05 // accesses per second of all pages together
			if i%2 == 0 {
				rate = 50
			}
			r := round(rng, m, i, 1, rate, 1.5)
			m.Regions[i].Armed *= policy.PagesPerRegion
			list = append(list, r)
		}
		tr.HearRounds(job, list)
	}
	for i, r := range tr.Snapshot()[0].Regions {
		if hot := i%2 == 0; hot && r.Rate < 2.0/policy.PagesPerRegion || !hot && r.Rate > 1.0/policy.PagesPerRegion {
			t.Errorf("region %d: rate %g", i, r.Rate)
		}
	}
}
