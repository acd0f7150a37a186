package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// SocketName is the name under which systemd passes the metrics socket (FileDescriptorName=).
const SocketName = "metrics"

// Listen returns what metrics are served on: the sockets that systemd passed under [SocketName], else a
// socket at addr, else nothing. It takes over every descriptor that systemd passed, so call it once.
func Listen(ctx context.Context, addr string) ([]net.Listener, error) {
	passed, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("metrics: sockets from systemd: %w", err)
	}
	list := passed[SocketName]
	for name, others := range passed {
		if name != SocketName {
			for _, l := range others {
				l.Close()
			}
		}
	}
	if len(list) > 0 || addr == "" {
		return list, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return []net.Listener{l}, nil
}

// Handler serves /metrics, and a word about it at /.
func Handler(r *prometheus.Registry, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:            errorLog{log},
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
		EnableOpenMetrics:   true,
	}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "tierd: memory tiering daemon\n/metrics has the metrics; tierd status shows them to a person\n")
	})
	return mux
}

// errorLog lets promhttp speak to the log.
type errorLog struct{ log *slog.Logger }

func (e errorLog) Println(v ...any) { e.log.Warn("scrape failed", "error", fmt.Sprint(v...)) }

// Serve serves h until ctx ends. It closes the listeners.
func Serve(ctx context.Context, listeners []net.Listener, h http.Handler) error {
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          discard(),
	}

	g, ctx := errgroup.WithContext(ctx)
	for _, l := range listeners {
		g.Go(func() error {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("metrics: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		// A scrape in progress is not worth waiting for: the next one reads the same counters.
		return s.Close()
	})
	return g.Wait()
}

// discard is a log for what is no news: clients that break off.
func discard() *log.Logger { return log.New(io.Discard, "", 0) }
