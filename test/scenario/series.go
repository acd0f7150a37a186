package scenario

import (
	"math"
	"time"

	"github.com/tierd/tierd/internal/load"
	"github.com/tierd/tierd/internal/status"
)

// A Sample is one moment of a run.
type Sample struct {
	// T is in seconds since the mover was started; negative before.
	T float64 `json:"t"`
	// Load is tierload's line.
	Load load.Sample `json:"load"`
	// Neighbour is the last line of the scenario's neighbour before that; nil without one.
	Neighbour *load.Sample `json:"neighbour,omitempty"`
	// MovedBytes is what the mover has moved, both directions together: by tierd's status, or by the kernel's counters.
	MovedBytes int64 `json:"moved_bytes"`
	// Tierd is nil before it is started and with other movers.
	Tierd *TierdSample `json:"tierd,omitempty"`
	// Kernel has the guest's counters, whoever moves.
	Kernel Counters `json:"kernel"`
}

// TierdSample is what tierd costs and says at one moment.
type TierdSample struct {
	// CPUSeconds is all CPU time of the process, user and system, since its start.
	CPUSeconds float64 `json:"cpu_seconds"`
	RSSBytes   int64   `json:"rss_bytes"`
	// Status is nil until tierd answers.
	Status *status.Status `json:"status,omitempty"`
}

// Counters are differences of the guest's /proc/vmstat, in bytes, and /proc/stat, in seconds of all CPUs together.
type Counters struct {
	Promoted int64 `json:"promoted_bytes"` // pgpromote_success
	Demoted  int64 `json:"demoted_bytes"`  // pgdemote_*
	Balanced int64 `json:"balanced_bytes"` // numa_pages_migrated
	Migrated int64 `json:"migrated_bytes"` // pgmigrate_success: every migration, whatever the reason
	// Busy is time in which a CPU did something, Stolen time that the machine below took.
	Busy   float64 `json:"busy_seconds"`
	Stolen float64 `json:"stolen_seconds"`
}

// A Series is a run.
type Series struct {
	Name  string `json:"name"`
	Mover Mover  `json:"mover"`
	// Release of the guest's kernel.
	Release string `json:"release"`
	// Capacity is what the oracle was given, fastest node first.
	Capacity []load.Capacity `json:"capacity"`
	Samples  []Sample        `json:"samples"`
	Summary  load.Summary    `json:"summary"`
	End      End             `json:"end"`
	// Waited is the share of the time in which the emulator wanted a CPU of this host and got none; negative if unknown.
	// Much of it slows the guest's CPUs unevenly, which the guest itself cannot see.
	Waited float64       `json:"waited"`
	Boot   time.Duration `json:"boot"`
}

// End is how tierd ended. It is zero with other movers.
type End struct {
	ExitCode int `json:"exit_code"`
	// StopSeconds passed between SIGTERM and the end of the process.
	StopSeconds float64 `json:"stop_seconds"`
	// CPUSeconds is all CPU time of the process, as the kernel accounted for it.
	CPUSeconds float64 `json:"cpu_seconds"`
	MaxRSS     int64   `json:"max_rss_bytes"`
	// Residue names what tierd left behind; empty after a clean stop.
	Residue []string `json:"residue,omitempty"`
}

// A Value picks one number of a sample; false where the sample has none.
type Value func(*Sample) (float64, bool)

// Fast is the share of the accesses that the fast nodes would serve: all of the capacity's but the last.
func Fast(s *Sample) (float64, bool) {
	if s.Load.Fast == nil {
		return 0, false
	}
	return *s.Load.Fast, true
}

// BothFast is the mean of Fast of a load and its neighbour, whatever their own throughputs are.
func BothFast(s *Sample) (float64, bool) {
	own, ok := Fast(s)
	if s.Neighbour == nil || s.Neighbour.Fast == nil {
		return own, ok
	}
	return (own + *s.Neighbour.Fast) / 2, ok
}

// Node is the share of the accesses that a node would serve.
func Node(id int) Value {
	return func(s *Sample) (float64, bool) { return s.Load.Share[id], len(s.Load.Share) > 0 }
}

// BothNode is the mean of Node of a load and its neighbour.
func BothNode(id int) Value {
	own := Node(id)
	return func(s *Sample) (float64, bool) {
		share, ok := own(s)
		if s.Neighbour == nil || len(s.Neighbour.Share) == 0 {
			return share, ok
		}
		return (share + s.Neighbour.Share[id]) / 2, ok
	}
}

// Moved is MovedBytes.
func Moved(s *Sample) (float64, bool) { return float64(s.MovedBytes), true }

// CPU is tierd's CPU time in seconds.
func CPU(s *Sample) (float64, bool) {
	if s.Tierd == nil {
		return 0, false
	}
	return s.Tierd.CPUSeconds, true
}

// RSS is tierd's resident memory in bytes.
func RSS(s *Sample) (float64, bool) {
	if s.Tierd == nil {
		return 0, false
	}
	return float64(s.Tierd.RSSBytes), true
}

// Reach returns after how many seconds of a phase (a hot set; the first is 0) v was at least want in two samples in a
// row, or in the run's last one. Phase 0 counts from time zero, later ones from the shift. It is +Inf if that never happened.
func (s *Series) Reach(phase int, v Value, want float64) float64 {
	first := math.Inf(1)
	for i := range s.Samples {
		p := &s.Samples[i]
		if p.Load.Phase != phase || p.T < 0 {
			continue
		}
		x, ok := v(p)
		if !ok || x < want {
			first = math.Inf(1)
			continue
		}
		if !math.IsInf(first, 1) {
			return first
		}
		first = p.T
		if phase > 0 {
			first = p.Load.PhaseT
		}
	}
	return first
}

// points are the times at which v is known, and its values there.
func (s *Series) points(v Value) (t, x []float64) {
	for i := range s.Samples {
		if y, ok := v(&s.Samples[i]); ok {
			t, x = append(t, s.Samples[i].T), append(x, y)
		}
	}
	return t, x
}

// Mean is the mean of v over the time from one moment to another, with v going in straight lines between the samples.
// Before the first and after the last sample it is as there. NaN without any sample.
func (s *Series) Mean(v Value, from, to float64) float64 {
	t, x := s.points(v)
	if len(t) == 0 || to <= from {
		return math.NaN()
	}
	sum, lastT, lastX := 0.0, from, interpolate(t, x, from)
	for i := range t {
		if t[i] > from && t[i] < to {
			sum += (t[i] - lastT) * (x[i] + lastX) / 2
			lastT, lastX = t[i], x[i]
		}
	}
	return (sum + (to-lastT)*(interpolate(t, x, to)+lastX)/2) / (to - from)
}

// Max is the largest v from one moment to another; NaN without any sample.
func (s *Series) Max(v Value, from, to float64) float64 {
	most := math.NaN()
	for i := range s.Samples {
		p := &s.Samples[i]
		if x, ok := v(p); ok && p.T >= from && p.T <= to && !(x <= most) {
			most = x
		}
	}
	return most
}

// Rate is how much a counter grew per second between two moments; NaN without any sample.
func (s *Series) Rate(v Value, from, to float64) float64 {
	t, x := s.points(v)
	if len(t) == 0 || to <= from {
		return math.NaN()
	}
	return (interpolate(t, x, to) - interpolate(t, x, from)) / (to - from)
}

// Filled is when the fast nodes first held nearly all (99 %) of the most that they ever held: the end of the first
// fill. NaN without any sample.
func (s *Series) Filled() float64 {
	if len(s.Capacity) < 2 {
		return math.NaN()
	}
	held := func(p *Sample) (sum int64) {
		for _, c := range s.Capacity[:len(s.Capacity)-1] {
			sum += p.Load.Resident[c.Node]
		}
		return sum
	}
	var most int64
	for i := range s.Samples {
		most = max(most, held(&s.Samples[i]))
	}
	for i := range s.Samples {
		if p := &s.Samples[i]; p.T >= 0 && float64(held(p)) >= 0.99*float64(most) {
			return p.T
		}
	}
	return math.NaN()
}

// Last is the time of the last sample.
func (s *Series) Last() float64 {
	if len(s.Samples) == 0 {
		return math.NaN()
	}
	return s.Samples[len(s.Samples)-1].T
}

// interpolate is x at time at, in straight lines; t ascends and is not empty.
func interpolate(t, x []float64, at float64) float64 {
	if at <= t[0] {
		return x[0]
	}
	for i := 1; i < len(t); i++ {
		if at <= t[i] {
			if t[i] == t[i-1] {
				return x[i]
			}
			return x[i-1] + (x[i]-x[i-1])*(at-t[i-1])/(t[i]-t[i-1])
		}
	}
	return x[len(x)-1]
}
