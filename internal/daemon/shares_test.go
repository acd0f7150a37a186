package daemon

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/policy"
)

func TestShares(t *testing.T) {
	c := &config.Config{Workloads: []config.Workload{
		{Name: "a", Weight: 2},
		{Name: "b", Weight: 1, Limits: []config.Limit{{Tier: "dram", Bytes: 1 << 30}, {Tier: "hbm"}, {Tier: "gone", Bytes: 1}}},
	}}
	want := []policy.Workload{
		{Name: "a", Weight: 2},
		{Name: "b", Weight: 1, Limits: []uint64{1, 1 << 30, 0}},
	}
	got := shares(c, []policy.Tier{{Name: "hbm"}, {Name: "dram"}, {Name: "cxl"}})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
