package tune

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/policy"
)

// Options of a search.
type Options struct {
	// Samples are tried first, then Refine near the best of them.
	Samples, Refine int
	// Seeds is how many runs each number of the result is the mean of; at least 2.
	Seeds int
	// Seed is of the samples.
	Seed uint64
	// Ran, if set, is called after each run.
	Ran func()
}

// Estimate is a mean over runs, and by how much it may be off, with 95 % certainty.
type Estimate struct {
	Mean   float64 `json:"mean"`
	Spread float64 `json:"spread"`
}

// Effect is what a change changes, on average over pairs of runs with the same seed.
type Effect struct {
	Slowdown Estimate `json:"slowdown_ratio"`
	Hit      Estimate `json:"hit_ratio"`
	Moved    Estimate `json:"moved_bytes"`
}

const (
	// leastGain is the part of the time that a change must save to be worth the
	// trouble.
	leastGain = 0.001
	// leastSaved is the part of the moved bytes that a change must save if it saves no
	// time.
	leastSaved = 0.1
)

// Better tells whether the effect is a gain beyond noise: less time, or as little of
// it with fewer bytes moved. now is what there is without the change.
func (e Effect) Better(now Outcome) bool {
	if e.Slowdown.Mean <= -leastGain && e.Slowdown.Mean+e.Slowdown.Spread < 0 {
		return true
	}
	return e.Slowdown.Mean+e.Slowdown.Spread <= leastGain &&
		e.Moved.Mean+e.Moved.Spread < 0 && e.Moved.Mean <= -leastSaved*now.Moved
}

// Proposal is another value for a key.
type Proposal struct {
	Key      Key
	From, To string
	// Alone is what changing this key alone does; nil where nothing was tried.
	Alone *Effect
	// Evidence is what speaks for it, Effect what will change, both in a sentence.
	Evidence, Effect string
}

// Found is what a search came to.
type Found struct {
	Now, Then Outcome
	Effect    Effect
	// Config has the proposed values; without proposals it is the present one.
	Config    *config.Config
	Proposals []Proposal
	// Kept says of each key that is not to be changed, why.
	Kept []Kept
	Runs int
}

// Kept is a key whose value stays.
type Kept struct {
	Key   Key
	Value string
	Why   string
}

// Search looks for better values of the keys than those of base. It is repeatable.
func Search(ctx context.Context, c Case, base *config.Config, o Options) (*Found, error) {
	if o.Seeds < 2 || o.Samples < 1 || o.Refine < 0 {
		return nil, fmt.Errorf("search: want 2 seeds and 1 sample at least")
	}
	f := &Found{Config: base}
	b := newBench(c, func() {
		f.Runs++
		if o.Ran != nil {
			o.Ran()
		}
	})
	best, err := b.choose(ctx, base, o)
	if err != nil {
		return nil, err
	}
	if err := b.judge(ctx, f, base, best, o.Seeds); err != nil {
		return nil, err
	}
	return f, nil
}

// choose samples, refines and leaves out what does nothing.
func (b *bench) choose(ctx context.Context, base *config.Config, o Options) (*config.Config, error) {
	configs := append([]*config.Config{base}, Sample(base, o.Samples, o.Seed)...)
	seed := []uint64{chooseSeed}
	runs, err := b.run(ctx, configs, seed)
	if err != nil {
		return nil, err
	}
	// Each round looks closer around the best of those before.
	rng := rand.New(rand.NewPCG(o.Seed, 2))
	const rounds = 3
	for width, left := 0.2, o.Refine; left > 0; width /= 2 {
		n := min(left, (o.Refine+rounds-1)/rounds)
		left -= n
		index := order(meansOf(runs))
		var more []*config.Config
		for i := range n {
			more = append(more, near(configs[index[i%min(3, len(index))]], width, rng))
		}
		tried, err := b.run(ctx, more, seed)
		if err != nil {
			return nil, err
		}
		configs, runs = append(configs, more...), append(runs, tried...)
	}
	// The luck of one seed does not choose.
	var finalists []*config.Config
	for _, i := range order(meansOf(runs))[:min(4, len(runs))] {
		finalists = append(finalists, configs[i])
	}
	seeds := []uint64{chooseSeed, chooseSeed + 1}
	runs, err = b.run(ctx, finalists, seeds)
	if err != nil {
		return nil, err
	}
	first := order(meansOf(runs))[0]
	return b.prune(ctx, base, finalists[first], Mean(runs[first]), seeds)
}

// prune puts keys back to their present values where that loses nothing.
func (b *bench) prune(ctx context.Context, base, best *config.Config, reached Outcome, seeds []uint64) (*config.Config, error) {
	for _, k := range tried() {
		if k.Text(base) == k.Text(best) {
			continue
		}
		without := clone(best)
		k.copy(without, base)
		runs, err := b.run(ctx, []*config.Config{without}, seeds)
		if err != nil {
			return nil, err
		}
		if m := Mean(runs[0]); m.Slowdown <= reached.Slowdown+leastGain/2 && m.Moved <= 1.02*reached.Moved {
			best, reached = without, m
		}
	}
	return best, nil
}

// judge compares with the present values, in runs that had no part in the choice.
func (b *bench) judge(ctx context.Context, f *Found, base, best *config.Config, n int) error {
	configs := []*config.Config{base, best}
	var changed []Key
	for _, k := range tried() {
		if k.Text(base) != k.Text(best) {
			alone := clone(base)
			k.copy(alone, best)
			changed, configs = append(changed, k), append(configs, alone)
		}
	}
	if len(changed) == 0 {
		configs = configs[:1]
	}
	runs, err := b.run(ctx, configs, judgeSeeds(n))
	if err != nil {
		return err
	}
	f.Now = Mean(runs[0])
	f.Then = f.Now
	now := meanBound(runs[0])
	if len(changed) > 0 {
		f.Effect = effect(runs[0], runs[1])
	}
	better := len(changed) > 0 && f.Effect.Better(f.Now)
	for _, k := range Keys() {
		i := slices.IndexFunc(changed, func(c Key) bool { return c.Name == k.Name })
		switch {
		case !k.Tried:
			f.Kept = append(f.Kept, Kept{k, k.Text(base), "a simulation says nothing about it"})
		case i < 0:
			f.Kept = append(f.Kept, Kept{k, k.Text(base), "no other value does better; " + now.about(k)})
		case !better:
			f.Kept = append(f.Kept, Kept{k, k.Text(base), "what another value gains is within the noise of the runs; " + now.about(k)})
		default:
			alone := effect(runs[0], runs[2+i])
			f.Proposals = append(f.Proposals, Proposal{
				Key: k, From: k.Text(base), To: k.Text(best), Alone: &alone,
				Evidence: "now " + now.about(k) + "; with all proposed values " + meanBound(runs[1]).about(k),
				Effect:   "alone: " + alone.String(),
			})
		}
	}
	if better {
		f.Then, f.Config = Mean(runs[1]), best
	} else {
		f.Effect = Effect{}
	}
	return nil
}

// effect is what the second runs have more than the first, of the same seeds.
func effect(before, after []Outcome) Effect {
	of := func(get func(*Outcome) float64) Estimate {
		d := make([]float64, len(before))
		for i := range d {
			d[i] = get(&after[i]) - get(&before[i])
		}
		return estimate(d)
	}
	return Effect{
		Slowdown: of(func(o *Outcome) float64 { return o.Slowdown }),
		Hit:      of(func(o *Outcome) float64 { return o.Hit }),
		Moved:    of(func(o *Outcome) float64 { return o.Moved }),
	}
}

// estimate is the mean of some values, at least two.
func estimate(values []float64) Estimate {
	// Student's t for 95 %, by degrees of freedom from 1 on; then as for many.
	t := [...]float64{12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23}
	n := float64(len(values))
	var mean, squares float64
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	factor := 2.2
	if i := len(values) - 2; i < len(t) {
		factor = t[i]
	}
	return Estimate{Mean: mean, Spread: factor * math.Sqrt(squares/(n-1)/n)}
}

// String is the effect in words.
func (e Effect) String() string {
	return fmt.Sprintf("slowdown %+.2f ± %.2f points, hit %+.2f ± %.2f points, moved %+.2f ± %.2f GiB",
		100*e.Slowdown.Mean, 100*e.Slowdown.Spread, 100*e.Hit.Mean, 100*e.Hit.Spread, e.Moved.Mean/(1<<30), e.Moved.Spread/(1<<30))
}

func meanBound(runs []Outcome) Bound {
	m := Bound{Vetoed: map[policy.Rule]float64{}}
	n := float64(len(runs))
	for _, r := range runs {
		for rule, v := range r.Bound.Vetoed {
			m.Vetoed[rule] += v / n
		}
		m.Separation += r.Bound.Separation / n
		m.Budget += r.Bound.Budget / n
		m.Wasted += r.Bound.Wasted / n
		m.Trips += r.Bound.Trips
	}
	return m
}

// about says what binds where a key acts.
func (b Bound) about(k Key) string {
	held := func(rule policy.Rule) string {
		return fmt.Sprintf("rule %s holds back %.3g GiB on average", rule, b.Vetoed[rule])
	}
	switch k.Name {
	case "separation":
		return fmt.Sprintf("%s, at a separation of %.2g in force", held(policy.VetoSeparation), b.Separation)
	case "payback":
		return fmt.Sprintf("%s, and %.2g %% of the promotions do not pay", held(policy.VetoPayback), 100*b.Wasted)
	case "max_waste":
		return fmt.Sprintf("%.2g %% of the promotions do not pay, and %.0f %% of the budget is in force", 100*b.Wasted, 100*b.Budget)
	case "window":
		return held(policy.VetoCooldown)
	case "breaker":
		return fmt.Sprintf("%d trips in all runs, and %s", b.Trips, held(policy.VetoBreaker))
	case "rate":
		return held(policy.VetoBudget)
	}
	return ""
}
