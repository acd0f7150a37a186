package migrate

import "time"

// burst is for how much idle time a pacer gives credit, where one batch does
// not need more.
const burst = 20 * time.Millisecond

// pacer holds a rate in bytes per second on an absolute schedule: lateness of a
// timer, or the time that a move itself takes, does not lower it.
//
// Bytes are paid for before they are moved, so that from the first use on the sum
// never exceeds rate × time. Idle time is credited up to the greater of burst and the
// price of the batch in hand, so that a batch that did not fit into one epoch
// (a huge page at a low rate) does in a later one.
type pacer struct {
	rate  float64   // 0: no limit
	next  time.Time // until when the bytes so far are paid
	begun time.Time // when the last batch began
	took  time.Duration
}

func (p *pacer) price(bytes int) time.Duration {
	return time.Duration(float64(bytes) / p.rate * float64(time.Second))
}

// due is when a batch may begin.
func (p *pacer) due(now time.Time, bytes int) time.Time {
	price := p.price(bytes)
	start := now.Add(-max(burst, price, p.took))
	if p.next.After(start) {
		start = p.next
	}
	return start.Add(price)
}

// wait is how long a batch must wait.
func (p *pacer) wait(now time.Time, bytes int) time.Duration {
	if p.rate <= 0 {
		return 0
	}
	return max(0, p.due(now, bytes).Sub(now))
}

// begin charges a batch that begins now.
func (p *pacer) begin(now time.Time, bytes int) {
	if p.rate > 0 {
		p.next = p.due(now, bytes)
	}
	p.begun = now
}

// end notes that the batch is over; the next one gets credit for the time since
// it began, up to a second.
func (p *pacer) end(now time.Time) { p.took = min(now.Sub(p.begun), time.Second) }
