package main

import (
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/tierd/tierd/internal/sim"
)

// number is one of those that are wanted.
type number struct {
	workload, what string
	value, want    float64
	least          bool // else at most
	format         string
}

func (n number) verdict() string {
	if n.least && n.value >= n.want || !n.least && n.value <= n.want {
		return "ok"
	}
	return "SHORT"
}

// wanted has for each workload the least percentage of the oracle, and the most that
// may be moved, as a part of what the best baseline moves; 0: nothing is wanted.
var wanted = map[string]struct{ ofOracle, moved float64 }{
	"static": {99.5, 1. / 3}, "zipf": {99.5, 1. / 3}, "scan": {99.5, 1. / 3},
	"drift": {98, 1. / 2}, "window": {97, 1}, "sweep10": {99, 1}, "sweep60": {99, 1}, "steps": {98, 1},
	"hot1.25": {99, 0.1}, "hot1.5": {99, 0.1}, "hot2": {99, 0.1}, "uniform": {99, 0.1},
}

// numbers are those that the workload is judged by.
func (m measured) numbers() (out []number) {
	t, name := m.tierd(), m.workload.Name
	if w, ok := wanted[name]; ok {
		out = append(out,
			number{name, "hit, % of the oracle", 100 * t.OfOracle, w.ofOracle, true, "%.2f"},
			number{name, "moved, against the best baseline", m.againstBaseline(), w.moved, false, "%.3f"})
		if w.moved == 0.1 {
			out = append(out, number{name, "moved per minute once settled, % of the footprint",
				100 * t.SettledPerMinute / m.footprint(), 1, false, "%.2f"})
		}
	}
	if len(m.workload.Events) > 0 {
		for i, s := range t.Settle[1:] {
			out = append(out, number{name, fmt.Sprintf("seconds to 95 %% of the oracle after shift %d", i+1), s, 5, false, "%.1f"})
		}
	}
	if len(t.FairOf) > 0 {
		out = append(out, number{name, "the honest tenant's hit, % of that with its fair share", 100 * t.FairOf[0], 95, true, "%.2f"})
	}
	return out
}

// againstBaseline is what tierd moves as a part of what the least moving baseline
// does that hits as often. The oracles know the future and are none. NaN: no
// baseline hits as often.
func (m measured) againstBaseline() float64 {
	t, least := m.tierd(), math.NaN()
	for _, s := range m.sums[:len(m.sums)-1] {
		if s.Contender == sim.Oracle || s.Contender == "static oracle" || s.OfOracle < t.OfOracle {
			continue
		}
		if math.IsNaN(least) || s.Moved < least {
			least = s.Moved
		}
	}
	if least == 0 && t.Moved == 0 {
		return 0
	}
	return t.Moved / least
}

// numbersTable writes the numbers beside those that are wanted, in Markdown.
func numbersTable(numbers []number) string {
	var b strings.Builder
	b.WriteString("| workload | number | measured | wanted | |\n|---|---|---|---|---|\n")
	for _, n := range numbers {
		sign, value, verdict := "≤ ", fmt.Sprintf(n.format, n.value), n.verdict()
		if n.least {
			sign = "≥ "
		}
		switch {
		case math.IsNaN(n.value):
			// Nobody to compare with: there is no baseline that does as well.
			value, verdict = "no baseline hits as often", "–"
		case math.IsInf(n.value, 1):
			value = "never"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", n.workload, n.what, value, sign+fmt.Sprintf(n.format, n.want), verdict)
	}
	return b.String()
}

// contendersTable writes what each contender reached, in Markdown.
func contendersTable(all []measured) string {
	var b strings.Builder
	b.WriteString("| workload | contender | hit | % of the oracle | moved, GiB | settled, % of the footprint per minute | wasted share | ping-pongs | slowdown, % |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, m := range all {
		for _, s := range m.sums {
			fmt.Fprintf(&b, "| %s | %s | %.3f | %.2f | %.2f | %.2f | %.2f | %.0f | %+.1f |\n", m.workload.Name, s.Contender, s.Hit, 100*s.OfOracle,
				s.Moved/(1<<30), 100*s.SettledPerMinute/m.footprint(), s.WastedShare, s.PingPongs, 100*s.Slowdown)
		}
	}
	return b.String()
}

const begin, end = "<!-- sim: begin -->\n", "<!-- sim: end -->"

// rewrite puts the tables and the command that made them between the marks of a
// document.
func rewrite(path, begin, end, command, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return fmt.Errorf("%s: no place for the tables between marks", path)
	}
	return os.WriteFile(path, []byte(before+begin+"\n    "+command+"\n\n"+text+"\n"+end+after), 0o644)
}
