package sampler

import (
	"math"
	"slices"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// A process does not run at one pace: it waits for a processor, for a GPU or
// for its peers, and then all of its memory is accessed less. Regions that are
// sampled meanwhile must not look colder than those that are sampled before or
// after it. So the middle region of each batch is compared with what was known
// of it: what several batches have in common is the pace of the process, and
// the windows are taken to have been so much shorter; what one batch has alone
// is news about its regions.

const (
	// paceBatches and paceSeconds bound how much of the past tells the pace.
	paceBatches, paceSeconds = 5, 1.0
	// paceRegions is how many regions of a batch must be known to compare.
	paceRegions = 8
	// paceBelief is how much of the pace is taken off. The rest lets a process
	// that stays slower become one of lower rates.
	paceBelief = 0.9
	// paceNews is the difference in ln(rate) from which on what a batch has alone
	// is news, and not the noise of a window that was partly slow.
	paceNews = 0.8
	// maxRepeats is how often news is looked at again while there is nothing to
	// compare it with.
	maxRepeats = 3
	// paceCount is how many pages of a region must be accessed, or be expected to
	// be, for it to be compared.
	paceCount = 8
	// slowestPace and fastestPace bound the pace. Waiting explains how a process
	// is slower, not how it is much faster than it was.
	slowestPace, fastestPace = 0.02, 2
)

// pace is how fast a process ran lately, in ln relative to its rates, by what
// its last batches saw.
type pace struct {
	log, at [paceBatches]float64
	batch   [paceBatches]uint64
	next    int
	up      float64 // when regions last were hotter than expected
}

func (p *pace) note(log, now float64, batch uint64) {
	k := p.next
	for i := range p.batch {
		if p.at[i] > 0 && p.batch[i] == batch {
			k = i // a repeated look
		}
	}
	if k == p.next {
		p.next = (p.next + 1) % paceBatches
	}
	p.log[k], p.at[k], p.batch[k] = log, now, batch
}

// others is the median of what other batches saw after the given time; ok is
// false when there were none.
func (p *pace) others(since float64, batch uint64) (log float64, ok bool) {
	var logs [paceBatches]float64
	n := 0
	for i, at := range p.at {
		if at > max(since, 0) && p.batch[i] != batch {
			logs[n] = p.log[i]
			n++
		}
	}
	if n == 0 {
		return 0, false
	}
	slices.Sort(logs[:n])
	return logs[n/2], true
}

// off is by how much, in ln of the rate, a region was accessed more than
// expected in a window; ok is false where it cannot tell.
func (r *region) off(b *pagetable.Block, s sample, p *process) (log float64, ok bool) {
	if s.biased || r.flags&(policy.Unseen|policy.Huge) != 0 || b.Kind != pagetable.KindTable {
		return 0, false
	}
	n, k := counts(b, s.pieces)
	e := r.est
	if r.detail != noDetail {
		// Together, strata look different in windows of different lengths.
		d := p.detail(r)
		if d == nil {
			return 0, false
		}
		rest := d.set(restStratum).And(policy.PagesOf(s.pieces))
		young := rest.And(b.Young)
		n, k, e = rest.Count(), young.Count(), d.strata[restStratum].est
	}
	x := e.rate() * s.window
	if e.vari > 1 {
		return 0, false
	}
	if x > 3 || k < paceCount && float64(n)*-math.Expm1(-x) < paceCount {
		return 0, false
	}
	return math.Log(-math.Log1p(-(float64(k)+0.5)/(float64(n)+1)) / x), true
}

// verdict says how a batch is to be read.
type verdict struct {
	pace   float64 // of the process in its windows
	noise  float64 // variance that this leaves in ln(rate)
	news   bool    // it differs from everything else,
	hotter bool    // by being accessed more
	alone  bool    // there is nothing else to compare it with
}

// judge compares a batch with the others since a time, given by how much its
// regions were off.
func (p *pace) judge(off []float64, now, since float64, batch uint64) verdict {
	slices.Sort(off)
	if n := len(off); n >= 2 && off[n-2] > paceNews {
		p.up = now
	}
	if len(off) == 0 {
		return verdict{pace: 1}
	}
	own := off[len(off)/2]
	others, ok := p.others(since, batch)
	if len(off) >= paceRegions {
		p.note(own, now, batch)
	} else if !ok || others > -paceNews || own > -paceNews {
		return verdict{pace: 1} // a few say nothing but that they wait as others do
	}
	common := 0.0
	// A process that waits has no regions that become hotter: where there are
	// some, its hot set has shifted.
	shifted := p.up > 0 && now-p.up < paceSeconds
	if own*others > 0 && (own > 0 || !shifted) {
		common = math.Copysign(min(math.Abs(own), math.Abs(others)), own)
	}
	v := verdict{pace: min(max(math.Exp(paceBelief*common), slowestPace), fastestPace), alone: !ok}
	if rest := own - common; math.Abs(rest) > paceNews {
		v.news, v.hotter = true, rest > 0
	} else {
		v.noise = rest * rest
	}
	return v
}
