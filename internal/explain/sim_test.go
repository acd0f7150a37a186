package explain_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/policy"
)

// TestSimulated explains what the policy decides in simulated runs: the plans are the
// same, and what is said in the end of the whole workload is what is known of it.
func TestSimulated(t *testing.T) {
	for _, test := range []struct {
		workload string
		static   bool // more is hot than fits, and to move it would win nothing
	}{{"uniform", true}, {"hot2", true}, {"static", false}} {
		t.Run(test.workload, func(t *testing.T) {
			t.Parallel()
			list := sim.Workloads()
			k := slices.IndexFunc(list, func(w sim.Workload) bool { return w.Name == test.workload })
			if k < 0 {
				t.Fatal("no such workload")
			}
			w := list[k]
			w.Seconds = 100
			m := sim.TwoTiers(w.Fast)
			file, err := record.Preamble(&record.Header{Version: "test", Tiers: m.Tiers, Nodes: m.Nodes})
			if err != nil {
				t.Fatal(err)
			}
			r := record.NewRecorder(func(b []byte) bool { file = append(file, b...); return true })
			r.All = true
			placer := sim.DefaultTierd()
			placer.Recorder = r
			sim.Run(sim.Options{Machine: m, Workload: w, Placer: placer, Rate: 1 << 30, Seed: 1})
			r.Flush()

			in, err := record.NewReader(bytes.NewReader(file))
			if err != nil {
				t.Fatal(err)
			}
			var c policy.Controller
			asked, said := 0, ""
			for n := 0; ; n++ {
				f, err := in.Next()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				c.Done(f.Done)
				if n%100 == 50 {
					state, err := c.MarshalBinary()
					if err != nil {
						t.Fatal(err)
					}
					a, err := policy.Explain(state, f.Snapshot, f.Params, policy.About{Most: 5, Tries: 5})
					if err != nil {
						t.Fatal(err)
					}
					if record.Hash(a.Plan) != f.PlanHash {
						t.Fatalf("plan %d is explained as another", f.Number)
					}
					asked++
					said = explain.SayAccount(w.Name, explain.Account(a, f.Snapshot, func(*policy.Process) bool { return true }))
				}
				c.Decide(f.Snapshot, f.Params)
			}
			if asked == 0 || strings.Contains(said, "the best static subset stays") != test.static {
				t.Errorf("asked %d times, in the end: %s", asked, said)
			}
			t.Logf("%d questions; %s", asked, said)
		})
	}
}
