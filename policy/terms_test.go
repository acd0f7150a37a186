package policy

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Every move has its terms, and they are those of its reason.
func TestTermsBelongToTheMoves(t *testing.T) {
	exchanges := 0
	rapid.Check(t, func(t *rapid.T) {
		s, p := machine(t, untidy), parameters(t)
		plan := new(Engine).Decide(s, p)
		if len(plan.Terms) != len(plan.Moves) {
			t.Fatalf("%d terms of %d moves", len(plan.Terms), len(plan.Moves))
		}
		promotions, victims := map[int32]int{}, map[int32]int{}
		for i := range plan.Moves {
			m, terms := &plan.Moves[i], &plan.Terms[i]
			if !(terms.LogVar > 0) || (terms.VictimLogVar > 0) != (m.Reason.VictimRate > 0) {
				t.Fatalf("noise of %+v: %+v", m, terms)
			}
			if m.Kind == Promotion && m.Reason.Rule != Near && (terms.Evidence < terms.EvidenceNeeded || int(terms.EvidenceNeeded) < p.EvidenceFill) {
				t.Fatalf("evidence of %+v: %+v", m, terms)
			}
			switch m.Reason.Rule {
			case Relief, Limit:
				if *terms != (Terms{LogVar: terms.LogVar, Evidence: terms.Evidence}) {
					t.Fatalf("%+v: %+v", m, terms)
				}
				continue
			case Fill:
				if terms.Exchange != 0 || terms.Victims != 0 {
					t.Fatalf("a fill is part of an exchange: %+v", terms)
				}
			case Exchange, Share:
				promotions[terms.Exchange]++
			case Victim:
				victims[terms.Exchange]++
			}
			if !(terms.Cost > 0) || !(terms.Gain > 0) || !(float64(terms.Horizon) >= p.HorizonMin) {
				t.Fatalf("%+v: %+v", m, terms)
			}
			// Of several pieces in one move the payback is the least, and the rest is summed.
			if float64(terms.Gain) < float64(m.Reason.Payback*terms.Cost)*0.999 && m.Reason.Payback < maxRatio {
				t.Fatalf("payback %v, gain %v, cost %v", m.Reason.Payback, terms.Gain, terms.Cost)
			}
		}
		for x := range victims {
			if exchanges++; x == 0 || promotions[x] == 0 {
				t.Fatalf("the victims of exchange %d leave for nobody: %+v %+v", x, plan.Moves, plan.Terms)
			}
		}
	})
	t.Logf("%d exchanges", exchanges)
}

// The verdicts that a controller tells are those that it counts.
func TestSettledAreCounted(t *testing.T) {
	var c Controller
	s := tiers(4, 4).with(1, 100).with(1, 100).with(1, 100)
	p := params()
	var got []Settled
	for second := range 80 {
		s.Seconds = float64(second)
		if second == 3 {
			for i := range s.Processes[0].Regions {
				s.Processes[0].Regions[i].Rate = 1e-3 // and none has paid
			}
			s.MoveCost = 1
		}
		plan := c.Decide(s, p)
		var done []Done
		for i := range plan.Moves {
			m := &plan.Moves[i]
			m.apply(s)
			done = append(done, Done{ID: m.ID, Addr: m.Addr, Strata: m.Strata, From: m.From, To: m.To, Kind: m.Kind, Pages: m.Pages, Seconds: 1})
		}
		c.Done(done)
		got = c.Settled(got)
	}
	counts := map[string]uint64{}
	for _, v := range got {
		counts[v.Verdict]++
		if v.To != 0 || !(v.Cost > 0) || math.IsNaN(v.Earned) {
			t.Errorf("%+v", v)
		}
	}
	if totals := c.ledger.totals; counts["paid"] != totals.Paid || counts["wasted"]+counts["undone"] != totals.Wasted || len(got) != 3 {
		t.Errorf("told %v, counted %+v", counts, totals)
	}
	if more := c.Settled(nil); len(more) > 0 {
		t.Errorf("told twice: %+v", more)
	}
}
