package sampler_test

import (
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/samplertest"
)

// Where workloads share a tier, each process is measured by its own boundaries:
// what is hot for one is nothing for another.
func TestEachProcessHasItsBoundaries(t *testing.T) {
	tr, fast, c := tracked(64, 0.05)
	slow := samplertest.NewMemory(c, 64, 2)
	tr.Add(policy.ProcessID{PID: 43, Start: 1}, "modest", true, slow)
	for i := range fast.Regions {
		fast.SetRate(i, 50+50*float64(i%2))
		slow.SetRate(i, 0.5+4.5*float64(i%2))
	}
	hot := func(proc int) (n int) {
		for i, r := range tr.Snapshot()[proc].Regions {
			if r.Evidence&7 == 7 && i%2 == 1 {
				n++
			}
		}
		return n
	}
	steer := func(own ...[]float32) {
		plan := &policy.Plan{Boundaries: []float32{70}}
		for _, b := range own {
			plan.Processes = append(plan.Processes, policy.Summary{Boundaries: b})
		}
		tr.Steer(tr.Snapshot(), plan)
		run(tr, c, 10)
	}
	run(tr, c, 2)
	steer(nil, nil)
	if n := hot(1); n > 0 {
		t.Errorf("%d regions look hot by the boundary of all", n)
	}
	steer([]float32{70}, []float32{1.6})
	if n := hot(1); n < 30 {
		t.Errorf("%d of 32 regions look hot by their own boundary", n)
	}
	// They go with the plan that has none.
	steer(nil, nil)
	if n := hot(1); n > 0 {
		t.Errorf("%d regions still look hot", n)
	}
	// A process that is gone since then is no harm.
	procs := append([]policy.Process(nil), tr.Snapshot()...)
	tr.Remove(job)
	tr.Steer(procs, &policy.Plan{Boundaries: []float32{70}, Processes: make([]policy.Summary, 2)})
	run(tr, c, 1)
}
