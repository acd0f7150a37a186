package tune

import (
	"fmt"
	"math"
	"slices"

	"github.com/tierd/tierd/config"
)

// Quantity is something that a Prometheus server is asked for. The answer is one
// number.
type Quantity struct {
	// Name is what rules call it; Metrics are those that it is made of.
	Name    string
	Metrics []string
	// Query is PromQL; %[1]s is how far to look back and %[2]s selects workloads.
	Query string
	// Help says what it is, with its unit.
	Help string
}

// Quantities are all that rules are made of.
func Quantities() []Quantity {
	return []Quantity{
		{"steered", []string{"tierd_thrash_separation", "tierd_thrash_setting"},
			`avg(avg_over_time((tierd_thrash_separation > bool on (instance, job) (1.02 * max by (instance, job) (tierd_thrash_setting{key="separation"})))[%[1]s:1m]))`,
			"part of the time in which a separation above the configured one was in force"},
		{"separation", []string{"tierd_thrash_separation"}, `max(avg_over_time(tierd_thrash_separation[%[1]s]))`,
			"mean separation in force, of the host with the highest"},
		{"least_payback", []string{"tierd_thrash_payback_least_ratio"}, `min(quantile_over_time(0.1, tierd_thrash_payback_least_ratio[%[1]s]))`,
			"least benefit over cost of a plan's promotions, the lowest tenth of the time"},
		{"waste", []string{"tierd_thrash_waste_ratio"}, `max(avg_over_time(tierd_thrash_waste_ratio[%[1]s]))`,
			"mean waste, seconds per second, of the host with the highest"},
		{"budget", []string{"tierd_thrash_budget_ratio"}, `min(avg_over_time(tierd_thrash_budget_ratio[%[1]s]))`,
			"mean part of the budget in force, of the host with the lowest"},
		{"wasted", []string{"tierd_promotions_wasted_seconds_total", "tierd_promotions_seconds_total"},
			`sum(increase(tierd_promotions_wasted_seconds_total[%[1]s])) / (sum(increase(tierd_promotions_seconds_total[%[1]s])) > 0)`,
			"part of the promotions' cost that was wasted"},
		{"judged", []string{"tierd_promotions_paid_total", "tierd_promotions_wasted_total"},
			`sum(increase(tierd_promotions_paid_total[%[1]s])) + sum(increase(tierd_promotions_wasted_total[%[1]s]))`,
			"promotions of which is known whether they paid"},
		{"undone", []string{"tierd_promotions_undone_total"}, `sum(increase(tierd_promotions_undone_total[%[1]s]))`,
			"promotions undone within the window before they had paid"},
		{"ping_pongs", []string{"tierd_thrash_ping_pongs_total"}, `sum(increase(tierd_thrash_ping_pongs_total[%[1]s]))`,
			"moves that undo another within the window, paid or not"},
		{"undone_high", []string{"tierd_workload_undone_ratio"}, `max(quantile_over_time(0.95, tierd_workload_undone_ratio{%[2]s}[%[1]s]))`,
			"undone share of moves, the highest twentieth of the time, of the worst workload"},
		{"trips", []string{"tierd_workload_breaker_trips_total"}, `sum(increase(tierd_workload_breaker_trips_total{%[2]s}[%[1]s]))`,
			"times that breakers opened"},
		{"hit", []string{"tierd_workload_hit_ratio"}, `avg(avg_over_time(max by (instance, workload) (tierd_workload_hit_ratio{%[2]s})[%[1]s:1m]))`,
			"mean hit ratio of the tier that serves most"},
		{"veto_separation", []string{"tierd_workload_vetoed_pages"}, `sum(avg_over_time(tierd_workload_vetoed_pages{reason="separation",%[2]s}[%[1]s])) * 4096`,
			"bytes held back by rule separation, on average"},
		{"veto_payback", []string{"tierd_workload_vetoed_pages"}, `sum(avg_over_time(tierd_workload_vetoed_pages{reason="payback",%[2]s}[%[1]s])) * 4096`,
			"bytes held back by rule payback, on average"},
		{"veto_budget", []string{"tierd_workload_vetoed_pages"}, `sum(avg_over_time(tierd_workload_vetoed_pages{reason="budget",%[2]s}[%[1]s])) * 4096`,
			"bytes held back by rule budget, on average"},
		{"resident", []string{"tierd_workload_resident_bytes"}, `sum(avg_over_time(tierd_workload_resident_bytes{%[2]s}[%[1]s]))`,
			"resident bytes of the workloads, on average"},
		{"pressed", []string{"tierd_pressure_ratio", "tierd_thrash_setting"},
			`max(avg_over_time((tierd_pressure_ratio > bool on (instance, job) max by (instance, job) (tierd_thrash_setting{key="psi"}))[%[1]s:1m]))`,
			"part of the time in which pressure stops moves, of the host with the most"},
		{"pressure", []string{"tierd_pressure_ratio"}, `max(quantile_over_time(0.9, tierd_pressure_ratio[%[1]s]))`,
			"memory pressure, the highest tenth of the time"},
		{"waiting", []string{"tierd_migrate_wait_seconds_total"}, `max(rate(tierd_migrate_wait_seconds_total[%[1]s]))`,
			"part of the time that moves wait for the rate limit, of the host with the most"},
		{"moving", []string{"tierd_migrate_call_seconds_total"}, `max(rate(tierd_migrate_call_seconds_total[%[1]s]))`,
			"part of the time spent in calls that move, of the host with the most"},
		{"moved", []string{"tierd_migrate_moved_bytes_total"}, `sum(increase(tierd_migrate_moved_bytes_total[%[1]s]))`,
			"bytes moved"},
	}
}

// Rule turns a key by what a server tells.
type Rule struct {
	// Key is what it turns.
	Key string
	// Needs are the quantities that it looks at.
	Needs []string
	// When, Turn and Effect say in words what the functions do.
	When, Turn, Effect string
	// turn is the other value; false: the present one is right.
	turn func(q map[string]float64, now float64) (float64, bool)
	// effect says what is to be expected, in numbers.
	effect func(q map[string]float64, now, then float64) string
}

// leastJudged is from how many promotions on a share of them means something.
const leastJudged = 100

const gib = 1 << 30

// Rules are applied in this order; of those for a key the first that turns it counts.
func Rules() []Rule {
	return []Rule{
		{
			Key: "separation", Needs: []string{"steered", "separation", "wasted", "judged"},
			When:   "above the configured one in force for more than 25 % of the time, more than 10 % of the cost wasted, 100 promotions judged",
			Turn:   "up to the mean in force, at most by 1.5",
			Effect: "what is wasted until the separation has risen is saved: at most the wasted part, times the part of the time steered",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return min(q["separation"], now+1.5), q["steered"] > 0.25 && q["wasted"] > 0.1 && q["judged"] >= leastJudged && q["separation"] > now
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("up to %.2g %% of the promotions' cost is saved; the hit ratio may fall where sure moves come later", 100*q["wasted"]*q["steered"])
			},
		},
		{
			Key: "separation", Needs: []string{"steered", "wasted", "judged", "veto_separation", "resident"},
			When:   "hardly ever steered (under 1 % of the time), under 1 % of the cost wasted, and the rule holds back more than 5 % of the resident bytes; 100 promotions judged",
			Turn:   "down by 0.3",
			Effect: "part of what is held back moves: at most half of it",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return now - 0.3, q["steered"] < 0.01 && q["wasted"] < 0.01 && q["judged"] >= leastJudged && q["veto_separation"] > 0.05*q["resident"]
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("at most %.3g GiB more is promoted, once, and the waste stays below [thrash] max_waste", q["veto_separation"]/2/gib)
			},
		},
		{
			Key: "payback", Needs: []string{"wasted", "judged", "least_payback"},
			When:   "more than 20 % of the cost wasted, 100 promotions judged, and plans go down to less than 1.5 times the configured payback",
			Turn:   "up by a half, at most to 4",
			Effect: "promotions that were barely worth it are left out; of what is wasted a third, if benefits are spread evenly",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return min(1.5*now, 4), q["wasted"] > 0.2 && q["judged"] >= leastJudged && q["least_payback"] < 1.5*now && now < 4
			},
			effect: func(q map[string]float64, now, then float64) string {
				return fmt.Sprintf("about %.2g %% of the promotions' cost is saved", 100*q["wasted"]*(1-now/then))
			},
		},
		{
			Key: "payback", Needs: []string{"wasted", "judged", "veto_payback", "resident"},
			When:   "under 1 % of the cost wasted, 100 promotions judged, and the rule holds back more than 5 % of the resident bytes",
			Turn:   "down by a fifth",
			Effect: "part of what is held back moves: a fifth of it, if benefits are spread evenly",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return 0.8 * now, q["wasted"] < 0.01 && q["judged"] >= leastJudged && q["veto_payback"] > 0.05*q["resident"]
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("about %.3g GiB more is promoted", q["veto_payback"]/5/gib)
			},
		},
		{
			Key: "max_waste", Needs: []string{"budget", "wasted", "judged", "waste"},
			When:   "under 70 % of the budget in force on average, though under 10 % of the cost is wasted; 100 promotions judged",
			Turn:   "to twice the mean waste, at least up by a half, at most to twice",
			Effect: "the budget stays whole while most promotions pay",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return min(max(2*q["waste"], 1.5*now), 2*now), q["budget"] < 0.7 && q["wasted"] < 0.1 && q["judged"] >= leastJudged
			},
			effect: func(q map[string]float64, _, then float64) string {
				return fmt.Sprintf("up to %.2g times as many bytes may move; at worst %.2g %% of the time is wasted", 1/max(q["budget"], 0.1), 100*then)
			},
		},
		{
			Key: "breaker", Needs: []string{"trips", "wasted", "judged"},
			When:   "breakers opened, though under 10 % of the cost is wasted; 100 promotions judged",
			Turn:   "up by 15 points",
			Effect: "fewer of the trips; moves go on that pay",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return now + 0.15, q["trips"] >= 1 && q["wasted"] < 0.1 && q["judged"] >= leastJudged
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("fewer than the %.0f trips; each stops a workload's moves for half a minute at least", q["trips"])
			},
		},
		{
			Key: "breaker", Needs: []string{"trips", "wasted", "judged", "undone_high"},
			When:   "no trip, though more than 30 % of the cost is wasted and the undone share is often above 20 %; 100 promotions judged",
			Turn:   "to three quarters of that undone share, at least 20 %",
			Effect: "the worst workload's moves stop when most are undone",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				then := max(0.75*q["undone_high"], 0.2)
				return then, q["trips"] < 1 && q["wasted"] > 0.3 && q["undone_high"] > 0.2 && q["judged"] >= leastJudged && then < now
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("up to %.2g %% of the promotions' cost is saved while a breaker is open", 100*q["wasted"])
			},
		},
		{
			Key: "window", Needs: []string{"ping_pongs", "undone", "judged"},
			When:   "more than ten ping-pongs for each that was undone before it had paid, and as many as a tenth of the promotions judged; 100 of those",
			Turn:   "to a half",
			Effect: "moves that had paid before they were undone are no ping-pongs any more",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return now / 2, q["ping_pongs"] > 10*q["undone"] && q["ping_pongs"] > q["judged"]/10 && q["judged"] >= leastJudged
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("fewer than the %.0f ping-pongs are counted, and fewer regions rest after a move", q["ping_pongs"])
			},
		},
		{
			Key: "psi", Needs: []string{"pressed", "pressure"},
			When:   "pressure stops moves for more than 20 % of the time",
			Turn:   "up to the pressure of the highest tenth of the time, at most to twice",
			Effect: "moves go on for most of the time in which they are stopped now",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return min(q["pressure"], 2*now), q["pressed"] > 0.2 && q["pressure"] > now
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("moves may go on in up to %.2g %% more of the time; they compete with what waits for memory", 100*max(q["pressed"]-0.1, 0))
			},
		},
		{
			Key: "rate", Needs: []string{"moving"},
			When:   "calls that move take more than 10 % of the time",
			Turn:   "to a half",
			Effect: "moves take less of the processor and of the memory's bandwidth, and come later",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return now / 2, q["moving"] > 0.1
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("calls take %.2g %% of the time instead of %.2g %%, if the limit binds", 50*q["moving"], 100*q["moving"])
			},
		},
		{
			Key: "rate", Needs: []string{"waiting", "moving", "wasted", "veto_budget"},
			When:   "moves wait for the limit for more than 10 % of the time, calls take under 5 %, under 10 % of the cost is wasted, and the rule budget holds something back",
			Turn:   "to twice",
			Effect: "hot memory arrives earlier after a start or a shift",
			turn: func(q map[string]float64, now float64) (float64, bool) {
				return 2 * now, q["waiting"] > 0.1 && q["moving"] < 0.05 && q["wasted"] < 0.1 && q["veto_budget"] > 0
			},
			effect: func(q map[string]float64, _, _ float64) string {
				return fmt.Sprintf("moves wait for about %.2g %% of the time instead of %.2g %%; calls take up to %.2g %%", 50*q["waiting"], 100*q["waiting"], 200*q["moving"])
			},
		},
	}
}

// apply tries a key's rules on what a server told. Missing says what it did not.
func apply(k Key, c *config.Config, q map[string]float64) (p *Proposal, r *Rule, missing []string) {
	now := k.Get(c)
	for _, r := range Rules() {
		if r.Key != k.Name {
			continue
		}
		var lacks []string
		for _, name := range r.Needs {
			if v, ok := q[name]; !ok || math.IsNaN(v) || math.IsInf(v, 0) {
				lacks = append(lacks, name)
			}
		}
		if lacks != nil {
			for _, name := range lacks {
				if !slices.Contains(missing, name) {
					missing = append(missing, name)
				}
			}
			continue
		}
		v, ok := r.turn(q, now)
		if !ok {
			continue
		}
		then := clone(c)
		k.Set(then, v)
		// A value beyond the bounds does not come back within them the other way round.
		if moved := k.Get(then); moved == now || (moved > now) != (v > now) {
			continue
		}
		return &Proposal{
			Key: k, From: k.Text(c), To: k.Text(then), Effect: r.effect(q, now, k.Get(then)),
		}, &r, nil
	}
	return nil, nil, missing
}
