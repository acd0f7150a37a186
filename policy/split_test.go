package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// full is a snapshot of so many huge pages, used alike, of which the fast tier has room
// for none more than the four that it has.
func full(n int) *Snapshot {
	s := never(tiers(0, 99))
	for i := range n {
		s.with(Slot(min(i/4, 1)), 10, flagged(Huge))
	}
	s.Processes[0].Enforce = true
	return s
}

func flagged(flags uint8) func(*Region) { return func(r *Region) { r.Flags |= flags } }

func splitting() Params {
	p := params()
	p.Split = true
	return p
}

// become lets the regions of some splits be known in parts: so many hot pages, the
// others unused.
func become(s *Snapshot, splits []Split, hot int) {
	for _, x := range splits {
		p := &s.Processes[x.Process]
		r := p.region(x.Addr)
		r.Flags &^= Huge
		if hot == 0 {
			continue
		}
		r.Detail = int32(len(p.Details))
		total := r.Rate * PagesPerRegion
		slot := r.Placement[0].Slot
		p.Details = append(p.Details, Detail{
			{Rate: total / float32(hot), LogVar: 0.01, Pages: uint16(hot), Slot: slot, Stratum: 0},
			{Rate: 0.001, LogVar: 0.01, Pages: uint16(PagesPerRegion - hot), Slot: slot, Stratum: 1},
		})
	}
}

// later decides once a second, and returns the last plan and all splits.
func later(c *Controller, s *Snapshot, p Params, seconds int) (plan *Plan, splits []Split) {
	p.Budget = 0
	for range seconds {
		s.Seconds++
		plan = c.Decide(s, p)
		splits = append(splits, plan.Splits...)
	}
	return plan, splits
}

// What may be tried: huge pages of an enforced process that lie in a slower tier and
// find no place in a faster one.
func TestSplitsAreTriedOnlyWhereTheyMayHelp(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Snapshot, *Params)
		want   int
	}{
		{"hot huge pages outside", func(*Snapshot, *Params) {}, firstSplits},
		{"off", func(_ *Snapshot, p *Params) { p.Split = false }, 0},
		{"observed", func(s *Snapshot, _ *Params) { s.Processes[0].Enforce = false }, 0},
		{"pressure", func(s *Snapshot, _ *Params) { s.Pressure = 0.5 }, 0},
		{"all fits", func(s *Snapshot, _ *Params) { s.Nodes[0].Free = 1 << 40 }, 0},
		{"no huge pages", func(s *Snapshot, _ *Params) { reflag(s, func(f uint8) uint8 { return f &^ Huge }) }, 0},
		{"immovable", func(s *Snapshot, _ *Params) { reflag(s, func(f uint8) uint8 { return f | Immovable }) }, 0},
		{"bound", func(s *Snapshot, _ *Params) { reflag(s, func(f uint8) uint8 { return f | Bound }) }, 0},
		{"shared", func(s *Snapshot, _ *Params) { reflag(s, func(f uint8) uint8 { return f | Shared }) }, 0},
		{"not seen", func(s *Snapshot, _ *Params) { reflag(s, func(f uint8) uint8 { return f | Unseen }) }, 0},
		{"too cold, all of it together", func(s *Snapshot, _ *Params) {
			for i := 4; i < len(s.Processes[0].Regions); i++ {
				s.Processes[0].Regions[i].Rate = 1e-5
			}
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, p := full(40), splitting()
			test.change(s, &p)
			_, splits := later(new(Controller), s, p, 5)
			if len(splits) != test.want {
				t.Errorf("%d splits, want %d", len(splits), test.want)
			}
		})
	}
}

func reflag(s *Snapshot, change func(uint8) uint8) {
	for i := range s.Processes[0].Regions {
		r := &s.Processes[0].Regions[i]
		r.Flags = change(r.Flags)
	}
}

// The hottest are tried, and those that are about to move are not.
func TestSplitsBeginWithTheHottest(t *testing.T) {
	s, p := full(12), splitting()
	for i := range s.Processes[0].Regions {
		s.Processes[0].Regions[i].Rate = 10 + float32(i)/100
	}
	s.with(1, 100, flagged(Huge)) // moves
	var c Controller
	plan := c.Decide(s, p)
	var got []uint64
	for _, x := range plan.Splits {
		got = append(got, (x.Addr-base)/RegionSize)
	}
	if diff := cmp.Diff([]uint64{11, 10, 9, 8, 7, 6, 5, 4}, got); diff != "" {
		t.Errorf("regions (-want +got):\n%s", diff)
	}
}

// Where a few pages of each have all the accesses more and more is split; where all
// have, or the pages stay huge, or become so again, that ends, each time for longer.
func TestSplitsGoOnOnlyIfTheyGain(t *testing.T) {
	for _, test := range []struct {
		name   string
		become func(*Snapshot, []Split)
		after  int // seconds
		goesOn bool
	}{
		{"a tenth is hot", func(s *Snapshot, x []Split) { become(s, x, 51) }, splitSeconds + 5, true},
		{"all is hot", func(s *Snapshot, x []Split) { become(s, x, 0) }, splitSeconds + 5, false},
		{"nearly all is hot", func(s *Snapshot, x []Split) { become(s, x, 500) }, splitSeconds + 5, false},
		{"they stay huge", func(*Snapshot, []Split) {}, refusedSeconds + 5, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Controller
			s, p := full(200), splitting()
			_, first := later(&c, s, p, 2)
			if len(first) != firstSplits {
				t.Fatalf("%d splits first, want %d", len(first), firstSplits)
			}
			test.become(s, first)
			plan, next := later(&c, s, p, test.after)
			x := plan.Splitting[0]
			if test.goesOn {
				if len(next) != 2*firstSplits || !(x.Gain > 0) || x.Rest != 0 {
					t.Fatalf("%d more splits, %+v", len(next), x)
				}
				return
			}
			if len(next) != 0 || x.Gain > 0 || x.Judged != firstSplits || !(x.Rest > splitRest-30) {
				t.Fatalf("%d more splits, %+v", len(next), x)
			}
			_, none := later(&c, s, p, splitRest-30)
			_, again := later(&c, s, p, 50)
			if len(none) > 0 || len(again) != firstSplits {
				t.Fatalf("%d splits while it rests, and %d then", len(none), len(again))
			}
			test.become(s, again)
			if plan, _ = later(&c, s, p, test.after); !(plan.Splitting[0].Rest > 2*splitRest-60) {
				t.Errorf("rests for %g s the second time", plan.Splitting[0].Rest)
			}
		})
	}
}

// What the kernel makes huge again counts against it, and is not tried at once.
func TestSplitsThatAreUndone(t *testing.T) {
	var c Controller
	s, p := full(12), splitting()
	_, first := later(&c, s, p, 1)
	become(s, first, 51)
	later(&c, s, p, 2)
	for _, x := range first {
		r := s.Processes[0].region(x.Addr)
		r.Flags, r.Detail = r.Flags|Huge, -1
	}
	plan, more := later(&c, s, p, 1000)
	if x := plan.Splitting[0]; x.Splits != firstSplits || x.Judged != firstSplits || !(x.Gain < 0) {
		t.Errorf("%+v", x)
	}
	if len(more) != 0 {
		t.Errorf("%d pages are split again", len(more))
	}
	if _, more = later(&c, s, p, triedSeconds); len(more) == 0 {
		t.Error("none is tried again for hours")
	}
}

// Trials in a state go on in the controller that it restores, and switched off they are
// forgotten.
func TestSplitsAreSaved(t *testing.T) {
	var c, d Controller
	s, p := full(40), splitting()
	_, first := later(&c, s, p, 2)
	if err := d.UnmarshalBinary(save(t, &c)); err != nil {
		t.Fatal(err)
	}
	become(s, first, 51)
	for range 40 {
		s.Seconds++
		if diff := cmp.Diff(c.Decide(s, p), d.Decide(s, p)); diff != "" {
			t.Fatalf("plans differ (-first +restored):\n%s", diff)
		}
	}
	p.Split = false
	if plan := c.Decide(s, p); plan.Splitting != nil || c.splitters != nil || c.tried != nil {
		t.Error("something is left of the trials")
	}
}

// Whatever the snapshot, only huge pages that may move are split, of enforced processes,
// and none that moves.
func TestSplitsAreAllowed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, untidy), parameters(t)
		p.Split = true
		var c Controller
		for range rapid.IntRange(1, 8).Draw(t, "rounds") {
			evolve(t, s)
			for i := range s.Processes {
				s.Processes[i].Enforce = i%2 == 0
			}
			plan := c.Decide(s, p)
			moves := map[spot]bool{}
			for i := range plan.Moves {
				moves[spot{plan.Moves[i].ID, plan.Moves[i].Addr}] = true
			}
			for _, x := range plan.Splits {
				proc := &s.Processes[x.Process]
				r := proc.region(x.Addr)
				switch {
				case r == nil, proc.ID != x.ID, !proc.Enforce, moves[spot{x.ID, x.Addr}],
					r.Flags&(Huge|fixing|Unseen) != Huge:
					t.Fatalf("splits %+v", x)
				}
			}
		}
	})
}
