package policy

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sockets makes a snapshot of two dram nodes and a cxl node behind the first, with so
// many regions of room on the dram nodes. From the first home node 0 is near and node 1
// twice as far, from the second it is the other way round.
func sockets(room0, room1 int) *Snapshot {
	s := tiers(room0, 1000)
	n := s.Nodes[0]
	n.Free = reserve + headroom + uint64(room1)*RegionSize
	s.Nodes = []Node{s.Nodes[0], n, s.Nodes[1]}
	for i := range s.Nodes {
		s.Nodes[i].ID = NodeID(i)
	}
	s.Homes = []Home{{Node: 0, Stretch: []float64{1, 2, 1}}, {Node: 1, Stretch: []float64{2, 1, 1.5}}}
	return s
}

func home(h uint8) func(*Region) { return func(r *Region) { r.Home = h } }

// In these cases an access to dram costs 200 ns, and as much again from the other
// socket: a region of rate r that is stable for 20 s gains r·512·200 ns·20 s·0.90 = 1.84·r ms, as a
// rate with a variance of 0.01 is surely nine tenths of it, for a cost of 1.02 ms.
func TestNear(t *testing.T) {
	tests := []struct {
		name string
		s    *Snapshot
		want []brief
	}{
		{"used from the other socket", sockets(9, 9).with(0, 5, home(2)), []brief{{0, 0, 1, Near}}},
		{"at home", sockets(9, 9).with(0, 5, home(1)), nil},
		{"nobody knows from where", sockets(9, 9).with(0, 5), nil},
		{"a home that is none", sockets(9, 9).with(0, 5, home(3)), nil},
		{"too cold to pay", sockets(9, 9).with(0, 0.8, home(2)), nil},
		{"just hot enough", sockets(9, 9).with(0, 0.9, home(2)), []brief{{0, 0, 1, Near}}},
		{"surely not known well enough", sockets(9, 9).with(0, 0.9, home(2), noise(1)), nil},
		{"moved lately", sockets(9, 9).with(0, 5, home(2), moved(3, MovedUp)), nil},
		{"moved there lately in part", sockets(9, 9).with(0, 5, home(2), moved(3, MovedUp), pages(400), also(1, 112)), []brief{{0, 0, 1, Near}}},
		{"no room there", sockets(9, 0).with(0, 5, home(2)), nil},
		{"bound", sockets(9, 9).with(0, 5, home(2), flags(Bound)), nil},
		{"up, to the nearer node", sockets(9, 9).with(2, 5, home(2)), []brief{{0, 2, 1, Fill}}},
		{"up, though the nearer node is full", sockets(9, 0).with(2, 5, home(2)), []brief{{0, 2, 0, Fill}}},
		{"the hottest first", sockets(9, 1).with(0, 5, home(2)).with(0, 50, home(2)), []brief{{1, 0, 1, Near}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := new(Engine).Decide(tt.s, params())
			if diff := cmp.Diff(tt.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A tier that is fast may be far: here hbm is on the first socket, and takes from the second
// two and a half times its 100 ns, more than the 200 ns of the dram there.
func TestFarTier(t *testing.T) {
	far := func(slot Slot) *Snapshot {
		s := tiers(9, 9, 1000)
		n := s.Nodes[1]
		s.Nodes = []Node{s.Nodes[0], n, n, s.Nodes[2]}
		for i := range s.Nodes {
			s.Nodes[i].ID = NodeID(i)
		}
		s.Homes = []Home{{Node: 1, Stretch: []float64{1, 1, 2, 1}}, {Node: 2, Stretch: []float64{2.5, 2, 1, 1.5}}}
		return s.with(slot, 5, home(2))
	}
	tests := []struct {
		name string
		s    *Snapshot
		want []brief
	}{
		{"from the far dram to the near one", far(1), []brief{{0, 1, 2, Near}}},
		{"not from the near dram to the hbm", far(2), nil},
		{"from cxl to the near dram", far(3), []brief{{0, 3, 2, Fill}}},
		{"to the hbm where the near dram is full", far(3).spare(2), []brief{{0, 3, 0, Fill}}},
		{"at home in the hbm", far(0), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := new(Engine).Decide(tt.s, params())
			if diff := cmp.Diff(tt.want, briefs(plan.Moves)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// The process's home is that of its regions, but for those that have one of their own.
func TestHomeOfProcess(t *testing.T) {
	s := sockets(9, 9).with(0, 5).with(0, 5, home(1))
	s.Processes[0].Home = 2
	want := []brief{{0, 0, 1, Near}}
	if diff := cmp.Diff(want, briefs(new(Engine).Decide(s, params()).Moves)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A distance that makes no sense is none.
func TestStretch(t *testing.T) {
	s := &Snapshot{Homes: []Home{{Stretch: []float64{math.NaN(), -3, 0.5, 1e9}}}}
	for slot, want := range []float64{1, 1, 1, maxStretch, 1} {
		if got := s.stretch(1, Slot(slot)); got != want {
			t.Errorf("slot %d: %g, want %g", slot, got, want)
		}
	}
}

// What comes nearer earns by the distance, and what goes back at once has earned
// nothing.
func TestLedgerOfNear(t *testing.T) {
	p := params()
	p.Cooldown = 0
	begin := func() (*Controller, *Snapshot) {
		c, s := new(Controller), never(sockets(9, 9).with(0, 10, home(2)))
		s.Seconds = 1
		carry(c, s, c.Decide(s, p))
		if got := s.Processes[0].Regions[0].Placement[0].Slot; got != 1 {
			t.Fatalf("it lies on %d, want 1", got)
		}
		return c, s
	}
	c, s := begin()
	if got := pass(c, s, p, 5).Thrash; got.Totals.Paid != 1 || got.Pending != 0 {
		t.Errorf("after 5 s: %+v, want it paid", got)
	}
	c, s = begin()
	s.Processes[0].Regions[0].Home = 1
	carry(c, s, c.Decide(s, p))
	if got := s.Processes[0].Regions[0].Placement[0].Slot; got != 0 {
		t.Errorf("it lies on %d, want 0", got)
	}
	if got := pass(c, s, p, 1).Thrash; got.Totals.Undone != 1 {
		t.Errorf("after the way back: %+v, want the first way undone", got)
	}
}
