package policy

// Terms are the numbers behind a move's Reason. Nothing depends on them; they are
// for people who ask why.
type Terms struct {
	// Exchange numbers, from 1, what belongs together: a promotion and the
	// demotions that make room for it. 0 for what moves for no other's sake.
	Exchange int32
	// Victims is how many demotions the promotion needs.
	Victims int32
	// LogVar and VictimLogVar are the variances of ln(Reason.Rate) and
	// ln(Reason.VictimRate); 0 where there is no such rate.
	LogVar, VictimLogVar float32
	// Gain is the benefit over Horizon, less what the victims lose, and Cost that
	// of all the moves, all in seconds. Their ratio is Reason.Payback. They are
	// those of the whole exchange, and 0 for relief and limits.
	Gain, Cost, Horizon float32
	// Evidence is how many of the last eight samples saw what moves hot, and
	// EvidenceNeeded how many the promotion must have; 0 where none is.
	Evidence, EvidenceNeeded int8
}

// weigh notes what was weighed.
func (st *step) weigh(horizon, gain, cost float64, evidence int) {
	st.terms.Horizon, st.terms.Gain, st.terms.Cost = float32(horizon), float32(gain), float32(cost)
	if st.kind == Promotion {
		st.terms.EvidenceNeeded = int8(evidence)
	}
}

// root is the exchange that another became part of.
func (e *Engine) root(n int32) int32 {
	for e.alias[n] != n {
		n = e.alias[n]
	}
	return n
}

// joinTerms makes those of one move of those of two: what is sure of the less
// sure one, and the sums of what was weighed by itself.
func (e *Engine) joinTerms(into, x *Terms) {
	into.LogVar = max(into.LogVar, x.LogVar)
	into.VictimLogVar = max(into.VictimLogVar, x.VictimLogVar)
	into.Evidence = min(into.Evidence, x.Evidence)
	into.Horizon = min(into.Horizon, x.Horizon)
	a, b := e.root(into.Exchange), e.root(x.Exchange)
	if a == 0 || a != b {
		into.Gain += x.Gain
		into.Cost += x.Cost
		into.Victims += x.Victims
	}
	if a == 0 {
		into.Exchange = b
		return
	}
	if b != 0 {
		e.alias[b] = a
	}
}
