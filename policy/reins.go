package policy

// reins are what a Controller holds the engine by. An Engine alone has none.
type reins struct {
	// budget is the bytes for everything but relief.
	budget uint64
	// gates has one entry for each process; allowances are the bytes that still
	// pass gates that are ajar, by Gate.ajar.
	gates      []gate
	allowances []int64
	shut       bool // some gate holds something
	cooling    *cooling
}

// gate holds back the moves of a process, but for relief.
type gate struct {
	rule Rule  // why; "" where nothing is held back
	ajar int32 // index of the allowance, or -1
}

func (r *reins) holds(proc int32) bool {
	g := &r.gates[proc]
	return g.rule != "" && (g.ajar < 0 || r.allowances[g.ajar] <= 0)
}

// rein applies the reins to what is planned from here on; relief is planned
// before, and so always works.
func (e *Engine) rein() {
	if e.reins == nil {
		return
	}
	e.budget = min(e.budget, e.reins.budget)
	if e.reins.shut {
		e.hold()
	}
}

// hold fixes the units of all processes whose gate is shut: they are no
// candidates and no victims.
func (e *Engine) hold() {
	for i := range e.units {
		if u := &e.units[i]; e.reins.holds(u.proc) {
			u.state &^= upFree | downFree
		}
	}
}

// draw takes committed steps out of the allowances, and shuts the gates whose
// allowance is used up. The last exchange may go beyond it, because one that is
// larger than the allowance could never be tried else.
func (e *Engine) draw(steps []step) {
	r := e.reins
	if r == nil || !r.shut {
		return
	}
	done := false
	for k := range steps {
		u := &e.units[steps[k].unit]
		if g := &r.gates[u.proc]; g.ajar >= 0 && steps[k].reason.Rule != Relief {
			had := r.allowances[g.ajar]
			r.allowances[g.ajar] -= u.bytes()
			done = done || had > 0 && r.allowances[g.ajar] <= 0
		}
	}
	if done {
		e.hold()
	}
}

// stays is the rule by which a unit that may not be promoted stays.
func (e *Engine) stays(u *unit) Rule {
	if r := e.reins; r != nil && r.shut && r.holds(u.proc) {
		return r.gates[u.proc].rule
	}
	return VetoCooldown
}

// cooldown is for how many seconds after a move a region stays. What came back
// before it had paid waits longer for its next way up; it may always leave as
// soon as others, so that relief finds it.
func (e *Engine) cooldown(p *Process, r *Region) float64 {
	if e.reins == nil || r.Flags&MovedUp != 0 {
		return e.p.Cooldown
	}
	return e.p.Cooldown * e.reins.cooling.factor(p.ID, r)
}
