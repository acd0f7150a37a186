package metrics

import (
	"fmt"
	"strings"

	"github.com/tierd/tierd/internal/status"
)

// Document returns docs/metrics.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# Metrics

tierd serves these at ` + "`/metrics`" + ` of the address in ` + "`[metrics] listen`" + ` (127.0.0.1:9417 by default), beside those of the Go runtime
(` + "`go_*`" + `) and of its own process (` + "`process_*`" + `). This file is made from the table in internal/metrics: ` + "`go test ./internal/metrics -update`" + `.

| metric | type | labels | meaning |
|---|---|---|---|
`)
	for _, d := range Definitions() {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, d.Help)
	}
	b.WriteString("\n## Label values\n\nAll labels have closed sets of values; a series of each is there from the first epoch on, with 0.\n\n")
	list := func(what string, names []string) {
		fmt.Fprintf(&b, "- %s: `%s`.\n", what, strings.Join(names, "`, `"))
	}
	list("`outcome`", outcomes())
	list("`reason` of `tierd_drops_total`", append(drops(), other))
	list("`reason` of `tierd_workload_unmovable_bytes`", []string{reasonImmovable, reasonBound, reasonShared})
	list("`outcome` of `tierd_workload_splits_total`", []string{splitDone, splitRefused})
	list("`reason` of `tierd_workload_vetoed_pages`", append(vetoes(), other))
	list("`result`", recordResults())
	list("`key`", settings())
	list("`state`", status.BreakerStates())
	list("`counter`", status.NodeCounters())
	list("`kind`", status.GroupKinds())
	list("`source`", []string{"page-table", "hint-fault", "precise", "damon"})
	fmt.Fprintf(&b, "- `tier`: the names of the machine's tiers, and for nodes `%s`.\n", none)
	fmt.Fprintf(&b, "- `workload`: the first %d of the configuration; those beyond are summed up as `%s`.\n", MaxWorkloads, other)
	return b.String()
}
