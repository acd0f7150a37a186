package tune

import (
	"math/rand/v2"

	"github.com/tierd/tierd/config"
)

// tried are the keys that a simulation has something to say about.
func tried() (keys []Key) {
	for _, k := range Keys() {
		if k.Tried {
			keys = append(keys, k)
		}
	}
	return keys
}

// Sample makes n configurations that differ from one in the keys that can be tried.
// They are a Latin hypercube: of n equal steps of each key, every one is taken
// once. The same seed gives the same ones.
func Sample(base *config.Config, n int, seed uint64) []*config.Config {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]*config.Config, n)
	for i := range out {
		out[i] = clone(base)
	}
	for _, k := range tried() {
		for i, step := range rng.Perm(n) {
			k.Set(out[i], k.at((float64(step)+rng.Float64())/float64(n)))
		}
	}
	return out
}

// near makes a configuration that differs a little from one: by about so much of
// each key's range.
func near(c *config.Config, width float64, rng *rand.Rand) *config.Config {
	out := clone(c)
	for _, k := range tried() {
		part := k.part(k.Get(c)) + width*rng.NormFloat64()
		k.Set(out, k.at(min(max(part, 0), 1)))
	}
	return out
}

// clone copies what a key can change.
func clone(c *config.Config) *config.Config {
	d := *c
	return &d
}
