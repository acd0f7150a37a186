package control_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/status"
)

// serve starts a server and returns its socket and a function that stops it.
func serve(t *testing.T, b *status.Board) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "tierd.sock")
	l, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(b).Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return path, stop
}

func ask(t *testing.T, path string) (*status.Status, error) {
	t.Helper()
	c := control.NewClient(path)
	defer c.Close()
	return c.Status(t.Context())
}

func TestStatus(t *testing.T) {
	var b status.Board
	path, stop := serve(t, &b)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("socket: %v %v", info.Mode(), err)
	}
	if _, err := ask(t, path); !errors.Is(err, control.ErrNotReady) {
		t.Errorf("before the first picture: %v", err)
	}
	want := &status.Status{SchemaVersion: 1, Mode: status.Observe, Workloads: []status.Workload{{Name: "train\x1b[31m", ElsewhereBytes: math.MaxUint64}}}
	b.Publish(want)
	got, err := ask(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	if _, err := ask(t, path); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestListen(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		path, _ := serve(t, new(status.Board))
		if _, err := control.Listen(t.Context(), path); !errors.Is(err, control.ErrInUse) {
			t.Errorf("got %v", err)
		}
		if _, err := ask(t, path); !errors.Is(err, control.ErrNotReady) {
			t.Errorf("the first one no longer answers: %v", err)
		}
	})
	t.Run("left over", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		old.SetUnlinkOnClose(false)
		old.Close()
		if _, err := ask(t, path); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("client: %v", err)
		}
		l, err := control.Listen(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	})
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := control.Listen(t.Context(), path); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("got %v", err)
		}
		if b, _ := os.ReadFile(path); string(b) != "precious" {
			t.Error("the file was changed")
		}
	})
	t.Run("at once", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		var wg sync.WaitGroup
		var mu sync.Mutex
		var won []net.Listener
		for range 8 {
			wg.Go(func() {
				l, err := control.Listen(t.Context(), path)
				if err != nil {
					if !errors.Is(err, control.ErrInUse) {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				won = append(won, l)
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(won) != 1 {
			t.Errorf("%d listeners", len(won))
		}
		for _, l := range won {
			l.Close()
		}
	})
}

func TestRequests(t *testing.T) {
	var b status.Board
	b.Publish(&status.Status{})
	h := control.NewServer(&b).Handler()
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/v1/status", 200},
		{"HEAD", "/v1/status", 200},
		{"POST", "/v1/status", 405},
		{"GET", "/", 404},
		{"GET", "/v2/status", 404},
		{"GET", "/v1/status/", 404},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(tt.method, tt.path, nil))
		if rec.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, rec.Code, tt.want)
		}
		if !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %s", tt.method, tt.path, rec.Body)
		}
	}
}

// TestNotANumber: what JSON cannot say is an error for the client, not a broken answer.
func TestNotANumber(t *testing.T) {
	var b status.Board
	b.Publish(&status.Status{UptimeSeconds: math.NaN()})
	path, _ := serve(t, &b)
	if _, err := ask(t, path); err == nil || !strings.Contains(err.Error(), "unsupported value") {
		t.Errorf("got %v", err)
	}
}

// TestHangingClients: clients that say nothing do not keep others out for long.
func TestHangingClients(t *testing.T) {
	var b status.Board
	b.Publish(&status.Status{})
	path, _ := serve(t, &b)
	for range 200 {
		c, err := net.Dial("unix", path)
		if err != nil {
			break // the queue of the kernel is full
		}
		defer c.Close()
		io.WriteString(c, "GET /v1/st")
	}
	deadline := time.Now().Add(15 * time.Second)
	for {
		_, err := ask(t, path)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestForeignServer: whatever answers on the socket, the client ends with an error.
func TestForeignServer(t *testing.T) {
	for name, says := range map[string]string{
		"silence": "", "garbage": "\x00\xff\r\n\r\n", "not JSON": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n<>",
		"short": "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{", "error": "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = http.ReadRequest(bufio.NewReader(c))
					io.WriteString(c, says)
					c.Close()
				}
			}()
			if s, err := ask(t, path); err == nil {
				t.Errorf("got %+v", s)
			}
		})
	}
}

func FuzzServer(f *testing.F) {
	for _, s := range []string{"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n", "GET", "POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nx", "\x00\x01\x02\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"} {
		f.Add([]byte(s))
	}
	var b status.Board
	b.Publish(&status.Status{SchemaVersion: 1})
	l := &pipes{ch: make(chan net.Conn)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(&b).Serve(ctx, l) }()
	f.Cleanup(func() { cancel(); <-done })
	f.Fuzz(func(t *testing.T, data []byte) {
		here, there := net.Pipe()
		l.ch <- there
		here.SetDeadline(time.Now().Add(10 * time.Second))
		go func() {
			here.Write(data)
			// A request that asks to be closed: the server answers it, or has given up on the connection.
			io.WriteString(here, "\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		}()
		got, err := io.ReadAll(here)
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the server hangs: %v", err)
		}
		if len(got) > 0 && !bytes.HasPrefix(got, []byte("HTTP/")) {
			t.Errorf("answer %.100q", got)
		}
		here.Close()
	})
}

// pipes is a listener of connections in memory.
type pipes struct {
	ch   chan net.Conn
	once sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.ch
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.ch) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }
