package damon

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tierd/tierd/sampler"
)

const m = 1 << 20

func TestBlocks(t *testing.T) {
	type said struct {
		start, end uint64
		hits       int
	}
	tests := []struct {
		name string
		said []said // each of 20 looks
		want []sampler.Heard
	}{
		{"one region", []said{{4 * m, 6 * m, 5}}, []sampler.Heard{{Addr: 4 * m, Pages: 20, Accessed: 5}}},
		{"parts of one", []said{{4 * m, 5 * m, 5}, {5 * m, 6 * m, 15}}, []sampler.Heard{{Addr: 4 * m, Pages: 40, Accessed: 20}}},
		{"half of each of two", []said{{5 * m, 7 * m, 10}}, []sampler.Heard{{Addr: 4 * m, Pages: 10, Accessed: 5}, {Addr: 6 * m, Pages: 10, Accessed: 5}}},
		{
			"two for one, which says less of each", []said{{4 * m, 8 * m, 10}},
			[]sampler.Heard{{Addr: 4 * m, Pages: 10, Accessed: 5, Noise: 0.17}, {Addr: 6 * m, Pages: 10, Accessed: 5, Noise: 0.17}},
		},
		{"too little of each of ten", []said{{0, 20 * m, 20}}, nil},
		{"more accesses than looks", []said{{4 * m, 6 * m, 99}}, []sampler.Heard{{Addr: 4 * m, Pages: 20, Accessed: 20}}},
		{"nothing", []said{{4 * m, 4 * m, 5}, {6 * m, 4 * m, 5}, {0, math.MaxUint64, 5}, {0, 1 << 56, 5}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := blocks{}
			for _, s := range tt.said {
				b.say(s.start, s.end, 20, s.hits)
			}
			for i := range tt.want {
				tt.want[i].Window = 0.02
			}
			if diff := cmp.Diff(tt.want, b.take(0.02), cmpopts.EquateApprox(0, 0.01)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	// What was not told of waits for more.
	b := blocks{}
	for range 5 {
		b.say(0, 20*m, 20, 4)
	}
	if got := b.take(0.02); len(got) != 10 || got[3].Pages != 10 || got[3].Accessed != 2 {
		t.Errorf("%+v", got)
	}
	if len(b) != 0 {
		t.Errorf("%d regions are left", len(b))
	}
}
