package policy

import "math"

// sweptAlike is from how many times the mean rate of a victim on two members of a
// sweep are not alike.
const sweptAlike = 2

// steps tells whether the process's training steps are known.
func (p *Process) steps() bool { return p.Period > 0 && !math.IsInf(p.Period, 1) }

// swept tells whether a region is used once in each step of its process.
func (p *Process) swept(r *Region) bool { return r.Flags&Periodic != 0 && p.steps() }

// sweep tells of each sweep what the fastest tier has for it: what is left beside
// memory that is used all the time and belongs there.
func (e *Engine) sweep(sums []Summary) {
	some := false
	for i := range sums {
		some = some || sums[i].Sweep.Bytes > 0
	}
	if !some || len(e.boundaries) == 0 {
		return
	}
	t := e.fastest()
	left := e.capacity[t]
	for i := range e.units {
		if u := &e.units[i]; u.state&periodic == 0 && u.rate >= e.boundaries[min(t, len(e.boundaries)-1)] {
			left -= u.bytes()
		}
	}
	for i := range sums {
		if s := &sums[i].Sweep; s.Bytes > 0 {
			s.Fast = uint64(max(left, 0))
		}
	}
}

// alikeSwept tells whether c and v are members of one sweep and used alike: whichever
// is in the faster tier, as many accesses are served, so the one that is there
// stays. Both have their turns, so each looks hotter than the other at times.
func (e *Engine) alikeSwept(c, v *unit) bool {
	return c.state&v.state&periodic != 0 && c.proc == v.proc && c.rate < sweptAlike*v.rate
}
