package policy

// BreakerState is the state of a workload's breaker.
type BreakerState uint8

// States of a breaker.
const (
	Closed   BreakerState = iota // moves pass
	HalfOpen                     // moves pass, and one bad window opens it
	Open                         // nothing passes but relief, and a probe now and then
)

func (b BreakerState) String() string {
	return [...]string{"closed", "half-open", "open"}[min(b, Open)]
}

const (
	// badWindows in a row open a breaker.
	badWindows = 3
	// enoughMoves is how many pages must have moved in a window for it to say
	// something. A window is windowSeconds long, and goes on until that many have.
	enoughMoves = 8 * PagesPerRegion
	// probeEvery is in seconds, probeShare a share of the budget.
	probeEvery, probeShare = 30, 0.01
)

// breaker is what a Controller knows of a workload.
type breaker struct {
	name  string
	state BreakerState
	bad   int     // windows in a row
	since float64 // when the state began
	ratio float64 // undone in the last window that said something
	trips uint64

	begun         float64 // of the window
	moved, undone int     // pages in it

	probeAt             float64 // when the next probe is due
	tried, good, failed int     // promotions of the probes
}

// turn ends the window if it is over.
func (b *breaker) turn(now float64, p *Params) {
	long := now - b.begun
	if long < windowSeconds {
		return
	}
	n := max(b.moved, b.undone)
	if n < enoughMoves {
		if long >= p.Window { // hardly anything moves: there is nothing to stop
			b.begun, b.moved, b.undone, b.bad = now, 0, 0, 0
			if b.state != Open { // whose reason it is
				b.ratio = 0
			}
		}
		return
	}
	b.ratio = float64(b.undone) / float64(n)
	b.begun, b.moved, b.undone = now, 0, 0
	if !(b.ratio > p.Breaker) {
		if b.bad = 0; b.state == HalfOpen {
			b.set(Closed, now)
		}
		return
	}
	if b.bad++; b.state == HalfOpen || b.state == Closed && b.bad >= badWindows {
		b.set(Open, now)
		b.trips++
		b.probeAt = now + probeEvery
		b.tried, b.good, b.failed = 0, 0, 0
	}
}

func (b *breaker) set(s BreakerState, now float64) { b.state, b.since, b.bad = s, now, 0 }

// forgive half-opens the breaker, because what was learnt may hold no more.
func (b *breaker) forgive(now float64) {
	b.begun, b.moved, b.undone, b.bad = now, 0, 0, 0
	if b.state == Open {
		b.set(HalfOpen, now)
	}
}

// probing notes that a probe is on its way. Those before that are judged count no
// more: what holds now matters.
func (b *breaker) probing(now float64) {
	if b.probeAt = now + probeEvery; b.good+b.failed >= b.tried {
		b.tried, b.good, b.failed = 0, 0, 0
	}
}

// probed takes the verdict on a promotion of a probe. Once all of them are judged,
// and most have paid, the breaker closes.
func (b *breaker) probed(v verdict, now float64) {
	if v == paid {
		b.good++
	} else {
		b.failed++
	}
	if b.state == Open && b.good+b.failed >= b.tried && b.good > b.failed {
		b.set(Closed, now)
		b.begun, b.moved, b.undone = now, 0, 0
	}
}

// allowance is how many bytes may pass now.
func (b *breaker) allowance(now float64, budget uint64) (bytes int64, open bool) {
	if b.state != Open || now < b.probeAt {
		return 0, b.state == Open
	}
	return max(int64(probeShare*float64(budget)), 1), true
}
