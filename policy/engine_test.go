package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The cases below are worked out by hand. Unless they say otherwise: moving a
// page costs 2 µs; an access costs 100 ns in hbm, 200 in dram, 400 in cxl; a
// region has 512 pages, a variance of 0.01, has been stable for 20 s, was seen
// hot in all of the last eight samples, and never moved. A region of rate r
// that comes from cxl to dram is then worth r·512·200 ns·20 s = 2.05·r ms for
// a cost of 1.02 ms: it pays (1.5 times) from a rate of 0.75 on.

const (
	mib  = 1 << 20
	base = 0x7f0000000000
)

const (
	reserve  = 64 * mib
	headroom = reserve / headroomPart
)

// tiers makes a snapshot of one node per tier with so many regions of room: where
// there is any, the headroom comes on top of it.
func tiers(room ...int) *Snapshot {
	s := &Snapshot{MoveCost: 2e-6, Processes: []Process{{ID: ProcessID{PID: 1}}}}
	names := []string{"hbm", "dram", "cxl"}[3-len(room):]
	access := []float64{100, 200, 400}[3-len(room):]
	for i, n := range room {
		s.Tiers = append(s.Tiers, Tier{Name: names[i], AccessNS: access[i]})
		free := reserve + n*RegionSize
		if n > 0 && i < len(room)-1 {
			free += headroom
		}
		s.Nodes = append(s.Nodes, Node{ID: NodeID(i), Tier: i, Size: 1 << 40, Free: uint64(free), Reserve: reserve})
	}
	return s
}

// spare leaves a node nothing but its headroom.
func (s *Snapshot) spare(slot Slot) *Snapshot {
	s.Nodes[slot].Free = reserve + headroom
	return s
}

// with adds a region to the first process.
func (s *Snapshot) with(slot Slot, rate float32, change ...func(*Region)) *Snapshot {
	p := &s.Processes[0]
	r := Region{
		Addr: base + uint64(len(p.Regions))*RegionSize, Rate: rate, LogVar: 0.01, Stable: 20,
		SinceMove: float32(math.Inf(1)), Evidence: 0xff, Detail: -1,
	}
	r.Placement[0] = SlotPages{Pages: PagesPerRegion, Slot: slot}
	for _, f := range change {
		f(&r)
	}
	p.Regions = append(p.Regions, r)
	return s
}

// parted adds a region known part by part: 16 pages each on the slot, a stratum by
// itself.
func (s *Snapshot) parted(slot Slot, rates ...float32) *Snapshot {
	p := &s.Processes[0]
	var d Detail
	for i, r := range rates {
		d[i] = Portion{Rate: r, LogVar: 0.01, Pages: 16, Slot: slot, Stratum: uint8(i), Evidence: 0xff}
	}
	p.Details = append(p.Details, d)
	return s.with(slot, 1, func(r *Region) {
		r.Detail = int32(len(p.Details) - 1)
		r.Placement[0].Pages = uint16(16 * len(rates))
	})
}

func flags(f uint8) func(*Region)          { return func(r *Region) { r.Flags |= f } }
func seen(evidence uint8) func(*Region)    { return func(r *Region) { r.Evidence = evidence } }
func noise(v float32) func(*Region)        { return func(r *Region) { r.LogVar = v } }
func stable(seconds float32) func(*Region) { return func(r *Region) { r.Stable = seconds } }
func pages(n uint16) func(*Region)         { return func(r *Region) { r.Placement[0].Pages = n } }
func moved(ago float32, f uint8) func(*Region) {
	return func(r *Region) { r.SinceMove, r.Flags = ago, r.Flags|f }
}

func also(slot Slot, n uint16) func(*Region) {
	return func(r *Region) {
		r.Placement[0].Pages -= n
		r.Placement[1] = SlotPages{Pages: n, Slot: slot}
	}
}

func params() Params {
	p := DefaultParams()
	p.EvidenceFill = 2
	p.Budget = 1 << 40
	return p
}

// brief is a move as the cases write it: region, from, to, rule.
type brief struct {
	Region   int
	From, To Slot
	Rule     Rule
}

func briefs(moves []Move) []brief {
	var out []brief
	for _, m := range moves {
		out = append(out, brief{int(m.Addr-base) / RegionSize, m.From, m.To, m.Reason.Rule})
	}
	return out
}

func TestDecide(t *testing.T) {
	budget := func(regions uint64) func(*Params) {
		return func(p *Params) { p.Budget = regions * RegionSize }
	}
	const region = PagesPerRegion
	tests := []struct {
		name   string
		s      *Snapshot
		change func(*Params)
		want   []brief
		vetoed map[Rule]uint64
	}{
		{
			name: "fill: the hottest first, while there is room",
			s:    tiers(2, 9).with(1, 10).with(1, 30).with(1, 20),
			want: []brief{{1, 1, 0, Fill}, {2, 1, 0, Fill}},
			// Region 0 is colder than the boundary: it is in its place.
		},
		{
			name: "fill: what is used too little does not pay",
			s:    tiers(9, 9).with(1, 1.51, stable(4)).with(1, 1.49, stable(4)).with(1, 0.1, stable(4)),
			want: []brief{{0, 1, 0, Fill}},
			// 1.49 would pay over 60 s, and is a candidate; 0.1 never would.
			vetoed: map[Rule]uint64{VetoPayback: region},
		},
		{
			name:   "fill: too short a time to pay",
			s:      tiers(9, 9).with(1, 1, stable(4)).with(1, 1, stable(0)),
			vetoed: map[Rule]uint64{VetoPayback: 2 * region},
		},
		{
			// Over 60 s a rate of 0.25 would do.
			name:   "fill: what is used like the rest stays as hot as that",
			s:      tiers(9, 9).with(1, 0.5, stable(5)).with(1, 0.3, stable(5)).with(1, 0.5, stable(4)).with(1, 0.3, stable(math.Float32frombits(0x7fc00000))),
			want:   []brief{{0, 1, 0, Fill}, {1, 1, 0, Fill}},
			vetoed: map[Rule]uint64{VetoPayback: 2 * region},
		},
		{
			// 0.9 for 10 s and the mean, 0.475, for 50: it takes 15.
			name: "fill: what is hotter than the rest will be like that",
			s:    tiers(9, 9).with(1, 0.9, stable(5)).with(0, 0.05, stable(5)),
			want: []brief{{0, 1, 0, Fill}},
		},
		{
			// 0.8 for 10 s, and 0.11 for 50, are less.
			name:   "fill: a mean that is far less is little help",
			s:      tiers(9, 9).with(1, 0.8, stable(5)).with(0, 0.01).with(0, 0.01).with(0, 0.01).with(0, 0.01).with(0, 0.01).with(0, 0.01).with(0, 0.01),
			vetoed: map[Rule]uint64{VetoPayback: region},
		},
		{
			name:   "fill: two samples must have seen it hot",
			s:      tiers(9, 9).with(1, 10, seen(0b10)).with(1, 10, seen(0b10010)),
			want:   []brief{{1, 1, 0, Fill}},
			vetoed: map[Rule]uint64{VetoEvidence: region},
		},
		{
			name: "exchange: the victim leaves first",
			s:    tiers(0, 9).with(0, 10).with(0, 1).with(1, 100),
			want: []brief{{1, 0, 1, Victim}, {2, 1, 0, Exchange}},
		},
		{
			name: "exchange: three samples must have seen it hot",
			s:    tiers(0, 9).with(0, 1).with(1, 100, seen(3)),
			// It was enough for a fill.
			vetoed: map[Rule]uint64{VetoEvidence: region},
		},
		{
			name: "exchange: not surely hotter",
			// ln 2 = 0.69 is less than 2.5·√(2·0.04) = 0.71.
			s:      tiers(0, 9).with(0, 50, noise(0.04)).with(1, 100, noise(0.04)),
			vetoed: map[Rule]uint64{VetoSeparation: region},
		},
		{
			name: "exchange: a coldest victim that is badly known is passed over",
			s:    tiers(0, 9).with(0, 1, noise(9)).with(0, 2).with(1, 100),
			want: []brief{{1, 0, 1, Victim}, {2, 1, 0, Exchange}},
		},
		{
			name: "exchange: does not pay for two moves",
			// 1.8 − 0.6 gains 1.2·2.05 ms for 2·1.02 ms: 1.2 times.
			s:      tiers(0, 9).with(0, 0.6, noise(0)).with(1, 1.8, noise(0)),
			vetoed: map[Rule]uint64{VetoPayback: region},
		},
		{
			name:   "exchange: no room for the victim below",
			s:      tiers(0, 0).with(0, 1).with(1, 100),
			vetoed: map[Rule]uint64{VetoRoom: region},
		},
		{
			name: "exchange: no more victims than it takes",
			// 100 + 412 pages leave; the 50 coldest pages need not.
			s:    tiers(0, 9).with(0, 1, pages(50)).with(0, 2, pages(100)).with(0, 3, pages(462)).with(1, 99),
			want: []brief{{0, 0, 1, Victim}, {2, 0, 1, Victim}, {3, 1, 0, Exchange}},
		},
		{
			name: "exchange: all victims must be surely colder",
			s:    tiers(0, 9).with(0, 1, pages(256)).with(0, 95, pages(256)).with(1, 99),
			vetoed: map[Rule]uint64{
				VetoSeparation: region,
			},
		},
		{
			name: "three tiers: straight from the slowest to the fastest",
			s:    tiers(1, 1, 9).with(2, 50),
			want: []brief{{0, 2, 0, Fill}},
		},
		{
			name: "three tiers: the victim goes one down",
			s:    tiers(0, 1, 9).with(0, 1).with(2, 100),
			want: []brief{{0, 0, 1, Victim}, {1, 2, 0, Exchange}},
		},
		{
			name: "three tiers: the victim goes straight to where it belongs",
			s:    tiers(0, 0, 9).spare(1).with(0, 1).with(1, 40).with(2, 100).with(2, 50),
			want: []brief{{0, 0, 2, Victim}, {2, 2, 0, Exchange}},
			// 50 belongs in dram, whose last room is for changing places.
			vetoed: map[Rule]uint64{VetoSeparation: PagesPerRegion},
		},
		{
			name: "three tiers: the full middle makes room",
			s:    tiers(0, 0, 9).with(0, 10).with(1, 1).with(1, 5).with(2, 100),
			want: []brief{{1, 1, 2, Victim}, {0, 0, 1, Victim}, {3, 2, 0, Exchange}},
		},
		{
			name: "three tiers: the victim passes a full middle that is as hot",
			s:    tiers(0, 0, 9).with(0, 10).with(1, 9.5).with(2, 100),
			want: []brief{{0, 0, 2, Victim}, {2, 2, 0, Exchange}},
		},
		{
			name: "three tiers: the middle keeps the room to change places",
			s:    tiers(0, 1, 9).with(0, 100).with(2, 50).with(2, 40).with(2, 30),
			want: []brief{{1, 2, 1, Fill}},
		},
		{
			name: "three tiers: a small victim is no way around that room",
			s:    tiers(0, 0, 9).spare(1).with(0, 100).with(1, 1, pages(16)).with(1, 2).with(2, 50),
			want: []brief{{2, 1, 2, Victim}, {3, 2, 1, Exchange}},
		},
		{
			name: "cool-down: what came up stays, what went down stays",
			s:    tiers(0, 9).with(0, 1, moved(5, MovedUp)).with(0, 2).with(1, 100, moved(5, 0)).with(1, 90),
			want: []brief{{1, 0, 1, Victim}, {3, 1, 0, Exchange}},
			// 100 belongs in hbm.
			vetoed: map[Rule]uint64{VetoCooldown: region},
		},
		{
			name: "cool-down: the rest may follow, and time ends it",
			s:    tiers(2, 9).with(1, 100, moved(5, MovedUp)).with(1, 90, moved(10, 0)),
			want: []brief{{0, 1, 0, Fill}, {1, 1, 0, Fill}},
		},
		{
			name:   "budget: an exchange is planned whole or not at all",
			s:      tiers(1, 9).with(0, 1).with(1, 100).with(1, 99),
			change: budget(2),
			want:   []brief{{1, 1, 0, Fill}},
			vetoed: map[Rule]uint64{VetoBudget: region},
		},
		{
			name:   "budget: what is left over is counted",
			s:      tiers(9, 9).with(1, 90).with(1, 80).with(1, 70).with(1, 60, seen(0)),
			change: budget(1),
			want:   []brief{{0, 1, 0, Fill}},
			vetoed: map[Rule]uint64{VetoBudget: 2 * region, VetoEvidence: region},
		},
		{
			name: "relief: the coldest leave until the reserve is free again",
			s:    tiers(-2, 9).with(0, 3).with(0, 1).with(0, 2),
			want: []brief{{1, 0, 1, Relief}, {2, 0, 1, Relief}},
		},
		{
			name: "relief: further down when the next tier is full; the slowest keeps what it has",
			s:    tiers(-1, 0, 9).with(0, 3).with(1, 2),
			want: []brief{{0, 0, 2, Relief}},
		},
		{
			name: "relief: none from the slowest",
			s:    tiers(9, -5).with(1, 0.01),
		},
		{
			name: "fixed memory neither comes nor goes",
			s: tiers(0, 9).with(0, 1, flags(Immovable)).with(0, 1, flags(Bound)).with(0, 1, flags(Shared)).with(0, 0.1, flags(Unseen)).
				with(1, 50, flags(Immovable)).with(1, 50, flags(Bound|Shared)).with(1, 50, flags(Shared)).with(1, 90, flags(Unseen)).with(1, 0.01, flags(Shared)).with(1, 40),
			vetoed: map[Rule]uint64{VetoImmovable: region, VetoBound: region, VetoShared: region, VetoRoom: region},
		},
		{
			name: "a region on two nodes moves from each",
			s:    tiers(9, 9, 9).with(2, 50, also(1, 100)),
			want: []brief{{0, 1, 0, Fill}, {0, 2, 0, Fill}},
		},
		{
			name: "nodes of no tier are left alone",
			s: func() *Snapshot {
				s := tiers(9, 9)
				s.Nodes = append(s.Nodes, Node{ID: 7, Tier: -1, Free: 1 << 40})
				return s.with(2, 99).with(200, 99)
			}(),
		},
		{
			name: "of two nodes the one with more room",
			s: func() *Snapshot {
				s := tiers(2, 9)
				s.Nodes = append(s.Nodes, Node{ID: 7, Tier: 0, Free: headroom + 3*RegionSize})
				return s.with(1, 99).with(1, 98)
			}(),
			want: []brief{{0, 1, 2, Fill}, {1, 1, 0, Fill}},
		},
		{
			name: "a small unit does not take the room that a hotter one would push it out of",
			s: func() *Snapshot {
				s := tiers(0, 9)
				s.Nodes[0].Free += 4 * PageSize
				return s.with(0, 99).with(1, 100).with(1, 50, pages(4))
			}(),
			vetoed: map[Rule]uint64{VetoSeparation: region},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := params()
			if test.change != nil {
				test.change(&p)
			}
			var e Engine
			plan := e.Decide(test.s, p)
			if diff := cmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
			if test.vetoed == nil {
				test.vetoed = map[Rule]uint64{}
			}
			if diff := cmp.Diff(test.vetoed, plan.Vetoed); diff != "" {
				t.Errorf("vetoed pages (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	s := tiers(0, 0, 9).with(0, 10).with(1, 1).with(2, 100, flags(Huge))
	plan := new(Engine).Decide(s, params())
	// Over 20 s and 512 pages the candidate gains 100·300 ns, the victim loses
	// 10·100 ns and its own victim 1·200 ns; three moves cost 3·512·2 µs.
	payback := float32((100*300e-9 - 10*100e-9 - 1*200e-9) * 20 / (3 * 2e-6))
	sep := func(ratio float64) float32 { return float32(math.Log(ratio) / math.Sqrt(0.02)) }
	move := func(region uint64, from, to Slot, kind Kind, huge bool, r Reason) Move {
		return Move{
			ID: ProcessID{PID: 1}, Addr: base + region*RegionSize, Strata: AllStrata, From: from, To: to,
			Pages: 512, Kind: kind, Huge: huge, Reason: r,
		}
	}
	want := []Move{
		move(1, 1, 2, Demotion, false, Reason{Victim, 1, 10, sep(10), payback}),
		move(0, 0, 1, Demotion, false, Reason{Victim, 10, 100, sep(10), payback}),
		move(2, 2, 0, Promotion, true, Reason{Exchange, 100, 10, sep(10), payback}),
	}
	near := cmp.Comparer(func(a, b float32) bool { return math.Abs(float64(a-b)) <= 0.01*math.Abs(float64(a+b)) })
	if diff := cmp.Diff(want, plan.Moves, near); diff != "" {
		t.Errorf("moves (-want +got):\n%s", diff)
	}
}

func TestParts(t *testing.T) {
	t.Run("only the hot strata of a region come, as one move", func(t *testing.T) {
		s := tiers(1, 9).parted(1, 0.02, 50, 0.01, 40, 30)
		plan := new(Engine).Decide(s, params())
		if len(plan.Moves) != 1 {
			t.Fatalf("moves: %+v", plan.Moves)
		}
		m := plan.Moves[0]
		if m.Strata != 1<<1|1<<3|1<<4 || m.Pages != 48 || m.Reason.Rate != 40 {
			t.Errorf("move %+v", m)
		}
	})
	t.Run("a stratum comes from each node that it lies on", func(t *testing.T) {
		s := tiers(4, 0, 9).parted(2, 50, 0.01)
		s.Processes[0].Details[0][2] = Portion{Rate: 50, LogVar: 0.01, Pages: 7, Slot: 1, Evidence: 0xff}
		s.Processes[0].Regions[0].Placement = [3]SlotPages{{32, 2}, {7, 1}}
		plan := new(Engine).Decide(s, params())
		if diff := cmp.Diff([]brief{{0, 1, 0, Fill}, {0, 2, 0, Fill}}, briefs(plan.Moves), cmpopts.SortSlices(func(a, b brief) bool { return a.From < b.From })); diff != "" {
			t.Fatalf("moves (-want +got):\n%s", diff)
		}
		for _, m := range plan.Moves {
			if m.Strata != 1 || m.Pages != map[Slot]int{1: 7, 2: 16}[m.From] {
				t.Errorf("move %+v", m)
			}
		}
	})
	t.Run("parts leave as one move, before what needs all of their room", func(t *testing.T) {
		s := tiers(0, 9).parted(0, 1, 1, 1, 1).with(1, 100, pages(64))
		plan := new(Engine).Decide(s, params())
		want := []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}
		if diff := cmp.Diff(want, briefs(plan.Moves)); diff != "" {
			t.Fatalf("moves (-want +got):\n%s", diff)
		}
		if m := plan.Moves[0]; m.Strata != 1<<4-1 || m.Pages != 64 {
			t.Errorf("victim %+v", m)
		}
	})
	t.Run("parts that stand in exchange for parts merge only as far as there is room", func(t *testing.T) {
		s := tiers(0, 0).parted(0, 1, 1).parted(1, 100, 99)
		s.Nodes[1].Free += 16 * PageSize
		plan := new(Engine).Decide(s, params())
		// With room for one part below, two swaps need four moves.
		want := []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}, {0, 0, 1, Victim}, {1, 1, 0, Exchange}}
		if diff := cmp.Diff(want, briefs(plan.Moves)); diff != "" {
			t.Errorf("moves (-want +got):\n%s", diff)
		}
		s.Nodes[1].Free += 16 * PageSize
		plan = new(Engine).Decide(s, params())
		want = []brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}
		if diff := cmp.Diff(want, briefs(plan.Moves)); diff != "" {
			t.Errorf("with room, moves (-want +got):\n%s", diff)
		}
	})
	t.Run("a huge region goes whole", func(t *testing.T) {
		s := tiers(1, 9).parted(1, 50, 0.01)
		s.Processes[0].Regions[0].Flags = Huge
		s.Processes[0].Regions[0].Rate = 20
		plan := new(Engine).Decide(s, params())
		if len(plan.Moves) != 1 || plan.Moves[0].Strata != AllStrata || !plan.Moves[0].Huge {
			t.Errorf("moves %+v", plan.Moves)
		}
	})
	t.Run("a part on unknown nodes comes from the slowest of the region's", func(t *testing.T) {
		s := tiers(1, 9).parted(0, 50)
		s.Processes[0].Details[0][0].Slot = NoSlot
		s.Processes[0].Regions[0].Placement = [3]SlotPages{{12, 0}, {4, 1}}
		plan := new(Engine).Decide(s, params())
		if diff := cmp.Diff([]brief{{0, 1, 0, Fill}}, briefs(plan.Moves)); diff != "" {
			t.Errorf("moves (-want +got):\n%s", diff)
		}
	})
	t.Run("a portion that does not cool down may leave beside one that does", func(t *testing.T) {
		s := tiers(0, 9).parted(0, 60, 0.1).with(1, 50, pages(16))
		r := &s.Processes[0].Regions[0]
		r.SinceMove, r.Flags = 1, MovedUp
		s.Processes[0].Details[0][0].Went = WentUp
		plan := new(Engine).Decide(s, params())
		if diff := cmp.Diff([]brief{{0, 0, 1, Victim}, {1, 1, 0, Exchange}}, briefs(plan.Moves)); diff != "" || plan.Moves[0].Strata != 1<<1 {
			t.Errorf("moves (-want +got):\n%s", diff)
		}
	})
}

func TestBoundaries(t *testing.T) {
	tests := []struct {
		name string
		s    *Snapshot
		want []float32
	}{
		{"all fits", tiers(9, 9).with(1, 10), []float32{0}},
		{"between the last inside and the first outside", tiers(1, 9).with(0, 1).with(1, 40).with(1, 10), []float32{float32(math.Sqrt(10 * 1))}},
		{"each tier has its own", tiers(1, 1, 9).with(2, 100).with(2, 25).with(2, 4), []float32{50, 10}},
		{"wherever they lie now", tiers(0, 0, 9).with(0, 4).with(1, 25).with(2, 100), []float32{50, 10}},
		{"fixed memory takes no part", tiers(1, 9).with(0, 900, flags(Bound)).with(1, 100).with(1, 25), []float32{50}},
		{"a tier that has no room at all", tiers(0, 9).with(1, 100), []float32{100}},
		{"a lone tier", tiers(9).with(0, 1), []float32{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := new(Engine).Decide(test.s, params()).Boundaries
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSummary(t *testing.T) {
	s := tiers(9, 9).with(0, 10).with(1, 2, also(7, 112)).with(1, 3, flags(Shared|Bound)).with(1, 99, flags(Unseen)).parted(0, 5)
	s.Processes = append(s.Processes, Process{})
	got := new(Engine).Decide(s, params()).Processes
	want := []Summary{
		{
			Bytes: []uint64{(512 + 16) * PageSize, (400 + 512 + 512) * PageSize}, Elsewhere: 112 * PageSize,
			Heat:  []float64{10*512 + 5*16, 2*400 + 3*512},
			Bound: RegionSize, Shared: RegionSize, Vetoed: map[Rule]uint64{VetoBound: 512},
		},
		{Bytes: []uint64{0, 0}, Heat: []float64{0, 0}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A fast tier that is so loaded that it is no faster attracts nothing any more.
func TestLoadedFastTierAttractsNothing(t *testing.T) {
	for _, access := range []float64{100, 399.9, 400, 900} {
		s := tiers(9, 9).with(1, 50).with(1, 60)
		s.Tiers[0].AccessNS, s.Tiers[1].AccessNS = access, 400
		plan := new(Engine).Decide(s, params())
		if moved := len(plan.Moves) > 0; moved != (access == 100) {
			t.Errorf("%g ns and 400 ns: moves %v", access, plan.Moves)
		}
	}
}

// Where memory is used from tells what is local; what nobody knows is neither.
func TestLocalAccesses(t *testing.T) {
	from := func(home uint8) func(*Region) { return func(r *Region) { r.Home = home } }
	s := tiers(9, 9).with(0, 10, from(1)).with(1, 2, from(1)).with(1, 4, from(2)).with(0, 1)
	s.Homes = []Home{{Node: 0, Stretch: []float64{1, 2}}, {Node: 1, Stretch: []float64{1.5, 1}}}
	sum := new(Engine).Decide(s, params()).Processes[0]
	if located, local := 512.0*(10+2+4), 512.0*(10+4); sum.Located != located || sum.Local != local {
		t.Errorf("%g local accesses of %g, want %g of %g", sum.Local, sum.Located, local, located)
	}
}

// Nothing that a snapshot or the parameters can hold may stop the daemon.
func TestNonsense(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	odd := []float32{float32(nan), float32(inf), float32(-inf), 0, -1, math.MaxFloat32, 1e-45, 10}
	s := tiers(1, 1, 9)
	s.Nodes = append(s.Nodes,
		Node{Tier: 99, Free: math.MaxUint64}, Node{Tier: 1, Free: math.MaxUint64}, Node{Tier: 0, Reserve: math.MaxUint64})
	for _, a := range odd {
		for _, b := range odd {
			for slot := range Slot(8) {
				s.with(slot, a, noise(b), stable(a), func(r *Region) { r.SinceMove = b })
			}
		}
	}
	s.with(0, 1, pages(0)).with(0, 1, pages(65535)).with(0, 1, also(0, 200)).with(NoSlot, 1)
	s.parted(NoSlot, odd[0], odd[1], odd[3], 7)
	s.parted(77, 7)
	s.with(0, 1, func(r *Region) { r.Detail = 55 }).with(0, 1, func(r *Region) { r.Detail = -55 })
	s.Processes[0].Details[0][3].Pages, s.Processes[0].Details[0][2].Stratum = 65535, 255

	var e Engine
	for _, v := range []float64{nan, inf, -inf, 0, -1, 1} {
		for _, access := range [][]float64{{100, 200, 400}, {nan, 1, 2}, {3, 2, 1}, {v, v, v}, {0, inf, inf}} {
			for i := range s.Tiers {
				s.Tiers[i].AccessNS = access[i]
			}
			s.MoveCost = v
			p := Params{
				Separation: v, Payback: v, Cooldown: v, Budget: math.MaxUint64, EvidenceFill: -3, EvidenceExchange: 99, HorizonMin: v, HorizonMax: v,
			}
			plan := e.Decide(s, p)
			for _, sum := range plan.Processes {
				for _, h := range sum.Heat {
					if math.IsNaN(h) {
						t.Errorf("heat %v", sum.Heat)
					}
				}
			}
			for _, m := range plan.Moves {
				for _, f := range []float32{m.Reason.Rate, m.Reason.VictimRate, m.Reason.Separation, m.Reason.Payback} {
					if f != f || math.IsInf(float64(f), 0) {
						t.Fatalf("move %+v", m)
					}
				}
			}
			for _, b := range plan.Boundaries {
				if !(b >= 0) || math.IsInf(float64(b), 0) {
					t.Fatalf("boundaries %v", plan.Boundaries)
				}
			}
			e.Decide(&Snapshot{Processes: s.Processes, Tiers: s.Tiers}, p)
			e.Decide(&Snapshot{Processes: s.Processes, Nodes: s.Nodes}, p)
			e.Decide(&Snapshot{Processes: s.Processes, Nodes: s.Nodes, Tiers: s.Tiers[:1]}, p)
		}
	}
	e.Decide(&Snapshot{}, Params{})
}

// As long as no move has been measured, its cost is taken to be 2 µs.
func TestMoveCostDefault(t *testing.T) {
	for _, cost := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		s := tiers(9, 9).with(1, 1.51, stable(4)).with(1, 1.49, stable(4))
		s.MoveCost = cost
		want := []brief{{0, 1, 0, Fill}}
		if diff := cmp.Diff(want, briefs(new(Engine).Decide(s, params()).Moves)); diff != "" {
			t.Errorf("cost %v: moves (-want +got):\n%s", cost, diff)
		}
	}
}

func TestVetoOrder(t *testing.T) {
	var got []string
	for _, r := range Vetoes {
		got = append(got, string(r))
	}
	const want = "immovable bound shared rival pressure breaker cooldown evidence payback limit share separation sweep room budget"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("vetoes in the order %q", s)
	}
}
