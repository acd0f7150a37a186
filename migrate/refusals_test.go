package migrate

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/policy"
)

var proc = policy.ProcessID{PID: 10, Start: 20, Exec: 30}

func outcome(r ...any) *Outcome {
	o := &Outcome{}
	for i := 0; i < len(r); i += 2 {
		o.ByResult[r[i].(Result)] = r[i+1].(int)
		o.Pages += r[i+1].(int)
	}
	o.Moved = o.ByResult[Moved]
	return o
}

func TestPinnedRegion(t *testing.T) {
	r, now := NewRefusals(0), time.Now()
	m := &policy.Move{ID: proc, Addr: 4 * policy.RegionSize, From: 2, To: 1}
	allowed := func() bool { return r.Allowed(now, m.ID, m.Addr, m.From) }
	for i, pause := range []time.Duration{1, 2, 4, 8} {
		r.Record(now, m, outcome(Busy, 512))
		if r.Immovable(now, m.ID, m.Addr) {
			t.Errorf("immovable after %d refusals", i+1)
		}
		now = now.Add(pause*time.Second - 1)
		if allowed() {
			t.Errorf("allowed again before %d s", pause)
		}
		if now = now.Add(1); !allowed() {
			t.Errorf("not allowed again after %d s", pause)
		}
	}
	for range 2 { // the second time, one attempt is enough
		r.Record(now, m, outcome(Busy, 512))
		if !r.Immovable(now, m.ID, m.Addr) || allowed() || r.Allowed(now, m.ID, m.Addr, 1) {
			t.Error("not immovable")
		}
		now = now.Add(10*time.Minute - 1)
		if !r.Immovable(now, m.ID, m.Addr) || allowed() {
			t.Error("not immovable for ten minutes")
		}
		if now = now.Add(1); r.Immovable(now, m.ID, m.Addr) || !allowed() {
			t.Error("immovable for ever")
		}
	}
	r.Record(now, m, outcome(Moved, 512))
	if r.Len() != 0 || !allowed() {
		t.Error("remembered although it moved")
	}
}

func TestPinnedPage(t *testing.T) {
	r, now := NewRefusals(0), time.Now()
	m := &policy.Move{ID: proc, Addr: 4 * policy.RegionSize, From: 2, To: 1}
	r.Record(now, m, outcome(Moved, 511, Busy, 1))
	tries := 0
	for range 600 { // ten minutes, one plan a second
		now = now.Add(time.Second)
		if r.Allowed(now, m.ID, m.Addr, 2) {
			tries++
			r.Record(now, m, outcome(Already, 511, Busy, 1))
		}
		if r.Immovable(now, m.ID, m.Addr) {
			t.Fatal("one pinned page makes the region immovable")
		}
		if !r.Allowed(now, m.ID, m.Addr, 1) {
			t.Fatal("the pages that moved may not go back")
		}
	}
	if tries != 5 {
		t.Errorf("%d attempts in ten minutes", tries)
	}
	if from, pages, ok := r.Stuck(now, m.ID, m.Addr); !ok || from != 2 || pages != 1 {
		t.Errorf("stuck: %d pages on slot %d, %v", pages, from, ok)
	}
}

func TestProgressResets(t *testing.T) {
	r, now := NewRefusals(0), time.Now()
	m := &policy.Move{ID: proc, Addr: 0, From: 2, To: 1}
	for range 20 {
		r.Record(now, m, outcome(Moved, 1, Busy, 3))
		if now = now.Add(time.Second); !r.Allowed(now, m.ID, m.Addr, 2) {
			t.Fatal("held back longer than a second although pages move")
		}
	}
}

func TestForbidden(t *testing.T) {
	now := time.Now()
	m := &policy.Move{ID: proc, Addr: 0, From: 2, To: 1}
	for _, result := range []Result{Shared, Denied} {
		r := NewRefusals(0)
		r.Record(now, m, outcome(result, 512))
		if !r.Immovable(now, m.ID, m.Addr) || r.Allowed(now, m.ID, m.Addr, 2) {
			t.Errorf("%v: not immovable at once", result)
		}
		if got := r.Denied(now, proc, 1); got != (result == Denied) {
			t.Errorf("%v: node denied: %v", result, got)
		}
		// What is only remembered does not make it last longer.
		later := now.Add(9 * time.Minute)
		r.Record(later, m, outcome(result, 512))
		if r.Denied(now.Add(10*time.Minute), proc, 1) {
			t.Errorf("%v: denied for ever", result)
		}
	}
	r := NewRefusals(0)
	r.Record(now, m, outcome(Moved, 500, Shared, 12))
	if r.Immovable(now, m.ID, m.Addr) || r.Allowed(now.Add(time.Minute), m.ID, m.Addr, 2) {
		t.Error("twelve shared pages: should be stuck, not immovable")
	}
}

func TestForget(t *testing.T) {
	r, now := NewRefusals(0), time.Now()
	other := policy.ProcessID{PID: 11}
	for i := range 10 {
		r.Record(now, &policy.Move{ID: proc, Addr: uint64(i) * policy.RegionSize}, outcome(Busy, 1))
		r.Record(now, &policy.Move{ID: other, Addr: uint64(i) * policy.RegionSize}, outcome(Busy, 1))
	}
	r.Record(now, &policy.Move{ID: proc}, outcome(Gone, 512))
	if r.Len() != 10 || !r.Allowed(now, proc, 0, 0) || r.Allowed(now, other, 0, 0) {
		t.Errorf("%d regions after one process has gone", r.Len())
	}
	r.Forget(other)
	r.Forget(other)
	if r.Len() != 0 || len(r.procs) != 0 {
		t.Errorf("%d regions after both have gone", r.Len())
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	r, now := NewRefusals(100), time.Now()
	for i := range 1000 {
		r.Record(now, &policy.Move{ID: policy.ProcessID{PID: i / 7}, Addr: uint64(i) * policy.RegionSize}, outcome(Busy, 1))
		// Region 0 is refused again and again, and so stays.
		r.Record(now, &policy.Move{ID: policy.ProcessID{PID: 0}, Addr: 0}, outcome(Busy, 1))
	}
	if r.Len() != 100 || r.Evicted() != 900 || len(r.slab) != 101 {
		t.Errorf("%d regions, %d forgotten, %d places", r.Len(), r.Evicted(), len(r.slab))
	}
	if r.Allowed(now, policy.ProcessID{PID: 0}, 0, 0) {
		t.Error("the region that was refused last is forgotten")
	}
	if len(r.procs) > 17 {
		t.Errorf("%d processes for 100 regions", len(r.procs))
	}
}

// TestListHolds: whatever is recorded and forgotten, list, maps and slab agree.
func TestListHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, now := NewRefusals(rapid.IntRange(1, 8).Draw(t, "capacity")), time.Now()
		t.Repeat(map[string]func(*rapid.T){
			"record": func(t *rapid.T) {
				m := &policy.Move{ID: policy.ProcessID{PID: rapid.IntRange(1, 3).Draw(t, "pid")}, Addr: rapid.Uint64Range(0, 5).Draw(t, "addr")}
				result := rapid.SampledFrom([]Result{Moved, Busy, Shared, Denied, Gone, Absent}).Draw(t, "result")
				r.Record(now, m, outcome(result, 1))
			},
			"forget": func(t *rapid.T) {
				r.Forget(policy.ProcessID{PID: rapid.IntRange(1, 3).Draw(t, "pid")})
			},
			"": func(t *rapid.T) {
				listed, mapped := 0, 0
				for i := r.slab[0].next; i != 0; i = r.slab[i].next {
					listed++
					if e := r.slab[i]; e.proc.regions[e.addr] != i || r.procs[e.proc.id] != e.proc {
						t.Fatalf("entry %d is not in its map", i)
					}
				}
				for _, p := range r.procs {
					mapped += len(p.regions)
					if len(p.regions) == 0 {
						t.Fatal("process without regions")
					}
				}
				if listed != mapped || listed != r.Len() || listed > r.capacity {
					t.Fatalf("%d listed, %d mapped, %d counted, capacity %d", listed, mapped, r.Len(), r.capacity)
				}
			},
		})
	})
}
