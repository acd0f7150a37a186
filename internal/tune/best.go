package tune

import (
	"cmp"
	"context"
	"slices"

	"github.com/tierd/tierd/config"
)

// Seeds of runs that choose, and the first of those that judge what was chosen.
const (
	chooseSeed = 1
	judgeSeed  = 1001
)

// judgeSeeds are n seeds that nothing was chosen by.
func judgeSeeds(n int) []uint64 {
	seeds := make([]uint64, n)
	for i := range seeds {
		seeds[i] = judgeSeed + uint64(i)
	}
	return seeds
}

// Best is what the best of some sampled configurations reach on a case, beside the
// one that they were sampled around. All are means over runs that nothing was chosen
// by.
type Best struct {
	Base Outcome
	// Hit is of the configuration with the highest hit ratio, Fast of that with the
	// least slowdown; they may be the same, and either may be the base.
	Hit, Fast             Outcome
	HitConfig, FastConfig *config.Config
}

// BestOf tries n sampled configurations once each, and the best again with so many other
// seeds. ran, if set, is called after each run.
func BestOf(ctx context.Context, c Case, base *config.Config, n, seeds int, ran func()) (*Best, error) {
	const finalists = 3
	b := newBench(c, ran)
	configs := Sample(base, n, 1)
	screened, err := b.run(ctx, configs, []uint64{chooseSeed})
	if err != nil {
		return nil, err
	}
	means := meansOf(screened)
	fast := order(means)
	hit := slices.Clone(fast)
	slices.SortStableFunc(hit, func(i, j int) int { return cmp.Compare(means[j].Hit, means[i].Hit) })
	chosen := []*config.Config{base}
	for i := range min(finalists, n) {
		for _, c := range []*config.Config{configs[hit[i]], configs[fast[i]]} {
			if !slices.Contains(chosen, c) {
				chosen = append(chosen, c)
			}
		}
	}
	judged, err := b.run(ctx, chosen, judgeSeeds(seeds))
	if err != nil {
		return nil, err
	}
	final := meansOf(judged)
	best := &Best{Base: final[0], Hit: final[0], Fast: final[0], HitConfig: base, FastConfig: base}
	for i, m := range final {
		if m.Hit > best.Hit.Hit {
			best.Hit, best.HitConfig = m, chosen[i]
		}
		if m.Slowdown < best.Fast.Slowdown {
			best.Fast, best.FastConfig = m, chosen[i]
		}
	}
	return best, nil
}

// Text is a configuration's values of the keys that can be tried, on one line.
func Text(c *config.Config) string {
	var s string
	for i, k := range tried() {
		if i > 0 {
			s += " "
		}
		s += k.Name + "=" + k.Text(c)
	}
	return s
}
