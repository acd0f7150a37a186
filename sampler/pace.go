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
	// slowest bounds the pace from below.
	slowestPace = 0.02
)

// pace is how fast a process ran lately, in ln relative to its rates.
type pace struct {
	log, at [paceBatches]float64
	next    int
}

func (p *pace) note(log, now float64) {
	p.log[p.next], p.at[p.next] = log, now
	p.next = (p.next + 1) % paceBatches
}

// lately is the median of the last batches; ok is false when there were none.
func (p *pace) lately(now float64) (log float64, ok bool) {
	var logs [paceBatches]float64
	n := 0
	for i, at := range p.at {
		if at > 0 && now-at < paceSeconds {
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

// surprise is by how much, in ln of the rate, a region was accessed more than
// expected in a window; ok is false where it cannot tell.
func (r *region) surprise(b *pagetable.Block, s sample) (log float64, ok bool) {
	if s.biased || r.flags&(policy.Unseen|policy.Huge|doubted) != 0 || b.Kind != pagetable.KindTable || r.est.vari > 1 {
		return 0, false
	}
	n, k := counts(b, s.pieces)
	x := r.est.rate() * s.window
	if x > 3 || float64(n)*-math.Expm1(-x) < 8 {
		return 0, false
	}
	return math.Log(-math.Log1p(-(float64(k)+0.5)/(float64(n)+1)) / x), true
}

// judge says how a batch is to be read, given by how much its regions were off:
// the pace in its windows, and the variance that this leaves in ln(rate). news
// means that the batch differs from everything else.
func (p *pace) judge(off []float64, now float64) (rate, noise float64, news bool) {
	others, ok := p.lately(now)
	if len(off) < paceRegions {
		return p.factor(others), 0, false
	}
	slices.Sort(off)
	own := off[len(off)/2]
	p.note(own, now)
	if !ok {
		return 1, 0, false
	}
	common := 0.0
	if own*others > 0 {
		common = math.Copysign(min(math.Abs(own), math.Abs(others)), own)
	}
	rest := own - common
	if math.Abs(rest) > paceNews {
		return p.factor(common), 0, true
	}
	return p.factor(common), rest * rest, false
}

func (p *pace) factor(log float64) float64 {
	return max(math.Exp(paceBelief*log), slowestPace)
}
