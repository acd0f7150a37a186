package load

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// runLines runs c and returns its samples and its summary.
func runLines(t *testing.T, ctx context.Context, c *Config) ([]Sample, Summary) {
	t.Helper()
	host, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Check(host); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Run(ctx, c, &out); err != nil {
		t.Fatal(err)
	}
	var samples []Sample
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for _, l := range lines[:len(lines)-1] {
		var s Sample
		if err := json.Unmarshal([]byte(l), &s); err != nil || s.Type != "sample" || s.SchemaVersion != SchemaVersion {
			t.Fatalf("line %s: %v", l, err)
		}
		samples = append(samples, s)
	}
	var sum Summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil || sum.Type != "summary" {
		t.Fatalf("last line %s: %v", lines[len(lines)-1], err)
	}
	return samples, sum
}

func small(change func(*Config)) *Config {
	c := Default()
	c.Size, c.Hot = 32*MiB, 4*MiB
	c.Interval, c.Duration = 100*time.Millisecond, 450*time.Millisecond
	change(&c)
	return &c
}

func TestRun(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"hotset": func(c *Config) { c.Shift = []time.Duration{200 * time.Millisecond} },
		"zipf":   func(c *Config) { c.Pattern, c.Piece = "zipf", 4*KiB },
		"scan":   func(c *Config) { c.Pattern, c.Threads, c.MmapProbe = "scan", 2, true },
		"phases": func(c *Config) { c.Pattern, c.Phase = "phases", 50*time.Millisecond },
		"reads":  func(c *Config) { c.Pattern, c.Write = "uniform", 0 },
	} {
		t.Run(name, func(t *testing.T) {
			c := small(change)
			samples, sum := runLines(t, t.Context(), c)
			if len(samples) < 2 || samples[0].T != 0 || samples[0].Accesses != 0 {
				t.Fatalf("%d samples, from %+v", len(samples), samples[0])
			}
			made := uint64(0)
			for _, s := range samples {
				made += s.Accesses
				total, resident := s.Absent, int64(0)
				for n, f := range s.Share {
					total += f
					resident += s.Resident[n]
				}
				if total < 0.999 || total > 1.001 {
					t.Errorf("at %v the shares add up to %v", s.T, total)
				}
				if resident != int64(c.Size) {
					t.Errorf("at %v %d bytes are resident", s.T, resident)
				}
			}
			if made == 0 || sum.Accesses < made || sum.Reason != "duration" || sum.T < 0.45 {
				t.Errorf("%d accesses in the samples, summary %+v", made, sum)
			}
			if c.MmapProbe && (sum.Mmap == nil || sum.Mmap.Count == 0 || sum.Mmap.P50 > sum.Mmap.Max) {
				t.Errorf("probe: %+v", sum.Mmap)
			}
			if name == "hotset" && sum.Phase != 1 {
				t.Errorf("the hot set did not shift: phase %d", sum.Phase)
			}
		})
	}
}

func TestRunRate(t *testing.T) {
	_, sum := runLines(t, t.Context(), small(func(c *Config) {
		c.Rate, c.Threads, c.Duration = 100_000, 2, time.Second
	}))
	if sum.Rate < 10_000 || sum.Rate > 115_000 {
		t.Errorf("%v accesses a second, want 100000", sum.Rate)
	}
}

func TestRunIdle(t *testing.T) {
	samples, sum := runLines(t, t.Context(), small(func(c *Config) { c.Pattern = "idle" }))
	if sum.Accesses != 0 || len(sum.Share) != 0 || len(samples) < 2 {
		t.Errorf("summary %+v", sum)
	}
}

func TestRunWaitsForTheStartFile(t *testing.T) {
	dir := t.TempDir()
	ready, start := filepath.Join(dir, "ready"), filepath.Join(dir, "start")
	early := make(chan error, 1)
	go func() {
		defer close(early)
		for {
			if _, err := os.Stat(ready); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		time.Sleep(50 * time.Millisecond)
		early <- os.WriteFile(start, nil, 0o644)
	}()
	began := time.Now()
	_, sum := runLines(t, t.Context(), small(func(c *Config) {
		c.ReadyFile, c.StartFile, c.Duration = ready, start, 100*time.Millisecond
	}))
	if err := <-early; err != nil {
		t.Fatal(err)
	}
	if time.Since(began) < 150*time.Millisecond || sum.T < 0.1 {
		t.Errorf("took %v, of which %v s counted", time.Since(began), sum.T)
	}
}

func TestRunEndsWithASummary(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"while it runs":        func(c *Config) { c.Duration = 0 },
		"before it has begun":  func(c *Config) { c.StartFile = filepath.Join(t.TempDir(), "never") },
		"while it hardly runs": func(c *Config) { c.Rate, c.Duration = 0.001, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, sum := runLines(t, ctx, small(change))
			if sum.Reason != "signal" {
				t.Errorf("reason %q", sum.Reason)
			}
			cancel()
			for range 100 {
				if runtime.NumGoroutine() <= before {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		})
	}
}

func TestMemory(t *testing.T) {
	host, err := DetectHost()
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMemory(4*MiB+64*KiB, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if uintptr(m.base)%uintptr(align) != 0 {
		t.Errorf("not aligned: %p", m.base)
	}
	s := NewSurveyor(m, 1)
	if got, err := s.Exact(m.Pages()); err != nil || len(got) != 0 {
		t.Errorf("before it is touched: %v, %v", got, err)
	}
	node := host.Nodes[0]
	if err := m.Touch(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Exact(m.Pages()); err != nil || got[node] != int64(m.size) {
		t.Errorf("after it is touched: %v, %v", got, err)
	}
	if mode, err := m.Policy(); err != unix.ENOSYS && (err != nil || mode != mpolDefault) {
		t.Errorf("policy %d, %v", mode, err)
	}
}

// One operation is one access, drawn and made, in memory that the caches hold:
// what tierload adds to the time of the memory itself.
func BenchmarkAccess(b *testing.B) {
	for name, write := range map[string]float64{"read": 0, "write30": 0.3} {
		b.Run(name, func(b *testing.B) {
			c := small(func(c *Config) { c.Size, c.Hot, c.Piece = 64*KiB, 16*KiB, 4*KiB })
			m, err := NewMemory(c.Size, false)
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			if err := m.Touch(b.Context(), -1); err != nil {
				b.Fatal(err)
			}
			p := patternAt(c, 0)
			cur := Cursor{Rand: NewRand(1, 1)}
			lines := make([]uint64, batch)
			sum := uint64(0)
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				p.Fill(&cur, lines)
				sum += access(m.base, lines, int(write*batch))
			}
			runtime.KeepAlive(sum)
		})
	}
}
