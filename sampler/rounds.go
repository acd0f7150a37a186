package sampler

import (
	"math"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/hintfault"
	"github.com/tierd/tierd/sampler/pagetable"
)

// maxRounds bounds the rounds that are looked at in one call.
const maxRounds = 4096

// HearRounds takes what hint faults tell of how soon pages of a process were touched after they had been made
// inaccessible, as samples. Which pages that were is seen in the page tables: the kernel leaves some out, by
// rules of its own, and of those that were touched it has counted each. To a region the step of time
// counts that suits its boundary best, as windows do.
func (t *Tracker) HearRounds(id policy.ProcessID, rounds []hintfault.Round) {
	p := t.find(id)
	if p == nil || p.err != nil {
		return
	}
	rounds = rounds[:min(len(rounds), maxRounds)]
	t.addrs = t.addrs[:0]
	for i := range rounds {
		t.addrs = append(t.addrs, rounds[i].Addr)
	}
	heard := make([]Heard, 0, len(rounds))
	_, err := p.space.Walk(t.addrs, func(i int, b *pagetable.Block) {
		if b.Kind == pagetable.KindTable || b.Kind == pagetable.KindLeaf {
			if h, ok := t.heardOf(p, &rounds[i], b); ok {
				heard = append(heard, h)
			}
		}
	})
	if err == nil {
		t.Hear(HintFaults, Said{ID: id, Heard: heard})
	}
	t.check(p, err)
}

// heardOf is the sample that a round is; false where it says nothing.
func (t *Tracker) heardOf(p *process, round *hintfault.Round, b *pagetable.Block) (h Heard, ok bool) {
	huge := b.Kind == pagetable.KindLeaf
	at := t.keyAt(p, round.Addr)
	wanted := t.window(p, at, huge)
	step := -1
	for i := range hintfault.RoundSteps - 1 {
		if end := hintfault.StepSeconds(i); end <= round.Age && (step < 0 || math.Abs(math.Log(end/wanted)) < math.Abs(math.Log(h.Window/wanted))) {
			step, h.Window = i, end
		}
	}
	h.Addr, h.Pages = round.Addr, int(b.ArmedPages)
	if huge {
		h.Pages = min(h.Pages, 1)
	}
	for i, n := range round.Touched {
		h.Pages += int(n)
		if i <= step {
			h.Accessed += int(n)
		}
	}
	return h, step >= 0 && h.Pages > 0
}

// keyAt is the key of a region, or of the one that has its account.
func (t *Tracker) keyAt(p *process, addr uint64) key {
	if q, i, found := t.regionOf(p, addr); found {
		return q.regions[i].key
	}
	return 0
}
