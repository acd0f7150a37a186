package sampler_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/pagetable"
	"github.com/tierd/tierd/sampler/samplertest"
)

// segment is memory that several processes map.
var segment = pagetable.Object{Dev: 5, Inode: 99}

// sharers tracks processes that map so much of the segment, in regions, from an offset in it on. The first is the oldest.
func sharers(sizes []int, offsets []uint64) (*sampler.Tracker, []policy.ProcessID, []*samplertest.Memory, *samplertest.Clock) {
	c := &samplertest.Clock{Seconds: 100}
	t := sampler.New(sampler.Options{Budget: 0.2, Burst: 0.2, DetailBytes: 1 << 20, Clock: c})
	t.SetBoundaries([]float32{5})
	var ids []policy.ProcessID
	var memories []*samplertest.Memory
	for i, n := range sizes {
		m := samplertest.NewMemory(c, n, 2)
		m.Runs[0].Class, m.Runs[0].Object, m.Runs[0].Offset = pagetable.ClassShared|pagetable.ClassFile, segment, offsets[i]
		id := policy.ProcessID{PID: 10 + i, Start: uint64(100 + i)}
		t.Add(id, "job", true, m)
		t.SetShared(id, true)
		ids, memories = append(ids, id), append(memories, m)
	}
	return t, ids, memories, c
}

// movable are the regions that tierd may move, by process.
func movable(t *sampler.Tracker) (n []int) {
	for _, p := range t.Snapshot() {
		n = append(n, 0)
		for _, r := range p.Regions {
			if r.Flags&policy.Shared == 0 {
				n[len(n)-1]++
			}
		}
	}
	return n
}

// One process has the account of shared memory, who maps most of it; what others do counts, and adds up.
func TestSharedMemoryIsOne(t *testing.T) {
	const part = 4 // the oldest maps no more, from the middle on
	tr, ids, m, c := sharers([]int{part, 16, 16}, []uint64{8 * policy.RegionSize, 0, 0})
	run(tr, c, 5)
	if n := movable(tr); n[0] != 0 || n[1] != 16 || n[2] != 0 {
		t.Fatalf("regions that may be moved, by process: %v", n)
	}
	if list := tr.Unheard(ids[0], 1000); len(list) != part || list[0].Start != m[0].Base {
		t.Errorf("of the part others must tell of %#x", list)
	}
	if id, at, ok := tr.Kept(ids[0], m[0].Base+policy.RegionSize); !ok || id != ids[1] || at != m[1].Base+9*policy.RegionSize {
		t.Errorf("the part's second region is kept by %v at %#x", id, at)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 10 {
		run(tr, c, 1)
		var said []sampler.Said
		for i, rate := range []float64{20, 0, 20} {
			s := sampler.Said{ID: ids[i]}
			for j := range m[i].Regions {
				use := rate
				if i == 2 && j != 8 { // that is the first of the part
					use = 0
				}
				s.Heard = append(s.Heard, says(rng, m[i].Base+uint64(j)*policy.RegionSize, use))
			}
			said = append(said, s)
		}
		tr.Hear(sampler.DAMON, said...)
	}
	want := map[int]float64{8: 40, 9: 20, 10: 20, 11: 20}
	for i, r := range tr.Snapshot()[1].Regions {
		if ratio := float64(r.Rate) / want[i]; want[i] > 0 && (ratio < 0.6 || ratio > 1.6) || want[i] == 0 && r.Rate > 3 {
			t.Errorf("region %d: rate %g, want %g", i, r.Rate, want[i])
		}
	}
	// When the keeper is gone somebody else is, and what may not be moved for one is not for any.
	tr.Remove(ids[1])
	run(tr, c, 5)
	if n := movable(tr); n[0] != 0 || n[1] != 16 {
		t.Errorf("without the keeper: %v", n)
	}
	tr.SetShared(ids[2], false)
	run(tr, c, 5)
	if n := movable(tr); n[0] != part || n[1] != 0 {
		t.Errorf("with the part alone: %v", n)
	}
	if _, _, ok := tr.Kept(ids[1], m[1].Base); ok {
		t.Error("a process that is gone has an account")
	}
}

// Where two processes map an object at odd addresses, a region of one is a part of two of the other.
func TestSharedAtOddAddresses(t *testing.T) {
	tr, ids, m, c := sharers([]int{8, 6}, []uint64{0, policy.RegionSize + policy.RegionSize/2})
	run(tr, c, 5)
	for range 10 {
		run(tr, c, 1)
		tr.Hear(sampler.DAMON, sampler.Said{ID: ids[1], Heard: []sampler.Heard{{Addr: m[1].Base + 2*policy.RegionSize, Pages: 20, Accessed: 12, Window: 0.02}}})
	}
	rate := -math.Log(1-12.0/20) / 0.02
	for i, r := range tr.Snapshot()[0].Regions {
		// From 3.5 to 4.5 regions into the object.
		if hot := i == 3 || i == 4; hot && math.Abs(math.Log(float64(r.Rate)/rate)) > 0.5 || !hot && r.Flags&policy.Unseen == 0 {
			t.Errorf("region %d: rate %g, flags %#x", i, r.Rate, r.Flags)
		}
	}
}
