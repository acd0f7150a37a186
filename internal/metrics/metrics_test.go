package metrics_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/metrics"
	"github.com/tierd/tierd/internal/status"
)

var build = metrics.Build{Version: "1.2.3", Revision: "0123456789ab", GoVersion: "go1.26"}

// picture is a machine of three tiers with two workloads.
func picture() *status.Status {
	gain, local := 2e-6, 0.9
	cost, pressure, payback := 1.5e-6, 0.02, 1.75
	return &status.Status{
		SchemaVersion: status.SchemaVersion,
		Time:          time.Unix(1_700_000_100, 500e6),
		Mode:          status.Enforce,
		StartedAt:     time.Unix(1_700_000_000, 0),
		Epoch:         status.Epoch{Number: 42, Seconds: 0.02},
		Machine: status.Machine{
			Tiers: []status.Tier{{Name: "hbm", Rank: 0, Nodes: []int{1}}, {Name: "dram", Rank: 1, Nodes: []int{0}}, {Name: "cxl", Rank: 2, Nodes: []int{2}}},
			Nodes: []status.Node{
				{ID: 0, Tier: "dram", SizeBytes: 384 << 20, FreeBytes: 100 << 20, ReserveBytes: 8 << 20},
				{ID: 1, Tier: "hbm", SizeBytes: 128 << 20, FreeBytes: 3 << 20, ReserveBytes: 2 << 20, KernelPagesTotal: map[string]uint64{"numa_hit": 900, "pgdemote_kswapd": 3, "from the future": 1}},
				{ID: 2, Tier: "cxl", SizeBytes: 2 << 30, FreeBytes: 1 << 30},
				{ID: 7, SizeBytes: 80 << 30, FreeBytes: 80 << 30},
			},
		},
		Sources: []status.Source{{Name: "page-table", Available: true}, {Name: "damon", Reason: "not built in"}},
		Sampler: status.Sampler{
			Boundaries: []status.Boundary{{Tier: "hbm", AccessesPerSecond: 120, WindowSeconds: 0.02}, {Tier: "dram", AccessesPerSecond: 3, WindowSeconds: 0.4}},
			Regions:    512, Mappings: 40, SamplesTotal: 9000, TornTotal: 3, CPUSecondsTotal: 1.25, CPUBudget: 0.03,
		},
		Workloads: []status.Workload{
			{
				Split: &status.Split{SplitsTotal: 24, RefusedTotal: 1, GainRatio: &gain}, Name: "train", Mode: status.Enforce, Processes: 2,
				ResidentBytes:  map[string]uint64{"hbm": 120 << 20, "dram": 200 << 20, "cxl": 700 << 20},
				ElsewhereBytes: 4096, ImmovableBytes: 1 << 20, BoundBytes: 2 << 20, SharedBytes: 3 << 20,
				AccessesPerSecond:  map[string]float64{"hbm": 900, "dram": 50, "cxl": 50},
				PromotedBytesTotal: 10 << 20, DemotedBytesTotal: 5 << 20,
				OutcomesTotal:   map[string]uint64{"moved": 3840, "busy": 7, "other": 1, "from the future": 2},
				Vetoes:          map[string]uint64{"payback": 512},
				HintFaultsTotal: 30, LocalHintFaultsTotal: 10,
				LocalRatio: &local, GroupBytes: map[string]map[string]uint64{"anon": {"hbm": 1 << 20, "cxl": 3 << 20}, "from the future": {"hbm": 1}},
				NUMAFaults: map[int]uint64{0: 40, 1: 2, 99: 1},
				Breaker:    status.Breaker{State: "open", UndoneRatio: 0.75, TripsTotal: 2, PressureRatio: &pressure},
			},
			{Name: "idle", Mode: status.Observe, PlannedPromotedBytesTotal: 4096},
		},
		Migrate: status.Migrate{
			RateBytesPerSecond: 1 << 30, CostPerPageSeconds: &cost, MovedBytesTotal: 15 << 20, BusySecondsTotal: 0.5, WaitedSecondsTotal: 2,
			CallsTotal: 90, SlowCallsTotal: 1, BatchPages: 1024, HeldRegions: 2,
		},
		Thrash: status.Thrash{
			Separation: 3.5, BudgetRatio: 0.25, WasteRatio: 0.003, PressureRatio: &pressure, LeastPayback: &payback, PendingPromotions: 12,
			PaidTotal: 900, WastedTotal: 40, UndoneTotal: 30, PingPongsTotal: 35, SecondsTotal: 1.5, WastedSecondsTotal: 0.0625,
			Settings: status.ThrashSettings{Separation: 2.5, Payback: 1.5, MaxWaste: 0.002, WindowSeconds: 60, Breaker: 0.5, PSI: 0.1},
		},
		SecondMover: "the kernel's NUMA balancing is on",
		Host: &status.Host{
			MovedBytesTotal: map[string]uint64{"tierd": 15 << 20, "numa_balancing": 1 << 20, "demotion": 4096, "other": 8192},
			HintFaultsTotal: 300, LocalHintFaultsTotal: 100,
			FailedBytesTotal: map[string]uint64{"tierd": 4096},
			MoveSeconds:      map[string]status.Histogram{"tierd": {Count: 3, Sum: 0.02, Buckets: map[int]int64{-8: 2, -6: 1}}},
		},
		Record: status.Record{
			Dir: "/var/lib/tierd/recordings", SizeBytes: 256 << 20, SegmentBytes: 8 << 20, Bytes: 30 << 20, Segments: 4,
			OldestAt: time.Unix(1_699_990_000, 0), FramesTotal: 40_000, LeftOutTotal: 300, LostTotal: 7, ErrorsTotal: 2, Listeners: 1, ListenersLostTotal: 5,
		},
		Config:     status.Config{LoadedAt: time.Unix(1_700_000_000, 0), LastReloadOK: true, ReloadsTotal: 3},
		DropsTotal: map[status.Drop]uint64{status.DropStale: 5, "from the future": 1},
	}
}

func page(t testing.TB, s *status.Status, epochs ...float64) string {
	t.Helper()
	var b status.Board
	if s != nil {
		b.Publish(s)
	}
	m := metrics.New(&b, build)
	for _, e := range epochs {
		m.ObserveEpoch(e)
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(m)
	return scrape(t, r)
}

func scrape(t testing.TB, r *prometheus.Registry) string {
	t.Helper()
	rec := httptest.NewRecorder()
	metrics.Handler(r, slog.New(slog.DiscardHandler)).ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("scrape: %d %s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func TestPage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		s      *status.Status
		epochs []float64
	}{
		{"page", picture(), []float64{0.002, 0.02, 0.3}},
		{"start", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := page(t, tt.s, tt.epochs...)
			golden.Check(t, "testdata/"+tt.name+".prom", got)
			problems, err := promlint.New(strings.NewReader(got)).Lint()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		})
	}
}

// TestTable holds the page to the table: nothing is missing, nothing is beside it.
func TestTable(t *testing.T) {
	defs := metrics.Definitions()
	names := map[string]bool{}
	for i, d := range defs {
		names[d.Name] = true
		if i > 0 && defs[i-1].Name >= d.Name {
			t.Errorf("%s stands after %s", d.Name, defs[i-1].Name)
		}
		if !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: help is no sentence: %q", d.Name, d.Help)
		}
	}
	text := page(t, picture(), 1)
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ := strings.Cut(rest, " ")
			if !names[name] {
				t.Errorf("%s is not in the table", name)
			}
			delete(names, name)
		}
	}
	for name := range names {
		t.Errorf("%s is not on the page", name)
	}
}

func TestManyWorkloads(t *testing.T) {
	s := picture()
	s.Workloads = nil
	for i := range 1000 {
		s.Workloads = append(s.Workloads, status.Workload{
			Name: fmt.Sprintf("w%03d", i), Processes: 1, PromotedBytesTotal: 10,
			AccessesPerSecond: map[string]float64{"hbm": 3, "cxl": 1},
		})
	}
	text := page(t, s)
	labels := map[string]bool{}
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, `workload="`); ok {
			name, _, _ := strings.Cut(rest, `"`)
			labels[name] = true
		}
	}
	if len(labels) != metrics.MaxWorkloads+1 || !labels["other"] || !labels["w099"] || labels["w100"] {
		t.Errorf("%d labels", len(labels))
	}
	for _, want := range []string{
		`tierd_workload_processes{workload="other"} 900`,
		`tierd_workload_promoted_bytes_total{workload="other"} 9000`,
		`tierd_workload_hit_ratio{tier="hbm",workload="other"} 0.75`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
}

// TestHostileNames: names that a person chose cannot break the page.
func TestHostileNames(t *testing.T) {
	s := picture()
	s.Workloads = []status.Workload{{Name: "a\"\n\\\xff"}, {Name: "other"}, {Name: "other"}}
	s.Machine.Tiers[0].Name = "\xffhbm"
	if text := page(t, s); !strings.Contains(text, `tierd_workload_processes{workload="a\"\n\\?"} 0`) {
		t.Error(text)
	}
}

func TestDocs(t *testing.T) {
	golden.Check(t, "../../docs/metrics.md", metrics.Document())
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	list, err := metrics.Listen(ctx, "127.0.0.1:0")
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	addr := list[0].Addr().String()
	var b status.Board
	b.Publish(picture())
	done := make(chan error, 1)
	go func() {
		done <- metrics.Serve(ctx, list, metrics.Handler(metrics.New(&b, build).Registry(), slog.New(slog.DiscardHandler)))
	}()
	for path, want := range map[string]string{"/metrics": "tierd_epochs_total 42\n", "/": "/metrics"} {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s: no %q in %.200s", path, want, body)
		}
	}
	resp, err := http.Post("http://"+addr+"/metrics", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still listening")
	}
}

func TestListenNothing(t *testing.T) {
	if list, err := metrics.Listen(t.Context(), ""); err != nil || len(list) != 0 {
		t.Error(list, err)
	}
}

func BenchmarkScrape(b *testing.B) {
	s := picture()
	w := s.Workloads[0]
	s.Workloads = nil
	for i := range 100 {
		w.Name = fmt.Sprint("w", i)
		s.Workloads = append(s.Workloads, w)
	}
	var board status.Board
	board.Publish(s)
	r := metrics.New(&board, build).Registry()
	h := metrics.Handler(r, slog.New(slog.DiscardHandler))
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil))
	}
}
