package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/doctor"
	"github.com/tierd/tierd/internal/explain"
	"github.com/tierd/tierd/internal/status"
)

func (a *app) explain() *cobra.Command {
	cmd := command("explain [DECISION|WORKLOAD|PID|PID:ADDRESS]", "Say why memory lies where it does", helpExplain, cobra.MaximumNArgs(1), nil)
	out := output(cmd)
	var socket string
	var number int
	cmd.Flags().StringVar(&socket, "socket", "", "")
	cmd.Flags().IntVarP(&number, "number", "n", 20, "")
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.explainable(cmd, socket), cobra.ShellCompDirectiveNoFileComp
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if number < 1 || number > status.MaxDecisions {
			return &failure{err: fmt.Errorf("--number must be 1 to %d", status.MaxDecisions), code: exitUsage}
		}
		q := status.Question{Limit: number}
		if len(args) > 0 {
			if err := readSubject(&q, args[0]); err != nil {
				return err
			}
		}
		if socket == "" {
			socket = defaultSocket()
		}
		c := control.NewClient(socket)
		defer c.Close()
		e, err := c.Explain(cmd.Context(), q)
		if err != nil {
			return unexplained(err)
		}
		if out.json() {
			return a.printJSON(e)
		}
		w := bufio.NewWriter(a.stdout)
		width, _ := a.terminal()
		drawExplanation(w, e, time.Now(), width)
		return w.Flush()
	}
	return cmd
}

// explainable lists the workloads and processes of the running daemon; nothing if
// it does not answer.
func (a *app) explainable(cmd *cobra.Command, socket string) (names []string) {
	if socket == "" {
		socket = defaultSocket()
	}
	c := control.NewClient(socket)
	defer c.Close()
	s, err := c.Status(cmd.Context())
	if err != nil {
		return nil
	}
	for i := range s.Workloads {
		w := &s.Workloads[i]
		names = append(names, oneLine(w.Name))
		for _, p := range w.ProcessDetails {
			names = append(names, fmt.Sprintf("%d\t%s", p.PID, oneLine(p.Comm)))
		}
	}
	return names
}

// readSubject reads what a question is about.
func readSubject(q *status.Question, text string) error {
	bad := func(what string) error {
		return &failure{err: fmt.Errorf("%q: %s", text, what), hint: "tierd explain --help tells what it can be", code: exitUsage}
	}
	pid, address, isRegion := strings.Cut(text, ":")
	switch {
	case text == "" || len(text) > 256:
		return bad("not the name of anything")
	case strings.HasPrefix(text, "d-") && strings.Trim(text[2:], "0123456789-") == "":
		q.Decision = text
	case strings.Trim(text, "0123456789") == "":
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n == 0 {
			return bad("no process has such a number")
		}
		q.PID = int(n)
	case isRegion && strings.Trim(pid, "0123456789") == "":
		n, err := strconv.ParseUint(pid, 10, 31)
		if err != nil || n == 0 {
			return bad("no process has such a number")
		}
		at, err := strconv.ParseUint(strings.TrimPrefix(address, "0x"), 16, 64)
		if err != nil || at == 0 {
			return bad("the address is not a hexadecimal number")
		}
		q.PID, q.Address = int(n), at
	default:
		q.Workload = text
	}
	return nil
}

// unexplained is why there is no explanation.
func unexplained(err error) error {
	switch {
	case errors.Is(err, status.ErrQuestion):
		return &failure{err: err, code: exitUsage, hint: "tierd explain --help tells what can be asked"}
	case errors.Is(err, status.ErrUnknown):
		return &failure{err: err, code: exitProblem, hint: "tierd status lists workloads and processes, tierd explain the last decisions"}
	case errors.Is(err, status.ErrBusy):
		return &failure{err: err, code: exitProblem, hint: "try again in a second"}
	}
	if errors.Is(err, control.ErrNotRunning) || errors.Is(err, fs.ErrPermission) {
		return unreachable(err)
	}
	return err
}

// drawExplanation writes an answer for a person: first what it is in words, then the
// figures.
func drawExplanation(w io.Writer, e *status.Explanation, now time.Time, width int) {
	var says strings.Builder
	doctor.Wrap(&says, oneLine(e.Says), 0, width)
	fmt.Fprint(w, says.String())
	if e.Account != nil {
		drawAccount(w, e.Account, e.About == "region", width)
	}
	switch {
	case e.About == "decision" && len(e.Decisions) == 1:
		drawDecision(w, &e.Decisions[0], now)
	case len(e.Decisions) > 0:
		if e.Account != nil {
			fmt.Fprint(w, "\nlast decisions about it")
		}
		drawDecisions(w, e.Decisions, now)
	}
}

// drawDecision writes the figures of one decision.
func drawDecision(w io.Writer, d *status.Decision, now time.Time) {
	rows := [][]string{
		{"decision", fmt.Sprintf("%s, %s ago", oneLine(d.ID), ago(now.Sub(d.Time)))},
		{"region", fmt.Sprintf("%d:%s of %s", d.PID, oneLine(d.Address), oneLine(d.Workload))},
		{"rule", oneLine(d.Rule)},
		{"rate", rateText(&d.Rate)},
	}
	add := func(name, text string) { rows = append(rows, []string{name, text}) }
	if d.Other != nil {
		add("other's rate", rateText(d.Other))
	}
	if d.Separation != nil {
		add("separation", against(d.Separation))
	}
	if d.Payback != nil {
		add("payback", fmt.Sprintf("%s: %s gained over %s, for %s", against(d.Payback), explain.Seconds(d.GainSeconds), explain.Seconds(d.HorizonSeconds), explain.Seconds(d.CostSeconds)))
	}
	if d.Evidence != nil {
		add("evidence", fmt.Sprintf("hot in %.0f of the last 8 samples, %.0f needed", d.Evidence.Value, d.Evidence.Least))
	}
	add("cost of a page", explain.Seconds(d.CostPerPageSeconds))
	add("budget", bytesText(d.BudgetBytes)+" for the whole plan")
	if len(d.With) > 0 {
		add("together with", oneLine(strings.Join(d.With, " ")))
	}
	fmt.Fprintln(w)
	table(w, nil, rows)
}

// drawDecisions lists decisions.
func drawDecisions(w io.Writer, list []status.Decision, now time.Time) {
	rows := [][]string{{"DECISION", "AGO", "WORKLOAD", "REGION", "SIZE", "FROM", "TO", "RULE", "RATE", "PAYBACK", "OUTCOME"}}
	for i := range list {
		d := &list[i]
		payback := "-"
		if d.Payback != nil {
			payback = explain.Figure(d.Payback.Value)
		}
		rows = append(rows, []string{
			oneLine(d.ID), ago(now.Sub(d.Time)), oneLine(d.Workload), fmt.Sprintf("%d:%s", d.PID, oneLine(d.Address)), bytesText(d.Bytes),
			placeName(d.From), placeName(d.To), oneLine(d.Rule), explain.Figure(d.Rate.AccessesPerSecond), payback, outcomeText(d),
		})
	}
	fmt.Fprintln(w)
	table(w, map[int]bool{1: true, 4: true, 8: true, 9: true}, rows)
}

// outcomeText is what became of a decision, in a word or two.
func outcomeText(d *status.Decision) string {
	o := &d.Outcome
	switch {
	case o.Time == nil:
		return "moving"
	case d.PlannedOnly:
		return "planned only"
	}
	moved := o.Pages["moved"]
	text := "moved"
	most, why := 0, ""
	for name, n := range o.Pages {
		if name != "moved" && name != "already" && name != "absent" && (n > most || n == most && name < why) {
			most, why = n, name
		}
	}
	switch {
	case moved == 0 && why == "":
		text = "nothing to move"
	case moved == 0:
		text = oneLine(why)
	case why != "":
		text = fmt.Sprintf("moved, %d pages %s", most, oneLine(why))
	}
	if o.Verdict != "" {
		text += ", " + oneLine(o.Verdict)
	}
	return text
}

func placeName(p status.Place) string {
	if p.Tier == "" {
		return fmt.Sprintf("node%d", p.Node)
	}
	return oneLine(p.Tier)
}

func rateText(r *status.Rate) string {
	return fmt.Sprintf("%s accesses/s per page, log variance %.2g", explain.Figure(r.AccessesPerSecond), r.LogVariance)
}

func against(a *status.Against) string {
	return fmt.Sprintf("%s, %s needed", explain.Figure(a.Value), explain.Figure(a.Least))
}
