package policy

// Settled is the verdict on a promotion.
type Settled struct {
	ID   ProcessID
	Addr uint64 // of the region
	To   Slot
	// Verdict is "paid", "wasted", or "undone" for one that was wasted because it
	// was taken back.
	Verdict string
	// Earned and Cost are in seconds.
	Earned, Cost float64
}

func (v verdict) String() string { return [...]string{"paid", "wasted", "undone"}[min(v, undone)] }

// maxVerdicts bounds those that nobody asks for.
const maxVerdicts = 4096

func (c *Controller) tell(e *entry, v verdict) {
	if len(c.verdicts) < maxVerdicts {
		c.verdicts = append(c.verdicts, Settled{ID: e.at.id, Addr: e.at.addr, To: e.to, Verdict: v.String(), Earned: e.earned, Cost: e.cost})
	}
}

// Settled appends the verdicts since it was last asked, and forgets them. It may
// leave some out where nobody asks for long.
func (c *Controller) Settled(to []Settled) []Settled {
	to = append(to, c.verdicts...)
	c.verdicts = c.verdicts[:0]
	return to
}
