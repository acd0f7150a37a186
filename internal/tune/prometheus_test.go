package tune_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/tune"
)

// serve answers each quantity with a number, or with whole texts.
func serve(t *testing.T, values map[string]string, all http.HandlerFunc) string {
	t.Helper()
	names := map[string]string{}
	for _, q := range tune.Quantities() {
		query := strings.ReplaceAll(q.Query, "%[1]s", "1w")
		names[strings.ReplaceAll(query, "%[2]s", "")] = q.Name
		names[strings.ReplaceAll(query, "%[2]s", `workload="train"`)] = q.Name
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if all != nil {
			all(w, r)
			return
		}
		name, ok := names[r.FormValue("query")]
		if !ok {
			t.Errorf("unknown query %q", r.FormValue("query"))
		}
		result := ""
		if v, ok := values[name]; ok {
			result = fmt.Sprintf(`{"metric":{},"value":[1700000000,%q]}`, v)
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, result)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func advise(t *testing.T, address string) (*tune.Advice, error) {
	t.Helper()
	return tune.Advise(t.Context(), tune.Source{Address: address, Since: 7 * 24 * time.Hour, Timeout: 300 * time.Millisecond}, config.Default())
}

// calm is a host on which nothing is to be turned.
func calm(change map[string]string) map[string]string {
	m := map[string]string{
		"steered": "0.1", "separation": "2.6", "least_payback": "3", "waste": "0.0005", "budget": "1", "wasted": "0.05", "judged": "1000",
		"undone": "10", "ping_pongs": "20", "undone_high": "0.1", "trips": "0", "hit": "0.9", "veto_separation": "0", "veto_payback": "0",
		"veto_budget": "0", "resident": "1e12", "pressed": "0", "pressure": "0.01", "waiting": "0.01", "moving": "0.01", "moved": "1e12",
	}
	for k, v := range change {
		if m[k] = v; v == "" {
			delete(m, k)
		}
	}
	return m
}

// Every rule turns its key by what its condition says, and by nothing less.
func TestRules(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  map[string]string
		key, to string
	}{
		{"calm", nil, "", ""},
		{"steered up", map[string]string{"steered": "0.5", "separation": "3.4", "wasted": "0.2"}, "separation", "3.4"},
		{"steered up far", map[string]string{"steered": "0.5", "separation": "6", "wasted": "0.2"}, "separation", "4"},
		{"steered, but nothing wasted", map[string]string{"steered": "0.5", "separation": "3.4"}, "", ""},
		{"steered, few judged", map[string]string{"steered": "0.5", "separation": "3.4", "wasted": "0.2", "judged": "5"}, "", ""},
		{"too careful", map[string]string{"steered": "0", "wasted": "0.001", "veto_separation": "1e11"}, "separation", "2.2"},
		{"barely worth it", map[string]string{"wasted": "0.3", "least_payback": "1.6"}, "payback", "2.2"},
		{"could pay", map[string]string{"wasted": "0.001", "veto_payback": "1e11"}, "payback", "1.2"},
		{"budget cut", map[string]string{"budget": "0.3"}, "max_waste", `"0.3%"`},
		{"trips", map[string]string{"trips": "3"}, "breaker", `"65%"`},
		{"no trips", map[string]string{"wasted": "0.5", "undone_high": "0.4"}, "breaker", `"30%"`},
		{"ping-pongs that paid", map[string]string{"ping_pongs": "500"}, "window", `"30s"`},
		{"pressed", map[string]string{"pressed": "0.4", "pressure": "0.15"}, "psi", `"15%"`},
		{"calls take long", map[string]string{"moving": "0.2"}, "rate", `"512MiB/s"`},
		{"waits for the limit", map[string]string{"waiting": "0.3", "veto_budget": "1e9"}, "rate", `"2GiB/s"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, err := advise(t, serve(t, calm(test.change), nil))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range a.Proposals {
				got = append(got, p.Key.Name+" "+p.To)
				if p.Evidence == "" || p.Effect == "" || strings.Contains(p.Effect, "%!") {
					t.Errorf("%+v", p)
				}
			}
			want := strings.TrimSpace(test.key + " " + test.to)
			if strings.Join(got, ", ") != want {
				t.Errorf("proposes %q, want %q", got, want)
			}
			if len(a.Proposals)+len(a.Kept) != len(tune.Keys()) {
				t.Errorf("%d proposals and %d kept of %d keys", len(a.Proposals), len(a.Kept), len(tune.Keys()))
			}
		})
	}
}

// Without data for a metric there is no proposal for its key, and that is said.
func TestNoData(t *testing.T) {
	for _, nothing := range []string{"", "NaN", "+Inf"} {
		a, err := advise(t, serve(t, calm(map[string]string{"moving": nothing}), nil))
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range a.Kept {
			if k.Key.Name == "rate" && !strings.Contains(k.Why, "no data for moving") {
				t.Errorf("%q: %s", nothing, k.Why)
			}
		}
	}
	if _, err := advise(t, serve(t, nil, nil)); err == nil || !strings.Contains(err.Error(), "no data") {
		t.Errorf("of a server without any: %v", err)
	}
}

// A server that answers nonsense, or not at all, gives an error of one line.
func TestBadServers(t *testing.T) {
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
	}
	vector := func(result string) http.HandlerFunc {
		return text(`{"status":"success","data":{"resultType":"vector","result":[` + result + `]}}`)
	}
	elsewhere := serve(t, calm(nil), nil)
	for name, test := range map[string]struct {
		all  http.HandlerFunc
		want string
	}{
		"html":    {text("<html>\n<body>login</body></html>"), ""},
		"nothing": {text(""), ""},
		"half":    {text(`{"status":"success","data":{"resu`), ""},
		"error":   {text(`{"status":"error","errorType":"bad_data","error":"parse error\nat char 3"}`), "parse error at char 3"},
		"500":     {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, strings.Repeat("long ", 1000), 500) }, ""},
		"slow": {func(_ http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm() // only then the end of the connection is seen
			select {
			case <-r.Context().Done():
			case <-time.After(5 * time.Second):
			}
		}, "no answer in time"},
		"huge":       {text(strings.Repeat(" ", 2<<20) + `{}`), "larger than 1 MiB"},
		"matrix":     {text(`{"status":"success","data":{"resultType":"matrix","result":[]}}`), "want a vector"},
		"string":     {text(`{"status":"success","data":{"resultType":"string","result":[1,"x"]}}`), "unexpected value type"},
		"two":        {vector(`{"metric":{},"value":[1,"1"]},{"metric":{},"value":[1,"2"]}`), "2 series"},
		"no number":  {vector(`{"metric":{},"value":[1,"x"]}`), ""},
		"histogram":  {vector(`{"metric":{},"histogram":[1,{"count":"1","sum":"1","buckets":[]}]}`), "no number"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, http.StatusFound) }, "not followed"},
		"hung up": {func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				c.Close()
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := advise(t, serve(t, nil, test.all))
			if err == nil {
				t.Fatalf("%+v", a)
			}
			if s := err.Error(); strings.ContainsAny(s, "\n\r") || len(s) > 400 || !strings.Contains(s, test.want) || !strings.HasPrefix(s, "prometheus: ") {
				t.Errorf("%q, want %q in it", s, test.want)
			}
		})
	}
	for _, address := range []string{"", "prometheus:9090", "file:///etc/passwd", "http://", "http://127.0.0.1:1"} {
		if _, err := advise(t, address); err == nil {
			t.Errorf("address %q", address)
		}
	}
	for _, s := range []tune.Source{{Address: elsewhere}, {Address: elsewhere, Since: time.Hour, Workload: `x"} or vector(1)`}} {
		if _, err := tune.Advise(t.Context(), s, config.Default()); err == nil {
			t.Errorf("%+v", s)
		}
	}
}

// Whatever numbers come, proposals are valid values.
func FuzzAdvice(f *testing.F) {
	f.Add("1", "1e300", "-1", "0")
	f.Add("NaN", "0.5", "1000", "0.9")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		values := map[string]string{}
		for i, q := range tune.Quantities() {
			values[q.Name] = []string{a, b, c, d}[i%4]
		}
		advice, err := advise(t, serve(t, values, nil))
		if err != nil {
			return // no numbers
		}
		if _, _, err := tune.Edit("t.toml", "", advice.Proposals); err != nil {
			t.Error(err)
		}
	})
}
