package sampler_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/pagetable"
)

// says draws what a voice that looks at one page 20 times hears of memory with so many
// accesses per second and page.
func says(rng *rand.Rand, addr uint64, rate float64) sampler.Heard {
	h := sampler.Heard{Addr: addr, Pages: 20, Window: 0.02}
	for range h.Pages {
		if rng.Float64() < -math.Expm1(-rate*h.Window) {
			h.Accessed++
		}
	}
	return h
}

// What a voice says is enough to know memory by, and nothing is cleared for it. Where the
// pages lie is seen all the same.
func TestHearingAlone(t *testing.T) {
	tr, m, c := tracked(64, 0.2)
	tr.SetDeaf(true)
	tr.SetBoundaries([]float32{5, 5})
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		run(tr, c, 1)
		var heard []sampler.Heard
		for i := range m.Regions {
			rate := 1.0
			if i%8 == 0 {
				rate = 60
			}
			heard = append(heard, says(rng, m.Base+uint64(i)*policy.RegionSize, rate))
		}
		tr.Hear(sampler.DAMON, sampler.Said{ID: job, Heard: heard})
	}
	for i, r := range tr.Snapshot()[0].Regions {
		if hot := i%8 == 0; hot && (r.Rate < 30 || r.Rate > 120 || r.Evidence&7 != 7) || !hot && r.Rate > 5 {
			t.Errorf("region %d: rate %g, evidence %08b", i, r.Rate, r.Evidence)
		}
	}
	if s := tr.Stats(); s.ClearedBytes != 0 || s.Samples != 0 || s.Heard[sampler.DAMON].Regions != 640 {
		t.Errorf("%+v", s)
	}
	for p := range m.Regions[3].Slot {
		m.Regions[3].Slot[p] = 1
	}
	run(tr, c, 10)
	if at := tr.Snapshot()[0].Regions[3].Placement[0]; at.Slot != 1 {
		t.Errorf("region 3 is seen on %+v, it lies on slot 1", at)
	}
}

// Two sources that say the same make an estimate surer than one; what contradicts is
// counted, and one that errs now and then does not have its way.
func TestVoicesAreFused(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	one, m, c := tracked(64, 0.02)
	both, n, d := tracked(64, 0.02)
	wrong := 0
	for i := range m.Regions {
		m.SetRate(i, 20)
		n.SetRate(i, 20)
	}
	one.SetBoundaries([]float32{1, 1})
	both.SetBoundaries([]float32{1, 1})
	for second := range 20 {
		run(one, c, 1)
		run(both, d, 1)
		var heard []sampler.Heard
		for i := range n.Regions {
			h := says(rng, n.Base+uint64(i)*policy.RegionSize, 20)
			if (second+i)%40 == 39 {
				h = sampler.Heard{Addr: h.Addr, Pages: 500, Window: 0.2}
				wrong++
			}
			heard = append(heard, h)
		}
		both.Hear(sampler.HintFaults, sampler.Said{ID: job, Heard: heard})
	}
	var a, b float64
	for i := range m.Regions {
		x, y := one.Snapshot()[0].Regions[i], both.Snapshot()[0].Regions[i]
		a, b = a+float64(x.LogVar), b+float64(y.LogVar)
		if y.Rate < 10 || y.Rate > 40 {
			t.Errorf("region %d: rate %g, want 20", i, y.Rate)
		}
	}
	if b >= a {
		t.Errorf("the variance of ln(rate) is %g with one source, and %g with both", a/64, b/64)
	}
	if got := both.Stats().Heard[sampler.HintFaults]; got.Disagreed < uint64(wrong)/2 || got.Disagreed > 2*uint64(wrong) {
		t.Errorf("%+v, of which %d are wrong", got, wrong)
	}
}

// Memory that others map, too, is moved only where that is allowed, and never cleared.
func TestSharedIsHeard(t *testing.T) {
	tr, m, c := tracked(8, 0.2)
	m.Runs = []pagetable.Run{{
		Range: pagetable.Range{Start: m.Base, End: m.Base + 8*policy.RegionSize}, Class: pagetable.ClassShared | pagetable.ClassFile,
		Object: pagetable.Object{Dev: 1, Inode: 7},
	}}
	region := func(i int) policy.Region { return tr.Snapshot()[0].Regions[i] }
	run(tr, c, 5)
	if r := region(2); r.Flags&policy.Shared == 0 {
		t.Fatalf("%+v is not shared", r)
	}
	tr.SetShared(job, true)
	run(tr, c, 5)
	for range 5 {
		tr.Hear(sampler.DAMON, sampler.Said{ID: job, Heard: []sampler.Heard{{Addr: m.Base + 2*policy.RegionSize, Pages: 20, Accessed: 15, Window: 0.02}}})
		run(tr, c, 1)
	}
	if r := region(2); r.Flags&(policy.Shared|policy.Unseen) != 0 || r.Rate < 30 {
		t.Errorf("%+v may not move, or is cold", r)
	}
	if got := tr.Movable(&policy.Move{ID: job, Addr: m.Base + 2*policy.RegionSize, Strata: policy.AllStrata}); got != policy.AllPages() {
		t.Errorf("movable pages %#x, want all", got)
	}
	if s := tr.Stats(); s.ClearedBytes != 0 {
		t.Errorf("%d bytes were cleared", s.ClearedBytes)
	}
	tr.SetShared(job, false)
	run(tr, c, 5)
	if r := region(2); r.Flags&policy.Shared == 0 {
		t.Errorf("%+v is not shared any more", r)
	}
}

// Nonsense is not heard.
func TestHeardNonsense(t *testing.T) {
	tr, m, c := tracked(4, 0.2)
	run(tr, c, 5)
	before := tr.Snapshot()[0].Regions[1]
	addr := m.Base + policy.RegionSize
	tr.Hear(sampler.DAMON, sampler.Said{ID: job, Heard: []sampler.Heard{
		{Addr: addr, Pages: 0, Window: 1}, {Addr: addr, Pages: 3, Accessed: 4, Window: 1}, {Addr: addr, Pages: 3, Accessed: -1, Window: 1},
		{Addr: addr, Pages: 3, Window: 0}, {Addr: addr, Pages: 3, Window: math.NaN()}, {Addr: addr, Pages: 3, Window: 1, Noise: math.NaN()},
		{Addr: addr, Pages: 3, Window: 1, Noise: -1}, {Addr: 1 << 60, Pages: 3, Window: 1},
	}}, sampler.Said{ID: policy.ProcessID{PID: 99}, Heard: []sampler.Heard{{Addr: addr, Pages: 3, Window: 1}}})
	if after := tr.Snapshot()[0].Regions[1]; after.Rate != before.Rate || after.LogVar != before.LogVar {
		t.Errorf("from %+v to %+v", before, after)
	}
	if got := tr.Stats().Heard[sampler.DAMON].Regions; got != 0 {
		t.Errorf("%d regions were heard of", got)
	}
}
