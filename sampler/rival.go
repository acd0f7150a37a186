package sampler

import "github.com/tierd/tierd/policy"

const (
	// rivalPages of a region must have changed their node without tierd for somebody else
	// to have moved them: a few may be pages that were freed and used again.
	rivalPages = 8
	// rivalSeconds is for how long tierd then leaves the region alone, and maxStrikes bounds
	// how often that doubles where it happens again.
	rivalSeconds, maxStrikes = 60, 4
	// maxRivals bounds the regions of a process of which this is remembered.
	maxRivals = 1 << 18
)

// rival is a region that somebody else has moved.
type rival struct {
	until   tick
	strikes uint8
}

// Rivals tells the tracker whether somebody else moves pages on this host. Only then does a
// region whose pages lie elsewhere than before count as moved: memory that is freed and
// used again looks the same.
func (t *Tracker) Rivals(present bool) { t.rivals = present }

// watchRival compares where a region's pages were with where they are.
func (t *Tracker) watchRival(p *process, r *region, before [3]policy.SlotPages, now tick) {
	if !t.rivals || r.flags&policy.Unseen != 0 {
		return
	}
	n := changedNode(before, r.placed)
	if n < rivalPages {
		return
	}
	t.stats.Taken += uint64(n)
	was, known := p.rivals[r.block]
	if !known {
		if len(p.rivals) >= maxRivals {
			return
		}
		if p.rivals == nil {
			p.rivals = map[uint32]rival{}
		}
	} else if was.until < now {
		was.strikes = min(was.strikes+1, maxStrikes)
	}
	was.until = now + ticks(float64(uint(rivalSeconds)<<was.strikes))
	p.rivals[r.block] = was
}

// changedNode is how many pages have left a node while as many have come to another.
func changedNode(before, after [3]policy.SlotPages) int {
	var left, came int
	on := func(placed *[3]policy.SlotPages, slot policy.Slot) int {
		for _, at := range placed {
			if at.Pages > 0 && at.Slot == slot {
				return int(at.Pages)
			}
		}
		return 0
	}
	for _, at := range before {
		left += max(int(at.Pages)-on(&after, at.Slot), 0)
	}
	for _, at := range after {
		came += max(int(at.Pages)-on(&before, at.Slot), 0)
	}
	return min(left, came)
}

// taken tells whether tierd leaves a region to somebody else.
func (p *process) taken(block uint32, now tick) bool {
	was, known := p.rivals[block]
	return known && now < was.until
}
