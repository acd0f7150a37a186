package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/internal/tune"
)

const (
	// tuneBegin and tuneEnd are around the table of the document.
	tuneBegin, tuneEnd = "<!-- tune: begin -->\n", "<!-- tune: end -->"
	// tuneSets is how many sets of parameters the defaults are held against.
	tuneSets = 200
	// mostLost is the most that the defaults may lose to the best of them.
	mostLost = 0.03
)

// compared is the defaults beside the best of the sampled sets on a workload.
type compared struct {
	workload sim.Workload
	best     *tune.Best
}

// ofBest is the defaults' hit as a part of the best set's.
func (c compared) ofBest() float64 { return c.best.Base.Hit / max(c.best.Hit.Hit, 1e-9) }

// briefly is how long a workload must run for 200 sets to be told apart: until what
// happens in it has happened, and some time beyond.
func briefly(w sim.Workload) float64 {
	seconds := max(60, 2.5*w.Period)
	if len(w.Events) > 0 {
		seconds = max(seconds, w.Events[0]+60)
	}
	return min(seconds, w.Seconds)
}

// tuned holds the defaults against sampled sets, and prints each workload's line when it
// is known.
func tuned(ctx context.Context, ws []sim.Workload, seeds int, stdout, stderr io.Writer) (text string, err error) {
	var b strings.Builder
	say := func(line string) {
		b.WriteString(line)
		fmt.Fprint(stdout, line)
	}
	say("| workload | seconds | hit of the defaults | of the best set | defaults, % of the best | | slowdown of the defaults, % | of the fastest set, % | moved, GiB | by the fastest set | the set with the best hit |\n")
	say("|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, w := range ws {
		runs := 0
		best, err := tune.BestOf(ctx, tune.Case{Workload: w, Machine: sim.TwoTiers(w.Fast)}, config.Default(), tuneSets, seeds, func() {
			if runs++; runs%20 == 0 {
				fmt.Fprintf(stderr, "sim: %s: %d runs\n", w.Name, runs)
			}
		})
		if err != nil {
			return "", fmt.Errorf("%s: %w", w.Name, err)
		}
		say(compared{w, best}.line())
	}
	return b.String(), nil
}

func (c compared) line() string {
	verdict, set := "ok", tune.Text(c.best.HitConfig)
	if c.ofBest() < 1-mostLost {
		verdict = "SHORT"
	}
	if c.best.Hit.Hit == c.best.Base.Hit {
		set = "the defaults"
	}
	return fmt.Sprintf("| %s | %.0f | %.4f | %.4f | %.2f | %s | %+.2f | %+.2f | %.2f | %.2f | %s |\n", c.workload.Name, c.workload.Seconds,
		c.best.Base.Hit, c.best.Hit.Hit, 100*c.ofBest(), verdict, 100*c.best.Base.Slowdown, 100*c.best.Fast.Slowdown,
		c.best.Base.Moved/(1<<30), c.best.Fast.Moved/(1<<30), set)
}
