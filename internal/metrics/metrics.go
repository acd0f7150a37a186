package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tierd/tierd/internal/status"
)

// Build is what tierd_build_info says.
type Build struct{ Version, Revision, GoVersion string }

// Metrics is all that a scrape shows of tierd. It observes epochs and reads the rest from a board.
type Metrics struct {
	board *status.Board
	build Build
	table []Definition
	descs []*prometheus.Desc // one for each of table; nil for that of epochs
	epoch prometheus.Histogram
}

var _ prometheus.Collector = (*Metrics)(nil)

// New returns the metrics of what is shown on the board.
func New(board *status.Board, build Build) *Metrics {
	m := &Metrics{board: board, build: build, table: Definitions()}
	for _, d := range m.table {
		var desc *prometheus.Desc
		if d.Type == Histogram && natives[d.Name] == nil {
			m.epoch = prometheus.NewHistogram(prometheus.HistogramOpts{
				Name: d.Name, Help: d.Help,
				Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
				// Native buckets for who can read them; 10 % wide, bounded.
				NativeHistogramBucketFactor:    1.1,
				NativeHistogramMaxBucketNumber: 100,
			})
		} else {
			desc = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
		}
		m.descs = append(m.descs, desc)
	}
	return m
}

// ObserveEpoch notes how long an epoch took.
func (m *Metrics) ObserveEpoch(seconds float64) { m.epoch.Observe(seconds) }

// Registry returns a registry with these metrics and those of the Go runtime and the process.
func (m *Metrics) Registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Describe implements prometheus.Collector.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		if d != nil {
			ch <- d
		}
	}
	m.epoch.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	var v *view
	if s := m.board.Load(); s != nil {
		v = newView(s)
	}
	for i, d := range m.table {
		emit := func(value float64, labels ...string) {
			for j := range labels {
				labels[j] = strings.ToValidUTF8(labels[j], "?")
			}
			kind := prometheus.GaugeValue
			if d.Type == Counter {
				kind = prometheus.CounterValue
			}
			c, err := prometheus.NewConstMetric(m.descs[i], kind, value, labels...)
			if err != nil {
				c = prometheus.NewInvalidMetric(m.descs[i], err)
			}
			ch <- c
		}
		switch {
		case natives[d.Name] != nil:
			if v != nil {
				natives[d.Name](v, func(h status.Histogram, labels ...string) {
					c, err := prometheus.NewConstNativeHistogram(m.descs[i], h.Count, h.Sum, h.Buckets, nil, 0, 0, 0, v.StartedAt, labels...)
					if err != nil {
						c = prometheus.NewInvalidMetric(m.descs[i], err)
					}
					ch <- c
				})
			}
		case d.Type == Histogram:
			m.epoch.Collect(ch)
		case d.read == nil:
			emit(1, m.build.Version, m.build.Revision, m.build.GoVersion)
		case v != nil:
			d.read(v, emit)
		}
	}
}
