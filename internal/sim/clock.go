package sim

// Clock is virtual time. CPU time passes only by the work that is modelled.
type Clock struct{ seconds, sampling, moving float64 }

// Now implements sampler.Clock.
func (c *Clock) Now() float64 { return c.seconds }

// CPU implements sampler.Clock.
func (c *Clock) CPU() float64 { return c.sampling }

// Moving implements sampler.Clock.
func (c *Clock) Moving() float64 { return c.moving }

// look passes time that is the work of looking and deciding.
func (c *Clock) look(seconds float64) { c.seconds += seconds; c.sampling += seconds }

// move passes time that is the work of moving.
func (c *Clock) move(seconds float64) { c.seconds += seconds; c.moving += seconds }

// until lets time pass without work.
func (c *Clock) until(seconds float64) { c.seconds = max(c.seconds, seconds) }
