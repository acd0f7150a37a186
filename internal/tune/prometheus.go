package tune

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	prom "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/tierd/tierd/config"
)

const (
	// queryTimeout and allTimeout bound one question and all of them.
	queryTimeout, allTimeout = 15 * time.Second, 2 * time.Minute
	// maxAnswer bounds an answer, in bytes: each has one number.
	maxAnswer = 1 << 20
	day       = 24 * time.Hour
)

// Source is a Prometheus server.
type Source struct {
	// Address is its URL.
	Address string
	// Since is how far to look back, Workload which one to look at; empty: all.
	Since    time.Duration
	Workload string
	// Timeout, if positive, replaces that of one question.
	Timeout time.Duration
}

// Measured is an answer of a server.
type Measured struct {
	Name  string `json:"name"`
	Help  string `json:"help"`
	Query string `json:"query"`
	// Value is absent where there is no data.
	Value *float64 `json:"value"`
}

// Advice is what a server's metrics say about a configuration.
type Advice struct {
	Measured  []Measured
	Proposals []Proposal
	Kept      []Kept
}

// Advise asks a server and applies the rules. A metric without data means no proposal
// for its keys. Errors are those of the server, on one line.
func Advise(ctx context.Context, s Source, base *config.Config) (*Advice, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, allTimeout)
	defer cancel()
	a := &Advice{}
	q := map[string]float64{}
	for _, quantity := range Quantities() {
		m := Measured{Name: quantity.Name, Help: quantity.Help, Query: s.query(quantity)}
		v, ok, err := ask(ctx, client, m.Query, s.Timeout)
		if err != nil {
			return nil, fmt.Errorf("prometheus: query of %s: %w", quantity.Name, oneLine(err))
		}
		if ok {
			q[quantity.Name], m.Value = v, &v
		}
		a.Measured = append(a.Measured, m)
	}
	if len(q) == 0 {
		return nil, errors.New("prometheus: metrics of tierd: no data")
	}
	a.advise(base, q)
	return a, nil
}

func (a *Advice) advise(base *config.Config, q map[string]float64) {
	for _, k := range Keys() {
		p, r, missing := apply(k, base, q)
		switch {
		case p != nil:
			p.Evidence = a.evidence(r)
			a.Proposals = append(a.Proposals, *p)
		case missing != nil:
			a.Kept = append(a.Kept, Kept{k, k.Text(base), "no data for " + strings.Join(missing, ", ")})
		default:
			a.Kept = append(a.Kept, Kept{k, k.Text(base), "no rule turns it"})
		}
	}
}

// evidence are the rule's condition and the numbers that met it.
func (a *Advice) evidence(r *Rule) string {
	var numbers []string
	for _, name := range r.Needs {
		for _, m := range a.Measured {
			if m.Name == name && m.Value != nil {
				numbers = append(numbers, fmt.Sprintf("%s %.4g", name, *m.Value))
			}
		}
	}
	return r.When + ": " + strings.Join(numbers, ", ")
}

// query is a quantity's with what the source asks for.
func (s Source) query(q Quantity) string {
	labels := ""
	if s.Workload != "" {
		labels = fmt.Sprintf("workload=%q", s.Workload)
	}
	text := strings.ReplaceAll(q.Query, "%[1]s", model.Duration(s.Since).String())
	return strings.ReplaceAll(text, "%[2]s", labels)
}

var workloadName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func (s Source) client() (prom.API, error) {
	u, err := url.Parse(s.Address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("address of the server: want http://HOST:PORT")
	}
	if s.Since < time.Minute || s.Since > 365*day {
		return nil, errors.New("time to look back: want a minute to a year")
	}
	if s.Workload != "" && !workloadName.MatchString(s.Workload) {
		return nil, errors.New("name of the workload: no such name is possible")
	}
	transport := &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: queryTimeout}).DialContext, TLSHandshakeTimeout: queryTimeout,
		MaxResponseHeaderBytes: 64 << 10, DisableKeepAlives: true,
	}
	c, err := api.NewClient(api.Config{Address: s.Address, Client: &http.Client{
		Transport: bounded{transport},
		// The rules ask one server; what another says is not evidence of it.
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if len(via) > 3 || req.URL.Host != via[0].URL.Host || req.URL.Scheme != via[0].URL.Scheme {
				return fmt.Errorf("redirect to %.100q: not followed", req.URL.Redacted())
			}
			return nil
		},
	}})
	if err != nil {
		return nil, err
	}
	return prom.NewAPI(c), nil
}

// bounded keeps answers small.
type bounded struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

// errLarge: an answer of one number is not that long.
var errLarge = errors.New("answer is larger than 1 MiB")

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLarge
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// ask asks for one number; false: there is none.
func ask(ctx context.Context, client prom.API, query string, timeout time.Duration) (v float64, ok bool, err error) {
	if timeout <= 0 {
		timeout = queryTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	answer, _, _, err := client.Query(ctx, query, time.Time{})
	if err != nil {
		return 0, false, err
	}
	return numberOf(answer)
}

// numberOf takes the number from an answer. What is not finite is no data.
func numberOf(answer model.Value) (v float64, ok bool, err error) {
	switch a := answer.(type) {
	case model.Vector:
		switch {
		case len(a) == 0:
			return 0, false, nil
		case len(a) > 1:
			return 0, false, fmt.Errorf("answer has %d series: want one", len(a))
		case a[0] == nil || a[0].Histogram != nil:
			return 0, false, errors.New("answer is no number")
		}
		v = float64(a[0].Value)
	case *model.Scalar:
		v = float64(a.Value)
	case nil:
		return 0, false, errors.New("answer is empty")
	default:
		return 0, false, fmt.Errorf("answer is of type %s: want a vector", answer.Type())
	}
	return v, !math.IsNaN(v) && !math.IsInf(v, 0), nil
}

// oneLine shortens what a server says, which may be a whole page.
func oneLine(err error) error {
	var e *prom.Error
	text := err.Error()
	if errors.As(err, &e) {
		text = strings.TrimSpace(string(e.Type) + ": " + e.Msg)
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 200 {
		text = text[:200] + "…"
	}
	return errors.New(strings.ToValidUTF8(text, "?"))
}
