package load

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config is what a run is asked to do.
type Config struct {
	Size    Bytes
	Pattern string
	Seed    uint64

	Hot        Bytes
	HotShare   float64
	Piece      Bytes
	Shift      []time.Duration
	Theta      float64
	ScanShare  float64
	ScanStride Bytes
	Phase      time.Duration
	Phases     int

	Write    float64 // share of the accesses that write
	Threads  int
	CPUs     []int   // that the process may run on; none: all
	Rate     float64 // accesses per second of all threads; 0: as fast as they go
	Huge     bool
	Node     int // where the memory starts; -1: the kernel's choice
	Duration time.Duration
	Interval time.Duration

	ReadyFile string
	StartFile string

	Capacity   []Capacity
	Fast       []int
	Samples    int
	ExactEvery int // samples between exact counts of resident; 0: never
	MmapProbe  bool
}

// Default is the Config without any flag.
func Default() Config {
	return Config{
		Size:       GiB,
		Pattern:    "hotset",
		Seed:       1,
		Hot:        96 * MiB,
		HotShare:   0.9,
		Piece:      2 * MiB,
		Theta:      0.99,
		ScanShare:  0.1,
		ScanStride: 64,
		Phase:      10 * time.Second,
		Phases:     3,
		Write:      0.3,
		Threads:    1,
		Node:       -1,
		Interval:   time.Second,
		Samples:    12288,
	}
}

// Patterns are the names that Config.Pattern may have.
func Patterns() []string {
	return []string{"hotset", "zipf", "uniform", "scan", "phases", "idle"}
}

// Host is what a Config must fit.
type Host struct {
	Nodes  []int // with memory that this process may use
	Memory Bytes
}

// UsageError is a Config that cannot be carried out.
type UsageError struct{ Problem string }

func (e *UsageError) Error() string { return e.Problem }

func usage(format string, args ...any) error {
	return &UsageError{Problem: fmt.Sprintf(format, args...)}
}

// MaxSize is the largest memory that the tables of pieces can address, with
// pieces of one page.
const MaxSize = 16 * TiB

// maxCPUs is how many an affinity mask has room for.
const maxCPUs = 1024

// Check returns a *UsageError for the first thing that cannot be done on h.
func (c *Config) Check(h Host) error {
	if !slices.Contains(Patterns(), c.Pattern) {
		return usage("--pattern %s: unknown; there are %s", c.Pattern, strings.Join(Patterns(), ", "))
	}
	switch {
	case c.Piece < 1<<PageShift || c.Piece&(c.Piece-1) != 0:
		return usage("--piece %v: must be a power of two and at least 4KiB", c.Piece)
	case c.Size == 0 || c.Size%c.Piece != 0:
		return usage("--size %v: must be a multiple of the piece, %v, and more than nothing", c.Size, c.Piece)
	case c.Size > MaxSize:
		return usage("--size %v: at most %v", c.Size, MaxSize)
	case c.Size > h.Memory:
		return usage("--size %v: this machine has %v of memory", c.Size, h.Memory/MiB*MiB)
	case c.Threads < 1 || c.Threads > 4096:
		return usage("--threads %d: must be 1 to 4096", c.Threads)
	case slices.ContainsFunc(c.CPUs, func(n int) bool { return n < 0 || n >= maxCPUs }):
		return usage("--cpus: CPUs are numbered from 0 to %d", maxCPUs-1)
	case !(c.Rate >= 0 && c.Rate <= 1e12):
		return usage("--rate %v: must be accesses per second, or 0 for no limit", c.Rate)
	case c.Duration < 0:
		return usage("--duration %v: must not be negative", c.Duration)
	case c.Interval < 100*time.Millisecond:
		return usage("--interval %v: must be at least 100ms", c.Interval)
	case c.Samples < 1 || c.Samples > 1<<22:
		return usage("--samples %d: must be 1 to %d", c.Samples, 1<<22)
	case c.ExactEvery < 0:
		return usage("--exact-every %d: must not be negative", c.ExactEvery)
	}
	for _, s := range []struct {
		flag  string
		value float64
	}{{"hot-share", c.HotShare}, {"scan-share", c.ScanShare}, {"write", c.Write}} {
		if !(s.value >= 0 && s.value <= 1) {
			return usage("--%s %v: must be between 0 and 1", s.flag, s.value)
		}
	}
	if err := c.checkPattern(); err != nil {
		return err
	}
	return c.checkNodes(h)
}

func (c *Config) checkPattern() error {
	if len(c.Shift) > 0 && c.Pattern != "hotset" && c.Pattern != "scan" {
		return usage("--shift: needs the pattern hotset or scan, not %s", c.Pattern)
	}
	switch c.Pattern {
	case "zipf":
		if !(c.Theta >= 0 && c.Theta <= 10) {
			return usage("--theta %v: must be between 0 and 10", c.Theta)
		}
		return nil
	case "uniform", "idle":
		return nil
	case "scan":
		if c.ScanStride < 1<<LineShift || c.ScanStride%(1<<LineShift) != 0 || c.ScanStride > c.Size {
			return usage("--scan-stride %v: must be a multiple of 64B and at most the size, %v", c.ScanStride, c.Size)
		}
	}
	// The ones with a hot set.
	switch {
	case c.Hot > c.Size:
		return usage("--hot %v: more than the size, %v", c.Hot, c.Size)
	case c.Hot == 0 || c.Hot%c.Piece != 0:
		return usage("--hot %v: must be a multiple of the piece, %v, and more than nothing", c.Hot, c.Piece)
	}
	if c.Pattern == "phases" {
		switch {
		case c.Phase <= 0:
			return usage("--phase %v: must be more than nothing", c.Phase)
		case c.Phases < 1:
			return usage("--phases %d: must be at least 1", c.Phases)
		case uint64(c.Phases) > uint64(c.Size/c.Hot):
			return usage("--phases %d: so many disjoint hot sets of %v do not fit in %v", c.Phases, c.Hot, c.Size)
		}
	}
	if len(c.Shift) > 0 && c.Hot > c.Size/2 {
		return usage("--shift: two disjoint hot sets of %v do not fit in %v", c.Hot, c.Size)
	}
	last := time.Duration(0)
	for _, s := range c.Shift {
		if s <= last {
			return usage("--shift: times must be above 0 and rise, but %v follows %v", s, last)
		}
		last = s
	}
	return nil
}

func (c *Config) checkNodes(h Host) error {
	known := func(flag string, node int) error {
		if slices.Contains(h.Nodes, node) {
			return nil
		}
		return usage("--%s: node %d has no memory that this process may use; nodes with memory: %s", flag, node, joinInts(h.Nodes))
	}
	if c.Node != -1 {
		if err := known("node", c.Node); err != nil {
			return err
		}
	}
	seen := map[int]bool{}
	for _, p := range c.Capacity {
		if err := known("capacity", p.Node); err != nil {
			return err
		}
		if seen[p.Node] {
			return usage("--capacity: node %d is there twice", p.Node)
		}
		seen[p.Node] = true
	}
	clear(seen)
	for _, n := range c.Fast {
		if err := known("fast", n); err != nil {
			return err
		}
		if seen[n] {
			return usage("--fast: node %d is there twice", n)
		}
		seen[n] = true
	}
	return nil
}

func joinInts(ns []int) string {
	var b strings.Builder
	for i, n := range ns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}
