package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tierd/tierd/internal/status"
)

const (
	// explainTimeout is how long an explanation may take: the loop of a host with much
	// memory decides rarely, and is asked when it does.
	explainTimeout = 60 * time.Second
	// maxQuestion bounds the values of a question, in bytes.
	maxQuestion = 256
)

// Explanations answer questions, for many goroutines at a time.
type Explanations interface {
	// Explain answers a question. Its error wraps status.ErrUnknown, status.ErrQuestion or
	// status.ErrBusy, or is that of ctx.
	Explain(ctx context.Context, q status.Question) (*status.Explanation, error)
}

// questionOf reads a question from a request.
func questionOf(values url.Values) (q status.Question, err error) {
	for key, list := range values {
		v := list[0]
		if len(list) > 1 || v == "" || len(v) > maxQuestion {
			return q, fmt.Errorf("parameter %.20q: one value of up to %d bytes is needed", key, maxQuestion)
		}
		var n uint64
		switch key {
		case "decision":
			q.Decision = v
		case "workload":
			q.Workload = v
		case "pid":
			n, err = strconv.ParseUint(v, 10, 31)
			if q.PID = int(n); n == 0 {
				err = strconv.ErrRange
			}
		case "address":
			if q.Address, err = strconv.ParseUint(v, 0, 64); q.Address == 0 {
				err = strconv.ErrRange
			}
		case "limit":
			n, err = strconv.ParseUint(v, 10, 31)
			if q.Limit = int(n); n == 0 || n > status.MaxDecisions {
				err = strconv.ErrRange
			}
		default:
			return q, fmt.Errorf("parameter %.20q: not known", key)
		}
		if err != nil {
			return q, fmt.Errorf("parameter %q: %.30q is out of range", key, v)
		}
	}
	kinds := 0
	for _, has := range []bool{q.Decision != "", q.Workload != "", q.PID != 0} {
		if has {
			kinds++
		}
	}
	if kinds > 1 || q.Address != 0 && q.PID == 0 {
		return q, errors.New("a question is about one of decision, workload and pid; an address needs a pid")
	}
	return q, nil
}

// values are what questionOf reads.
func values(q status.Question) url.Values {
	v := url.Values{}
	set := func(key, value string, has bool) {
		if has {
			v.Set(key, value)
		}
	}
	set("decision", q.Decision, q.Decision != "")
	set("workload", q.Workload, q.Workload != "")
	set("pid", strconv.Itoa(q.PID), q.PID != 0)
	set("address", "0x"+strconv.FormatUint(q.Address, 16), q.Address != 0)
	set("limit", strconv.Itoa(q.Limit), q.Limit != 0)
	return v
}

// explain answers a question.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET")
		answer(w, http.StatusMethodNotAllowed, Failure{Error: "explanations can only be read"})
		return
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{Error: "question: not a query"})
		return
	}
	q, err := questionOf(values)
	if err != nil {
		answer(w, http.StatusBadRequest, Failure{Error: err.Error()})
		return
	}
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{})
	_ = out.SetWriteDeadline(time.Now().Add(explainTimeout + writeTimeout))
	ctx, cancel := context.WithTimeout(r.Context(), explainTimeout)
	defer cancel()
	e, err := s.Explanations.Explain(ctx, q)
	switch {
	case err == nil:
		answer(w, http.StatusOK, e)
	case errors.Is(err, status.ErrQuestion):
		answer(w, http.StatusBadRequest, Failure{Error: err.Error()})
	case errors.Is(err, status.ErrUnknown):
		answer(w, http.StatusNotFound, Failure{Error: err.Error()})
	case errors.Is(err, status.ErrBusy):
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusTooManyRequests, Failure{Error: err.Error(), Hint: "try again in a second"})
	default:
		answer(w, http.StatusServiceUnavailable, Failure{Error: err.Error()})
	}
}

// Explain asks a question. The error wraps status.ErrUnknown, status.ErrBusy,
// status.ErrQuestion, or is one of Status.
func (c *Client) Explain(ctx context.Context, q status.Question) (*status.Explanation, error) {
	e := new(status.Explanation)
	if err := c.ask(ctx, q, e); err != nil {
		return nil, fmt.Errorf("%s: %w", c.path, err)
	}
	return e, nil
}

func (c *Client) ask(ctx context.Context, q status.Question, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tierd/v1/explain?"+values(q).Encode(), nil)
	if err != nil {
		return err
	}
	patient := c.http
	patient.Timeout = explainTimeout + writeTimeout
	resp, err := patient.Do(req)
	if err != nil {
		return absence(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return absence(err)
	case len(body) > maxAnswer:
		return errors.New("answer is too long")
	case resp.StatusCode == http.StatusOK:
		if err := json.Unmarshal(body, into); err != nil {
			return fmt.Errorf("answer is not that of a tierd: %w", err)
		}
		return nil
	}
	var f Failure
	if json.Unmarshal(body, &f) != nil || f.Error == "" {
		f.Error = resp.Status
	}
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return &refusal{f.Error, status.ErrQuestion}
	case http.StatusNotFound:
		return &refusal{f.Error, status.ErrUnknown}
	case http.StatusTooManyRequests:
		return &refusal{f.Error, status.ErrBusy}
	}
	return errors.New(f.Error)
}

// refusal is an error in the daemon's words.
type refusal struct {
	text string
	is   error
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.is }
