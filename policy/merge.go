package policy

// mergeWindow is how many steps two portions of a region may lie apart to
// become one move: the order of a plan is the order of what it gains.
const mergeWindow = 64

// group is one or more steps that are one move.
type group struct {
	step
	from  Slot
	mask  uint8
	pages int
	gone  bool
}

func (g *group) bytes() int64 { return int64(g.pages) * PageSize }

// joins tells whether two groups can be the same move.
func (e *Engine) joins(a, b *group) bool {
	u, v := &e.units[a.unit], &e.units[b.unit]
	return u.region == v.region && u.proc == v.proc && a.from == b.from && a.to == b.to &&
		a.kind == b.kind && a.reason.Rule == b.reason.Rule && u.stratum >= 0 && v.stratum >= 0
}

// merge makes moves of the steps, the portions of a region together where that
// takes no node below its reserve on the way.
func (e *Engine) merge() ([]Move, []Terms) {
	e.open = e.open[:0]
	left := 0
	for _, st := range e.steps {
		u := &e.units[st.unit]
		e.open = append(e.open, group{step: st, from: u.slot, mask: u.mask(), pages: int(u.pages)})
		left++
		b := len(e.open) - 1
		if u.stratum < 0 {
			continue // it is a move as it is
		}
		for a := b - 1; a >= 0 && a >= b-mergeWindow; a-- {
			if !e.open[a].gone && e.joins(&e.open[a], &e.open[b]) {
				if e.join(a, b) {
					left--
				}
				break
			}
		}
	}
	if left == 0 {
		return nil, nil
	}
	moves, terms := make([]Move, 0, left), make([]Terms, 0, left)
	for i := range e.open {
		g := &e.open[i]
		if g.gone {
			continue
		}
		u := &e.units[g.unit]
		p := e.process(u)
		moves = append(moves, Move{
			Process: int(u.proc),
			ID:      p.ID,
			Addr:    p.Regions[u.region].Addr,
			Strata:  g.mask,
			From:    g.from,
			To:      g.to,
			Pages:   g.pages,
			Kind:    g.kind,
			Huge:    u.state&hugeUnit != 0,
			Reason:  g.reason,
		})
		g.terms.Exchange = e.root(g.terms.Exchange)
		terms = append(terms, g.terms)
	}
	return moves, terms
}

// join makes one of groups a and b: a promotion waits for the later one, a
// demotion joins the earlier one. It does nothing where a step in between
// needs the room that this takes away.
func (e *Engine) join(a, b int) bool {
	keep, drop := b, a
	if e.open[a].kind == Demotion {
		keep, drop = a, b
	}
	x := &e.open[drop]
	// Between the two, x is not done yet (or is done already).
	loses, gains := x.from, x.to
	if x.kind == Demotion {
		loses, gains = x.to, x.from
	}
	size := x.bytes()
	for k := a; k < b; k++ {
		if g := &e.open[k]; !g.gone && k != drop && g.to == loses && g.after < size {
			return false
		}
	}
	for k := a; k < b; k++ {
		switch g := &e.open[k]; {
		case k == drop:
		case g.to == loses:
			g.after -= size
		case g.to == gains:
			g.after += size
		}
	}
	x.gone = true
	k := &e.open[keep]
	weight := float32(x.pages) / float32(x.pages+k.pages)
	k.reason.Rate += (x.reason.Rate - k.reason.Rate) * weight
	k.reason.VictimRate += (x.reason.VictimRate - k.reason.VictimRate) * weight
	k.reason.Separation = min(k.reason.Separation, x.reason.Separation)
	k.reason.Payback = min(k.reason.Payback, x.reason.Payback)
	e.joinTerms(&k.terms, &x.terms)
	k.mask |= x.mask
	k.pages += x.pages
	return true
}
