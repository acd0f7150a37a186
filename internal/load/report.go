package load

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"
)

// SchemaVersion is the version of the lines. It rises when the meaning of a
// field changes or a field goes; new fields may come without.
const SchemaVersion = 1

// Sample is a line per interval.
type Sample struct {
	SchemaVersion int     `json:"schema_version"`
	Type          string  `json:"type"` // "sample"
	T             float64 `json:"t"`    // seconds since the accesses began
	Pattern       string  `json:"pattern"`
	Phase         int     `json:"phase"`
	PhaseT        float64 `json:"phase_t"` // seconds since the phase began

	Share      map[int]float64 `json:"share"`
	ShareErr   float64         `json:"share_err"`
	Absent     float64         `json:"absent"`
	Oracle     map[int]float64 `json:"oracle,omitempty"`
	Fast       *float64        `json:"fast,omitempty"`
	OracleFast *float64        `json:"oracle_fast,omitempty"`

	Resident      map[int]int64 `json:"resident"` // bytes
	ResidentExact bool          `json:"resident_exact"`

	Accesses uint64   `json:"accesses"` // since the sample before
	Rate     float64  `json:"rate"`     // accesses per second
	MmapMax  *float64 `json:"mmap_max_us,omitempty"`
}

// Summary is the last line.
type Summary struct {
	SchemaVersion int     `json:"schema_version"`
	Type          string  `json:"type"`   // "summary"
	Reason        string  `json:"reason"` // "duration" or "signal"
	T             float64 `json:"t"`
	Pattern       string  `json:"pattern"`
	Phase         int     `json:"phase"`

	Share      map[int]float64 `json:"share"` // at the end
	ShareErr   float64         `json:"share_err"`
	Absent     float64         `json:"absent"`
	ShareMean  map[int]float64 `json:"share_mean"` // over the samples with t > 0
	Fast       *float64        `json:"fast,omitempty"`
	FastMean   *float64        `json:"fast_mean,omitempty"`
	Oracle     map[int]float64 `json:"oracle,omitempty"`
	OracleFast *float64        `json:"oracle_fast,omitempty"`

	Resident      map[int]int64 `json:"resident"`
	ResidentExact bool          `json:"resident_exact"` // always true

	Accesses uint64   `json:"accesses"` // of the run
	Rate     float64  `json:"rate"`
	MaxRSS   int64    `json:"max_rss_bytes"`
	Mmap     *Latency `json:"mmap_us,omitempty"`
}

// Latency is a distribution of times in microseconds.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p99_9"`
	Max   float64 `json:"max"`
}

// residentPart of the samples serves to estimate resident.
const residentPart = 6

// reporter turns placements and counters into lines. It has no clock.
type reporter struct {
	cfg    *Config
	survey *Surveyor
	pages  int
	out    *json.Encoder

	lines    int
	lastT    time.Duration
	lastN    uint64
	means    int
	shareSum map[int]float64

	// The oracle of a pattern is worked out once.
	oracleOf Pattern
	oracle   map[int]float64
}

func newReporter(cfg *Config, where Placement, out io.Writer) *reporter {
	return &reporter{
		cfg:      cfg,
		survey:   NewSurveyor(where, cfg.Seed),
		pages:    int(cfg.Size >> PageShift),
		out:      json.NewEncoder(out),
		shareSum: map[int]float64{},
	}
}

// sample writes the line of time t, when total accesses have been made.
// A negative mmapMax means that nothing was probed.
func (r *reporter) sample(t time.Duration, st Stage, total uint64, mmapMax time.Duration) error {
	share, err := r.survey.Shares(st.Pattern, r.cfg.Samples)
	if err != nil {
		return err
	}
	s := Sample{
		SchemaVersion: SchemaVersion,
		Type:          "sample",
		T:             round(t.Seconds(), 3),
		Pattern:       r.cfg.Pattern,
		Phase:         st.Phase,
		PhaseT:        round(max(t-st.Since, 0).Seconds(), 3),
		Share:         rounded(share.Node),
		ShareErr:      round(share.Err, 5),
		Absent:        round(share.Absent, 5),
		Oracle:        rounded(r.oracleFor(st.Pattern)),
		Fast:          r.fast(share.Node),
		OracleFast:    r.oracleFast(st.Pattern),
		Accesses:      total - r.lastN,
	}
	if d := (t - r.lastT).Seconds(); d > 0 {
		s.Rate = round(float64(s.Accesses)/d, 0)
	}
	if mmapMax >= 0 {
		us := micros(mmapMax)
		s.MmapMax = &us
	}
	if r.cfg.ExactEvery > 0 && r.lines%r.cfg.ExactEvery == 0 {
		s.Resident, err = r.survey.Exact(r.pages)
		s.ResidentExact = true
	} else {
		draws := max(r.cfg.Samples/residentPart, 1)
		s.Resident, err = r.survey.Resident(r.pages, draws)
		s.ResidentExact = draws >= r.pages
	}
	if err != nil {
		return err
	}
	if t > 0 {
		r.means++
		for n, f := range share.Node {
			r.shareSum[n] += f
		}
	}
	r.lines++
	r.lastT, r.lastN = t, total
	return r.write(s)
}

// summary writes the last line.
func (r *reporter) summary(reason string, t time.Duration, st Stage, total uint64, maxRSS int64, mmap *Latency) error {
	share, err := r.survey.Shares(st.Pattern, r.cfg.Samples)
	if err != nil {
		return err
	}
	resident, err := r.survey.Exact(r.pages)
	if err != nil {
		return err
	}
	s := Summary{
		SchemaVersion: SchemaVersion,
		Type:          "summary",
		Reason:        reason,
		T:             round(t.Seconds(), 3),
		Pattern:       r.cfg.Pattern,
		Phase:         st.Phase,
		Share:         rounded(share.Node),
		ShareErr:      round(share.Err, 5),
		Absent:        round(share.Absent, 5),
		Fast:          r.fast(share.Node),
		Oracle:        rounded(r.oracleFor(st.Pattern)),
		OracleFast:    r.oracleFast(st.Pattern),
		Resident:      resident,
		ResidentExact: true,
		Accesses:      total,
		MaxRSS:        maxRSS,
		Mmap:          mmap,
	}
	mean := make(map[int]float64, len(r.shareSum))
	for n, sum := range r.shareSum {
		mean[n] = sum / float64(r.means)
	}
	s.ShareMean = rounded(mean)
	if r.means > 0 {
		s.FastMean = r.fast(mean)
	}
	if t > 0 {
		s.Rate = round(float64(total)/t.Seconds(), 0)
	}
	return r.write(s)
}

func (r *reporter) write(line any) error {
	if err := r.out.Encode(line); err != nil {
		return fmt.Errorf("output: %w", err)
	}
	return nil
}

func (r *reporter) oracleFor(p Pattern) map[int]float64 {
	if len(r.cfg.Capacity) == 0 {
		return nil
	}
	if r.oracleOf != p {
		r.oracleOf, r.oracle = p, Oracle(p, r.cfg.Capacity)
	}
	return r.oracle
}

// fast is the sum over the fast nodes, or nothing when none are named or there
// are no accesses to share.
func (r *reporter) fast(share map[int]float64) *float64 {
	if len(r.cfg.Fast) == 0 || r.cfg.Pattern == "idle" {
		return nil
	}
	sum := 0.0
	for _, n := range r.cfg.Fast {
		sum += share[n]
	}
	sum = round(sum, 5)
	return &sum
}

func (r *reporter) oracleFast(p Pattern) *float64 {
	if len(r.cfg.Capacity) == 0 {
		return nil
	}
	return r.fast(r.oracleFor(p))
}

func rounded(share map[int]float64) map[int]float64 {
	if share == nil {
		return nil
	}
	out := make(map[int]float64, len(share))
	for n, f := range share {
		out[n] = round(f, 5)
	}
	return out
}

func round(f float64, digits int) float64 {
	p := math.Pow10(digits)
	return math.Round(f*p) / p
}

func micros(d time.Duration) float64 { return round(float64(d.Nanoseconds())/1000, 1) }
