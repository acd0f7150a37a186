package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/record"
	"github.com/tierd/tierd/internal/status"
	"github.com/tierd/tierd/policy"
)

// What a daemon records over its socket can be replayed.
func TestRecord(t *testing.T) {
	dir, err := os.MkdirTemp("", "tierd") // socket addresses are short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket, file := filepath.Join(dir, "s"), filepath.Join(dir, "rec")

	tap := &record.Tap{Version: "1"}
	server := control.NewServer(new(status.Board))
	server.Recordings = tap
	serving, stopServer := context.WithCancel(t.Context())
	l, err := control.Listen(serving, socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(serving, l) }()
	defer func() {
		stopServer()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()

	ring := filepath.Join(dir, "ring")
	if err := os.Mkdir(ring, 0o700); err != nil {
		t.Fatal(err)
	}
	var c policy.Controller
	s := &policy.Snapshot{}
	for _, to := range []struct{ path, files string }{{file, file}, {ring, filepath.Join(ring, "*")}} {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		type answer struct {
			n   int64
			err error
		}
		first := make(chan answer, 1)
		go func() {
			n, err := recordTo(ctx, socket, to.path, config.MiB)
			first <- answer{n, err}
		}()
		size := func() (n int64) {
			files, err := filepath.Glob(to.files)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if info, err := os.Stat(f); err == nil {
					n += info.Size()
				}
			}
			return n
		}
		for deadline := time.Now().Add(20 * time.Second); size() < 1000 && time.Now().Before(deadline); {
			s.Seconds += 3
			tap.Decide(&c, s, policy.DefaultParams())
		}
		stop()
		if got := <-first; got.err != nil || got.n != size() {
			t.Fatalf("%s: %+v, there are %d bytes", to.path, got, size())
		}
		f, err := record.Open(to.path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sum, err := replay(f.Reader, func() bool { return false })
		if err != nil && !errors.Is(err, record.ErrTorn) || !sum.Same || sum.Epochs == 0 || sum.Recording.Version != "1" {
			t.Errorf("%s: %+v, %v", to.path, sum, err)
		}
	}
}
