package daemon

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/status"
)

// usualDecisions is how many decisions are told where nobody says how many.
const usualDecisions = 20

// Explain answers a question, for any goroutine. The error wraps status.ErrUnknown
// or status.ErrBusy, or is that of ctx.
func (d *Daemon) Explain(ctx context.Context, q status.Question) (*status.Explanation, error) {
	out := &status.Explanation{SchemaVersion: status.SchemaVersion, Decisions: []status.Decision{}}
	n := min(q.Limit, status.MaxDecisions)
	if n <= 0 {
		n = usualDecisions
	}
	switch {
	case q.Decision != "":
		id, err := explain.ParseID(q.Decision)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", status.ErrQuestion, err)
		}
		found, ok := d.ring.Find(id)
		if !ok {
			return nil, fmt.Errorf("decision %s: %w; the last %d whose turn came are kept", id, status.ErrUnknown, explain.Kept)
		}
		out.About, out.Says, out.Decisions = "decision", found.Says, append(out.Decisions, found)
	default:
		out.About = "decisions"
		d.ring.Last(out, n, &q)
		out.Says = explain.SayDecisions(out)
	}
	return out, nil
}
