package tune

import (
	"fmt"
	"strings"
)

// Document returns docs/tuning.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Tuning

` + "`tierd tune`" + ` proposes values for ` + "`[thrash]` and `[migrate] rate`" + `. It writes nothing: the answer ends with a difference that patch takes, and that
` + "`tierd check`" + ` accepts once it is applied. ` + "`-o json`" + ` has the same for programs. This file is made from the tables in internal/tune:
` + "`go test ./internal/tune -update`" + `.

## From a recording

    tierd tune --config /etc/tierd/tierd.toml incident.rec > tune.diff
    cp /etc/tierd/tierd.toml new.toml && patch new.toml tune.diff && tierd check new.toml

The recording becomes a workload (see [simulation](simulation.md) for what that can and cannot tell), and values are tried on it: first all over the ranges below, evenly, then
near the best, then the best with other seeds. Keys whose change does nothing are put back. What is left is held against the present values in pairs of runs, with seeds
that had no part in the choice. It is proposed only if it saves time beyond what varies between pairs, with 95 % certainty, or as much time with a tenth fewer bytes moved.
Time is that of the accesses by the tiers' latencies, of the moves and of the sampling. Each key is also tried alone, and its evidence says what held tierd back before and after.

| key | tried from | to |
|---|---|---|
`)
	for _, k := range tried() {
		low, high := bounds(k)
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k, low, high)
	}
	b.WriteString(`
` + "`[thrash] psi`" + ` is not tried: memory pressure is not simulated. ` + "`--workload NAME`" + ` takes a built-in workload instead of a recording.

## From metrics

    tierd tune --from http://prometheus.example:9090 --since 7d --config /etc/tierd/tierd.toml

A Prometheus server is asked for these quantities, over the time of ` + "`--since`" + `. All are over the hosts that it knows; name a server that has hosts with one configuration.
` + "`--workload-name`" + ` narrows those that have a label for workloads. Nothing can be tried here, so rules turn one key at a time and by little: apply what is proposed, wait, and ask again. A quantity
without data means no proposal by the rules that need it, and the answer says so.

| quantity | meaning | query |
|---|---|---|
`)
	for _, q := range Quantities() {
		query := Source{Since: 7 * day}.query(q)
		fmt.Fprintf(&b, "| %s | %s | `%s` |\n", q.Name, q.Help, strings.ReplaceAll(query, "|", `\|`))
	}
	b.WriteString(`
Of the rules for a key, the first that applies counts.

| key | when | turned | expected |
|---|---|---|---|
`)
	for _, r := range Rules() {
		k, _ := KeyOf(r.Key)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k, r.When, r.Turn, r.Effect)
	}
	return b.String()
}
