package sim

import "github.com/tierd/tierd/policy"

// pingPongWindow is within how many seconds the way back makes a ping-pong.
const pingPongWindow = 60

// books is what the moves of a run came to, in the light of the truth.
type books struct {
	bytes         uint64
	pingPongs     uint64 // moves
	moves         uint64
	spent, wasted float64 // seconds of promotions; wasted: not earned back when they were undone
	last          [][]lastMove
}

// lastMove is a region's last one.
type lastMove struct {
	known    bool
	at       float32 // seconds
	up       bool
	pages    uint16
	gap      float32 // seconds saved per access
	accesses float64 // per page, when it was moved
}

func newBooks(procs []*Memory) books {
	b := books{last: make([][]lastMove, len(procs))}
	for i, m := range procs {
		b.last[i] = make([]lastMove, len(m.regions))
	}
	return b
}

func (b *books) moved(h *Host, proc, region, pages int, from, to policy.Slot) {
	now := h.Clock.seconds
	l := &b.last[proc][region]
	up := h.tier(to) < h.tier(from)
	b.bytes += uint64(pages) * policy.PageSize
	b.moves++
	if l.known && l.up != up {
		if now-float64(l.at) < pingPongWindow {
			b.pingPongs++
		}
		b.settle(h, proc, region)
	}
	*l = lastMove{known: true, at: float32(now), up: up}
	if up {
		b.spent += float64(pages) * h.Machine.MoveCost
		l.pages, l.accesses = uint16(pages), h.Procs[proc].Accesses(region)
		l.gap = float32(h.Machine.Tiers[h.tier(from)].AccessNS-h.Machine.Tiers[h.tier(to)].AccessNS) * 1e-9
	}
}

// settle books a promotion whose benefit is known.
func (b *books) settle(h *Host, proc, region int) {
	l := &b.last[proc][region]
	if !l.up || l.pages == 0 {
		return
	}
	if (h.Procs[proc].Accesses(region)-l.accesses)*float64(l.gap) < h.Machine.MoveCost {
		b.wasted += float64(l.pages) * h.Machine.MoveCost
	}
	l.pages = 0
}

// close settles all promotions that had half a minute.
func (b *books) close(h *Host) {
	for p := range b.last {
		for r := range b.last[p] {
			if h.Clock.seconds-float64(b.last[p][r].at) > pingPongWindow/2 {
				b.settle(h, p, r)
			}
		}
	}
}
