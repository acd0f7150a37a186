package control_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/status"
)

// oracle answers what it was made to.
type oracle struct {
	asked  status.Question
	answer *status.Explanation
	err    error
}

func (o *oracle) Explain(_ context.Context, q status.Question) (*status.Explanation, error) {
	o.asked = q
	return o.answer, o.err
}

func explaining(t *testing.T, o *oracle) *control.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := control.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	s := control.NewServer(new(status.Board))
	s.Explanations = o
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	c := control.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestExplain(t *testing.T) {
	o := &oracle{answer: &status.Explanation{SchemaVersion: 1, About: "decision", Says: "because", Decisions: []status.Decision{{ID: "d-1-1"}}}}
	c := explaining(t, o)
	for _, q := range []status.Question{
		{}, {Decision: "d-1-1"}, {Workload: "a b&c=d"}, {PID: 1 << 22, Limit: 3}, {PID: 7, Address: 1 << 63},
	} {
		e, err := c.Explain(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		if diff := cmp.Diff(q, o.asked); diff != "" {
			t.Errorf("asked otherwise: %s", diff)
		}
		if diff := cmp.Diff(o.answer, e); diff != "" {
			t.Error(diff)
		}
	}
	for _, kind := range []error{status.ErrUnknown, status.ErrBusy} {
		o.err = fmt.Errorf("process 7: %w", kind)
		if _, err := c.Explain(t.Context(), status.Question{PID: 7}); !errors.Is(err, kind) || !strings.Contains(err.Error(), "process 7") {
			t.Errorf("%v becomes %v", o.err, err)
		}
	}
	o.err = errors.New("odd")
	if _, err := c.Explain(t.Context(), status.Question{}); err == nil || !strings.HasSuffix(err.Error(), ": odd") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Explain(t.Context(), status.Question{PID: 7, Workload: "a"}); !errors.Is(err, status.ErrQuestion) {
		t.Errorf("a question about two things: %v", err)
	}
}

func TestBadQuestions(t *testing.T) {
	s := control.NewServer(new(status.Board))
	s.Explanations = &oracle{answer: &status.Explanation{}}
	h := s.Handler()
	for query, want := range map[string]int{
		"": 200, "pid=1": 200, "pid=1&address=0x10": 200, "pid=1&address=16": 200, "limit=256": 200,
		"pid=0": 400, "pid=-1": 400, "pid=": 400, "pid=1&pid=2": 400, "pid=99999999999": 400, "pid=1&address=zz": 400, "address=0x10": 400,
		"pid=1&address=0": 400, "limit=257": 400, "limit=0": 400, "frob=1": 400, "pid=1&workload=a": 400, "decision=d-1-1&pid=1": 400, "%zz": 400,
		"workload=" + strings.Repeat("a", 257): 400, "a;b": 400,
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest("GET", (&url.URL{Path: "/v1/explain", RawQuery: query}).String(), nil))
		if rec.Code != want {
			t.Errorf("%s: %d %s, want %d", query, rec.Code, rec.Body, want)
		}
	}
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, httptest.NewRequest("POST", "/v1/explain", nil)); rec.Code != 405 {
		t.Errorf("POST: %d", rec.Code)
	}
}

func FuzzQuestion(f *testing.F) {
	for _, s := range []string{"pid=1&address=0x10", "decision=d-1-1", "limit=3", "pid=1&pid=2", "%", "a=b"} {
		f.Add(s)
	}
	o := &oracle{answer: &status.Explanation{}}
	s := control.NewServer(new(status.Board))
	s.Explanations = o
	h := s.Handler()
	f.Fuzz(func(t *testing.T, query string) {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/v1/explain", nil)
		r.URL.RawQuery = query
		h.ServeHTTP(rec, r)
		q := o.asked
		if rec.Code != 200 && rec.Code != 400 || rec.Code == 200 && (q.PID < 0 || q.Limit < 0 || q.Limit > status.MaxDecisions || q.Address != 0 && q.PID == 0 || len(q.Workload)+len(q.Decision) > 256) {
			t.Errorf("%q: %d, %+v", query, rec.Code, q)
		}
	})
}
