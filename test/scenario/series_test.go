package scenario

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tierd/tierd/internal/load"
)

// made makes a series with a sample a second; the hot set shifts where a value follows shiftAt.
func made(shiftAt int, fast ...float64) *Series {
	s := &Series{Capacity: []load.Capacity{{Node: 1}, {Node: 0}, {Node: 2}}}
	for i, f := range fast {
		p := Sample{T: float64(i), MovedBytes: int64(i) * 10}
		p.Load.Fast, p.Load.Share = &f, map[int]float64{1: f / 2}
		if shiftAt >= 0 && i >= shiftAt {
			p.Load.Phase, p.Load.PhaseT = 1, float64(i-shiftAt)+0.25
		}
		p.Load.Resident = map[int]int64{1: int64(f * 1000), 2: 5000}
		s.Samples = append(s.Samples, p)
	}
	return s
}

func TestReach(t *testing.T) {
	never := math.Inf(1)
	for _, tt := range []struct {
		name  string
		s     *Series
		phase int
		want  float64
	}{
		{"at once", made(-1, 0.9, 0.9), 0, 0},
		{"later", made(-1, 0, 0.5, 0.9, 0.95, 0.2), 0, 2},
		{"once is not enough", made(-1, 0, 0.9, 0.5, 0.9, 0.9), 0, 3},
		{"the last one counts", made(-1, 0, 0.5, 0.9), 0, 2},
		{"never", made(-1, 0, 0.5, 0.6), 0, never},
		{"before the shift only", made(3, 0, 0.9, 0.9, 0.1, 0.2), 1, never},
		{"after the shift", made(3, 0, 0.9, 0.9, 0.1, 0.9, 0.9), 1, 1.25},
		{"other phase", made(1, 0, 0.9, 0.9), 0, never},
		{"empty", &Series{}, 0, never},
	} {
		if got := tt.s.Reach(tt.phase, Fast, 0.89); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
	early := made(-1, 0.9, 0.9, 0.9)
	for i := range early.Samples {
		early.Samples[i].T--
	}
	if got := early.Reach(0, Fast, 0.89); got != 0 {
		t.Errorf("before time zero: %v, want 0", got)
	}
}

func TestMeanMaxRate(t *testing.T) {
	s := made(-1, 0, 1, 1, 0)
	s.Samples[3].T = 5 // a late line counts for the time that it covers
	for _, tt := range []struct{ from, to, want float64 }{
		{0, 1, 0.5}, {0, 2, 0.75}, {1, 2, 1}, {0, 5, 3. / 5}, {0.5, 1.5, 0.875}, {2, 3.5, 0.75}, {-2, 0, 0}, {5, 9, 0},
	} {
		if got := s.Mean(Fast, tt.from, tt.to); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("mean from %v to %v: %v, want %v", tt.from, tt.to, got, tt.want)
		}
	}
	if got := s.Max(Node(1), 0, 5); got != 0.5 {
		t.Errorf("max: %v", got)
	}
	if got := s.Rate(Moved, 0, 2); got != 10 {
		t.Errorf("rate: %v", got)
	}
	if got := s.Rate(Moved, 2, 5); math.Abs(got-10./3) > 1e-9 {
		t.Errorf("rate: %v", got)
	}
	if got := s.Last(); got != 5 {
		t.Errorf("last: %v", got)
	}
	var none Series
	for _, got := range []float64{none.Mean(Fast, 0, 1), none.Max(Fast, 0, 1), none.Rate(Fast, 0, 1), none.Last(), none.Filled(), s.Mean(CPU, 0, 1), s.Max(RSS, 0, 5), s.Mean(Fast, 1, 1)} {
		if !math.IsNaN(got) {
			t.Errorf("nothing to go by: %v, want NaN", got)
		}
	}
}

func TestFilled(t *testing.T) {
	if got := made(-1, 0, 0.3, 0.96, 0.992, 1, 0.99).Filled(); got != 3 {
		t.Errorf("filled at %v, want 3", got)
	}
}

func TestReaderTakesLinesInAnyPieces(t *testing.T) {
	var text strings.Builder
	e := json.NewEncoder(&text)
	for _, l := range []Line{
		{Capacity: []load.Capacity{{Node: 1, Bytes: 5}}}, {Sample: &Sample{T: 1}}, {Sample: &Sample{T: 2}},
		{Summary: &load.Summary{Reason: "signal"}}, {End: &End{StopSeconds: 1}},
	} {
		if err := e.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	var s Series
	told := 0
	r := &reader{series: &s, onSample: func(Sample) { told++ }}
	for b := []byte(text.String()); len(b) > 0; b = b[min(7, len(b)):] {
		if _, err := r.Write(b[:min(7, len(b))]); err != nil {
			t.Fatal(err)
		}
	}
	if r.err != nil || !r.ended || told != 2 || len(s.Samples) != 2 || s.Samples[1].T != 2 || s.Summary.Reason != "signal" || len(s.Capacity) != 1 {
		t.Errorf("error %v, ended %v, told %d, series %+v", r.err, r.ended, told, s)
	}
	if _, err := r.Write([]byte("no JSON\n")); err != nil || r.err == nil {
		t.Errorf("a broken line: %v, %v", err, r.err)
	}
}

func TestScenarioIsChecked(t *testing.T) {
	for _, tt := range []struct {
		s    Scenario
		want string
	}{
		{Scenario{Name: "x"}, "x: scenario without a duration"},
		{Scenario{Duration: 1, Mover: "damon"}, `mover "damon": want tierd, kernel or none`},
	} {
		if _, err := tt.s.Run(t.Context(), nil); err == nil || err.Error() != tt.want {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

func TestTailKeepsTheLastLinesAndPassesAllOn(t *testing.T) {
	var all strings.Builder
	l := &tail{next: &all}
	for range 20 {
		if _, err := l.Write([]byte("one\ntwo\n")); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.String(); got != strings.TrimSpace(strings.Repeat("one\ntwo\n", 4)) || strings.Count(all.String(), "\n") != 40 {
		t.Errorf("%q of %d", got, all.Len())
	}
	l.next = failing{}
	if _, err := l.Write([]byte("x\n")); err == nil {
		t.Error("an error of the log is lost")
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }
