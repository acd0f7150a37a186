package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/metrics"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/topology"
)

func (a *app) runCommand() *cobra.Command {
	cmd := command("run", "Run the daemon", helpRun, cobra.NoArgs, nil)
	var o runOptions
	cmd.Flags().StringVar(&o.file, "config", "", "")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "")
	cmd.Flags().BoolVar(&o.debug, "debug", false, "")
	_ = cmd.MarkFlagFilename("config", "toml")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context(), o) }
	return cmd
}

type runOptions struct {
	file          string
	dryRun, debug bool
}

// loop is what run needs of the daemon.
type loop interface {
	// Run blocks until ctx ends, or something makes it impossible to go on.
	Run(ctx context.Context) error
	// Reload hands over a configuration and does not wait.
	Reload(*config.Config)
}

var _ loop = (*daemon.Daemon)(nil)

// service is a daemon with all that is around its loop.
type service struct {
	o     runOptions
	log   *slog.Logger
	host  *hostfs.FS
	board status.Board
	tap   record.Tap
	start *config.Config // what the sockets and tiers were made from
	state status.Config
}

func (a *app) run(ctx context.Context, o runOptions) error {
	level := slog.LevelInfo
	if o.debug {
		level = slog.LevelDebug
	}
	s := &service{
		o: o, host: hostfs.New(""),
		log: slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level})),
	}
	return s.run(ctx)
}

// maxProcs is how many processors tierd's own code uses at once: one for the loop, and one for all that asks it
// something. With more of them the runtime's threads wake each other up to look for work that is not there.
const maxProcs = 2

func (s *service) run(ctx context.Context) error {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), maxProcs))
	}
	cfg, path, err := loadConfig(s.o.file)
	if err != nil {
		return err
	}
	machine, err := discover(s.host, cfg)
	if err != nil {
		return err
	}
	s.start = cfg
	now := time.Now()
	s.state = status.Config{LoadedAt: now, LastReloadOK: true, LastReloadAt: now}
	s.accepted(cfg, path)

	// From here on signals are ours: none may be lost between the sockets' making and removal.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	defer signal.Stop(signals)

	socket, err := control.Listen(ctx, cfg.Control.Socket.String())
	if err != nil {
		return listenFailure(err, "[control] socket")
	}
	defer socket.Close()
	listeners, err := metrics.Listen(ctx, cfg.Metrics.Listen.String())
	if err != nil {
		return listenFailure(err, "[metrics] listen")
	}
	b := thisBuild()
	m := metrics.New(&s.board, metrics.Build{Version: b.Version, Revision: b.Revision, GoVersion: b.Go})
	s.log.Info("starting", "version", b.Version, "config", path, "config_hash", cfg.Hash(), "mode", cfg.Mode.String(),
		"nodes", len(machine.Nodes), "tiers", tierNames(machine), "socket", cfg.Control.Socket.String(), "metrics", addresses(listeners))

	s.tap.Version = b.Version
	l := s.startLoop(cfg, machine, b.Version, m)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	// The socket outlives the loop, which has the last seconds of recordings to hand over.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	g.Go(func() error {
		defer stopServing()
		defer cancel()
		return l.Run(ctx)
	})
	server := control.NewServer(&s.board)
	server.Recordings = &s.tap
	if e, ok := l.(control.Explanations); ok {
		server.Explanations = e
	}
	g.Go(func() error { return server.Serve(serving, socket) })
	g.Go(func() error { return metrics.Serve(ctx, listeners, metrics.Handler(m.Registry(), s.log)) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case sig := <-signals:
				if sig == unix.SIGHUP {
					s.reload(l)
					continue
				}
				// A second signal ends the process the hard way.
				signal.Stop(signals)
				s.log.Info("stopping", "signal", sig.String())
				s.notify(sd.SdNotifyStopping)
				cancel()
				return nil
			}
		}
	})
	if err := g.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	s.log.Info("stopped")
	return nil
}

// startLoop makes the loop; its Run is called once, after this.
func (s *service) startLoop(cfg *config.Config, machine *topology.Machine, version string, m *metrics.Metrics) loop {
	return daemon.New(daemon.Options{
		Host: s.host, Machine: machine, Config: cfg, Board: &s.board, Log: s.log, Version: version, DryRun: s.o.dryRun,
		Ready:        func() { s.notify(sd.SdNotifyReady) },
		ObserveEpoch: m.ObserveEpoch, Tap: &s.tap,
	})
}

// accepted notes the configuration that is now in force.
func (s *service) accepted(cfg *config.Config, path string) {
	s.state.Path, s.state.Hash = path, cfg.Hash()
	s.state.NotActedOn, s.state.RestartNeeded = []string{}, restartNeeded(s.start, cfg)
	for _, n := range cfg.NotActedOn() {
		s.state.NotActedOn = append(s.state.NotActedOn, n.Key)
		s.log.Warn("configuration key has no effect", "key", n.Key, "notice", n.Message, "line", n.Line)
	}
	for _, key := range s.state.RestartNeeded {
		s.log.Warn("configuration key takes effect at the next start", "key", key)
	}
	s.board.SetConfig(s.state)
}

// reload reads the configuration again and hands it to the loop if it is good.
func (s *service) reload(l loop) {
	if s.board.Load() != nil { // else the first epoch will say that we are ready
		s.notify(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
		defer s.notify(sd.SdNotifyReady)
	}
	cfg, path, err := loadConfig(s.o.file)
	if err == nil {
		_, err = discover(s.host, cfg)
	}
	s.state.LastReloadAt = time.Now()
	s.state.ReloadsTotal++
	s.state.LastReloadOK, s.state.LastReloadError = err == nil, ""
	if err != nil {
		s.state.LastReloadError = err.Error()
		var problems config.Problems
		if errors.As(err, &problems) {
			for _, p := range problems {
				s.log.Error("configuration problem", "problem", p.String())
			}
			s.log.Error("reload refused, the old configuration stays", "problems", len(problems))
		} else {
			s.log.Error("reload refused, the old configuration stays", "error", err)
		}
		s.board.SetConfig(s.state)
		return
	}
	s.state.LoadedAt = s.state.LastReloadAt
	s.accepted(cfg, path)
	l.Reload(cfg)
	s.log.Info("reloaded", "config", path, "config_hash", cfg.Hash(), "mode", cfg.Mode.String())
}

// restartNeeded names the keys in which two configurations differ and that are only read at the start.
func restartNeeded(start, cfg *config.Config) []string {
	keys := []string{}
	if !slices.EqualFunc(start.Tiers, cfg.Tiers, func(a, b config.Tier) bool { return a.Name == b.Name && a.Nodes.Equal(b.Nodes) }) {
		keys = append(keys, "tier")
	}
	if !slices.Equal(start.GPUs, cfg.GPUs) {
		keys = append(keys, "topology.gpu")
	}
	if start.Metrics.Listen != cfg.Metrics.Listen {
		keys = append(keys, "metrics.listen")
	}
	if start.Control.Socket != cfg.Control.Socket {
		keys = append(keys, "control.socket")
	}
	return keys
}

// notify tells the service manager, if there is one.
func (s *service) notify(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		s.log.Warn("service manager is not told", "state", state, "error", err)
	}
}

// listenFailure explains why a socket could not be made.
func listenFailure(err error, key string) error {
	f := &failure{err: err, code: exitProblem, hint: "name another one by " + key}
	switch {
	case errors.Is(err, control.ErrInUse):
		f.hint = "tierd runs already: tierd status shows it; or name another socket by " + key
	case errors.Is(err, os.ErrPermission):
		f.code, f.hint = exitPermission, "run it as root, or name another one by "+key
	case errors.Is(err, unix.EADDRINUSE):
		f.hint = "something else listens there; name another address by " + key
	}
	return f
}

func tierNames(m *topology.Machine) []string {
	names := []string{}
	for _, t := range m.Tiers {
		names = append(names, fmt.Sprintf("%s=%s", t.Name, hostfs.FormatList(t.Nodes)))
	}
	return names
}

func addresses(list []net.Listener) []string {
	out := []string{}
	for _, l := range list {
		out = append(out, l.Addr().String())
	}
	return out
}
