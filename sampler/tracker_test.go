package sampler_test

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/sampler/samplertest"
)

var job = policy.ProcessID{PID: 42, Start: 1}

// run steps the tracker for some virtual seconds.
func run(t *sampler.Tracker, c *samplertest.Clock, seconds float64) {
	for end := c.Seconds + seconds; c.Seconds < end; {
		if next := t.Step(); next > c.Seconds {
			c.Seconds = next
		}
	}
}

func tracked(n int, budget float64) (*sampler.Tracker, *samplertest.Memory, *samplertest.Clock) {
	c := &samplertest.Clock{Seconds: 100}
	m := samplertest.NewMemory(c, n, 2)
	t := sampler.New(sampler.Options{Budget: budget, Burst: budget, DetailBytes: 1 << 20, Clock: c})
	t.Add(job, "job", true, m)
	return t, m, c
}

func TestRatesAreFound(t *testing.T) {
	tr, m, c := tracked(64, 0.05)
	for i := range m.Regions {
		m.SetRate(i, 0.5)
		if i%8 == 0 {
			m.SetRate(i, 50)
		}
	}
	tr.SetBoundaries([]float32{5})
	run(tr, c, 6)
	p := tr.Snapshot()[0]
	if len(p.Regions) != 64 {
		t.Fatalf("tracks %d regions of 64", len(p.Regions))
	}
	for i, r := range p.Regions {
		want := 0.5
		if i%8 == 0 {
			want = 50
		}
		if r.Flags&policy.Unseen != 0 || r.Pages() != 512 || r.Placement[0].Slot != 2 {
			t.Fatalf("region %d: %+v", i, r)
		}
		if off := math.Abs(math.Log(float64(r.Rate) / want)); off > 0.5 {
			t.Errorf("region %d: rate %g, want %g", i, r.Rate, want)
		}
		if hot := r.Evidence&7 == 7; hot != (i%8 == 0) {
			t.Errorf("region %d: evidence %08b at rate %g", i, r.Evidence, want)
		}
	}
}

func TestBudgetHolds(t *testing.T) {
	tr, m, c := tracked(4096, 0.02)
	m.ClearCost, m.WalkCost = 250e-6, 50e-6
	run(tr, c, 5)
	before, from := c.Worked, c.Seconds
	run(tr, c, 60)
	if share := (c.Worked - before) / (c.Seconds - from); share > 0.021 || share < 0.01 {
		t.Errorf("used %.4f of a core, budget 0.02", share)
	}
}

func TestShiftIsSeenSoon(t *testing.T) {
	tr, m, c := tracked(512, 0.05)
	for i := range m.Regions {
		m.SetRate(i, 0.5)
		if i < 48 {
			m.SetRate(i, 60)
		}
	}
	tr.SetBoundaries([]float32{1, 1})
	run(tr, c, 20)
	for i := range m.Regions {
		m.SetRate(i, 0.5)
		if i >= 100 && i < 148 {
			m.SetRate(i, 60)
		}
	}
	run(tr, c, 5)
	p := tr.Snapshot()[0]
	for i, r := range p.Regions {
		hot := i >= 100 && i < 148
		if (r.Rate > 3) != hot {
			t.Errorf("region %d: rate %g five seconds after the shift, hot %v", i, r.Rate, hot)
		}
	}
}

// Many regions that were hot become cold in one batch after the other: that is
// no pause, as others become hot.
func TestLargeShiftIsSeenSoon(t *testing.T) {
	const hot = 320
	tr, m, c := tracked(2048, 0.2)
	set := func(from int) {
		for i := range m.Regions {
			m.SetRate(i, 0.01)
			if i >= from && i < from+hot {
				m.SetRate(i, 60)
			}
		}
	}
	set(0)
	tr.SetBoundaries([]float32{1, 1})
	run(tr, c, 20)
	set(1000)
	run(tr, c, 6)
	wrong := 0
	for i, r := range tr.Snapshot()[0].Regions {
		if is := i >= 1000 && i < 1000+hot; is != (r.Rate > 5) || r.Rate > 600 {
			wrong++
		}
	}
	if wrong > 10 {
		t.Errorf("%d regions are wrong six seconds after the shift", wrong)
	}
}

// A stopped process has no new rates; when it goes on all is as it was.
func TestStoppedProcessIsRemembered(t *testing.T) {
	tr, m, c := tracked(512, 0.05)
	for i := range m.Regions {
		m.SetRate(i, 0.5)
		if i < 200 {
			m.SetRate(i, 20)
		}
	}
	tr.SetBoundaries([]float32{4, 4})
	run(tr, c, 20)
	m.SetPace(1e-6)
	run(tr, c, 60)
	m.SetPace(1)
	run(tr, c, 8)
	wrong := 0
	for i, r := range tr.Snapshot()[0].Regions {
		if (r.Rate > 4) != (i < 200) {
			wrong++
		}
	}
	if wrong > 10 {
		t.Errorf("%d regions of 512 are wrong after the process was stopped", wrong)
	}
}

// Two processes take turns, and each has turns for its doubtful regions and for
// the others.
func TestProcessesShareTheTurns(t *testing.T) {
	tr, m, c := tracked(256, 0.05)
	other := samplertest.NewMemory(c, 256, 2)
	second := policy.ProcessID{PID: 43, Start: 1}
	tr.Add(second, "job", true, other)
	for i := range m.Regions {
		for _, mem := range []*samplertest.Memory{m, other} {
			mem.SetRate(i, 0.5)
			if i%8 == 0 {
				mem.SetRate(i, 50)
			}
		}
	}
	tr.SetBoundaries([]float32{5})
	run(tr, c, 10)
	for _, p := range tr.Snapshot() {
		for i, r := range p.Regions {
			if hot := r.Evidence&7 == 7; hot != (i%8 == 0) {
				t.Errorf("process %d, region %d: evidence %08b", p.ID.PID, i, r.Evidence)
			}
		}
	}
}

// A process that waits does not make its regions colder, in particular not
// those alone that are sampled meanwhile.
func TestPauseIsNoChange(t *testing.T) {
	tr, m, c := tracked(512, 0.05)
	for i := range m.Regions {
		m.SetRate(i, 5)
	}
	tr.SetBoundaries([]float32{4, 4})
	run(tr, c, 20)
	for range 10 {
		m.SetPace(0.1)
		run(tr, c, 0.8)
		m.SetPace(1)
		run(tr, c, 1.2)
	}
	colder, changed := 0, 0
	for _, r := range tr.Snapshot()[0].Regions {
		if r.Rate < 2.5 {
			colder++
		}
		if r.Stable < 30 {
			changed++
		}
	}
	// Those of a batch that the beginning of a pause falls into may be wrong.
	if colder > 32 || changed > 64 {
		t.Errorf("%d regions of 512 seem colder, and %d to have changed", colder, changed)
	}
	// What stays becomes the truth.
	m.SetPace(0.3)
	run(tr, c, 60)
	for i, r := range tr.Snapshot()[0].Regions {
		if r.Rate > 3 {
			t.Errorf("region %d: rate %g a minute after the process became slower", i, r.Rate)
		}
	}
}

// What stays as it is is looked at rarely, and as often as ever once it is not.
func TestCalmMemoryIsLeftInPeace(t *testing.T) {
	const regions, shifted = 128, 8
	tr, m, c := tracked(regions, 0.2)
	for i := range m.Regions {
		m.SetRate(i, 20)
	}
	tr.SetBoundaries([]float32{10})
	run(tr, c, 60)
	samples := func(seconds float64) float64 {
		before := tr.Stats().Samples
		run(tr, c, seconds)
		return float64(tr.Stats().Samples-before) / seconds
	}
	if calm := samples(20); calm > regions/4 || calm < regions/8 {
		t.Errorf("%.0f samples a second of %d regions that stay as they are", calm, regions)
	}
	for i := range shifted {
		m.SetRate(i*regions/shifted, 0.1)
	}
	run(tr, c, 8)
	for i, r := range tr.Snapshot()[0].Regions {
		if i%(regions/shifted) == 0 && r.Rate > 1 {
			t.Errorf("region %d: rate %g 8 s after it has become cold", i, r.Rate)
		}
	}
	if lively := samples(2); lively < 2*regions {
		t.Errorf("%.0f samples a second of %d regions of which some have changed", lively, regions)
	}
}

func TestHugePages(t *testing.T) {
	tr, m, c := tracked(32, 0.05)
	for i, r := range m.Regions {
		r.Huge = true
		m.SetRate(i, 0.001)
		if i < 4 {
			m.SetRate(i, 1)
		}
	}
	tr.SetBoundaries([]float32{0.02})
	run(tr, c, 20)
	for i, r := range tr.Snapshot()[0].Regions {
		if r.Flags&policy.Huge == 0 {
			t.Fatalf("region %d is not huge", i)
		}
		if hot := r.Rate > 0.03; hot != (i < 4) {
			t.Errorf("region %d: rate %g", i, r.Rate)
		}
	}
}

// A page that the policy wants to be split is, and its hot part is found; nothing else
// is touched.
func TestHugePageIsSplitIfAsked(t *testing.T) {
	tr, m, c := tracked(8, 0.1)
	for i := range m.Regions {
		m.Regions[i].Huge = true
		m.SetRate(i, 0.5)
		for p := range 32 {
			m.Regions[i].Rate[p] = 200
		}
	}
	tr.SetBoundaries([]float32{20})
	run(tr, c, 2)
	at := tr.Snapshot()[0].Regions[3].Addr
	page := policy.Split{ID: job, Addr: at}
	tr.Split([]policy.Split{{ID: job, Addr: 1 << 40}, {ID: policy.ProcessID{PID: 43}, Addr: at}, page, page})
	run(tr, c, 10)
	for i, r := range tr.Snapshot()[0].Regions {
		if huge := r.Flags&policy.Huge != 0; huge != (i != 3) {
			t.Errorf("region %d: huge %v", i, huge)
		}
		if i == 3 && r.Detail < 0 {
			t.Error("its parts are not told apart")
		}
	}
	if m.Split != 1 {
		t.Errorf("%d pages were split", m.Split)
	}
	tr.Split(make([]policy.Split, 5000)) // more than can wait; none is there
	run(tr, c, 10)
}

// The kernel may make huge pages of a region between two samples of slices.
func TestHugePagesAreNotSplit(t *testing.T) {
	tr, m, c := tracked(32, 0.05)
	m.Runs[0].Huge = true
	for i := range m.Regions {
		m.SetRate(i, 1)
	}
	tr.SetBoundaries([]float32{1})
	run(tr, c, 5)
	for _, r := range m.Regions {
		run(tr, c, 0.5)
		r.Huge = true
	}
	run(tr, c, 5)
	if m.Split > 0 {
		t.Errorf("%d huge pages were split", m.Split)
	}
	for i, r := range tr.Snapshot()[0].Regions {
		if r.Flags&policy.Huge == 0 {
			t.Errorf("region %d is not known to be huge", i)
		}
	}
}

// hotPages are those of a region that a test wants to be hot.
func hotPages(rng *rand.Rand, n, run int) (set policy.PageSet) {
	for _, p := range rng.Perm(policy.PagesPerRegion / run)[:n/run] {
		for i := p * run; i < (p+1)*run; i++ {
			set.Add(i)
		}
	}
	return set
}

// Hot pages are found wherever in their regions they lie, and their moves followed.
func TestRegionsHotInPartsGetDetail(t *testing.T) {
	const chance = 4 // pages that were taken for hot by chance may leave
	for name, pages := range map[string]int{"single pages": 1, "pieces of 64 KiB": 16} {
		t.Run(name, func(t *testing.T) {
			tr, m, c := tracked(16, 0.05)
			rng := rand.New(rand.NewPCG(3, 4))
			var hot [8]policy.PageSet
			for i, r := range m.Regions {
				m.SetRate(i, 0.8)
				if i < 8 {
					hot[i] = hotPages(rng, 48, pages)
					for p := range r.Rate {
						if hot[i].Has(p) {
							r.Rate[p] = 70
						}
					}
				}
			}
			tr.SetBoundaries([]float32{1})
			run(tr, c, 8)
			p := tr.Snapshot()[0]
			for i, r := range p.Regions {
				if (r.Detail >= 0) != (i < 8) {
					t.Fatalf("region %d: detail %d", i, r.Detail)
				}
				if r.Detail < 0 {
					continue
				}
				up, rest := p.Details[r.Detail][0], p.Details[r.Detail][1]
				if up.Slot != 2 || up.Pages < 47 || up.Pages > 52 || up.Pages+rest.Pages != 512 || rest.Slot != 2 {
					t.Errorf("region %d: %+v", i, p.Details[r.Detail])
				}
				// In most windows all hot pages are accessed, which tells the least rate,
				// and the few that were taken for hot by chance lower it.
				if up.Rate < 5 || up.Rate > 200 || math.Abs(math.Log(float64(rest.Rate/0.8))) > 0.3 {
					t.Errorf("region %d: rates %g and %g, want some 70 and 0.8", i, up.Rate, rest.Rate)
				}
				if bits.OnesCount8(up.Evidence) < 3 {
					t.Errorf("region %d: evidence %08b", i, up.Evidence)
				}
			}
			// They are moved, all but one that is busy.
			mv := &policy.Move{ID: job, Addr: m.Base, Strata: 1, From: 2, To: 0, Kind: policy.Promotion}
			set := tr.Movable(mv)
			if missed := hot[0].And(set); missed.Count() < 47 || set.Count() > 52 {
				t.Fatalf("asks for %d pages, of them %d hot ones", set.Count(), missed.Count())
			}
			busy := slices.IndexFunc(set[:], func(w uint64) bool { return w != 0 })
			set[busy] &= set[busy] - 1
			for p := range m.Regions[0].Slot {
				if set.Has(p) {
					m.Regions[0].Slot[p] = 0
				}
			}
			tr.Moved(mv, set)
			for range 2 { // at once, and when the region has been seen again
				p = tr.Snapshot()[0]
				r := p.Regions[0]
				if n := r.Placement[1]; n.Slot != 0 || int(n.Pages) != set.Count() || r.Flags&policy.MovedUp == 0 {
					t.Errorf("after a move: %+v", r)
				}
				for _, q := range p.Details[r.Detail] {
					want := map[policy.Slot]int{0: set.Count(), 2: 512 - set.Count()}[q.Slot]
					if want := map[policy.Slot]policy.Way{0: policy.WentUp}[q.Slot]; q.Pages > 1 && q.Went != want {
						t.Errorf("went %d, want %d: %+v", q.Went, want, q)
					}
					if q.Pages > 0 && q.Stratum == 0 && (q.Slot == policy.NoSlot || q.Slot == 0 && (int(q.Pages) > want || int(q.Pages) < want-chance)) {
						t.Errorf("parts after a move: %+v", p.Details[r.Detail])
					}
				}
				run(tr, c, 3)
			}
			back := tr.Movable(&policy.Move{ID: job, Addr: m.Base, Strata: 1, From: 0, To: 2, Kind: policy.Demotion})
			if stray := back.And(set); stray != back || back.Count() < set.Count()-chance {
				t.Errorf("on the fast node are %d pages of %d", back.Count(), set.Count())
			}
		})
	}
}

// Where memory does not reach, those have detail that gain most by it.
func TestDetailGoesWhereItGainsMost(t *testing.T) {
	c := &samplertest.Clock{Seconds: 100}
	m := samplertest.NewMemory(c, 64, 2)
	tr := sampler.New(sampler.Options{Budget: 0.2, Burst: 0.2, DetailBytes: 12 << 10, Clock: c})
	t.Cleanup(tr.Close)
	tr.Add(job, "job", true, m)
	tr.SetBoundaries([]float32{1})
	rng := rand.New(rand.NewPCG(7, 8))
	heat := func(i, pages int, rate float64) {
		hot := hotPages(rng, pages, 1)
		m.SetRate(i, 0.1)
		for p := range m.Regions[i].Rate {
			if hot.Has(p) {
				m.Regions[i].Rate[p] = rate
			}
		}
	}
	for i := range 60 {
		heat(i, 24, 10)
	}
	detailed := func() (list []int) {
		p := tr.Snapshot()[0]
		for i := range p.Regions {
			if p.Regions[i].Detail >= 0 {
				list = append(list, i)
			}
		}
		return list
	}
	run(tr, c, 10)
	const most = 24 // of some 600 bytes each
	if n := len(detailed()); n < 8 || n > most {
		t.Fatalf("%d regions have detail in 12 KiB", n)
	}
	for i := 60; i < 64; i++ {
		heat(i, 200, 100)
	}
	run(tr, c, 60)
	list := detailed()
	if len(list) > most || len(list) < 4 || !slices.Equal(list[len(list)-4:], []int{60, 61, 62, 63}) {
		t.Errorf("of 60 to 63, which gain most, these have detail: %v", list)
	}
	if tr.Stats().DetailsRefused == 0 {
		t.Error("none was refused")
	}
}

func TestMappingsDecideWhatMoves(t *testing.T) {
	tr, m, c := tracked(8, 0.05)
	at := func(region int, piece uint64) uint64 {
		return m.Base + uint64(region)*policy.RegionSize + piece*policy.PieceSize
	}
	rng := func(a, b uint64) pagetable.Range { return pagetable.Range{Start: a, End: b} }
	m.Runs = []pagetable.Run{
		{Range: rng(at(0, 0), at(1, 8))},
		{Range: rng(at(1, 8), at(2, 0)), Class: pagetable.ClassFile},
		{Range: rng(at(2, 0), at(3, 0)), Class: pagetable.ClassBound},
		{Range: rng(at(3, 0), at(4, 0)), Class: pagetable.ClassShared | pagetable.ClassFile},
		{Range: rng(at(4, 0), at(5, 0)), Class: pagetable.ClassLocked},
		{Range: rng(at(5, 0), at(6, 0)), Class: pagetable.ClassDevice},
		{Range: rng(at(6, 0), at(7, 0)), Class: pagetable.ClassHugeTLB},
	}
	run(tr, c, 5)
	p := tr.Snapshot()[0]
	if len(p.Regions) != 6 {
		t.Fatalf("tracks %d regions, want 6", len(p.Regions))
	}
	flags := func(i int) uint8 {
		return p.Regions[i].Flags & (policy.Bound | policy.Shared | policy.Unseen | policy.Immovable)
	}
	for i, want := range []uint8{0, 0, policy.Bound | policy.Unseen, policy.Shared | policy.Unseen, policy.Unseen, policy.Immovable | policy.Unseen} {
		if flags(i) != want {
			t.Errorf("region %d: flags %b, want %b", i, flags(i), want)
		}
	}
	if got := tr.Movable(&policy.Move{ID: job, Addr: at(1, 0), Strata: policy.AllStrata}); got != policy.PagesOf(0xff) {
		t.Errorf("movable pages %#x, want those of 8 pieces", got)
	}
	if got := tr.Movable(&policy.Move{ID: job, Addr: at(1, 0), Strata: 1}); got != (policy.PageSet{}) {
		t.Errorf("a region without strata: movable pages %#x of one", got)
	}
	if got := p.Regions[1].Pages(); got != 8*policy.PagesPerPiece {
		t.Errorf("counts %d pages, want those of the movable pieces", got)
	}
	// The mapping is removed.
	m.Runs = m.Runs[:1]
	run(tr, c, 5)
	if n := len(tr.Snapshot()[0].Regions); n != 2 {
		t.Errorf("tracks %d regions after unmapping, want 2", n)
	}
}

func TestTaskPolicyBindsAll(t *testing.T) {
	tr, m, c := tracked(4, 0.05)
	m.Policy = 2 // MPOL_BIND
	run(tr, c, 3)
	for i, r := range tr.Snapshot()[0].Regions {
		if r.Flags&policy.Bound == 0 {
			t.Errorf("region %d is not bound", i)
		}
	}
}

func TestExecForgetsEverything(t *testing.T) {
	tr, m, c := tracked(8, 0.05)
	run(tr, c, 3)
	m.Exec++
	m.Regions = m.Regions[:2]
	m.Runs[0].End = m.Base + 2*policy.RegionSize
	run(tr, c, 3)
	if n := len(tr.Snapshot()[0].Regions); n != 2 || tr.Stats().Execs != 1 {
		t.Errorf("%d regions and %d execs, want 2 and 1", n, tr.Stats().Execs)
	}
}

func TestGoneProcessStopsQuietly(t *testing.T) {
	tr, m, c := tracked(8, 0.05)
	run(tr, c, 3)
	m.Err = pagetable.ErrGone
	run(tr, c, 3)
	if err := tr.Err(job); err != pagetable.ErrGone {
		t.Errorf("got %v", err)
	}
	tr.Remove(job)
	if !m.Closed || len(tr.Snapshot()) != 0 {
		t.Error("space is still open")
	}
	run(tr, c, 1)
}

// A terabyte of reserved and unused address space must not cost anything.
func TestSparseSpaceIsCheap(t *testing.T) {
	tr, m, c := tracked(8, 0.05)
	m.Runs[0].End = m.Base + 1<<40
	run(tr, c, 120)
	if got := tr.Stats(); got.Regions != 8 || got.Samples < 8*60 {
		t.Errorf("%+v", got)
	}
}

func BenchmarkSnapshot(b *testing.B) {
	tr, _, c := tracked(4096, 1)
	run(tr, c, 5)
	b.ReportAllocs()
	for b.Loop() {
		tr.Snapshot()
	}
}

// What somebody else has moved is left to them for a while, and for longer where they do
// it again. As long as nobody does such things on this host, it is memory that was freed and
// used again.
func TestRivals(t *testing.T) {
	tr, m, c := tracked(64, 0.2)
	for i := range m.Regions {
		m.SetRate(i, 20)
	}
	tr.SetBoundaries([]float32{1, 1})
	lies := func(region int, slot policy.Slot) {
		for p := range m.Regions[region].Slot {
			m.Regions[region].Slot[p] = slot
		}
	}
	rival := func(region int) bool {
		return tr.Snapshot()[0].Regions[region].Flags&policy.Rival != 0
	}
	run(tr, c, 10)
	at := tr.Snapshot()[0].Regions[3].Placement[0].Slot
	other := policy.Slot(1)
	if at == other {
		other = 0
	}
	lies(3, other)
	run(tr, c, 10)
	if rival(3) || tr.Stats().Taken != 0 {
		t.Errorf("without a rival: %v, %d pages", rival(3), tr.Stats().Taken)
	}

	tr.Rivals(true)
	run(tr, c, 5)
	if tr.Stats().Taken != 0 {
		t.Errorf("what was moved before counts: %d pages", tr.Stats().Taken)
	}
	lies(3, at)
	// What tierd moves itself is no rival's work.
	moved := policy.Move{ID: tr.Snapshot()[0].ID, Addr: tr.Snapshot()[0].Regions[5].Addr, From: at, To: other}
	tr.Moved(&moved, policy.AllPages())
	lies(5, other)
	run(tr, c, 10)
	if !rival(3) || rival(4) || rival(5) || tr.Stats().Taken != policy.PagesPerRegion {
		t.Errorf("regions 3, 4, 5: %v, %v, %v; %d pages", rival(3), rival(4), rival(5), tr.Stats().Taken)
	}
	run(tr, c, 60)
	if rival(3) {
		t.Error("it is still left alone after a minute")
	}
	lies(3, other)
	run(tr, c, 80)
	if !rival(3) {
		t.Error("the second time it is left alone for no longer")
	}
	run(tr, c, 60)
	if rival(3) {
		t.Error("it is left alone for ever")
	}
}
