package sampler_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/samplertest"
)

// poisson draws a number with a mean.
func poisson(rng *rand.Rand, mean float64) (n int) {
	for at := rng.ExpFloat64(); at < mean; at += rng.ExpFloat64() {
		n++
	}
	return n
}

// sampled draws the samples of memory in which one of so many accesses counts.
func sampled(rng *rand.Rand, m *samplertest.Memory, exposure, part float64) (list []sampler.Sampled) {
	for i, r := range m.Regions {
		sum := 0.0
		for _, rate := range r.Rate {
			sum += rate
		}
		if n := poisson(rng, sum*exposure*part); n > 0 {
			list = append(list, sampler.Sampled{Addr: m.Base + uint64(i)*policy.RegionSize, Count: n})
		}
	}
	return list
}

// Samples alone tell rates, and that there are none where there should be some tells, too.
func TestSamplesAlone(t *testing.T) {
	const exposure = 0.01
	for _, huge := range []bool{false, true} {
		tr, m, c := tracked(32, 0.2)
		tr.SetDeaf(true)
		tr.SetBoundaries([]float32{5})
		rates := []float64{0, 1, 20, 200}
		for i, r := range m.Regions {
			r.Huge = huge
			m.SetRate(i, rates[i%4])
		}
		rng := rand.New(rand.NewPCG(1, 2))
		run(tr, c, 3)
		for range 10 {
			run(tr, c, 2)
			tr.HearSamples(job, sampled(rng, m, exposure, 1), exposure)
		}
		for i, r := range tr.Snapshot()[0].Regions {
			want := rates[i%4]
			if off := math.Abs(math.Log(float64(r.Rate) / want)); r.Flags&policy.Unseen != 0 || want > 1 && off > 0.7 || want == 1 && off > 1.2 || want == 0 && r.Rate > 0.5 {
				t.Errorf("huge %v, region %d: rate %g, want %g", huge, i, r.Rate, want)
			}
		}
		if s := tr.Stats(); s.ClearedBytes != 0 || s.Heard[sampler.Samples].Regions == 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Where accessed bits tell the rates, samples of an unknown part of the accesses find their scale by them, and do
// not disagree for long.
func TestSamplesFindTheirScale(t *testing.T) {
	const exposure, part = 0.5, 0.02
	tr, m, c := tracked(64, 0.2)
	tr.SetBoundaries([]float32{5})
	for i := range m.Regions {
		rate := 2.0
		if i%4 == 0 {
			rate = 40
		}
		m.SetRate(i, rate)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	run(tr, c, 10)
	var before uint64
	for i := range 40 {
		run(tr, c, 2)
		if i == 30 {
			before = tr.Stats().Heard[sampler.Samples].Disagreed
		}
		tr.HearSamples(job, sampled(rng, m, exposure, part), exposure)
	}
	for i, r := range tr.Snapshot()[0].Regions {
		want := 2.0
		if i%4 == 0 {
			want = 40
		}
		if math.Abs(math.Log(float64(r.Rate)/want)) > 0.7 {
			t.Errorf("region %d: rate %g, want %g", i, r.Rate, want)
		}
	}
	s := tr.Stats().Heard[sampler.Samples]
	if late := s.Disagreed - before; float64(late) > 0.05*float64(s.Regions)/4 {
		t.Errorf("%d of %d disagree once the scale is known", late, s.Regions/4)
	}
}

func TestSamplesNonsense(t *testing.T) {
	tr, m, c := tracked(4, 0.2)
	run(tr, c, 5)
	before := tr.Snapshot()[0].Regions[1]
	odd := []sampler.Sampled{{Addr: m.Base + policy.RegionSize, Count: -3}, {Addr: 1 << 60, Count: 5}}
	for _, exposure := range []float64{0, -1, math.NaN(), math.Inf(1), 1e-9} {
		tr.HearSamples(job, odd, exposure)
	}
	tr.HearSamples(policy.ProcessID{PID: 99}, odd, 1)
	if after := tr.Snapshot()[0].Regions[1]; after.Rate != before.Rate || after.LogVar != before.LogVar {
		t.Errorf("from %+v to %+v", before, after)
	}
	if slot, ok := tr.Lies(job, m.Base); !ok || slot != 2 {
		t.Errorf("region 0 lies on slot %d, %v", slot, ok)
	}
	if _, ok := tr.Lies(job, 1<<60); ok {
		t.Error("what is not there lies somewhere")
	}
}
