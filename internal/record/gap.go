package record

import "fmt"

// Gap is a place where something is missing.
type Gap struct {
	// After and Before are the segments on both sides, "" in a recording that is one
	// file, and for the end.
	After  string `json:"after,omitempty"`
	Before string `json:"before,omitempty"`
	// Restart tells that what follows is from another run of the daemon. Plans and
	// Seconds are not known then.
	Restart bool `json:"restart,omitempty"`
	// Plans are missing, over so many seconds of the daemon's clock.
	Plans   uint64  `json:"plans,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
	// Torn says where and why a segment breaks off, or why it cannot be read.
	Torn string `json:"torn,omitempty"`
}

// places follows the headers and frames of a recording, and finds the gaps.
type places struct {
	gaps []Gap
	// The segment at hand, and what comes before the next frame.
	name     string
	sequence uint64
	missing  bool // something is
	torn     string
	headed   bool // a header
	run      string
	// The last frame that was read.
	begun   bool
	after   string
	from    uint64
	lastRun string
	number  uint64
	seconds float64
}

// next begins a segment.
func (p *places) next(name string, sequence uint64) {
	p.name, p.sequence = name, sequence
	if p.begun && sequence > p.from+1 {
		p.missing = true
	}
}

func (p *places) header(h *Header) {
	p.headed, p.run = true, h.Run
	p.missing = p.missing || h.Lost > 0 || h.Resumed
}

// broken notes that the segment at hand ends early.
func (p *places) broken(why error) {
	text := fmt.Sprintf("%s: %v", p.name, why)
	if p.torn != "" {
		text = p.torn + "; " + text
	}
	p.torn = text
}

// end notes what is missing at the end.
func (p *places) end() {
	if p.torn != "" {
		p.gaps = append(p.gaps, Gap{After: p.after, Torn: p.torn})
		p.torn = ""
	}
}

// frame notes the frame that was read, and what is missing before it.
func (p *places) frame(f *Frame) {
	if p.headed {
		g := Gap{After: p.after, Before: p.name, Torn: p.torn}
		if p.begun {
			g.Restart = p.run != p.lastRun || f.Number <= p.number
			if !g.Restart && (p.missing || p.torn != "") {
				g.Plans = f.Number - p.number - 1
				g.Seconds = f.Snapshot.Seconds - p.seconds
			}
		}
		if g.Restart || g.Plans > 0 || g.Torn != "" {
			p.gaps = append(p.gaps, g)
		}
		p.headed, p.missing, p.torn = false, false, ""
	}
	p.begun, p.after, p.from, p.lastRun = true, p.name, p.sequence, p.run
	p.number, p.seconds = f.Number, f.Snapshot.Seconds
}
