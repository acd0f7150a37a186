// Package metrics serves tierd's metrics to Prometheus.
//
// One table of definitions ([Definitions]) feeds the registration, docs/metrics.md, the golden page and the
// lint. Values are read from the [status.Board] when somebody scrapes; only the histogram
// of the epochs is kept here.
//
// # Invariants
//
//   - Labels come from closed sets: the nodes and tiers of the machine, the names in the code, and the first
//     [MaxWorkloads] workloads of the configuration; what is beyond is summed up as "other". No process number, no
//     address.
//   - Every series of a closed set is there from the first picture on, with 0.
//   - What was only planned has names of its own.
//   - A scrape does no work on the host and takes no lock of the loop.
//
// # Concurrency
//
// A [Metrics] may be used by many goroutines.
package metrics
