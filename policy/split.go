package policy

import (
	"cmp"
	"math"
	"slices"
)

// A huge page has one accessed bit, so nothing tells which of its pages are used. Where
// huge pages find no place in a faster tier, a few are split, as trials: if the hot
// parts that show then are worth more to the faster tier than the pages as a whole, by
// more than it costs to be without huge pages, more are split; else it rests, each time
// twice as long.

const (
	// firstSplits is how many trials there are at first. Where those pay there are
	// twice as many next, up to mostSplits.
	firstSplits, mostSplits = 8, 256
	// refusedSeconds is after how many a page that is huge still was not split, and
	// splitSeconds for how many its parts are looked at. Where they are not known by
	// splitPatience, nothing is learnt.
	refusedSeconds, splitSeconds, splitPatience = 60, 20, 120
	// knownSplit is the variance of ln(rate) below which a rate is known.
	knownSplit = 0.5
	// splitNS is what an access is taken to cost more in pages of 4 KiB, in
	// nanoseconds: a walk of page tables that are in the caches, for some of them.
	splitNS = 10
	// splitRest is for how many seconds there are no trials after some that did not
	// pay, and longestRest the most that becomes.
	splitRest, longestRest = 600, 24 * 3600
	// maxTried bounds the pages that are remembered as tried, for triedSeconds each: the
	// kernel may make huge pages of them again.
	maxTried     = 16 << 10
	triedSeconds = 3600
)

// Split asks for a huge page to be split in place, so that its pages can be told apart.
type Split struct {
	// Process is an index into Snapshot.Processes.
	Process int
	ID      ProcessID
	// Addr is the address of the region.
	Addr uint64
}

// Splitting is how trials of splitting a workload's huge pages stand.
type Splitting struct {
	Workload string
	// Splits counts the pages that were split, Refused those that stayed huge.
	Splits, Refused int
	// Pending is how many of them are being looked at.
	Pending int
	// Gain is the time saved by one page that was split, in seconds per second, as a
	// mean over the last judged; Judged is how many those are.
	Gain   float64
	Judged int
	// Rest is for how many seconds there will be no trials.
	Rest float64
}

// trial is a huge page that was asked to be split.
type trial struct {
	at    spot
	from  Slot
	asked float64
	split float64 // when it was first seen to be; 0: not yet
}

// splitter runs the trials of a workload.
type splitter struct {
	trials          []trial
	allowed         int     // trials at once
	judged          int     // of the present allowance
	sum             float64 // what they gain, in seconds per second
	last            float64 // the mean of those judged last
	lastCount       int
	rest, restUntil float64
	splits, refused int
}

// splits looks at what became of the pages that were to be split, and plans more where
// that pays. The plan is complete but for that.
func (c *Controller) splits(s *Snapshot, plan *Plan) {
	if !c.p.Split {
		c.splitters, c.tried = nil, nil
		return
	}
	for len(c.splitters) < len(c.workloads) {
		c.splitters = append(c.splitters, splitter{allowed: firstSplits})
	}
	for at, until := range c.tried { // in any order: each is judged by itself
		if c.now >= until {
			delete(c.tried, at)
		}
	}
	for i := range c.splitters {
		c.judge(&c.splitters[i], s, plan)
	}
	c.ask(s, plan)
	plan.Splitting = c.splitting(s)
}

// judge learns from the trials of a workload that are over.
func (c *Controller) judge(x *splitter, s *Snapshot, plan *Plan) {
	over := func(t *trial) bool {
		i, ok := c.procs[t.at.id]
		if !ok {
			return true
		}
		p := &s.Processes[i]
		r := p.region(t.at.addr)
		switch {
		case r == nil:
			return true
		case r.Flags&Huge != 0 && t.split == 0:
			if c.now-t.asked < refusedSeconds {
				return false
			}
			x.refused++
			x.judged++ // a split that never happens gains nothing
			return true
		case r.Flags&Huge != 0:
			x.judged++ // the kernel has made it huge again
			x.sum -= float64(r.Rate) * PagesPerRegion * splitNS * 1e-9
			return true
		case t.split == 0:
			t.split = c.now
			x.splits++
			return false
		case c.now-t.split < splitSeconds:
			return false
		case r.Detail < 0 && !(r.LogVar < knownSplit):
			return c.now-t.split >= splitPatience
		}
		x.judged++
		x.sum += splitGain(s, plan, p, r, t.from)
		return true
	}
	kept := x.trials[:0]
	for i := range x.trials {
		if t := &x.trials[i]; !over(t) {
			kept = append(kept, *t)
		}
	}
	x.trials = kept
	if x.judged < x.allowed {
		return
	}
	x.last, x.lastCount = x.sum/float64(x.judged), x.judged
	if x.sum > 0 {
		x.allowed, x.rest = min(2*x.allowed, mostSplits), 0
	} else {
		x.allowed = firstSplits
		x.rest = min(max(2*x.rest, splitRest), longestRest)
		x.restUntil = c.now + x.rest
	}
	x.judged, x.sum = 0, 0
}

// splitGain is the time that is saved by having split a region that came from a node,
// in seconds per second. As a whole it found no place in the fastest tier, so a page
// there is worth what a page of it is on the mean, or the tier's boundary if that is
// more; the boundary alone will not do, as huge pages may be hotter than one bit for all
// of each can tell.
func splitGain(s *Snapshot, plan *Plan, p *Process, r *Region, from Slot) float64 {
	rate, ok := cleanRate(r.Rate)
	if !ok || len(plan.Boundaries) == 0 {
		return 0
	}
	mean := float64(rate)
	worth, parts := max(mean, float64(plan.Boundaries[0])), 0.0
	if r.Detail >= 0 && int(r.Detail) < len(p.Details) {
		for i := range p.Details[r.Detail] {
			q := &p.Details[r.Detail][i]
			if v, ok := cleanRate(q.Rate); ok {
				parts += max(float64(v)-worth, 0) * float64(min(q.Pages, PagesPerRegion))
			}
		}
	}
	gap := 0.0
	for i := range s.Nodes {
		if s.Nodes[i].Tier == 0 {
			gap = latencyGap(s, s.homeOf(p, r), from, Slot(i))
			break
		}
	}
	return parts*gap - mean*float64(r.Pages())*splitNS*1e-9
}

// ask plans splits: the hottest huge pages that lie in slower tiers and stay there.
func (c *Controller) ask(s *Snapshot, plan *Plan) {
	if len(plan.Boundaries) == 0 || !(plan.Boundaries[0] > 0) || len(c.tried) >= maxTried {
		return // all that is used fits
	}
	moving := make(map[spot]bool, len(plan.Moves))
	for i := range plan.Moves {
		moving[spot{plan.Moves[i].ID, plan.Moves[i].Addr}] = true
	}
	type candidate struct {
		Split
		from Slot
		rate float32
	}
	hottest := func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.rate, a.rate), cmp.Compare(a.Process, b.Process), cmp.Compare(a.Addr, b.Addr))
	}
	lists := make([][]candidate, len(c.splitters))
	for i := range s.Processes {
		p := &s.Processes[i]
		w := c.workloadOf[i]
		x := &c.splitters[w]
		room := x.allowed - x.judged - len(x.trials)
		if !p.Enforce || c.reins.gates[i].rule != "" || c.now < x.restUntil || room <= 0 {
			continue
		}
		for j := range p.Regions {
			r := &p.Regions[j]
			at := spot{p.ID, r.Addr}
			rate, ok := cleanRate(r.Rate)
			from := r.Placement[0].Slot
			switch {
			case !ok, r.Flags&(Huge|fixing|Unseen|Periodic) != Huge:
				continue
			case int(from) >= len(s.Nodes), s.Nodes[from].Tier <= 0:
				continue
			// All accesses to one page of it would not be enough.
			case float64(rate)*PagesPerRegion <= float64(plan.Boundaries[0]):
				continue
			case moving[at]:
				continue
			}
			if _, tried := c.tried[at]; tried {
				continue
			}
			list, y := lists[w], candidate{Split{i, p.ID, r.Addr}, from, rate}
			k, _ := slices.BinarySearchFunc(list, y, hottest)
			if k >= room {
				continue
			}
			if len(list) == room {
				list = list[:room-1]
			}
			lists[w] = slices.Insert(list, k, y)
		}
	}
	for w, list := range lists {
		x := &c.splitters[w]
		for _, y := range list {
			if len(c.tried) >= maxTried {
				return
			}
			at := spot{y.ID, y.Addr}
			if c.tried == nil {
				c.tried = map[spot]float64{}
			}
			c.tried[at] = c.now + triedSeconds
			x.trials = append(x.trials, trial{at: at, from: y.from, asked: c.now})
			plan.Splits = append(plan.Splits, y.Split)
		}
	}
}

// splitting tells how the trials stand, of each workload that has processes.
func (c *Controller) splitting(s *Snapshot) (list []Splitting) {
	told := make([]bool, len(c.splitters))
	for i := range s.Processes {
		w := c.workloadOf[i]
		if told[w] {
			continue
		}
		told[w] = true
		x := &c.splitters[w]
		list = append(list, Splitting{
			Workload: c.workloads[w].name, Splits: x.splits, Refused: x.refused, Pending: len(x.trials),
			Gain: x.last, Judged: x.lastCount, Rest: math.Max(x.restUntil-c.now, 0),
		})
	}
	return list
}
