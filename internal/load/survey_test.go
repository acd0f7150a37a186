package load

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fakePlacement has every page on a node that a function names.
type fakePlacement struct {
	node  func(page int) int
	asked int
	err   error
}

func (f *fakePlacement) Locate(pages, nodes []int) error {
	f.asked += len(pages)
	for i, p := range pages {
		nodes[i] = f.node(p)
	}
	return f.err
}

func approx(d float64) cmp.Option { return cmpopts.EquateApprox(0, d) }

func TestOracle(t *testing.T) {
	// 1024 pages, 128 of them hot, in pieces of 4 pages.
	hotset := func(c *Config) {}
	for _, tt := range []struct {
		name   string
		change func(*Config)
		caps   []Capacity
		want   map[int]float64
	}{
		{"hot set fits", hotset, []Capacity{{1, 512 * KiB}, {0, 896 * KiB}, {2, GiB}},
			map[int]float64{1: 0.9, 0: 0.1 * 224 / 896, 2: 0.1 * 672 / 896}},
		{"room beside the hot set", hotset, []Capacity{{1, 1408 * KiB}, {2, GiB}},
			map[int]float64{1: 0.9 + 0.025, 2: 0.075}},
		{"capacity smaller than the hot set", hotset, []Capacity{{1, 128 * KiB}, {0, 256 * KiB}, {2, GiB}},
			map[int]float64{1: 0.225, 0: 0.45, 2: 0.225 + 0.1}},
		{"part of a page is no room", hotset, []Capacity{{1, 4*KiB + 4095}, {2, GiB}},
			map[int]float64{1: 0.9 / 128, 2: 1 - 0.9/128}},
		{"not everything has a place", hotset, []Capacity{{1, 256 * KiB}}, map[int]float64{1: 0.45}},
		{"a node without room", hotset, []Capacity{{1, 0}, {2, GiB}}, map[int]float64{1: 0, 2: 1}},
		{"hot set colder than the rest", func(c *Config) { c.HotShare = 0.05 }, []Capacity{{1, 3584 * KiB}, {2, GiB}},
			map[int]float64{1: 0.95, 2: 0.05}},
		{"uniform", func(c *Config) { c.Pattern = "uniform" }, []Capacity{{1, MiB}, {2, GiB}},
			map[int]float64{1: 0.25, 2: 0.75}},
		{"scan", func(c *Config) { c.Pattern, c.ScanShare = "scan", 0.5 }, []Capacity{{1, 512 * KiB}, {2, GiB}},
			map[int]float64{1: 0.45 + 0.5/8, 2: 0.05 + 0.5*7/8}},
		// Theta 1 over 4 pieces of 2 pages: 12, 6, 4 and 3 of 25.
		{"zipf", func(c *Config) { c.Pattern, c.Theta, c.Size, c.Piece = "zipf", 1, 32*KiB, 8*KiB },
			[]Capacity{{1, 12 * KiB}, {0, 8 * KiB}, {2, GiB}},
			map[int]float64{1: 15. / 25, 0: 5. / 25, 2: 5. / 25}},
		{"idle", func(c *Config) { c.Pattern = "idle" }, []Capacity{{1, GiB}}, map[int]float64{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Oracle(patternAt(config(tt.change), 0), tt.caps)
			if diff := cmp.Diff(tt.want, got, approx(1e-9)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// exactShares sums up what a survey can only estimate.
func exactShares(p Pattern, node func(int) int) map[int]float64 {
	out := map[int]float64{}
	for _, c := range p.Classes() {
		for i := range c.Pages {
			out[node(c.Page(i))] += c.Head(i+1) - c.Head(i)
		}
	}
	return out
}

func TestSharesWithinHalfAPercent(t *testing.T) {
	draws := Default().Samples
	byPage := func(p int) int { return int(mix(uint64(p)) % 3) }
	placements := map[string]func(int) int{
		"whole":      func(int) int { return 2 },
		"halves":     func(p int) int { return p * 2 / (64 << 10) },
		"by 2 MiB":   func(p int) int { return byPage(p / 512) },
		"each alone": byPage,
	}
	for name, change := range map[string]func(*Config){
		"hotset":      func(*Config) {},
		"hotset 4KiB": func(c *Config) { c.Piece = 4 * KiB },
		"zipf":        func(c *Config) { c.Pattern = "zipf" },
		"zipf 4KiB":   func(c *Config) { c.Pattern, c.Piece = "zipf", 4*KiB },
		"uniform":     func(c *Config) { c.Pattern = "uniform" },
		"scan":        func(c *Config) { c.Pattern, c.ScanShare = "scan", 0.5 },
	} {
		p := patternAt(checked(t, func(c *Config) {
			c.Size, c.Hot, c.Piece = 256*MiB, 96*MiB, 2*MiB
			change(c)
		}), 0)
		for where, node := range placements {
			t.Run(name+"/"+where, func(t *testing.T) {
				want := exactShares(p, node)
				fake := &fakePlacement{node: node}
				s := NewSurveyor(fake, 1)
				const rounds = 60
				square := map[int]float64{}
				for range rounds {
					got, err := s.Shares(p, draws)
					if err != nil {
						t.Fatal(err)
					}
					if got.Err > 0.005 {
						t.Errorf("says that its error is %v", got.Err)
					}
					for n, f := range want {
						square[n] += (got.Node[n] - f) * (got.Node[n] - f) / rounds
						if d := math.Abs(got.Node[n] - f); d > 4.5*got.Err+2./float64(draws) {
							t.Errorf("node %d: %v is off by %v, with an error of %v", n, got.Node[n], d, got.Err)
						}
					}
				}
				for n, v := range square {
					if math.Sqrt(v) > 0.005 {
						t.Errorf("node %d: off by %v in the mean", n, math.Sqrt(v))
					}
				}
				if limit := draws + draws/firstPart + 4*minDraws; fake.asked > rounds*limit {
					t.Errorf("asked about %d pages in %d rounds", fake.asked, rounds)
				}
				if where == "whole" && fake.asked > rounds*(draws/firstPart+2*minDraws) {
					t.Errorf("asked about %d pages in %d rounds, though pieces lie whole", fake.asked, rounds)
				}
			})
		}
	}
}

func TestSharesOfASmallMemoryAreExact(t *testing.T) {
	p := patternAt(checked(t, func(c *Config) {}), 0)
	node := func(p int) int { return p % 3 }
	got, err := NewSurveyor(&fakePlacement{node: node}, 1).Shares(p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := Shares{Node: exactShares(p, node)}
	if diff := cmp.Diff(want, got, approx(1e-9)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAbsentPages(t *testing.T) {
	p := patternAt(checked(t, func(c *Config) { c.Pattern = "uniform" }), 0)
	s := NewSurveyor(&fakePlacement{node: func(p int) int {
		if p < 256 { // a quarter
			return -1
		}
		return 2
	}}, 1)
	got, err := s.Shares(p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	want := Shares{Node: map[int]float64{2: 0.75}, Absent: 0.25}
	if diff := cmp.Diff(want, got, approx(1e-9)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A page that is on its way when first asked about counts where it arrives.
	asked := map[int]int{}
	moving := NewSurveyor(&fakePlacement{node: func(p int) int {
		asked[p]++
		return asked[p] - 2
	}}, 1)
	got, err = moving.Shares(p, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if got.Absent != 0 || got.Node[0] != 1 {
		t.Errorf("pages on their way: %+v", got)
	}
}

func TestResident(t *testing.T) {
	const pages = 100_000
	node := func(p int) int {
		switch {
		case p < 30_000:
			return 1
		case p < 90_000:
			return 2
		}
		return -1
	}
	s := NewSurveyor(&fakePlacement{node: node}, 1)
	want := map[int]int64{1: 30_000 << PageShift, 2: 60_000 << PageShift}
	for name, measure := range map[string]func() (map[int]int64, error){
		"exact":       func() (map[int]int64, error) { return s.Exact(pages) },
		"all sampled": func() (map[int]int64, error) { return s.Resident(pages, pages) },
	} {
		got, err := measure()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
	got, err := s.Resident(pages, 4096)
	if err != nil {
		t.Fatal(err)
	}
	for n, b := range want {
		if d := math.Abs(float64(got[n] - b)); d > 0.01*float64(pages<<PageShift) {
			t.Errorf("node %d: sampled %d, want about %d", n, got[n], b)
		}
	}
}

func TestSurveyError(t *testing.T) {
	no := errors.New("no")
	s := NewSurveyor(&fakePlacement{node: func(int) int { return 0 }, err: no}, 1)
	_, err := s.Shares(uniform{total: 8}, 8)
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Exact(8); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 10_000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for _, q := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
		got, want := float64(h.quantile(q)), q*1e7
		if got < want*0.999 || got > want*1.04 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.max != 10*time.Millisecond || h.quantile(1) != h.max {
		t.Errorf("max is %v, quantile 1 %v", h.max, h.quantile(1))
	}
	for ns := uint64(0); ns < 1<<40; ns = ns*17/16 + 1 {
		b := bucketOf(ns)
		if up := upper(b); up < ns || float64(up) > float64(ns)*1.04+1 || (b > 0 && upper(b-1) >= ns) {
			t.Fatalf("%d ns is in bucket %d, which ends at %d", ns, b, up)
		}
	}
	h.add(math.MaxInt64) // does not fall out of the table
}
