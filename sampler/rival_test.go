package sampler

import (
	"testing"

	"github.com/tierd/tierd/policy"
)

func TestChangedNode(t *testing.T) {
	on := func(pages ...uint16) (p [3]policy.SlotPages) {
		for slot, n := range pages {
			p[slot] = policy.SlotPages{Pages: n, Slot: policy.Slot(slot)}
		}
		return p
	}
	tests := []struct {
		name          string
		before, after [3]policy.SlotPages
		want          int
	}{
		{"as it was", on(512), on(512), 0},
		{"in another order", on(100, 412), [3]policy.SlotPages{{Pages: 412, Slot: 1}, {Pages: 100, Slot: 0}}, 0},
		{"all of it", on(512), on(0, 512), 512},
		{"a part", on(500, 12), on(400, 112), 100},
		{"some is new", on(100), on(100, 300), 0},
		{"some is gone", on(100, 300), on(100), 0},
		{"some is gone, and less has come", on(300, 100), on(100, 150), 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := changedNode(tt.before, tt.after); got != tt.want {
				t.Errorf("%d pages, want %d", got, tt.want)
			}
		})
	}
}
