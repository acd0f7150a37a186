package record

import (
	"fmt"

	"github.com/tierd/tierd/policy"
)

// Player makes the plans of a recording again.
type Player struct {
	control policy.Controller
}

// Play makes the plan of the next frame, and tells whether it is the one that was
// recorded. A state that cannot be restored is an error.
func (p *Player) Play(f *Frame) (plan *policy.Plan, same bool, err error) {
	if f.State != nil {
		if err := p.control.UnmarshalBinary(f.State); err != nil {
			return nil, false, fmt.Errorf("frame %d: %w", f.Number, err)
		}
	} else {
		p.control.Done(f.Done)
	}
	plan = p.control.Decide(f.Snapshot, f.Params)
	return plan, Hash(plan) == f.PlanHash, nil
}
