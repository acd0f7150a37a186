package policy

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func save(t interface{ Fatal(...any) }, c *Controller) []byte {
	b, err := c.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whenever it is saved, before a plan or before its moves are done, a restored
// controller goes on exactly as the first.
func TestStateRestores(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, tidy), parameters(t)
		var c, other Controller
		restore := func() {
			if !rapid.Bool().Draw(t, "restore") {
				return
			}
			state := save(t, &c)
			other = Controller{}
			if err := other.UnmarshalBinary(state); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(save(t, &other), state) {
				t.Fatal("the restored controller saves another state")
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			evolve(t, s)
			if len(c.workloads) > 0 && rapid.IntRange(0, 4).Draw(t, "trip") == 0 {
				for _, of := range []*Controller{&c, &other} {
					of.workloads[0].set(Open, of.now)
					of.workloads[0].probeAt = of.now + 2
				}
			}
			restore()
			plan := c.Decide(s, p)
			if diff := cmp.Diff(plan, other.Decide(s, p), cmpopts.EquateNaNs()); diff != "" {
				t.Fatalf("the restored controller plans something else (-first +restored):\n%s", diff)
			}
			restore()
			done := did(t, s, plan)
			c.Done(done)
			other.Done(done)
			if !bytes.Equal(save(t, &c), save(t, &other)) {
				t.Fatal("the states differ")
			}
		}
	})
}

// lived is a controller that has something of everything.
func lived() *Controller {
	var c Controller
	s := never(tiers(0, 9).with(0, 10).with(1, 10))
	c.Decide(s, params())
	at := func(i uint64) spot { return spot{s.Processes[0].ID, i * RegionSize} }
	c.ledger.open(entry{at: at(1), victim: at(2), strata: 3, pages: 32, cost: 1, earned: math.NaN(), probe: true})
	c.cool.double(at(3), 1, 10, 60)
	c.splitters = []splitter{{trials: []trial{{at(5), 1, 2, 3}}, allowed: firstSplits}}
	c.tried = map[spot]float64{at(5): 4}
	c.planned[plannedMove{at(4), 0, 1}] = plannedReason{rule: Victim, rate: 10, back: true}
	return &c
}

func TestStateRefuses(t *testing.T) {
	state := save(t, lived())
	for name, bad := range map[string][]byte{
		"empty": nil, "version": append([]byte{99}, state[1:]...), "longer": append(bytes.Clone(state), 0),
	} {
		if err := new(Controller).UnmarshalBinary(bad); err == nil {
			t.Errorf("%s: restored", name)
		}
	}
	for n := range state {
		c := lived()
		if err := c.UnmarshalBinary(state[:n]); err == nil {
			t.Fatalf("restored from %d of %d bytes", n, len(state))
		}
		if !bytes.Equal(save(t, c), state) {
			t.Fatal("a refused state has changed the controller")
		}
	}
}

// A controller restored from whatever bytes works.
func FuzzState(f *testing.F) {
	f.Add([]byte{})
	f.Add(save(f, new(Controller)))
	f.Add(save(f, lived()))
	f.Fuzz(func(t *testing.T, data []byte) {
		var c Controller
		if c.UnmarshalBinary(data) != nil {
			return
		}
		if state := save(t, &c); new(Controller).UnmarshalBinary(state) != nil {
			t.Fatal("what it saves cannot be restored")
		}
		s := never(tiers(0, 9).with(0, 10).with(1, 10))
		for range 3 {
			s.Seconds += 10
			carry(&c, s, c.Decide(s, params()))
		}
	})
}
