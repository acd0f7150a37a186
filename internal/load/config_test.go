package load

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for in, want := range map[string]Bytes{"0B": 0, "1GiB": GiB, "96MiB": 96 << 20, "64KiB": 64 << 10, "100B": 100, "2TiB": 2 * TiB} {
		got, err := ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("%s is %d, %v", in, uint64(got), err)
		}
		if got.String() != in {
			t.Errorf("%s prints as %s", in, got)
		}
	}
	for _, in := range []string{"", "1", "MiB", "-1MiB", "1.5GiB", "1GB", "1gib", "99999999999TiB", "18446744073709551615B"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("%q is %v, want an error", in, got)
		}
	}
}

func TestCheck(t *testing.T) {
	host := Host{Nodes: []int{0, 2}, Memory: 16 * GiB}
	c := Default()
	if err := c.Check(host); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	s := time.Second
	for want, change := range map[string]func(*Config){
		"--pattern hot: unknown; there are hotset, zipf": func(c *Config) { c.Pattern = "hot" },
		"--size 17GiB: this machine has 16GiB":           func(c *Config) { c.Size = 17 * GiB },
		"--size 1000MiB: must be a multiple of the piece, 64MiB": func(c *Config) {
			c.Size, c.Piece = 1000*MiB, 64*MiB
		},
		"--size 0B":                      func(c *Config) { c.Size = 0 },
		"--size 32TiB: at most 16TiB":    func(c *Config) { c.Size = 32 * TiB },
		"--piece 3MiB":                   func(c *Config) { c.Piece = 3 * MiB },
		"--piece 2KiB":                   func(c *Config) { c.Piece = 2 * KiB },
		"--hot 2GiB: more than the size": func(c *Config) { c.Hot = 2 * GiB },
		"--hot 1MiB: must be a multiple": func(c *Config) { c.Hot = MiB },
		"--hot 0B":                       func(c *Config) { c.Hot = 0 },
		"--hot-share 1.5":                func(c *Config) { c.HotShare = 1.5 },
		"--hot-share NaN":                func(c *Config) { c.HotShare = math.NaN() },
		"--scan-share -1":                func(c *Config) { c.ScanShare = -1 },
		"--write 2":                      func(c *Config) { c.Write = 2 },
		"--rate -1":                      func(c *Config) { c.Rate = -1 },
		"--rate +Inf":                    func(c *Config) { c.Rate = math.Inf(1) },
		"--threads 0":                    func(c *Config) { c.Threads = 0 },
		"--cpus: CPUs are numbered":      func(c *Config) { c.CPUs = []int{1, 1024} },
		"--duration -1s":                 func(c *Config) { c.Duration = -s },
		"--interval 1ms":                 func(c *Config) { c.Interval = time.Millisecond },
		"--samples 0":                    func(c *Config) { c.Samples = 0 },
		"--exact-every -1":               func(c *Config) { c.ExactEvery = -1 },
		"--theta -1":                     func(c *Config) { c.Pattern, c.Theta = "zipf", -1 },
		"--scan-stride 100B":             func(c *Config) { c.Pattern, c.ScanStride = "scan", 100 },
		"--phase 0s":                     func(c *Config) { c.Pattern, c.Phase = "phases", 0 },
		"--phases 0":                     func(c *Config) { c.Pattern, c.Phases = "phases", 0 },
		"--phases 11: so many disjoint hot sets of 96MiB do not fit in 1GiB": func(c *Config) { c.Pattern, c.Phases = "phases", 11 },
		"--shift: needs the pattern hotset or scan, not zipf":                func(c *Config) { c.Pattern, c.Shift = "zipf", []time.Duration{s} },
		"--shift: two disjoint hot sets of 514MiB do not fit in 1GiB":        func(c *Config) { c.Hot, c.Shift = 514*MiB, []time.Duration{s} },
		"--shift: times must be above 0 and rise, but 1s follows 1s":         func(c *Config) { c.Shift = []time.Duration{s, s} },
		"--node: node 1 has no memory that this process may use; nodes with memory: 0, 2": func(c *Config) {
			c.Node = 1
		},
		"--capacity: node 1":                func(c *Config) { c.Capacity = []Capacity{{0, GiB}, {1, GiB}} },
		"--capacity: node 0 is there twice": func(c *Config) { c.Capacity = []Capacity{{0, GiB}, {0, GiB}} },
		"--fast: node 7":                    func(c *Config) { c.Fast = []int{7} },
		"--fast: node 2 is there twice":     func(c *Config) { c.Fast = []int{2, 2} },
	} {
		c := Default()
		change(&c)
		err := c.Check(host)
		var bad *UsageError
		if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want %s…", err, want)
		}
	}
}
