package sim_test

import (
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// alternate is two hot sets, each of 80 % of the fast tier, that take turns.
func alternate(every, rate float64) sim.Workload {
	const n, fast = 1024, 256
	return sim.Workload{
		Name: "alternate", Regions: []int{n}, Fast: fast, Start: policy.NoSlot, Seconds: 300,
		Begin: func(procs []*sim.Memory, rng *rand.Rand) sim.Changes {
			const hot = fast * 8 / 10
			perm := rng.Perm(n)
			now, next := perm[:hot], perm[hot:2*hot]
			return func(t float64) float64 {
				for i := range n {
					procs[0].SetRate(i, 0.02)
				}
				for _, i := range now {
					procs[0].SetRate(i, rate)
				}
				now, next = next, now
				return t + every
			}
		},
	}
}

// books is tierd, and what its ledger said at some time.
type books struct {
	*sim.Tierd
	at     float64
	before policy.Thrash
}

func (b *books) Step(h *sim.Host) float64 {
	next := b.Tierd.Step(h)
	if h.Clock.Now() < b.at && b.Plan != nil {
		b.before = b.Plan.Thrash
	}
	return next
}

// Where two hot sets take turns, to follow them is waste if they do so before a
// move has paid, and right if they stay longer. Thrash control has to tell these
// apart by itself.
func TestAlternation(t *testing.T) {
	for _, test := range []struct {
		name        string
		every, rate float64
		follows     bool
	}{
		{"too fast to follow", 4, 30, false},
		{"slow enough", 15, 60, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := alternate(test.every, test.rate)
			m := sim.TwoTiers(w.Fast)
			m.MoveCost = 20e-6 // dear: an exchange pays in 6 s at a rate of 30
			const seeds = 4    // single runs differ by as much as the limits allow
			var waste, hit, freeHit, rest float64
			for seed := range uint64(seeds) {
				run := func(uncontrolled bool) (*sim.Result, *books) {
					b := &books{Tierd: sim.DefaultTierd(), at: w.Seconds / 3}
					b.Uncontrolled = uncontrolled
					return sim.Run(sim.Options{Machine: m, Workload: w, Placer: b, Rate: 1 << 30, Seed: seed + 1}), b
				}
				free, _ := run(true)
				held, b := run(false)
				end := b.Plan.Thrash
				waste += (end.Totals.WastedSeconds - b.before.Totals.WastedSeconds) / (w.Seconds - b.at) / seeds
				rest += held.SettledPerMinute / free.SettledPerMinute / seeds
				hit, freeHit = hit+held.Hit/seeds, freeHit+free.Hit/seeds
				t.Logf("hit %.3f, without control %.3f; moved %d MiB, %d; %+v", held.Hit, free.Hit, held.Moved>>20, free.Moved>>20, end)
			}
			t.Logf("hit %.3f, without control %.3f; moved %.3f of that; waste %.3f %%", hit, freeHit, rest, 100*waste)
			limit, loss := policy.DefaultParams().MaxWaste, 0.02
			if test.follows {
				// Promotions that come too late are waste as well, and some are held back for it.
				limit, loss = 3*limit, 0.05
			}
			if waste > limit {
				t.Errorf("waste %v once settled, the limit is %v", waste, limit)
			}
			if hit < freeHit-loss {
				t.Errorf("hit %.3f, without control %.3f", hit, freeHit)
			}
			if !test.follows && rest > 0.1 {
				t.Errorf("once settled %.3f of what moves without control", rest)
			}
		})
	}
}

// Where moves pay, thrash control changes nothing.
func TestControlIsHarmless(t *testing.T) {
	for _, w := range sim.Workloads() {
		switch w.Name {
		case "static", "zipf", "shift":
		default:
			continue
		}
		t.Run(w.Name, func(t *testing.T) {
			w.Seconds = 60
			if len(w.Events) > 0 {
				w.Events, w.Seconds = w.Events[:1], 130
			}
			run := func(uncontrolled bool) *sim.Result {
				p := sim.DefaultTierd()
				p.Uncontrolled = uncontrolled
				return sim.Run(sim.Options{Machine: sim.TwoTiers(w.Fast), Workload: w, Placer: p, Rate: 1 << 30, Seed: 2})
			}
			free, held := run(true), run(false)
			t.Logf("hit %.4f, without control %.4f; settled after %v s, %v s", held.Hit, free.Hit, held.Settle, free.Settle)
			if held.Hit < free.Hit-0.002 {
				t.Errorf("hit %.4f, without control %.4f", held.Hit, free.Hit)
			}
			for i := range held.Settle {
				if held.Settle[i] > free.Settle[i]+1 {
					t.Errorf("settled after %v s, without control %v s", held.Settle[i], free.Settle[i])
				}
			}
		})
	}
}
