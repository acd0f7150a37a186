package main

import (
	"fmt"
	"io"

	"github.com/tierd/tierd/internal/status"
)

// drawThrash writes what keeps moves that do not pay down, and whose moves it stops.
func drawThrash(w io.Writer, s *status.Status) {
	t := &s.Thrash
	if t.Settings.MaxWaste == 0 {
		return // of a daemon that does not say
	}
	fmt.Fprintf(w, "\nthrash: waste %.3g %% of the time (limit %.3g %%), separation %.2g (configured %.2g), budget %.3g %%; promotions: %d paid, %d wasted",
		100*t.WasteRatio, 100*t.Settings.MaxWaste, t.Separation, t.Settings.Separation, 100*t.BudgetRatio, t.PaidTotal, t.WastedTotal)
	if t.PressureRatio != nil {
		fmt.Fprintf(w, "; memory pressure %.3g %% (limit %.3g %%)", 100**t.PressureRatio, 100*t.Settings.PSI)
	}
	fmt.Fprintln(w)
	for i := range s.Workloads {
		wl := &s.Workloads[i]
		if wl.Breaker.State == "" {
			continue
		}
		fmt.Fprintf(w, "breaker of %s: %s", oneLine(wl.Name), oneLine(wl.Breaker.State))
		switch {
		case wl.Breaker.Reason != "":
			fmt.Fprintf(w, "; %s", oneLine(wl.Breaker.Reason))
		case wl.Breaker.UndoneRatio > 0:
			fmt.Fprintf(w, "; %.0f %% of the moves undone", 100*wl.Breaker.UndoneRatio)
		}
		fmt.Fprintln(w)
	}
}
