package sampler

import (
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// activity is how much a series surprises at a time, in standard deviations above
// chance.
type activity func(t float64) float64

// feed adds samples to series from one time to another, ten a second each, and
// looks for the period as the tracker does.
func feed(s *steps, all []*series, rng *rand.Rand, from, to float64, acts ...activity) {
	for t := from; t < to; t += 0.1 {
		for i, a := range acts {
			all[i].add(t, a(t)+rng.NormFloat64())
		}
		if s.due(t) {
			s.look(all, t)
		}
	}
}

func seriesOf(n int) (all []*series) {
	for range n {
		all = append(all, new(series))
	}
	return all
}

// sweepAt is memory that a step of a length uses for a while at a phase of it.
func sweepAt(period, phase, length float64) activity {
	return func(t float64) float64 {
		if math.Mod(t+period-phase, period) < length {
			return 6
		}
		return 0
	}
}

// byTurns is memory that is used for a part of each period: the samples that see it
// become hot, or cold, surprise.
func byTurns(period, part float64) activity {
	return func(t float64) float64 {
		switch x := math.Mod(t, period); {
		case x < 0.4:
			return 7
		case x >= part*period && x < part*period+0.4:
			return -7
		}
		return 0
	}
}

// jittered is a sweep in steps each of which is longer or shorter by up to a part.
func jittered(period, part, length float64, rng *rand.Rand) activity {
	begin, next := 0.0, period
	return func(t float64) float64 {
		for t >= next {
			begin, next = next, next+period*(1+part*(2*rng.Float64()-1))
		}
		if t-begin < length {
			return 6
		}
		return 0
	}
}

func still(float64) float64 { return 0 }

func TestPeriodIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		name    string
		acts    []activity
		seconds float64
		want    float64 // 0: none
		within  float64
	}{
		{"sweep of 10 s", []activity{sweepAt(10, 3, 0.5), sweepAt(10, 3.5, 0.5), sweepAt(10, 4, 0.5)}, 90, 10, 0.03},
		{"sweep of 60 s", []activity{sweepAt(60, 40, 2.5), sweepAt(60, 42.5, 2.5), sweepAt(60, 45, 2.5)}, 300, 60, 0.03},
		{"sweep of 2 s", []activity{sweepAt(2, 1, 0.3)}, 90, 2, 0.05},
		{"sweep of 5 min", []activity{sweepAt(300, 100, 12), sweepAt(300, 112, 12), still}, 1500, 300, 0.05},
		{"used by turns", []activity{byTurns(12, 0.4), byTurns(12, 0.4), still}, 90, 12, 0.03},
		{"used half of the time", []activity{byTurns(8, 0.5)}, 90, 8, 0.03},
		{"beside much that is steady", []activity{sweepAt(15, 3, 0.7), still, still, still, still, still, still}, 120, 15, 0.05},
		{"steps of changing length", []activity{jittered(10, 0.2, 1, rng)}, 200, 10, 0.15},
		{"little in each step, and one that is larger", []activity{func(t float64) float64 {
			return sweepAt(2, 0, 0.3)(t)/3 + sweepAt(8, 1, 0.5)(t)
		}}, 120, 8, 0.05},
		{"steady", []activity{still, still, still}, 300, 0, 0},
		{"drift", []activity{func(t float64) float64 { return t / 60 }, func(t float64) float64 { return 4 - t/80 }}, 300, 0, 0},
		{"one event", []activity{sweepAt(1e6, 100, 2), sweepAt(1e6, 100, 2)}, 400, 0, 0},
		{"two events", []activity{func(t float64) float64 { return sweepAt(1e6, 100, 2)(t) + sweepAt(1e6, 160, 2)(t) }}, 400, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s steps
			feed(&s, seriesOf(len(test.acts)), rand.New(rand.NewPCG(3, 4)), 0, test.seconds, test.acts...)
			if got := s.period(); math.Abs(got-test.want) > test.within*test.want {
				t.Errorf("period = %.3g s, want %.3g s", got, test.want)
			}
		})
	}
}

// Steps that become longer or shorter by a fifth are followed.
func TestPeriodFollows(t *testing.T) {
	for _, factor := range []float64{0.8, 1.2} {
		var s steps
		all, rng := seriesOf(2), rand.New(rand.NewPCG(5, 6))
		feed(&s, all, rng, 0, 100, sweepAt(10, 3, 0.5), sweepAt(10, 3.5, 0.5))
		lost := 0.0
		for at := 100.0; at < 240; at += 10 {
			feed(&s, all, rng, at, at+10, sweepAt(10*factor, 3, 0.5), sweepAt(10*factor, 3.5, 0.5))
			if s.period() == 0 {
				lost += 10
			}
		}
		if got := s.period(); math.Abs(got-10*factor) > 0.5 || lost > 0 {
			t.Errorf("period = %.3g s, %.0f s without one; want %.3g s at all times", got, lost, 10*factor)
		}
	}
}

func TestPeriodIsDroppedWithItsPattern(t *testing.T) {
	for _, period := range []float64{4, 10, 40} {
		var s steps
		all, rng := seriesOf(2), rand.New(rand.NewPCG(7, 8))
		feed(&s, all, rng, 0, 8*period+60, sweepAt(period, 1, period/15), sweepAt(period, 2, period/15))
		if s.period() == 0 {
			t.Errorf("period of %v s: not found", period)
		}
		feed(&s, all, rng, 8*period+60, 14*period+90, still, still)
		if got := s.period(); got != 0 {
			t.Errorf("period = %.3g s long after its pattern has gone, want none", got)
		}
	}
}

func TestPeriodThatIsTold(t *testing.T) {
	acts := []activity{sweepAt(10, 3, 0.5)}
	for _, test := range []struct {
		told Period
		want float64
	}{
		{Period{Off: true}, 0},
		{Period{Seconds: 7}, 7},
	} {
		s := steps{told: test.told}
		feed(&s, seriesOf(1), rand.New(rand.NewPCG(9, 10)), 0, 90, acts...)
		if got := s.period(); got != test.want {
			t.Errorf("told %+v: period = %v s, want %v s", test.told, got, test.want)
		}
	}
}

// Any period is found wherever a step uses its memory, and never a multiple.
func TestPeriodOfAnySweep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.Float64Range(2, 60).Draw(t, "period")
		var acts []activity
		for range rapid.IntRange(1, 4).Draw(t, "extents") {
			acts = append(acts, sweepAt(period, rapid.Float64Range(0, 1).Draw(t, "phase")*period, rapid.Float64Range(0.03, 0.3).Draw(t, "part")*period+0.2))
		}
		var s steps
		feed(&s, seriesOf(len(acts)), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), 0, 6*period+30, acts...)
		if got := s.period(); math.Abs(got-period) > 0.08*period {
			t.Errorf("period = %.3g s, want %.3g s", got, period)
		}
	})
}

// A record that is short may show a multiple of the period only. It makes way when
// the period itself has shown.
func TestPeriodThatWasAMultiple(t *testing.T) {
	const period = 2.25
	multiples := 0
	for seed := range uint64(50) {
		var s steps
		all, rng := seriesOf(1), rand.New(rand.NewPCG(seed, 1))
		for at := 0.0; at < 45; at += 5 {
			feed(&s, all, rng, at, at+5, sweepAt(period, 0, 0.29))
			if s.period() > 1.5*period {
				multiples++
			}
		}
		if got := s.period(); math.Abs(got-period) > 0.08*period {
			t.Errorf("seed %d: period = %.3g s, want %.3g s", seed, got, period)
		}
	}
	if multiples == 0 {
		t.Error("no record showed a multiple: nothing was tested")
	}
}

// What chance brings has no period, however far some of it is off. The seeds are
// fixed: chance has one in a few thousand times.
func TestNoiseHasNoPeriod(t *testing.T) {
	for seed := range uint64(100) {
		rng := rand.New(rand.NewPCG(seed, 2))
		spikes := 0.05 * rng.Float64()
		act := func(float64) float64 {
			if rng.Float64() < spikes {
				return 20
			}
			return 0
		}
		acts := make([]activity, 1+seed%5)
		for i := range acts {
			acts[i] = act
		}
		var s steps
		feed(&s, seriesOf(len(acts)), rng, 0, 200, acts...)
		if got := s.period(); got != 0 {
			t.Errorf("seed %d: period = %v s, want none", seed, got)
		}
	}
}

func BenchmarkPeriodLook(b *testing.B) {
	all, rng := seriesOf(maxSeries), rand.New(rand.NewPCG(1, 2))
	for _, s := range all {
		for t := 0.0; t < 1100; t += 0.2 {
			s.add(t, sweepAt(20, 3, 1)(t)+rng.NormFloat64())
		}
	}
	var s steps
	for b.Loop() {
		s.find(all, 1100)
	}
}
