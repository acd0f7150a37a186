package sampler

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// levelOf is the level of one page.
func (d *detail) levelOf(p int) (level int) {
	for bit := range d.level {
		if d.level[bit].Has(p) {
			level |= 1 << bit
		}
	}
	return level
}

func TestLevelsCountSamples(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDetail(0)
		var want [64]int
		for p := range want {
			want[p] = 3
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			up := rapid.Uint64().Draw(t, "up")
			down := rapid.Uint64().Draw(t, "down") &^ up
			d.step(2, up, down)
			for p := range want {
				want[p] = min(max(want[p]+int(up>>p&1)-int(down>>p&1), 0), 7)
			}
		}
		for p := range want {
			if got := d.levelOf(128 + p); got != want[p] {
				t.Fatalf("page %d: level %d, want %d", p, got, want[p])
			}
		}
		d.rebase()
		for p := range want {
			if got := d.levelOf(128 + p); got != 3+want[p]/4 {
				t.Fatalf("page %d: level %d after %d, rebased", p, got, want[p])
			}
		}
	})
}

// randomBlock is a block of base pages on one node, some of them accessed: pages of a set
// with one probability, the others with another.
func randomBlock(rng *rand.Rand, hot policy.PageSet, pHot, pRest float64) *pagetable.Block {
	b := &pagetable.Block{Kind: pagetable.KindTable, Present: policy.AllPages(), PresentPages: policy.PagesPerRegion}
	b.Count[0] = policy.PagesPerRegion
	for p := range policy.PagesPerRegion {
		chance := pRest
		if hot.Has(p) {
			chance = pHot
		}
		if rng.Float64() < chance {
			b.Young[p/64] |= 1 << (p % 64)
			b.YoungPages++
		}
	}
	return b
}

func TestPagesAreOddBeyondChance(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var hot policy.PageSet
	for _, p := range rng.Perm(policy.PagesPerRegion)[:48] {
		hot.Add(p)
	}
	s := sample{window: 0.04, pieces: policy.AllPieces, now: ticks(1)}
	count := func(pHot, pRest float64) (odd int) {
		for range 1000 {
			d := newDetail(0)
			d.update(randomBlock(rng, hot, pHot, pRest), policy.AllPieces, s, 0)
			if d.odd(randomBlock(rng, hot, pHot, pRest)) {
				odd++
			}
		}
		return odd
	}
	for _, p := range []float64{0.005, 0.02, 0.1, 0.4, 0.9} {
		if n := count(p, p); n > 3 {
			t.Errorf("pages that are all accessed with probability %g differ in %d of 1000 regions", p, n)
		}
	}
	if n := count(0.95, 0.05); n < 999 {
		t.Errorf("hot pages are found in %d of 1000 regions", n)
	}
	if n := count(0.8, 0.1); n < 990 {
		t.Errorf("warm pages are found in %d of 1000 regions", n)
	}
}

// The strata's rates are those of samples that have not chosen them: where all pages
// are alike, the luckiest are not taken for hot.
func TestStrataOfAlikePagesAreAlike(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	d := newDetail(0)
	s := sample{window: 0.1, pieces: policy.AllPieces}
	for i := range 40 {
		s.now, s.fresh = ticks(float64(i)), true
		d.update(randomBlock(rng, policy.PageSet{}, 0, 0.3), policy.AllPieces, s, 1)
		if i < oddSamples || d.alike() {
			continue
		}
		t.Errorf("after %d samples: rates %g and %g", i, d.strata[hotStratum].est.rate(), d.strata[restStratum].est.rate())
	}
}

// What is known of where pages lie is true, as long as nobody else moves any, and
// adds up to what is present.
func TestPagesAreLocated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		d := newDetail(0)
		var at [policy.PagesPerRegion]policy.Slot
		for p := range at {
			at[p] = 2
		}
		known := true
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			b := randomBlock(rng, policy.PageSet{}, 0, 0.2)
			b.Count = [policy.MaxSlots]uint16{}
			for p, slot := range at {
				b.Count[slot]++
				if p%policy.PagesPerPiece == 0 {
					b.Slot[p/policy.PagesPerPiece] = slot
				} else if b.Slot[p/policy.PagesPerPiece] != slot {
					b.Slot[p/policy.PagesPerPiece] = policy.NoSlot
				}
			}
			d.update(b, policy.AllPieces, sample{window: 0.1, pieces: policy.AllPieces}, 1)
			var out policy.Detail
			d.portions(&out)
			pages := 0
			for _, q := range out {
				pages += int(q.Pages)
				if known && q.Pages > 0 && q.Slot == policy.NoSlot {
					t.Fatalf("parts %+v", out)
				}
			}
			if pages != policy.PagesPerRegion {
				t.Fatalf("parts have %d pages: %+v", pages, out)
			}
			for i, slot := range d.slots {
				on := d.on(i)
				for p := range at {
					if known && on.Has(p) && at[p] != slot {
						t.Fatalf("page %d lies on %d, not on %d", p, at[p], slot)
					}
				}
			}
			var set policy.PageSet
			to := policy.Slot(rng.IntN(3))
			for p := range at {
				if rng.IntN(5) == 0 {
					set.Add(p)
					at[p] = to
				}
			}
			// Somebody else may move them as well.
			if rapid.IntRange(0, 3).Draw(t, "told") > 0 {
				d.lie(set, d.index(to))
			} else {
				known = false
			}
		}
	})
}

func BenchmarkDetail(b *testing.B) {
	rng := rand.New(rand.NewPCG(5, 6))
	var hot policy.PageSet
	for _, p := range rng.Perm(policy.PagesPerRegion)[:48] {
		hot.Add(p)
	}
	d := newDetail(0)
	s := sample{window: 0.1, pieces: policy.AllPieces}
	block := randomBlock(rng, hot, 0.9, 0.1)
	for p := range block.Slot {
		block.Slot[p] = policy.NoSlot
	}
	block.Count[0], block.Count[1] = 400, 112
	var out policy.Detail
	for b.Loop() {
		d.update(block, policy.AllPieces, s, 1)
		d.portions(&out)
	}
}
