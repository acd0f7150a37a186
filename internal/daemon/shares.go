package daemon

import (
	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/policy"
)

// shares tells the policy what each workload may have. Limits of tiers that the
// machine does not have mean nothing.
func shares(c *config.Config, tiers []policy.Tier) []policy.Workload {
	list := make([]policy.Workload, len(c.Workloads))
	for i := range c.Workloads {
		from, to := &c.Workloads[i], &list[i]
		to.Name, to.Weight = from.Name, from.Weight
		for _, l := range from.Limits {
			for t := range tiers {
				if tiers[t].Name != l.Tier {
					continue
				}
				if to.Limits == nil {
					to.Limits = make([]uint64, len(tiers))
				}
				// For the policy 0 is no limit; here it is nothing at all.
				to.Limits[t] = max(uint64(l.Bytes), 1)
			}
		}
	}
	return list
}
