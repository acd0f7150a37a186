package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/tierd/tierd/internal/status"
)

// writeTimeout is how long a client may take to read an answer, or a piece of one
// that goes on.
const writeTimeout = 5 * time.Second

// maxBody bounds what a request may carry; no request needs any.
const maxBody = 64 << 10

// Recordings are what a client can listen to.
type Recordings interface {
	// Stream hands a recording to write until ctx ends or write fails.
	Stream(ctx context.Context, write func([]byte) error) error
}

// Server answers on the control socket.
type Server struct {
	// Recordings, if set, are served at /v1/record.
	Recordings Recordings
	// Explanations, if set, are served at /v1/explain.
	Explanations Explanations

	board *status.Board
}

// NewServer returns a server of what is shown on the board.
func NewServer(board *status.Board) *Server { return &Server{board: board} }

// Failure is the JSON form of an error.
type Failure struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// Handler answers requests.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			answer(w, http.StatusMethodNotAllowed, Failure{Error: "status can only be read"})
			return
		}
		st := s.board.Load()
		if st == nil {
			w.Header().Set("Retry-After", "1")
			answer(w, http.StatusServiceUnavailable, Failure{Error: "tierd has not finished its first epoch", Hint: "try again in a second"})
			return
		}
		answer(w, http.StatusOK, st)
	})
	if s.Recordings != nil {
		mux.HandleFunc("/v1/record", s.record)
	}
	if s.Explanations != nil {
		mux.HandleFunc("/v1/explain", s.explain)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, Failure{Error: "no such resource", Hint: "this version has /v1/status, /v1/explain and /v1/record"})
	})
	return http.MaxBytesHandler(mux, maxBody)
}

// record writes a recording for as long as the client listens.
func (s *Server) record(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		answer(w, http.StatusMethodNotAllowed, Failure{Error: "recordings can only be read"})
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // it takes as long as it takes
	begun := false
	err := s.Recordings.Stream(r.Context(), func(b []byte) error {
		if !begun {
			w.Header().Set("Content-Type", "application/octet-stream")
		}
		begun = true
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		return out.Flush()
	})
	if err != nil && !begun {
		answer(w, http.StatusServiceUnavailable, Failure{Error: err.Error()})
	}
}

func answer(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a number that JSON does not have
		code = http.StatusInternalServerError
		b, _ = json.Marshal(Failure{Error: err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(b, '\n')) // a client that is gone is no news
}

// Serve answers on l until ctx ends, and closes l, which removes the socket.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 2 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       10 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // a client's garbage is no news
	}
	stop := context.AfterFunc(ctx, func() { h.Close() })
	defer stop()
	err := h.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	h.Close()
	return fmt.Errorf("control socket: %w", err)
}
