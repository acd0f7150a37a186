package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/movers"
	"github.com/tierd/tierd/internal/status"
)

func (a *app) status() *cobra.Command {
	cmd := command("status", "Show what the running daemon sees and does", helpStatus, cobra.NoArgs, nil)
	out := output(cmd)
	var socket string
	cmd.Flags().StringVar(&socket, "socket", "", "")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if socket == "" {
			socket = defaultSocket()
		}
		c := control.NewClient(socket)
		defer c.Close()
		s, err := c.Status(cmd.Context())
		if err != nil {
			return unreachable(err)
		}
		if out.json() {
			return a.printJSON(s)
		}
		w := bufio.NewWriter(a.stdout)
		drawStatus(w, s, time.Now())
		return w.Flush()
	}
	return cmd
}

// defaultSocket is where a daemon with the default configuration file listens.
func defaultSocket() string {
	cfg, _, err := loadConfig("")
	if err != nil { // unreadable or bad: the daemon that runs may still have the one before
		cfg = config.Default()
	}
	return cfg.Control.Socket.String()
}

// unreachable explains why the daemon does not answer.
func unreachable(err error) error {
	f := &failure{err: err, code: exitUnreachable}
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.code, f.hint = exitPermission, "run it as root, or as a member of the socket's group"
	case errors.Is(err, control.ErrNotRunning):
		f.hint = "systemctl status tierd tells whether it runs; --socket PATH names another socket"
	case errors.Is(err, control.ErrNotReady):
		f.hint = "try again in a second"
	}
	return f
}

// drawStatus writes a picture for a person.
func drawStatus(w io.Writer, s *status.Status, now time.Time) {
	fmt.Fprintf(w, "tierd %s  %s", oneLine(s.Version), oneLine(s.Mode))
	if s.ModeReason != "" {
		fmt.Fprintf(w, " (%s)", oneLine(s.ModeReason))
	}
	fmt.Fprintf(w, "\nup %s, epoch %d took %.1f ms", ago(time.Duration(s.UptimeSeconds*float64(time.Second))), s.Epoch.Number, 1000*s.Epoch.Seconds)
	if old := now.Sub(s.Time); old > 15*time.Second {
		fmt.Fprintf(w, ", %s ago: the loop is stuck", ago(old))
	}
	fmt.Fprintln(w)
	drawConfig(w, &s.Config, now)
	drawMachine(w, s)
	drawHost(w, s.Host, s.SecondMover)
	drawSources(w, s)
	drawWorkloads(w, s)
	drawThrash(w, s)
	drawRecord(w, &s.Record, now)
	if len(s.LastErrors) > 0 {
		fmt.Fprintln(w, "\nlast errors")
		for _, e := range s.LastErrors {
			fmt.Fprintf(w, "  %s ago", ago(now.Sub(e.Time)))
			if e.Workload != "" {
				fmt.Fprintf(w, "  %s", oneLine(e.Workload))
			}
			fmt.Fprintf(w, "  %s", oneLine(e.Message))
			if e.Count > 1 {
				fmt.Fprintf(w, "  (%d times)", e.Count)
			}
			fmt.Fprintln(w)
			if e.Hint != "" {
				fmt.Fprintf(w, "    hint: %s\n", oneLine(e.Hint))
			}
		}
	}
}

func drawConfig(w io.Writer, c *status.Config, now time.Time) {
	path := oneLine(c.Path)
	if path == "" {
		path = "defaults"
	}
	fmt.Fprintf(w, "config %s, loaded %s ago\n", path, ago(now.Sub(c.LoadedAt)))
	if !c.LastReloadOK {
		fmt.Fprintf(w, "  the reload %s ago was refused, the old configuration is in force: %s\n", ago(now.Sub(c.LastReloadAt)), oneLine(c.LastReloadError))
	}
	for _, key := range c.RestartNeeded {
		fmt.Fprintf(w, "  %s has changed and takes effect at the next start\n", oneLine(key))
	}
}

func drawMachine(w io.Writer, s *status.Status) {
	rows := [][]string{{"TIER", "NODES", "SIZE", "FREE", "RESERVE"}}
	for _, t := range s.Machine.Tiers {
		var size, free, reserve uint64
		for _, n := range s.Machine.Nodes {
			if n.Tier == t.Name {
				size, free, reserve = size+n.SizeBytes, free+n.FreeBytes, reserve+n.ReserveBytes
			}
		}
		rows = append(rows, []string{oneLine(t.Name), hostfs.FormatList(t.Nodes), bytesText(size), bytesText(free), bytesText(reserve)})
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, map[int]bool{2: true, 3: true, 4: true}, rows)
	}
}

// drawHost says who moves memory on the host, tierd or somebody else.
func drawHost(w io.Writer, h *status.Host, second string) {
	if h == nil {
		return
	}
	by := func(m movers.Mover) string { return bytesText(h.MovedBytesTotal[string(m)]) }
	if second != "" {
		fmt.Fprintf(w, "second mover: %s\n", oneLine(second))
	}
	fmt.Fprintf(w, "moved on this host: tierd %s, NUMA balancing %s, demotion %s, others %s\n",
		by(movers.Tierd), by(movers.NUMABalancing), by(movers.Demotion), by(movers.Other))
}

func drawSources(w io.Writer, s *status.Status) {
	for _, src := range s.Sources {
		if src.Available {
			continue
		}
		state := "not available"
		if src.Lost {
			state = "lost"
		}
		fmt.Fprintf(w, "\nsource %s is %s: %s\n", oneLine(src.Name), state, oneLine(src.Reason))
		if src.Hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", oneLine(src.Hint))
		}
	}
	p := &s.Sampler
	if p.Regions == 0 {
		return
	}
	fmt.Fprintf(w, "\nsampling %s in regions, budget %.3g %% of a core", bytesText(p.Regions<<21), 100*p.CPUBudget)
	for _, b := range p.Boundaries {
		fmt.Fprintf(w, "; %s ends at %.3g accesses/s, window %s", oneLine(b.Tier), b.AccessesPerSecond, time.Duration(b.WindowSeconds*float64(time.Second)).Round(time.Millisecond))
	}
	fmt.Fprintln(w)
}

func drawWorkloads(w io.Writer, s *status.Status) {
	if len(s.Workloads) == 0 {
		fmt.Fprintln(w, "\nno workloads: name some in [workload.*]")
		return
	}
	head := []string{"WORKLOAD", "MODE", "PROCS"}
	right := map[int]bool{2: true}
	for _, t := range s.Machine.Tiers {
		right[len(head)] = true
		head = append(head, oneLine(t.Name))
	}
	located := slices.ContainsFunc(s.Workloads, func(wl status.Workload) bool { return wl.LocalRatio != nil })
	columns := []string{"FAST HITS", "PROMOTED", "DEMOTED"}
	if located {
		columns = slices.Insert(columns, 1, "LOCAL")
	}
	for _, h := range columns {
		right[len(head)] = true
		head = append(head, h)
	}
	rows := [][]string{append(head, "NOTE")}
	for i := range s.Workloads {
		wl := &s.Workloads[i]
		row := []string{oneLine(wl.Name), oneLine(wl.Mode), strconv.Itoa(wl.Processes)}
		for _, t := range s.Machine.Tiers {
			row = append(row, bytesText(wl.ResidentBytes[t.Name]))
		}
		up, down, note := wl.PromotedBytesTotal, wl.DemotedBytesTotal, ""
		if wl.Mode != status.Enforce {
			up, down = wl.PlannedPromotedBytesTotal, wl.PlannedDemotedBytesTotal
			if up+down > 0 {
				note = "planned only"
			}
		}
		if note == "" && wl.PeriodSeconds > 0 {
			note = fmt.Sprintf("steps of %.3g s", wl.PeriodSeconds)
		}
		if x := wl.Split; note == "" && x != nil && x.SplitsTotal > 0 {
			note = fmt.Sprintf("%d huge pages split", x.SplitsTotal)
		}
		if wl.LastError != "" {
			note = oneLine(wl.LastError)
		}
		row = append(row, fastHits(s, wl))
		if located {
			row = append(row, local(wl))
		}
		rows = append(rows, append(row, bytesText(up), bytesText(down), note))
	}
	fmt.Fprintln(w)
	table(w, right, rows)
	if len(s.Machine.Tiers) > 1 {
		fmt.Fprintf(w, "fast hits: estimated share of accesses outside %s\n", oneLine(s.Machine.Tiers[len(s.Machine.Tiers)-1].Name))
	}
	if located {
		fmt.Fprintln(w, "local: estimated share of accesses on the node of its tier that is nearest to who uses the memory")
	}
}

// local is the estimated share of accesses that are near to who makes them.
func local(wl *status.Workload) string {
	if wl.LocalRatio == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100**wl.LocalRatio)
}

// fastHits is the estimated share of accesses that tiers other than the slowest serve.
func fastHits(s *status.Status, wl *status.Workload) string {
	if len(wl.HitEstimate) == 0 || len(s.Machine.Tiers) < 2 {
		return "-"
	}
	sum := 0.0
	for _, t := range s.Machine.Tiers[:len(s.Machine.Tiers)-1] {
		sum += wl.HitEstimate[t.Name]
	}
	return fmt.Sprintf("%.1f %%", 100*sum)
}
