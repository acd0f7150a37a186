package policy

import (
	"maps"
	"math/bits"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// clone copies a snapshot.
func (s *Snapshot) clone() *Snapshot {
	c := *s
	c.Nodes, c.Tiers, c.Workloads = slices.Clone(s.Nodes), slices.Clone(s.Tiers), slices.Clone(s.Workloads)
	c.Processes = slices.Clone(s.Processes)
	for i := range c.Processes {
		p := &c.Processes[i]
		p.Regions, p.Details = slices.Clone(p.Regions), slices.Clone(p.Details)
	}
	return &c
}

// controllerState draws the state of a controller that has something to steer by.
func controllerState(t *rapid.T, s *Snapshot, p Params) []byte {
	var c Controller
	if rapid.Bool().Draw(t, "new") {
		return nil
	}
	early := s.clone()
	early.Seconds -= 10
	plan := c.Decide(early, p)
	var done []Done
	for i := range plan.Moves {
		m := &plan.Moves[i]
		done = append(done, Done{ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind, Pages: m.Pages, Seconds: 1e-3})
	}
	c.Done(done)
	for i := range c.workloads {
		if rapid.IntRange(0, 3).Draw(t, "breaker") == 0 {
			c.workloads[i].set(Open, c.now)
			c.workloads[i].probeAt = c.now + 30
		}
	}
	state, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// What is explained is the plan that is made: the same moves, and the same pages
// held back by the same rules. And the question changes nothing.
func TestExplainIsThePlan(t *testing.T) {
	held := map[Rule]int{}
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, untidy), parameters(t)
		if rapid.IntRange(0, 9).Draw(t, "pressed") == 0 {
			s.Pressure = 0.5
		}
		state := controllerState(t, s, p)
		var c Controller
		if state != nil {
			if err := c.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
		}
		want := c.Decide(s, p)
		before := s.clone()
		a, err := Explain(state, s, p, About{Most: 10, Tries: 20})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, a.Plan); diff != "" {
			t.Fatalf("another plan is explained (-made +explained):\n%s", diff)
		}
		if diff := cmp.Diff(before, s); diff != "" {
			t.Fatalf("the snapshot has changed:\n%s", diff)
		}
		bytes := map[Rule]uint64{}
		for rule, pages := range want.Vetoed {
			bytes[rule] = pages * PageSize
		}
		if diff := cmp.Diff(bytes, a.Counted); diff != "" {
			t.Fatalf("held back (-plan +explained):\n%s", diff)
		}

		// The parts of all regions add up to the same.
		parts, moves := map[Rule]uint64{}, uint64(0)
		for i := range s.Processes {
			of := func(q *Process) bool { return q == &s.Processes[i] }
			for _, r := range s.Processes[i].Regions {
				one, err := Explain(state, s, p, About{Process: of, Addr: r.Addr + 4711})
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range one.Parts {
					if part.Addr != r.Addr || part.Process != i {
						t.Fatalf("asked for %d:%x, got %+v", i, r.Addr, part)
					}
					switch {
					case part.State == Moving:
						moves += part.bytes()
					case part.Counted != "":
						parts[part.Counted] += part.bytes()
						if part.Rule == "" || part.State != Held {
							t.Fatalf("counted, and not held: %+v", part)
						}
						held[part.Rule]++
					}
				}
			}
		}
		for _, m := range want.Moves {
			moves -= uint64(m.Pages) * PageSize
		}
		if moves != 0 {
			t.Fatalf("%d bytes more in the parts that move than in the plan", int64(moves))
		}
		// What is held here and leaves for another there is in the plan's count alone.
		for rule, n := range parts {
			if n > bytes[rule] {
				t.Fatalf("%s holds %d bytes of the parts, %d of the plan", rule, n, bytes[rule])
			}
		}
		if len(want.Moves) == 0 {
			if diff := cmp.Diff(bytes, parts); diff != "" {
				t.Fatalf("held back (-plan +parts):\n%s", diff)
			}
		}
	})
	t.Logf("parts held back: %v", held)
}

// What is said to suffice lifts the rule that it is said to lift, and what is said
// to come next does.
func TestChangesSuffice(t *testing.T) {
	told, without := map[Rule]map[Lever]int{}, map[Rule]int{}
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, untidy), parameters(t)
		s.Pressure = rapid.SampledFrom([]float64{0, 0, 0, 0.5}).Draw(t, "pressure")
		state := controllerState(t, s, p)
		a, err := Explain(state, s, p, About{Most: 8, Tries: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range a.Parts {
			if part.State != Held {
				continue
			}
			if len(part.Changes) == 0 {
				without[part.Rule]++
			}
			for _, ch := range part.Changes {
				if told[part.Rule] == nil {
					told[part.Rule] = map[Lever]int{}
				}
				told[part.Rule][ch.Lever]++
				changed, params := s.clone(), p
				stratum := int8(-1)
				if part.Strata != AllStrata {
					stratum = int8(bits.TrailingZeros8(part.Strata))
				}
				region := slices.IndexFunc(s.Processes[part.Process].Regions, func(r Region) bool { return r.Addr == part.Addr })
				ch.apply(changed, &params, &unit{proc: int32(part.Process), region: int32(region), stratum: stratum})
				// As a part is made of one or more units, and this one was tried:
				again := &explainer{state: state, s: changed, p: params, chosen: make([]bool, len(s.Processes))}
				again.tr.tests = map[uint32][]Test{part.unit - 1: nil}
				if _, err := again.run(); err != nil {
					t.Fatal(err)
				}
				now := again.part(part.unit - 1)
				if now.Addr != part.Addr || now.Slot != part.Slot || now.Strata != part.Strata {
					t.Fatalf("%+v is numbered as %+v", part, now)
				}
				if now.State == Moving {
					if ch.Then != "" || changed.Nodes[now.To].Tier > part.For {
						t.Fatalf("with %+v it moves\n%+v\nis now %+v", ch, part, now)
					}
					continue
				}
				// What kept it from the tier does no more.
				last := slices.IndexFunc(now.Tests, func(q Test) bool { return q.Tier == part.For })
				for q := last; q >= 0 && q < len(now.Tests); q++ {
					if now.Tests[q].Tier == part.For {
						last = q
					}
				}
				if last < 0 || now.Tests[last].Rule == part.Rule || now.Tests[last].Rule != ch.Then {
					t.Fatalf("%+v does not help\n%+v\nis now %+v", ch, part, now)
				}
			}
		}
	})
	for _, rule := range slices.Sorted(maps.Keys(told)) {
		t.Logf("%s: %v", rule, told[rule])
	}
	t.Logf("nothing helps: %v", without)
}
