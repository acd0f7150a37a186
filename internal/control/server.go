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

// maxBody bounds what a request may carry; no request needs any.
const maxBody = 64 << 10

// Server answers on the control socket.
type Server struct{ board *status.Board }

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
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusNotFound, Failure{Error: "no such resource", Hint: "this version has /v1/status"})
	})
	return http.MaxBytesHandler(mux, maxBody)
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
		WriteTimeout:      5 * time.Second,
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
