package load

import "time"

// Schedule names the pattern in force at each moment.
type Schedule struct {
	patterns []Pattern
	starts   []time.Duration // of each pattern; or
	period   time.Duration   // each takes this long, and then again
}

// Stage is a stretch of time under one pattern.
type Stage struct {
	Phase   int // the number of the pattern
	Pattern Pattern
	Since   time.Duration
	Until   time.Duration // 0: for good
}

// At is the stage at time t.
func (s *Schedule) At(t time.Duration) Stage {
	if s.period > 0 {
		round := max(t, 0) / s.period
		phase := int(round % time.Duration(len(s.patterns)))
		return Stage{Phase: phase, Pattern: s.patterns[phase], Since: round * s.period, Until: (round + 1) * s.period}
	}
	phase := 0
	for phase+1 < len(s.starts) && s.starts[phase+1] <= t {
		phase++
	}
	st := Stage{Phase: phase, Pattern: s.patterns[phase], Since: s.starts[phase]}
	if phase+1 < len(s.starts) {
		st.Until = s.starts[phase+1]
	}
	return st
}

// NewSchedule builds the patterns of a checked Config.
func NewSchedule(c *Config) *Schedule {
	constant := func(p Pattern) *Schedule {
		return &Schedule{patterns: []Pattern{p}, starts: []time.Duration{0}}
	}
	switch c.Pattern {
	case "uniform":
		return constant(uniform{total: int(c.Size >> PageShift)})
	case "idle":
		return constant(idle{})
	}
	p := newPieces(c.Size, c.Piece, c.Seed)
	if c.Pattern == "zipf" {
		return constant(newZipf(p, c.Theta))
	}
	hot := int(c.Hot / c.Piece)
	if c.Pattern == "phases" {
		s := &Schedule{period: c.Phase}
		for i := range c.Phases {
			s.patterns = append(s.patterns, newHotSet(p, i*hot, hot, c.HotShare))
		}
		return s
	}
	s := &Schedule{starts: append([]time.Duration{0}, c.Shift...)}
	for i := range s.starts {
		h := newHotSet(p, i*hot, hot, c.HotShare)
		if c.Pattern == "scan" {
			h.withScan(c.ScanShare, c.ScanStride)
		}
		s.patterns = append(s.patterns, h)
	}
	return s
}
