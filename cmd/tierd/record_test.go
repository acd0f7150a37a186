package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

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

	// One records until it has something, the other until the server ends.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type answer struct {
		n   int64
		err error
	}
	first := make(chan answer, 1)
	go func() {
		n, err := recordTo(ctx, socket, file)
		first <- answer{n, err}
	}()
	var c policy.Controller
	s := &policy.Snapshot{}
	size := func() int64 {
		info, err := os.Stat(file)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for size() < 1000 {
		s.Seconds += 3
		tap.Decide(&c, s, policy.DefaultParams())
	}
	stop()
	if got := <-first; got.err != nil || got.n != size() {
		t.Fatalf("%+v, the file has %d bytes", got, size())
	}
	f, err := record.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sum, err := replay(f.Reader, func() bool { return false })
	if err != nil && !errors.Is(err, record.ErrTorn) || !sum.Same || sum.Epochs == 0 || sum.Recording.Version != "1" {
		t.Errorf("%+v, %v", sum, err)
	}
}
