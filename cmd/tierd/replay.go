package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/policy"
)

func (a *app) replay() *cobra.Command {
	cmd := command("replay FILE|DIR", "Make the plans of a recording again", helpReplay, cobra.ExactArgs(1), nil)
	cmd.ValidArgsFunction = nil // files
	out := output(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := record.Open(args[0])
		if err != nil {
			return unreadable(err)
		}
		defer f.Close()
		sum, err := replay(f.Reader, func() bool { return cmd.Context().Err() != nil })
		if err != nil && !errors.Is(err, record.ErrTorn) {
			return unreadable(err)
		}
		if err != nil {
			sum.Torn = err.Error()
			fmt.Fprintf(a.stderr, "tierd: warning: %s; replayed the %d epochs before\n", printable(err.Error()), sum.Epochs)
		}
		if out.json() {
			err = a.printJSON(sum)
		} else {
			w := bufio.NewWriter(a.stdout)
			drawReplay(w, sum)
			err = w.Flush()
		}
		if err == nil && sum.Difference != nil {
			return errProblems
		}
		return err
	}
	return cmd
}

// unreadable explains why a file is not replayed.
func unreadable(err error) error {
	f := &failure{err: err, code: exitProblem}
	switch {
	case errors.Is(err, record.ErrOlder):
		f.hint = "replay it with the tierd that wrote it"
	case errors.Is(err, record.ErrNewer):
		f.hint = "replay it with the tierd that wrote it, or a newer one"
	case errors.Is(err, record.ErrForeign):
		f.hint = "tierd record -o FILE makes one"
	default:
		return err
	}
	return f
}

// replaySummary is the answer of replay. Its JSON form has a schema version.
type replaySummary struct {
	SchemaVersion int           `json:"schema_version"`
	Recording     record.Header `json:"recording"`
	Torn          string        `json:"torn,omitempty"` // where and why it breaks off
	// Segments is how many files of a ring were replayed. Gaps are where something is
	// missing.
	Segments int          `json:"segments,omitempty"`
	Gaps     []record.Gap `json:"gaps,omitempty"`
	// Epochs were replayed, LeftOut are not in the recording.
	Epochs  uint64  `json:"epochs"`
	LeftOut uint64  `json:"left_out"`
	Seconds float64 `json:"seconds"`
	// Workloads had processes at some time.
	Workloads []string `json:"workloads"`
	// Planned and Done are of the replayed epochs; a move that was not finished is
	// planned again.
	Planned moveSums `json:"planned"`
	Done    moveSums `json:"done"`
	// VetoedPages counts pages of candidates that stayed, once in each epoch, by rule.
	VetoedPages map[policy.Rule]uint64 `json:"vetoed_pages"`
	// Hits are over time, at most hitPoints of them.
	Hits []hitPoint `json:"hits"`
	// Same tells that every plan is as it was recorded.
	Same       bool              `json:"same"`
	Differing  uint64            `json:"differing"` // epochs
	Difference *replayDifference `json:"first_difference,omitempty"`
}

type moveSums struct {
	Promotions uint64 `json:"promotions"`
	Demotions  uint64 `json:"demotions"`
	Bytes      uint64 `json:"bytes"`
}

func (m *moveSums) add(kind policy.Kind, pages int) {
	if pages <= 0 {
		return
	}
	if m.Bytes += uint64(pages) * policy.PageSize; kind == policy.Promotion {
		m.Promotions++
	} else {
		m.Demotions++
	}
}

// hitPoint is the part of the accesses that each tier serves, as far as is known.
type hitPoint struct {
	Seconds float64   `json:"seconds"` // since the recording's begin
	Ratio   []float64 `json:"ratio"`   // by tier
}

// replayDifference is the first plan that came out otherwise. Of the recorded one
// only the hash is known.
type replayDifference struct {
	Epoch        uint64   `json:"epoch"`
	Seconds      float64  `json:"seconds"`
	RecordedHash string   `json:"recorded_hash"`
	ReplayedHash string   `json:"replayed_hash"`
	Replayed     []string `json:"replayed"` // its moves
	// RecordedDone are the moves of the recorded plan of which something was done,
	// as the next epoch tells.
	RecordedDone []string `json:"recorded_done"`
}

// hitPoints bounds the points of a summary, shownMoves the moves of a difference.
const hitPoints, shownMoves = 24, 100

// replay plays a recording to its end, or up to where it breaks off, and then
// returns that as an error beside the summary.
func replay(in *record.Reader, stop func() bool) (*replaySummary, error) {
	sum := &replaySummary{SchemaVersion: 1, Recording: *in.Header(), VetoedPages: map[policy.Rule]uint64{}, Hits: []hitPoint{}}
	names := map[string]bool{}
	defer func() {
		sum.Workloads = slices.Sorted(maps.Keys(names))
		if sum.Workloads == nil {
			sum.Workloads = []string{}
		}
		sum.Same = sum.Difference == nil
		sum.Segments, sum.Gaps = in.Segments(), in.Gaps()
	}()
	gaps := 0
	var player record.Player
	var number uint64
	var last, nextHit, every float64
	every = 1
	for !stop() {
		f, err := in.Next()
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return sum, err
		}
		plan, same, err := player.Play(f)
		if err != nil {
			return sum, err
		}
		// What lies in a gap was not left out, and two runs have nothing between them.
		var gap *record.Gap
		if all := in.Gaps(); len(all) > gaps {
			gap, gaps = &all[len(all)-1], len(all)
		}
		if sum.Epochs > 0 && (gap == nil || !gap.Restart) {
			if f.Number > number && (gap == nil || gap.Plans == 0) {
				sum.LeftOut += f.Number - number - 1
			}
			if step := f.Snapshot.Seconds - last; step > 0 && !math.IsInf(step, 0) {
				sum.Seconds += step
			}
		}
		number, last = f.Number, f.Snapshot.Seconds
		sum.Epochs++
		for i := range f.Snapshot.Processes {
			names[f.Snapshot.Processes[i].Workload] = true
		}
		for i := range plan.Moves {
			sum.Planned.add(plan.Moves[i].Kind, plan.Moves[i].Pages)
		}
		for i := range f.Done {
			d := &f.Done[i]
			sum.Done.add(d.Kind, d.Pages)
			if w := sum.Difference; w != nil && sum.Differing == 1 && w.Epoch+1 == f.Number && len(w.RecordedDone) < shownMoves {
				w.RecordedDone = append(w.RecordedDone, fmt.Sprintf("%s pid %d %#x strata %#x node slot %d to %d, %d pages",
					d.Kind, d.ID.PID, d.Addr, d.Strata, d.From, d.To, d.Pages))
			}
		}
		for rule, n := range plan.Vetoed {
			sum.VetoedPages[rule] += n
		}
		if sum.Seconds >= nextHit {
			if p, ok := hits(plan, sum.Seconds); ok {
				sum.Hits = append(sum.Hits, p)
			}
			if len(sum.Hits) > hitPoints { // half as many, twice as far apart
				for i := range len(sum.Hits) / 2 {
					sum.Hits[i] = sum.Hits[2*i]
				}
				sum.Hits, every = sum.Hits[:len(sum.Hits)/2], 2*every
			}
			nextHit = sum.Seconds + every
		}
		if same {
			continue
		}
		if sum.Differing++; sum.Difference == nil {
			d := &replayDifference{
				Epoch: f.Number, Seconds: sum.Seconds, Replayed: []string{}, RecordedDone: []string{},
				RecordedHash: fmt.Sprintf("%08x", f.PlanHash), ReplayedHash: fmt.Sprintf("%08x", record.Hash(plan)),
			}
			for i := range plan.Moves[:min(len(plan.Moves), shownMoves)] {
				m := &plan.Moves[i]
				d.Replayed = append(d.Replayed, fmt.Sprintf("%s pid %d %#x strata %#x node slot %d to %d, %d pages: %s, rate %.3g, separation %.3g, payback %.3g",
					m.Kind, m.ID.PID, m.Addr, m.Strata, m.From, m.To, m.Pages, m.Reason.Rule, m.Reason.Rate, m.Reason.Separation, m.Reason.Payback))
			}
			sum.Difference = d
		}
	}
	return sum, errors.New("interrupted")
}

// hits sums up by tier what the plan's summaries say of the accesses.
func hits(plan *policy.Plan, seconds float64) (hitPoint, bool) {
	p := hitPoint{Seconds: seconds}
	var all float64
	for i := range plan.Processes {
		for t, v := range plan.Processes[i].Heat {
			for len(p.Ratio) <= t {
				p.Ratio = append(p.Ratio, 0)
			}
			p.Ratio[t] += v
			all += v
		}
	}
	for t := range p.Ratio {
		p.Ratio[t] /= all
	}
	return p, all > 0 && !math.IsInf(all, 0)
}

// drawGaps says what is missing, and where.
func drawGaps(w io.Writer, gaps []record.Gap) {
	const shown = 20
	for i := range gaps {
		if i == shown {
			fmt.Fprintf(w, "and %d more gaps\n", len(gaps)-shown)
			break
		}
		g := &gaps[i]
		var what []string
		if g.Torn != "" {
			what = append(what, oneLine(g.Torn))
		}
		if g.Restart {
			what = append(what, "tierd was started anew")
		}
		if g.Plans > 0 {
			what = append(what, fmt.Sprintf("%d epochs are missing, over %.0f s", g.Plans, g.Seconds))
		}
		fmt.Fprint(w, "gap")
		switch {
		case g.Before != "":
			fmt.Fprintf(w, " before %s", oneLine(g.Before))
		case g.After != "":
			fmt.Fprintf(w, " at the end of %s", oneLine(g.After))
		}
		fmt.Fprintf(w, ": %s\n", strings.Join(what, "; "))
	}
}

// drawReplay writes a summary for a person.
func drawReplay(w io.Writer, s *replaySummary) {
	fmt.Fprintf(w, "recorded by tierd %s", oneLine(s.Recording.Version))
	if at := s.Recording.Began; !at.IsZero() {
		fmt.Fprintf(w, " from %s on", at.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	if s.Segments > 0 {
		fmt.Fprintf(w, ", in %d segments", s.Segments)
	}
	fmt.Fprintf(w, ": %d epochs over %.0f s", s.Epochs, s.Seconds)
	if s.LeftOut > 0 {
		fmt.Fprintf(w, ", %d more were left out", s.LeftOut)
	}
	fmt.Fprintln(w)
	drawGaps(w, s.Gaps)
	for _, name := range s.Workloads {
		fmt.Fprintf(w, "workload %s\n", oneLine(name))
	}
	for _, v := range []struct {
		name string
		sums *moveSums
	}{{"planned", &s.Planned}, {"done", &s.Done}} {
		fmt.Fprintf(w, "%-8s %d promotions, %d demotions, %s\n", v.name, v.sums.Promotions, v.sums.Demotions, bytesText(v.sums.Bytes))
	}
	if len(s.VetoedPages) > 0 {
		fmt.Fprintln(w, "\nstayed, by the rule that held it (each epoch counts anew)")
		for _, rule := range slices.Sorted(maps.Keys(s.VetoedPages)) {
			fmt.Fprintf(w, "  %-12s %s\n", rule, bytesText(s.VetoedPages[rule]*policy.PageSize))
		}
	}
	if len(s.Hits) > 0 {
		rows := [][]string{{"SECONDS"}}
		right := map[int]bool{0: true}
		for t := range s.Hits[0].Ratio {
			name := fmt.Sprint(t)
			if t < len(s.Recording.Tiers) {
				name = oneLine(s.Recording.Tiers[t].Name)
			}
			rows[0] = append(rows[0], name)
			right[t+1] = true
		}
		for _, p := range s.Hits {
			row := []string{fmt.Sprintf("%.0f", p.Seconds)}
			for _, v := range p.Ratio {
				row = append(row, fmt.Sprintf("%.1f %%", 100*v))
			}
			rows = append(rows, row)
		}
		fmt.Fprintln(w, "\naccesses by tier, estimated")
		table(w, right, rows)
	}
	fmt.Fprintln(w)
	d := s.Difference
	if d == nil {
		fmt.Fprintln(w, "every plan is as it was recorded")
		return
	}
	fmt.Fprintf(w, "%d plans are not as they were recorded; the first is epoch %d, %.1f s after the begin: hash %s, recorded %s\n",
		s.Differing, d.Epoch, d.Seconds, d.ReplayedHash, d.RecordedHash)
	for _, part := range []struct {
		title string
		moves []string
	}{{"planned now", d.Replayed}, {"done then", d.RecordedDone}} {
		fmt.Fprintf(w, "%s: %d moves\n", part.title, len(part.moves))
		for _, m := range part.moves {
			fmt.Fprintf(w, "  %s\n", m)
		}
	}
}
