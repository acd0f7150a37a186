package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/sim"
	"github.com/tierd/tierd/internal/tune"
)

// simulated is the JSON form of a comparison.
type simulated struct {
	SchemaVersion int          `json:"schema_version"`
	Workload      string       `json:"workload"`
	Seconds       float64      `json:"seconds"`
	Seeds         int          `json:"seeds"`
	Contenders    []contending `json:"contenders"`
}

// contending is what one contender came to.
type contending struct {
	Name          string  `json:"name"`
	HitRatio      float64 `json:"hit_ratio"`
	OfOracleRatio float64 `json:"of_oracle_ratio"`
	// TierRatios are the shares of the accesses that the tiers served, the fastest first.
	TierRatios            []float64 `json:"tier_ratios"`
	MovedBytes            float64   `json:"moved_bytes"`
	SettledBytesPerMinute float64   `json:"settled_bytes_per_minute"`
	WastedRatio           float64   `json:"wasted_ratio"`
	PingPongs             float64   `json:"ping_pongs"`
	BreakerTrips          float64   `json:"breaker_trips"`
	SlowdownRatio         float64   `json:"slowdown_ratio"` // below 0: faster than with nothing moved
	// SettleSeconds has the start and each event; null where 95 % of the oracle never came.
	SettleSeconds []*float64 `json:"settle_seconds"`
	// CPU in cores.
	SamplingCPU float64 `json:"sampling_cpu"`
	MovingCPU   float64 `json:"moving_cpu"`
}

func (a *app) simulate() *cobra.Command {
	cmd := command("simulate [FILE|DIR]", "Try policies on a model of memory", helpSimulate, cobra.MaximumNArgs(1), nil)
	cmd.ValidArgsFunction = nil // files
	out := output(cmd)
	var name, picture string
	var policies []string
	var seeds int
	var seconds float64
	var baselines bool
	flags := cmd.Flags()
	flags.StringVar(&name, "workload", "help", "")
	flags.StringArrayVar(&policies, "policy", nil, "")
	flags.IntVar(&seeds, "seeds", 1, "")
	flags.Float64Var(&seconds, "seconds", 0, "")
	flags.BoolVar(&baselines, "baselines", false, "")
	flags.StringVar(&picture, "picture", "", "")
	_ = cmd.RegisterFlagCompletionFunc("workload", cobra.FixedCompletions(workloadNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("policy", "toml")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && flags.Changed("workload") {
			return &failure{err: errors.New("simulate: want a recording or --workload, not both"), code: exitUsage}
		}
		if len(args) == 0 && name == "help" {
			return a.listWorkloads()
		}
		if seeds < 1 || seeds > 1000 || !(seconds >= 0 && seconds <= 1e6) {
			return &failure{err: errors.New("simulate: want 1 to 1000 seeds and at most 1000000 seconds"), code: exitUsage}
		}
		contenders, err := contenders(policies, baselines)
		if err != nil {
			return err
		}
		w, machine, err := a.simulatedWorkload(args, name)
		if err != nil {
			return err
		}
		if seconds > 0 {
			w = w.Lasting(seconds)
		}
		list := make([]uint64, seeds)
		for i := range list {
			list[i] = uint64(i + 1)
		}
		rate := config.Default().Migrate.Rate.BytesPerSecond()
		sums, err := sim.Compare(cmd.Context(), machine, w, rate, contenders, list)
		if err != nil {
			return err
		}
		if picture != "" {
			if err := drawRuns(picture, w.Name, sums); err != nil {
				return fmt.Errorf("picture: %w", err)
			}
		}
		answer := simulated{SchemaVersion: 1, Workload: w.Name, Seconds: w.Seconds, Seeds: seeds}
		for _, s := range sums {
			answer.Contenders = append(answer.Contenders, contendingOf(s))
		}
		if out.json() {
			return a.printJSON(answer)
		}
		a.drawSimulated(&answer)
		return nil
	}
	return cmd
}

// simulatedWorkload is that of a recording, or a built-in one, and its machine.
func (a *app) simulatedWorkload(files []string, name string) (sim.Workload, sim.Machine, error) {
	if len(files) > 0 {
		return a.recordedWorkload(files[0])
	}
	all := sim.Workloads()
	i := slices.IndexFunc(all, func(w sim.Workload) bool { return w.Name == name })
	if i < 0 {
		return sim.Workload{}, sim.Machine{}, &failure{
			err: fmt.Errorf("unknown workload %q", name), hint: "tierd simulate --workload help lists them", code: exitUsage,
		}
	}
	return all[i], sim.TwoTiers(all[i].Fast), nil
}

// recordedWorkload is that of a recording. Where it breaks off, what comes before is
// simulated, with a warning.
func (a *app) recordedWorkload(path string) (sim.Workload, sim.Machine, error) {
	f, err := record.Open(path)
	if err != nil {
		return sim.Workload{}, sim.Machine{}, unreadable(err)
	}
	defer f.Close()
	w, m, err := sim.FromRecording(f)
	if err != nil && w.Seconds == 0 {
		return w, m, unreadable(fmt.Errorf("%s: %w", path, err))
	}
	if err != nil {
		fmt.Fprintf(a.stderr, "tierd: warning: %s; simulating the %.0f s before\n", printable(err.Error()), w.Seconds)
	}
	w.Name = filepath.Base(path)
	return w, m, nil
}

func workloadNames() (names []string) {
	for _, w := range sim.Workloads() {
		names = append(names, w.Name)
	}
	return names
}

func (a *app) listWorkloads() error {
	var rows [][]string
	for _, w := range sim.Workloads() {
		rows = append(rows, []string{w.Name, w.About})
	}
	table(a.stdout, nil, rows)
	return nil
}

// contenders are those that all others are measured by, the baselines if wanted,
// and tierd with each policy.
func contenders(files []string, baselines bool) ([]sim.Contender, error) {
	all := sim.Baselines()
	if !baselines {
		all = all[:2]
	}
	if len(files) == 0 {
		return append(all, policyContender("tierd", config.Default())), nil
	}
	var problems config.Problems
	for _, file := range files {
		cfg, err := config.Load(file)
		var more config.Problems
		switch {
		case errors.As(err, &more):
			problems = append(problems, more...)
		case err != nil:
			return nil, explainLoad(file, err)
		default:
			all = append(all, policyContender(strings.TrimSuffix(filepath.Base(file), ".toml"), cfg))
		}
	}
	return all, problems.Err()
}

func policyContender(name string, cfg *config.Config) sim.Contender {
	return sim.Contender{Name: name, Rate: cfg.Migrate.Rate.BytesPerSecond(), New: func(sim.Future) sim.Placer {
		t := tune.Simulated(cfg)
		return &t
	}}
}

func contendingOf(s sim.Summary) contending {
	c := contending{
		Name: s.Contender, HitRatio: s.Hit, OfOracleRatio: s.OfOracle, MovedBytes: s.Moved, SettledBytesPerMinute: s.SettledPerMinute,
		WastedRatio: s.WastedShare, PingPongs: s.PingPongs, BreakerTrips: s.Trips, TierRatios: s.Tiers, SlowdownRatio: s.Slowdown,
	}
	for _, at := range s.Settle {
		if math.IsInf(at, 1) {
			c.SettleSeconds = append(c.SettleSeconds, nil) // JSON has no infinity
			continue
		}
		c.SettleSeconds = append(c.SettleSeconds, &at)
	}
	for _, r := range s.Runs {
		if n := len(r.Points); n > 0 {
			last := &r.Points[n-1]
			c.SamplingCPU += last.Sampling / last.Seconds / float64(len(s.Runs))
			c.MovingCPU += last.Moving / last.Seconds / float64(len(s.Runs))
		}
	}
	return c
}

func (a *app) drawSimulated(s *simulated) {
	rows := [][]string{{"policy", "hit", "by tier", "of oracle", "95 % after, s", "moved", "per minute", "wasted", "ping-pongs", "trips", "slowdown", "sampling", "moving"}}
	for i := range s.Contenders {
		c := &s.Contenders[i]
		var settle, tiers []string
		for _, share := range c.TierRatios {
			tiers = append(tiers, fmt.Sprintf("%.2f", share))
		}
		for _, at := range c.SettleSeconds {
			if at == nil {
				settle = append(settle, "never")
				continue
			}
			settle = append(settle, fmt.Sprintf("%.1f", *at))
		}
		percent := func(x float64) string { return fmt.Sprintf("%.1f %%", 100*x) }
		rows = append(rows, []string{
			oneLine(c.Name), fmt.Sprintf("%.3f", c.HitRatio), strings.Join(tiers, " "), percent(c.OfOracleRatio), strings.Join(settle, " "),
			bytesText(uint64(c.MovedBytes)), bytesText(uint64(c.SettledBytesPerMinute)), percent(c.WastedRatio),
			fmt.Sprintf("%.0f", c.PingPongs), fmt.Sprintf("%.0f", c.BreakerTrips), fmt.Sprintf("%+.1f %%", 100*c.SlowdownRatio), percent(c.SamplingCPU), percent(c.MovingCPU),
		})
	}
	right := map[int]bool{}
	for i := 1; i < len(rows[0]); i++ {
		right[i] = true
	}
	table(a.stdout, right, rows)
}

// drawRuns writes a picture into a file.
func drawRuns(path, workload string, sums []sim.Summary) error {
	data, err := runsPicture(workload, sums)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
