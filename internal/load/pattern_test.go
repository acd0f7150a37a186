package load

import (
	"math"
	"testing"
	"time"
)

// config is Default, made small and changed.
func config(change func(*Config)) *Config {
	c := Default()
	c.Size, c.Hot, c.Piece = 4*MiB, 512*KiB, 16*KiB
	change(&c)
	return &c
}

func checked(t *testing.T, change func(*Config)) *Config {
	t.Helper()
	c := config(change)
	if err := c.Check(Host{Nodes: []int{0, 1, 2}, Memory: 64 * TiB}); err != nil {
		t.Fatal(err)
	}
	return c
}

func patternAt(c *Config, at time.Duration) Pattern { return NewSchedule(c).At(at).Pattern }

// pageProbs is the probability of every page, as the classes declare it.
func pageProbs(t *testing.T, p Pattern, pages int) []float64 {
	t.Helper()
	probs := make([]float64, pages)
	seen := make([]bool, pages)
	sum := 0.0
	for _, c := range p.Classes() {
		if got := c.Head(c.Pages); math.Abs(got-c.Prob) > 1e-12 {
			t.Errorf("class %s: all of its pages have %v, want %v", c.Name, got, c.Prob)
		}
		last := math.Inf(1)
		for i := range c.Pages {
			pg := c.Page(i)
			if seen[pg] {
				t.Fatalf("page %d is in two places", pg)
			}
			seen[pg] = true
			probs[pg] = c.Head(i+1) - c.Head(i)
			if probs[pg] > last+1e-12 {
				t.Fatalf("class %s: page %d of it is hotter than the one before", c.Name, i)
			}
			last = probs[pg]
		}
		sum += c.Prob
	}
	for pg, ok := range seen {
		if !ok {
			t.Fatalf("page %d is in no class", pg)
		}
	}
	if math.Abs(sum-1) > 1e-9 {
		t.Errorf("the classes add up to %v", sum)
	}
	return probs
}

// chiSquare compares counts with probabilities and fails beyond 4 deviations.
func chiSquare(t *testing.T, count []int, prob []float64) {
	t.Helper()
	total := 0
	for _, n := range count {
		total += n
	}
	sum, degrees := 0.0, -1.0
	for i, p := range prob {
		want := p * float64(total)
		if want == 0 {
			if count[i] > 0 {
				t.Errorf("%d has %d accesses, and can have none", i, count[i])
			}
			continue
		}
		d := float64(count[i]) - want
		sum += d * d / want
		degrees++
	}
	if limit := degrees + 4*math.Sqrt(2*degrees); sum > limit {
		t.Errorf("chi-square is %.0f with %.0f degrees of freedom, want at most %.0f", sum, degrees, limit)
	}
}

func TestDrawsFollowTheDeclaredProbabilities(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"hotset":           func(*Config) {},
		"hotset of pages":  func(c *Config) { c.Piece = 4 * KiB },
		"hotset shifted":   func(c *Config) { c.Shift = []time.Duration{1} },
		"hotset is all":    func(c *Config) { c.Hot = c.Size },
		"hotset all hot":   func(c *Config) { c.HotShare = 1 },
		"hotset none hot":  func(c *Config) { c.HotShare = 0 },
		"zipf":             func(c *Config) { c.Pattern = "zipf" },
		"zipf of pages":    func(c *Config) { c.Pattern, c.Piece = "zipf", 4*KiB },
		"zipf even":        func(c *Config) { c.Pattern, c.Theta = "zipf", 0 },
		"zipf steep":       func(c *Config) { c.Pattern, c.Theta = "zipf", 2 },
		"uniform":          func(c *Config) { c.Pattern = "uniform" },
		"scan without one": func(c *Config) { c.Pattern, c.ScanShare = "scan", 0 },
		"phases":           func(c *Config) { c.Pattern = "phases" },
	} {
		t.Run(name, func(t *testing.T) {
			c := checked(t, change)
			p := patternAt(c, time.Second)
			pages := int(c.Size >> PageShift)
			probs := pageProbs(t, p, pages)

			count := make([]int, pages)
			inPage := make([]int, PageLines)
			cur := Cursor{Rand: NewRand(7, 0)}
			lines := make([]uint64, 1024)
			for range 2000 {
				if n := p.Fill(&cur, lines); n != len(lines) {
					t.Fatalf("%d draws, want %d", n, len(lines))
				}
				for _, l := range lines {
					count[l/PageLines]++
					inPage[l%PageLines]++
				}
			}
			chiSquare(t, count, probs)
			even := make([]float64, PageLines)
			for i := range even {
				even[i] = 1. / PageLines
			}
			chiSquare(t, inPage, even)
		})
	}
}

func TestScanVisitsAllInOrderBesideTheHotSet(t *testing.T) {
	c := checked(t, func(c *Config) { c.Pattern, c.ScanShare = "scan", 0.25 })
	p := patternAt(c, 0)
	total := uint64(c.Size >> LineShift)
	cur := Cursor{Rand: NewRand(3, 0)}
	lines := make([]uint64, 1024)
	draws, scanned, count := 0, 0, make([]int, c.Size>>PageShift)
	for cur.scan < total-1 { // one pass
		p.Fill(&cur, lines)
		draws += len(lines)
		for _, l := range lines {
			count[l/PageLines]++
		}
		if int(cur.scan) < scanned {
			break // around
		}
		scanned = int(cur.scan)
	}
	if got := float64(total) / float64(draws); math.Abs(got-0.25) > 0.005 {
		t.Errorf("the scan has %.3f of the accesses, want 0.25", got)
	}
	// The declared probabilities are the mean over a pass.
	hot := p.Classes()[0]
	n := 0
	for i := range hot.Pages {
		n += count[hot.Page(i)]
	}
	want := 0.75*0.9 + 0.25/8
	if math.Abs(hot.Prob-want) > 1e-9 {
		t.Errorf("hot pages are declared %v, want %v", hot.Prob, want)
	}
	if got := float64(n) / float64(draws); math.Abs(got-want) > 0.005 {
		t.Errorf("hot pages had %.4f of the accesses, want %.4f", got, want)
	}
	for pg, n := range count {
		if n < PageLines*9/10 { // the last batch may stop short
			t.Fatalf("page %d was accessed %d times in a pass over %d lines", pg, n, PageLines)
		}
	}
}

func TestScanStride(t *testing.T) {
	c := checked(t, func(c *Config) { c.Pattern, c.ScanShare, c.ScanStride = "scan", 1, 4*KiB })
	cur := Cursor{Rand: NewRand(3, 0)}
	lines := make([]uint64, 2048) // two passes
	patternAt(c, 0).Fill(&cur, lines)
	for i, l := range lines {
		if want := uint64(i+1) % 1024 * PageLines; l != want {
			t.Fatalf("access %d is to line %d, want %d", i, l, want)
		}
	}
}

func TestIdleMakesNoAccesses(t *testing.T) {
	p := patternAt(checked(t, func(c *Config) { c.Pattern = "idle" }), 0)
	if n := p.Fill(&Cursor{}, make([]uint64, 8)); n != 0 || len(p.Classes()) != 0 {
		t.Errorf("%d accesses, %d classes", n, len(p.Classes()))
	}
}

func hotPages(p Pattern) map[int]bool {
	pages := map[int]bool{}
	c := p.Classes()[0]
	for i := range c.Pages {
		pages[c.Page(i)] = true
	}
	return pages
}

func TestShiftedHotSetsAreDisjoint(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"shift": func(c *Config) { c.Shift = []time.Duration{10 * time.Second, 20 * time.Second} },
		"around the end": func(c *Config) {
			c.Hot, c.Shift = 1536*KiB, []time.Duration{10 * time.Second, 20 * time.Second}
		},
		"half": func(c *Config) {
			c.Hot, c.Shift = 2*MiB, []time.Duration{10 * time.Second, 20 * time.Second}
		},
		"phases": func(c *Config) { c.Pattern = "phases" },
	} {
		t.Run(name, func(t *testing.T) {
			c := checked(t, change)
			s := NewSchedule(c)
			for _, at := range []time.Duration{0, 10 * time.Second} {
				was, is := hotPages(s.At(at).Pattern), hotPages(s.At(at+10*time.Second).Pattern)
				if len(was) != int(c.Hot>>PageShift) || len(is) != len(was) {
					t.Fatalf("hot sets of %d and %d pages, want %d", len(was), len(is), c.Hot>>PageShift)
				}
				for pg := range is {
					if was[pg] {
						t.Fatalf("page %d is in both", pg)
					}
				}
			}
		})
	}
}

func TestScheduleTimes(t *testing.T) {
	const s = time.Second
	shift := NewSchedule(checked(t, func(c *Config) { c.Shift = []time.Duration{60 * s, 90 * s} }))
	phases := NewSchedule(checked(t, func(c *Config) { c.Pattern, c.Phase, c.Phases = "phases", 10*s, 3 }))
	for _, tt := range []struct {
		of           *Schedule
		at           time.Duration
		phase        int
		since, until time.Duration
	}{
		{shift, 0, 0, 0, 60 * s},
		{shift, 60*s - 1, 0, 0, 60 * s},
		{shift, 60 * s, 1, 60 * s, 90 * s},
		{shift, 1000 * s, 2, 90 * s, 0},
		{phases, 0, 0, 0, 10 * s},
		{phases, 29 * s, 2, 20 * s, 30 * s},
		{phases, 30 * s, 0, 30 * s, 40 * s},
	} {
		st := tt.of.At(tt.at)
		if st.Phase != tt.phase || st.Since != tt.since || st.Until != tt.until {
			t.Errorf("at %v: phase %d from %v to %v, want %d from %v to %v", tt.at, st.Phase, st.Since, st.Until, tt.phase, tt.since, tt.until)
		}
	}
}

func TestScatter(t *testing.T) {
	a, b, c := scatter(1000, 1), scatter(1000, 1), scatter(1000, 2)
	seen := make([]bool, len(a))
	same, neighbours := 0, 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatal("one seed gave two orders")
		}
		if seen[a[i]] {
			t.Fatalf("%d is there twice", a[i])
		}
		seen[a[i]] = true
		if a[i] == c[i] {
			same++
		}
		if i > 0 && a[i] == a[i-1]+1 {
			neighbours++
		}
	}
	if same > 10 || neighbours > 10 {
		t.Errorf("not scattered: %d as with another seed, %d next to each other", same, neighbours)
	}
	// The hot pieces, the first 10 %, are everywhere.
	tenth := make([]int, 10)
	for _, p := range a[:100] {
		tenth[p/100]++
	}
	for i, n := range tenth {
		if n < 2 || n > 25 {
			t.Errorf("tenth %d of the memory has %d of 100 hot pieces", i, n)
		}
	}
}

func TestZipfNormalised(t *testing.T) {
	// Four pieces of one page, theta 1: 12/25, 6/25, 4/25, 3/25.
	z := newZipf(newPieces(16*KiB, 4*KiB, 1), 1)
	c := z.Classes()[0]
	for k, want := range []float64{0, 12. / 25, 18. / 25, 22. / 25, 1} {
		if got := c.Head(k); math.Abs(got-want) > 1e-12 {
			t.Errorf("the first %d pages have %v, want %v", k, got, want)
		}
	}
	// What the alias table gives each rank, exactly.
	got := make([]float64, 4)
	for i, s := range z.slots {
		keep := float64(s.keep) / (1 << 32)
		got[i] += keep / 4
		got[s.other] += (1 - keep) / 4
	}
	for i, want := range []float64{12. / 25, 6. / 25, 4. / 25, 3. / 25} {
		if math.Abs(got[i]-want) > 1e-9 {
			t.Errorf("rank %d is drawn with %v, want %v", i, got[i], want)
		}
	}
}

func TestClassAt(t *testing.T) {
	c := newZipf(newPieces(32*KiB, 8*KiB, 1), 1).Classes()[0] // two pages to a piece
	for _, tt := range []struct {
		u    float64
		want int
	}{{0, 0}, {0.23, 0}, {0.25, 1}, {0.47, 1}, {0.49, 2}, {0.61, 3}, {0.73, 4}, {0.99999, 7}} {
		if got := c.At(tt.u); got != tt.want {
			t.Errorf("At(%v) is %d, want %d", tt.u, got, tt.want)
		}
	}
	even := uniform{total: 10}.Classes()[0]
	if even.At(0) != 0 || even.At(0.55) != 5 || even.At(math.Nextafter(1, 0)) != 9 {
		t.Errorf("even: %d %d %d", even.At(0), even.At(0.55), even.At(math.Nextafter(1, 0)))
	}
}

func benchmarkFill(b *testing.B, change func(*Config)) {
	p := patternAt(config(func(c *Config) {
		c.Size, c.Hot, c.Piece = GiB, 96*MiB, 2*MiB
		change(c)
	}), 0)
	cur := Cursor{Rand: NewRand(1, 1)}
	lines := make([]uint64, batch)
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		p.Fill(&cur, lines)
	}
}

// One operation is one access drawn.
func BenchmarkFill(b *testing.B) {
	b.Run("hotset", func(b *testing.B) { benchmarkFill(b, func(*Config) {}) })
	b.Run("hotset4k", func(b *testing.B) { benchmarkFill(b, func(c *Config) { c.Piece = 4 * KiB }) })
	b.Run("zipf", func(b *testing.B) { benchmarkFill(b, func(c *Config) { c.Pattern = "zipf" }) })
	b.Run("zipf4k", func(b *testing.B) { benchmarkFill(b, func(c *Config) { c.Pattern, c.Piece = "zipf", 4*KiB }) })
	b.Run("uniform", func(b *testing.B) { benchmarkFill(b, func(c *Config) { c.Pattern = "uniform" }) })
	b.Run("scan", func(b *testing.B) { benchmarkFill(b, func(c *Config) { c.Pattern = "scan" }) })
}
