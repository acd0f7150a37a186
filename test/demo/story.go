package main

import (
	"fmt"
	"math"
	"sort"
	"strings"

	"github.com/tierd/tierd/test/scenario"
)

// target is the part of the oracle's share that counts as well placed.
const target = 0.95

// tiers of the demo's machine, the fastest first; hues are an RGB for the picture and a colour of the terminal, glyphs
// tell the tiers apart without colours.
var tiers = [...]struct {
	name         string
	node         int
	rgb          [3]uint8
	ansi         string
	glyph, plain rune
}{
	{"HBM", 1, [3]uint8{0xd5, 0x5e, 0x00}, "38;5;166", '█', '#'},
	{"DRAM", 0, [3]uint8{0xf0, 0xb4, 0x2c}, "38;5;214", '▒', '+'},
	{"CXL", 2, [3]uint8{0x9e, 0xc9, 0xe8}, "38;5;110", '·', '.'},
}

// A story is what is known of a run so far. Everything that is drawn is made from it, and from nothing else.
type story struct {
	release string  // of the machine's kernel, where it is known
	total   float64 // how many seconds it will take
	samples []scenario.Sample
}

// at is when a sample was taken, in seconds since the first one.
func (s *story) at(p *scenario.Sample) float64 { return p.T - s.samples[0].T }

// last is the newest sample; nil before the first.
func (s *story) last() *scenario.Sample {
	if len(s.samples) == 0 {
		return nil
	}
	return &s.samples[len(s.samples)-1]
}

// event is something that happened.
type event struct {
	at   float64
	text string
	mark string // its name on the time axis, where it has one
}

// fast is the share of the accesses that HBM and DRAM serve, and the share that an oracle would reach.
func fast(p *scenario.Sample) (share, oracle float64) {
	share, _ = scenario.Fast(p)
	if p.Load.OracleFast != nil {
		oracle = *p.Load.OracleFast
	}
	return share, oracle
}

// placed is the part of the oracle's share.
func placed(p *scenario.Sample) (float64, bool) {
	share, oracle := fast(p)
	return share / oracle, oracle > 0
}

// reached returns after how many seconds of a phase the memory was well placed, and the share then.
func (s *story) reached(phase int) (after, share float64, ok bool) {
	series := scenario.Series{Samples: s.samples}
	after = series.Reach(phase, placed, target)
	if math.IsInf(after, 1) {
		return 0, 0, false
	}
	for i := range s.samples {
		p := &s.samples[i]
		since := p.T
		if phase > 0 {
			since = p.Load.PhaseT
		}
		if p.Load.Phase == phase && since >= after {
			if i == len(s.samples)-1 && s.at(p) < s.total-1.5 {
				return 0, 0, false // the next sample may say otherwise
			}
			share, _ = fast(p)
			break
		}
	}
	return after, share, true
}

// shifted says when a phase began, in seconds since the first sample.
func (s *story) shifted(phase int) (float64, bool) {
	for i := range s.samples {
		if p := &s.samples[i]; p.Load.Phase == phase {
			return s.at(p) - p.Load.PhaseT, true
		}
	}
	return 0, false
}

// events returns what has happened, in order.
func (s *story) events() []event {
	if len(s.samples) == 0 {
		return nil
	}
	first, last := &s.samples[0], s.last()
	slow := tiers[len(tiers)-1]
	out := []event{{text: fmt.Sprintf("the load runs; %s serves %s of its accesses", slow.name, percent(first.Load.Share[slow.node]))}}
	if last.T >= 0 && first.T <= 0 {
		out = append(out, event{at: -first.T, text: "tierd starts", mark: "tierd starts"})
	}
	for phase := 0; phase <= last.Load.Phase; phase++ {
		from, seen := s.shifted(phase)
		if phase > 0 {
			if !seen {
				continue
			}
			out = append(out, event{at: from, text: "the hot set shifts to other memory", mark: "hot set shifts"})
		} else {
			from = -first.T
		}
		if after, share, ok := s.reached(phase); ok {
			verb := "placed"
			if phase > 0 {
				verb = "recovered"
			}
			out = append(out, event{at: from + after, text: fmt.Sprintf("%s: HBM and DRAM serve %.3f after %.0f s", verb, share, after)})
		}
	}
	for i := range s.samples {
		p := &s.samples[i]
		if p.Tierd != nil && p.Tierd.Status != nil && p.Tierd.Status.Forced {
			out = append(out, event{at: s.at(p), text: "tierd only observes: " + p.Tierd.Status.ModeReason})
			break
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].at < out[j].at })
	return out
}

// moved returns the bytes that tierd has moved up and down.
func moved(p *scenario.Sample) (up, down uint64) {
	if p.Tierd == nil || p.Tierd.Status == nil {
		return 0, 0
	}
	for _, w := range p.Tierd.Status.Workloads {
		up, down = up+w.PromotedBytesTotal, down+w.DemotedBytesTotal
	}
	return up, down
}

// movedInAll is moved by the last sample in which tierd said it.
func (s *story) movedInAll() (up, down uint64) {
	for i := len(s.samples) - 1; i >= 0; i-- {
		if p := &s.samples[i]; p.Tierd != nil && p.Tierd.Status != nil {
			return moved(p)
		}
	}
	return 0, 0
}

// summary tells the whole run in words.
func (s *story) summary(series *scenario.Series) string {
	var b strings.Builder
	last := s.last()
	if last == nil {
		return ""
	}
	share, oracle := fast(last)
	for phase := 0; phase <= last.Load.Phase; phase++ {
		since := "tierd's start"
		if phase > 0 {
			since = "the hot set had shifted"
		}
		if after, share, ok := s.reached(phase); ok {
			fmt.Fprintf(&b, "HBM and DRAM served %.3f of the accesses %.1f s after %s.\n", share, after, since)
		} else {
			fmt.Fprintf(&b, "HBM and DRAM did not come to %.3f of the accesses after %s.\n", target*oracle, since)
		}
	}
	up, down := s.movedInAll()
	fmt.Fprintf(&b, "At the end it is %.3f; the best possible is %.3f.\n", share, oracle)
	fmt.Fprintf(&b, "tierd moved %s up and %s down", size(up), size(down))
	if series.End.CPUSeconds > 0 && last.T > 0 {
		fmt.Fprintf(&b, ", and took %s of one CPU for that and for looking", percent(series.End.CPUSeconds/last.T))
	}
	b.WriteString(".\n")
	return b.String()
}

// failure says in one line why this was no demonstration of anything; empty when it was one.
func (s *story) failure(series *scenario.Series) string {
	last := s.last()
	if last == nil {
		return "the load reported nothing"
	}
	why := ""
	for i := len(s.samples) - 1; i >= 0 && why == ""; i-- {
		if p := &s.samples[i]; p.Tierd != nil && p.Tierd.Status != nil {
			st := p.Tierd.Status
			if st.Forced {
				why = ": tierd only observed: " + st.ModeReason
			} else if n := len(st.LastErrors); n > 0 {
				why = ": tierd's last error: " + st.LastErrors[n-1].Message
			}
			break
		}
	}
	for phase := 0; phase <= last.Load.Phase; phase++ {
		if _, _, ok := s.reached(phase); ok {
			continue
		}
		if phase == 0 {
			return fmt.Sprintf("the memory was not placed: HBM and DRAM never came to %.0f %% of the best possible%s", 100*target, why)
		}
		return fmt.Sprintf("the memory was not placed again after the shift: HBM and DRAM never came to %.0f %% of the best possible%s", 100*target, why)
	}
	if series.End.ExitCode != 0 {
		return fmt.Sprintf("tierd ended with exit code %d%s", series.End.ExitCode, why)
	}
	if len(series.End.Residue) > 0 {
		return "tierd left behind: " + strings.Join(series.End.Residue, ", ")
	}
	return ""
}

func percent(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) }

func size(n uint64) string {
	v, unit := float64(n)/(1<<20), "MiB"
	if v >= 1024 {
		return fmt.Sprintf("%.2f GiB", v/1024)
	}
	return fmt.Sprintf("%.0f %s", v, unit)
}
