package explain

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// sayDecision puts a decision into a sentence for what was done, one for why, and
// one for what became of it.
func sayDecision(d *status.Decision) string {
	var b strings.Builder
	verb := map[bool]string{false: "went", true: "would go"}[d.PlannedOnly]
	way := map[bool]string{true: "up", false: "down"}[d.Kind == policy.Promotion.String()]
	fmt.Fprintf(&b, "%s of process %d %s %s from %s to %s", size(d.Bytes), d.PID, verb, way, placeText(d.From), placeText(d.To))
	b.WriteString(whyDecision(d))
	b.WriteString(".")
	if s := becameOf(d); s != "" {
		b.WriteString(" " + s + ".")
	}
	return b.String()
}

func whyDecision(d *status.Decision) string {
	here := perSecond(d.Rate.AccessesPerSecond)
	other := ""
	if d.Other != nil {
		other = Figure(d.Other.AccessesPerSecond)
	}
	switch policy.Rule(d.Rule) {
	case policy.Fill:
		return fmt.Sprintf(" into free room: %s, %s", here, pays(d))
	case policy.Exchange:
		return fmt.Sprintf(" in the place of colder memory: %s against %s, %s, %s", here, other, sure(d.Separation), pays(d))
	case policy.Share:
		return fmt.Sprintf(" to its workload's share of %s, in the place of a workload that has more than its own: %s against %s, %s", d.To.Tier, here, other, pays(d))
	case policy.Victim:
		return fmt.Sprintf(" to make room for hotter memory: %s against %s, %s", here, other, pays(d))
	case policy.Relief:
		return fmt.Sprintf(" because node %d was short of memory and this is too cold for it: %s", d.From.Node, here)
	case policy.Limit:
		return fmt.Sprintf(" because its workload was above its limit of %s: %s", d.From.Tier, here)
	}
	return ""
}

func sure(s *status.Against) string {
	if s == nil {
		return "which is its right"
	}
	return fmt.Sprintf("surely hotter by %s standard deviations (%s needed)", Figure(s.Value), Figure(s.Least))
}

func pays(d *status.Decision) string {
	if d.Payback == nil {
		return "which costs nothing"
	}
	return fmt.Sprintf("worth %s times its cost over %s (%s needed)", Figure(d.Payback.Value), Seconds(d.HorizonSeconds), Figure(d.Payback.Least))
}

// becameOf says what became of a decision.
func becameOf(d *status.Decision) string {
	o := &d.Outcome
	switch {
	case o.Time == nil:
		return "It is the mover's turn"
	case d.PlannedOnly:
		return "Nothing was moved, because its workload is only observed"
	}
	parts := []string{}
	if n := o.Pages["moved"]; n > 0 {
		parts = append(parts, fmt.Sprintf("%s moved in %s", size(uint64(n)*policy.PageSize), Seconds(o.Seconds)))
	} else {
		parts = append(parts, "nothing moved")
	}
	names := []string{}
	for name := range o.Pages {
		if name != "moved" && name != "already" && name != "absent" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		text := refusals[name]
		if text == "" {
			text = name
		}
		parts = append(parts, fmt.Sprintf("%s stayed: %s", size(uint64(o.Pages[name])*policy.PageSize), text))
	}
	text := strings.Join(parts, "; ")
	text = strings.ToUpper(text[:1]) + text[1:]
	switch o.Verdict {
	case "paid":
		text += "; it has earned what it cost"
	case "wasted":
		text += "; it did not earn what it cost"
	case "undone":
		text += "; it was taken back before it had earned what it cost"
	}
	return text
}

// refusals says what the mover's results mean, by their names.
var refusals = map[string]string{
	"elsewhere": "it lies on another node by now", "busy": "the kernel refuses it for now (pinned, locked or under I/O)",
	"shared": "several processes map it", "denied": "the process's cpuset does not allow the node",
	"no_memory": "the kernel found no free page there", "no_room": "the node has nothing left above its reserve",
	"no_rights": "tierd may not move the memory of this process", "gone": "the process has ended",
	"exec": "the process runs another program by now", "reused": "the process has ended",
	"unattempted": "there was no time for it", "other": "the kernel refused it",
}

func placeText(p status.Place) string {
	if p.Tier == "" {
		return fmt.Sprintf("node %d", p.Node)
	}
	return fmt.Sprintf("%s (node %d)", p.Tier, p.Node)
}

func perSecond(v float64) string { return Figure(v) + " accesses/s per page" }

// Figure writes a number as short as a person wants it.
func Figure(v float64) string {
	switch a := math.Abs(v); {
	case a >= 999.5:
		return fmt.Sprintf("%.0f", v)
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return trim(fmt.Sprintf("%.1f", v))
	case a >= 0.0095 || a == 0:
		return trim(fmt.Sprintf("%.2f", v))
	}
	return fmt.Sprintf("%.1g", v)
}

func trim(s string) string {
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Seconds writes a time, given in seconds.
func Seconds(v float64) string {
	switch {
	case v >= 1:
		return Figure(v) + " s"
	case v >= 1e-3:
		return Figure(v*1e3) + " ms"
	}
	return Figure(v*1e6) + " µs"
}

// size writes an amount of memory.
func size(n uint64) string {
	const kib = 1024
	switch {
	case n < kib*kib:
		return fmt.Sprintf("%d KiB", n/kib)
	case n < kib*kib*kib:
		return trim(fmt.Sprintf("%.1f", float64(n)/(kib*kib))) + " MiB"
	case n < kib*kib*kib*kib:
		return trim(fmt.Sprintf("%.1f", float64(n)/(kib*kib*kib))) + " GiB"
	}
	return trim(fmt.Sprintf("%.1f", float64(n)/(kib*kib*kib*kib))) + " TiB"
}

// SayDecisions sums up the decisions of an answer.
func SayDecisions(e *status.Explanation) string {
	if e.DecisionsTotal == 0 {
		return "Nothing was decided to move yet."
	}
	var up, down uint64
	planned := false
	for i := range e.Decisions {
		d := &e.Decisions[i]
		planned = planned || d.PlannedOnly
		if d.Kind == policy.Promotion.String() {
			up += d.Bytes
		} else {
			down += d.Bytes
		}
	}
	text := fmt.Sprintf("The last %d of %d decisions: %s up, %s down", len(e.Decisions), e.DecisionsTotal, size(up), size(down))
	if planned {
		text += "; some of them are of workloads that are only observed"
	}
	return text + "."
}
