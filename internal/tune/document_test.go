package tune_test

import (
	"slices"
	"testing"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/metrics"
	"github.com/tierd/tierd/internal/tune"
)

func TestDocs(t *testing.T) {
	golden.Check(t, "../../docs/tuning.md", tune.Document())
}

// Rules are made of quantities and keys that there are, and quantities of metrics that
// tierd has.
func TestRulesHang(t *testing.T) {
	var names, quantities []string
	for _, d := range metrics.Definitions() {
		names = append(names, d.Name)
	}
	for _, q := range tune.Quantities() {
		quantities = append(quantities, q.Name)
		for _, m := range q.Metrics {
			if !slices.Contains(names, m) {
				t.Errorf("%s: there is no metric %s", q.Name, m)
			}
		}
	}
	used := map[string]bool{}
	for _, r := range tune.Rules() {
		if _, ok := tune.KeyOf(r.Key); !ok {
			t.Errorf("there is no key %s", r.Key)
		}
		for _, n := range r.Needs {
			if used[n] = true; !slices.Contains(quantities, n) {
				t.Errorf("rule for %s: there is no quantity %s", r.Key, n)
			}
		}
	}
	for _, q := range quantities {
		if !used[q] && q != "hit" && q != "moved" { // told for who reads
			t.Errorf("no rule needs %s", q)
		}
	}
}

// Every value within the bounds is valid, and stays what it is in a file.
func TestBoundsAreValid(t *testing.T) {
	for _, k := range tune.Keys() {
		for _, v := range []float64{k.Low, (k.Low + k.High) / 2, k.High, -1, 1e300} {
			c := config.Default()
			k.Set(c, v)
			text := "[" + k.Table + "]\n" + k.Name + " = " + k.Text(c) + "\n"
			back, err := config.Parse("x.toml", []byte(text))
			if err != nil {
				t.Errorf("%s at %v: %v", k, v, err)
				continue
			}
			if k.Text(back) != k.Text(c) {
				t.Errorf("%s at %v: %s became %s", k, v, k.Text(c), k.Text(back))
			}
		}
	}
}
