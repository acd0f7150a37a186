package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tierd/tierd/internal/doctor"
	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/status"
)

// drawAccount writes the figures of a region, or of a process or workload.
func drawAccount(w io.Writer, a *status.Account, region bool, width int) {
	if region {
		drawParts(w, a.Parts, width)
		return
	}
	drawTiers(w, a)
	drawHeld(w, a)
	if len(a.Parts) == 0 {
		return
	}
	rows := [][]string{{"HELD REGION", "SIZE", "LIES", "BELONGS", "RATE", "RULE", "WOULD NEED"}}
	for i := range a.Parts {
		p := &a.Parts[i]
		need := "-"
		if len(p.Changes) > 0 {
			need = oneLine(p.Changes[0].Says)
		}
		rows = append(rows, []string{
			fmt.Sprintf("%d:%s", p.PID, oneLine(p.Address)), bytesText(p.Bytes), placeName(p.Lies), oneLine(p.Belongs),
			explain.Figure(p.Rate.AccessesPerSecond), oneLine(p.Rule), need,
		})
	}
	fmt.Fprintln(w)
	table(w, map[int]bool{1: true, 4: true}, rows)
}

// drawTiers writes what lies where.
func drawTiers(w io.Writer, a *status.Account) {
	rows := [][]string{{"TIER", "LIES", "BELONGS", "CAN HOLD", "WORTH A PLACE"}}
	for i := range a.Tiers {
		t := &a.Tiers[i]
		capacity, worth := "-", "-"
		if t.CapacityBytes != nil {
			capacity = bytesText(*t.CapacityBytes)
		}
		if t.Inside != nil && t.Outside != nil {
			worth = bytesText(t.Inside.Bytes + t.Outside.Bytes)
		}
		rows = append(rows, []string{oneLine(t.Tier), bytesText(t.LiesBytes), bytesText(t.BelongBytes), capacity, worth})
	}
	for _, rest := range []struct {
		name  string
		bytes uint64
	}{{"(fixed)", a.FixedBytes}, {"(not known yet)", a.UnknownBytes}, {"(in no tier)", a.ElsewhereBytes}} {
		if rest.bytes > 0 {
			rows = append(rows, []string{rest.name, bytesText(rest.bytes), "-", "-", "-"})
		}
	}
	fmt.Fprintln(w)
	table(w, map[int]bool{1: true, 2: true, 3: true, 4: true}, rows)
}

// drawHeld writes how much which rule holds back.
func drawHeld(w io.Writer, a *status.Account) {
	if len(a.HeldBytes) == 0 {
		return
	}
	rules := slices.Sorted(maps.Keys(a.HeldBytes))
	slices.SortStableFunc(rules, func(x, y string) int { return cmp.Compare(a.HeldBytes[y], a.HeldBytes[x]) })
	rows := [][]string{{"HELD BY", "BYTES", "MEANING"}}
	for _, rule := range rules {
		rows = append(rows, []string{oneLine(rule), bytesText(a.HeldBytes[rule]), oneLine(explain.Meaning(rule))})
	}
	fmt.Fprintln(w)
	table(w, map[int]bool{1: true}, rows)
}

// drawParts writes the parts of a region with their tests.
func drawParts(w io.Writer, parts []status.Part, width int) {
	rows := [][]string{{"PART", "WHAT", "SIZE", "LIES", "BELONGS", "STATE", "RATE", "LOG VAR", "HOT", "FOR"}}
	for i := range parts {
		p := &parts[i]
		state := oneLine(p.State)
		if p.Rule != "" {
			state += ": " + oneLine(p.Rule)
		}
		name := "all of it"
		if !p.Whole {
			name = fmt.Sprintf("%d pages", p.Pages)
		}
		rows = append(rows, []string{
			strconv.Itoa(i + 1), name, bytesText(p.Bytes), placeName(p.Lies), oneLine(p.Belongs), state, explain.Figure(p.Rate.AccessesPerSecond),
			fmt.Sprintf("%.2g", p.Rate.LogVariance), fmt.Sprintf("%d of 8", p.HotSamples), explain.Seconds(p.StableSeconds),
		})
	}
	fmt.Fprintln(w)
	table(w, map[int]bool{2: true, 6: true, 7: true, 9: true}, rows)

	rows = [][]string{{"PART", "TRIED FOR", "RESULT", "EVIDENCE", "PAYBACK", "SEPARATION", "RATE OF WHAT COULD LEAVE"}}
	for i := range parts {
		for k := range parts[i].Tests {
			t := &parts[i].Tests[k]
			result := "passed"
			switch {
			case t.Skipped:
				result = oneLine(t.Rule) + " (not tried)"
			case t.Rule != "":
				result = oneLine(t.Rule)
			}
			victim := "-"
			if t.Victim != nil {
				victim = fmt.Sprintf("%s (%d:%s)", explain.Figure(t.Victim.AccessesPerSecond), t.VictimPID, oneLine(t.VictimAddress))
			}
			rows = append(rows, []string{strconv.Itoa(i + 1), oneLine(t.Tier), result, ofNeeded(t.Evidence), ofNeeded(t.Payback), ofNeeded(t.Separation), victim})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, nil, rows)
	}
	for i := 1; i < len(parts); i++ { // the first one has been spoken of
		var says strings.Builder
		doctor.Wrap(&says, fmt.Sprintf("part %d: %s", i+1, oneLine(parts[i].Says)), 0, width)
		fmt.Fprint(w, "\n"+says.String())
	}
}

func ofNeeded(a *status.Against) string {
	if a == nil {
		return "-"
	}
	return explain.Figure(a.Value) + " of " + explain.Figure(a.Least)
}
