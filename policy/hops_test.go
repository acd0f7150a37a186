package policy

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fourTiers is hbm, dram, cxl and something behind it.
func fourTiers(room ...int) *Snapshot {
	s := tiers(room[:3]...)
	s.Tiers = append(s.Tiers, Tier{Name: "far", AccessNS: 1600})
	s.Nodes = append(s.Nodes, Node{ID: 3, Tier: 3, Free: uint64(room[3]) * RegionSize})
	return s
}

// What moves goes where it belongs in one move, however many tiers lie between.
func TestOneHop(t *testing.T) {
	tests := []struct {
		name string
		s    *Snapshot
		want []brief
	}{
		{
			name: "from the slowest to the fastest",
			s:    fourTiers(1, 9, 9, 9).with(3, 50),
			want: []brief{{0, 3, 0, Fill}},
		},
		{
			name: "past a full tier",
			s:    fourTiers(1, 0, 0, 9).with(1, 40).with(2, 30).with(3, 50),
			want: []brief{{2, 3, 0, Fill}},
		},
		{
			name: "the victim goes straight to where it belongs",
			s:    fourTiers(0, 0, 0, 9).spare(1).spare(2).with(0, 0.001).with(1, 40).with(2, 20).with(2, 19).with(3, 50).with(3, 18).with(3, 0.01),
			want: []brief{{0, 0, 3, Victim}, {4, 3, 0, Exchange}},
		},
		{
			name: "one that is hotter stays nearer",
			s:    fourTiers(0, 1, 1, 9).with(0, 30).with(1, 35).with(2, 20).with(3, 90),
			want: []brief{{0, 0, 1, Victim}, {3, 3, 0, Exchange}},
		},
		{
			name: "where the next tier is full of colder memory, that goes two down for it if one down is full as well",
			s:    fourTiers(0, 0, 0, 9).with(0, 30).with(1, 1).with(2, 0.9).with(3, 90),
			want: []brief{{1, 1, 3, Victim}, {0, 0, 1, Victim}, {3, 3, 0, Exchange}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			plan := new(Engine).Decide(test.s, params())
			if diff := cmp.Diff(test.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("moves (-want +got):\n%s", diff)
			}
		})
	}
}

// From any placement, memory finds its tier in little more than one move each.
func TestHopsAreFew(t *testing.T) {
	for seed := range uint64(5) {
		rng := rand.New(rand.NewPCG(seed, 5))
		for _, s := range []*Snapshot{tiers(64, 128, 999), fourTiers(64, 128, 128, 999)} {
			slots := len(s.Nodes)
			for i := range 800 {
				slot := rng.IntN(slots)
				for s.Nodes[slot].Free < s.Nodes[slot].Reserve+RegionSize {
					slot++
				}
				s.with(Slot(slot), float32(200*math.Pow(0.985, float64(i))), stable(60))
				s.Nodes[slot].Free -= RegionSize
			}
			p := params()
			p.Cooldown = 0
			var e Engine
			moves, moved := 0, map[uint64]bool{}
			for range 50 {
				plan := e.Decide(s, p)
				for i := range plan.Moves {
					plan.Moves[i].apply(s)
					moved[plan.Moves[i].Addr] = true
				}
				moves += len(plan.Moves)
				if len(plan.Moves) == 0 {
					break
				}
			}
			t.Logf("%d tiers: %d moves of %d regions", slots, moves, len(moved))
			if float64(moves) > 1.15*float64(len(moved)) {
				t.Errorf("%d tiers: %d moves of %d regions", slots, moves, len(moved))
			}
		}
	}
}
