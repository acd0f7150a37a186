package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/tune"
)

// tuning is the answer of tune. Its JSON form has a schema version.
type tuning struct {
	SchemaVersion int    `json:"schema_version"`
	Config        string `json:"config"` // the file; empty: the defaults
	// Now, Then and Effect are of all proposals together, absent where nothing was
	// tried.
	Now    *tune.Outcome `json:"now,omitempty"`
	Then   *tune.Outcome `json:"proposed,omitempty"`
	Effect *tune.Effect  `json:"effect,omitempty"`
	Runs   int           `json:"runs,omitempty"`
	// Measured is what a server answered.
	Measured  []tune.Measured `json:"measured,omitempty"`
	Proposals []proposed      `json:"proposals"`
	Kept      []kept          `json:"kept"`
	Diff      string          `json:"diff"`
}

// proposed is another value for a key.
type proposed struct {
	Key      string       `json:"key"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Alone    *tune.Effect `json:"alone,omitempty"`
	Effect   string       `json:"effect"`
	Evidence string       `json:"evidence"`
}

// kept is a key that should stay.
type kept struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// tuneFlags are what tune can be told.
type tuneFlags struct {
	workload, config, from, since, name string
	samples, refine, seeds              int
	seconds                             float64
}

func (a *app) tune() *cobra.Command {
	cmd := command("tune [FILE|DIR]", "Propose values for [thrash] and [migrate]", helpTune, cobra.MaximumNArgs(1), nil)
	cmd.ValidArgsFunction = nil // files
	out := output(cmd)
	var f tuneFlags
	flags := cmd.Flags()
	flags.StringVar(&f.workload, "workload", "", "")
	flags.StringVar(&f.config, "config", "", "")
	flags.StringVar(&f.from, "from", "", "")
	flags.StringVar(&f.since, "since", "7d", "")
	flags.StringVar(&f.name, "workload-name", "", "")
	flags.IntVar(&f.samples, "samples", 60, "")
	flags.IntVar(&f.refine, "refine", 24, "")
	flags.IntVar(&f.seeds, "seeds", 4, "")
	flags.Float64Var(&f.seconds, "seconds", 0, "")
	_ = cmd.RegisterFlagCompletionFunc("workload", cobra.FixedCompletions(workloadNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("config", "toml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(args); err != nil {
			return err
		}
		cfg, path, err := loadConfig(f.config)
		if err != nil {
			return err
		}
		var answer *tuning
		var proposals []tune.Proposal
		if f.from != "" {
			answer, proposals, err = f.ask(cmd.Context(), cfg)
		} else {
			answer, proposals, err = a.search(cmd.Context(), &f, args, cfg)
		}
		if err != nil {
			return err
		}
		answer.SchemaVersion, answer.Config = 1, path
		if answer.Diff, err = difference(path, proposals); err != nil {
			return err
		}
		if out.json() {
			return a.printJSON(answer)
		}
		w := bufio.NewWriter(a.stdout)
		drawTuning(w, answer)
		return w.Flush()
	}
	return cmd
}

// check holds the flags against each other.
func (f *tuneFlags) check(args []string) error {
	sources := len(args)
	for _, s := range []string{f.workload, f.from} {
		if s != "" {
			sources++
		}
	}
	usage := func(text, hint string) error {
		return &failure{err: errors.New(text), hint: hint, code: exitUsage}
	}
	switch {
	case sources != 1:
		return usage("tune: want one of FILE, --workload and --from", "tierd tune --help")
	case f.samples < 1 || f.samples > 10000 || f.refine < 0 || f.refine > 10000 || f.seeds < 2 || f.seeds > 100:
		return usage("tune: want 1 to 10000 samples, at most 10000 to refine and 2 to 100 seeds", "")
	case !(f.seconds >= 0 && f.seconds <= 1e6):
		return usage("tune: want at most 1000000 seconds", "")
	case f.name != "" && f.from == "":
		return usage("tune: --workload-name is for --from", "")
	}
	return nil
}

// ask lets a Prometheus server say how tierd fared.
func (f *tuneFlags) ask(ctx context.Context, cfg *config.Config) (*tuning, []tune.Proposal, error) {
	since, err := model.ParseDuration(f.since)
	if err != nil {
		return nil, nil, &failure{err: fmt.Errorf("tune: --since %.30q is no duration", f.since), hint: `say "7d" or "12h"`, code: exitUsage}
	}
	advice, err := tune.Advise(ctx, tune.Source{Address: f.from, Since: time.Duration(since), Workload: f.name}, cfg)
	if err != nil {
		return nil, nil, err
	}
	return &tuning{Measured: advice.Measured, Proposals: proposedOf(advice.Proposals), Kept: keptOf(advice.Kept)}, advice.Proposals, nil
}

// search tries values in simulated runs.
func (a *app) search(ctx context.Context, f *tuneFlags, args []string, cfg *config.Config) (*tuning, []tune.Proposal, error) {
	c, err := a.tuneCase(f, args)
	if err != nil {
		return nil, nil, err
	}
	runs := 0
	found, err := tune.Search(ctx, c, cfg, tune.Options{
		Samples: f.samples, Refine: f.refine, Seeds: f.seeds, Seed: 1,
		Ran: func() {
			if runs++; runs%10 == 0 {
				fmt.Fprintf(a.stderr, "tierd: tune: %d runs, of %d or a few more\n", runs, f.samples+f.refine+2*f.seeds+9)
			}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	t := &tuning{Now: &found.Now, Runs: found.Runs, Proposals: proposedOf(found.Proposals), Kept: keptOf(found.Kept)}
	if len(found.Proposals) > 0 {
		t.Then, t.Effect = &found.Then, &found.Effect
	}
	return t, found.Proposals, nil
}

// tuneCase is what values are tried on: a built-in workload, or a recording.
func (a *app) tuneCase(f *tuneFlags, args []string) (c tune.Case, err error) {
	c.Workload, c.Machine, err = a.simulatedWorkload(args, f.workload)
	if f.seconds > 0 {
		c.Workload = c.Workload.Lasting(f.seconds)
	}
	return c, err
}

// difference is what changes in the file; in one that is new if there is none.
func difference(path string, proposals []tune.Proposal) (string, error) {
	if len(proposals) == 0 {
		return "", nil
	}
	name, text := path, ""
	if path == "" {
		name = "tierd.toml"
	} else {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", explainLoad(path, err)
		}
		text = string(b)
	}
	_, diff, err := tune.Edit(printable(name), text, proposals)
	if errors.Is(err, tune.ErrLayout) {
		var values []string
		for _, p := range proposals {
			values = append(values, p.Key.String()+" = "+p.To)
		}
		return "", &failure{err: fmt.Errorf("%s: %w", name, err), hint: "set by hand: " + strings.Join(values, ", "), code: exitProblem}
	}
	return diff, err
}

func proposedOf(ps []tune.Proposal) []proposed {
	out := []proposed{}
	for _, p := range ps {
		out = append(out, proposed{p.Key.String(), p.From, p.To, p.Alone, p.Effect, p.Evidence})
	}
	return out
}

func keptOf(ks []tune.Kept) []kept {
	out := []kept{}
	for _, k := range ks {
		out = append(out, kept{k.Key.String(), k.Value, k.Why})
	}
	return out
}

// drawTuning writes the answer so that patch can read it: what is not the difference
// stands before it.
func drawTuning(w io.Writer, t *tuning) {
	outcome := func(name string, o *tune.Outcome) {
		fmt.Fprintf(w, "# %s: slowdown %+.2f %% (below 0: faster than with nothing moved), hit %.4f, moved %.2f GiB\n",
			name, 100*o.Slowdown, o.Hit, o.Moved/(1<<30))
	}
	if t.Now != nil {
		outcome("now", t.Now)
	}
	if t.Then != nil {
		outcome("proposed", t.Then)
		fmt.Fprintf(w, "# the difference, of pairs of runs: %s\n", t.Effect)
	}
	for _, m := range t.Measured {
		value := "no data"
		if m.Value != nil {
			value = fmt.Sprintf("%.4g", *m.Value)
		}
		fmt.Fprintf(w, "# %s: %s (%s)\n#   %s\n", m.Name, value, m.Help, oneLine(m.Query))
	}
	for _, p := range t.Proposals {
		fmt.Fprintf(w, "#\n# %s: %s instead of %s\n#   effect: %s\n#   evidence: %s\n", p.Key, p.To, p.From, oneLine(p.Effect), oneLine(p.Evidence))
	}
	fmt.Fprintln(w, "#")
	for _, k := range t.Kept {
		fmt.Fprintf(w, "# %s stays %s: %s\n", k.Key, k.Value, oneLine(k.Why))
	}
	if len(t.Proposals) == 0 {
		fmt.Fprintln(w, "# The present values are right, as far as this can tell: nothing to change.")
		return
	}
	fmt.Fprint(w, t.Diff)
}
