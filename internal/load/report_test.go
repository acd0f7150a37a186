package load

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The lines, byte for byte: other programs read them.
func TestLines(t *testing.T) {
	c := checked(t, func(c *Config) {
		c.Shift = []time.Duration{time.Second}
		c.Capacity = []Capacity{{1, 256 * KiB}, {0, 256 * KiB}, {2, GiB}}
		c.Fast = []int{1, 0}
		c.Samples, c.ExactEvery = 1<<16, 2
	})
	s := NewSchedule(c)
	hot := hotPages(s.At(0).Pattern)
	place := &fakePlacement{node: func(p int) int {
		if hot[p] {
			return 1
		}
		return 2
	}}
	var out bytes.Buffer
	r := newReporter(c, place, &out)
	for _, err := range []error{
		r.sample(0, s.At(0), 0, -1),
		r.sample(500*time.Millisecond, s.At(500*time.Millisecond), 1000, 1234567*time.Nanosecond),
		r.sample(1500*time.Millisecond, s.At(1500*time.Millisecond), 4000, -1),
		r.summary("signal", 2*time.Second, s.At(2*time.Second), 5000, 8192, &Latency{Count: 3, P50: 1, P90: 2, P99: 3, P999: 3, Max: 3}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	const want = `{"schema_version":1,"type":"sample","t":0,"pattern":"hotset","phase":0,"phase_t":0,"share":{"1":0.9,"2":0.1},"share_err":0,"absent":0,"oracle":{"0":0.45,"1":0.45,"2":0.1},"fast":0.9,"oracle_fast":0.9,"resident":{"1":524288,"2":3670016},"resident_exact":true,"accesses":0,"rate":0}
{"schema_version":1,"type":"sample","t":0.5,"pattern":"hotset","phase":0,"phase_t":0.5,"share":{"1":0.9,"2":0.1},"share_err":0,"absent":0,"oracle":{"0":0.45,"1":0.45,"2":0.1},"fast":0.9,"oracle_fast":0.9,"resident":{"1":524288,"2":3670016},"resident_exact":true,"accesses":1000,"rate":2000,"mmap_max_us":1234.6}
{"schema_version":1,"type":"sample","t":1.5,"pattern":"hotset","phase":1,"phase_t":0.5,"share":{"1":0.01429,"2":0.98571},"share_err":0,"absent":0,"oracle":{"0":0.45,"1":0.45,"2":0.1},"fast":0.01429,"oracle_fast":0.9,"resident":{"1":524288,"2":3670016},"resident_exact":true,"accesses":3000,"rate":3000}
{"schema_version":1,"type":"summary","reason":"signal","t":2,"pattern":"hotset","phase":1,"share":{"1":0.01429,"2":0.98571},"share_err":0,"absent":0,"share_mean":{"1":0.45714,"2":0.54286},"fast":0.01429,"fast_mean":0.45714,"oracle":{"0":0.45,"1":0.45,"2":0.1},"oracle_fast":0.9,"resident":{"1":524288,"2":3670016},"resident_exact":true,"accesses":5000,"rate":2500,"max_rss_bytes":8192,"mmap_us":{"count":3,"p50":1,"p90":2,"p99":3,"p99_9":3,"max":3}}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestIdleHasNoShare(t *testing.T) {
	c := checked(t, func(c *Config) {
		c.Pattern, c.Fast, c.Capacity = "idle", []int{1}, []Capacity{{1, MiB}}
	})
	var out bytes.Buffer
	r := newReporter(c, &fakePlacement{node: func(int) int { return 2 }}, &out)
	if err := r.sample(time.Second, NewSchedule(c).At(0), 0, -1); err != nil {
		t.Fatal(err)
	}
	const want = `{"schema_version":1,"type":"sample","t":1,"pattern":"idle","phase":0,"phase_t":1,"share":{},"share_err":0,"absent":0,"resident":{"2":4194304},"resident_exact":true,"accesses":0,"rate":0}
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

type fullDisk struct{}

var errFull = errors.New("disk full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestOutputErrorEndsTheReport(t *testing.T) {
	c := checked(t, func(*Config) {})
	r := newReporter(c, &fakePlacement{node: func(int) int { return 0 }}, fullDisk{})
	if err := r.sample(0, NewSchedule(c).At(0), 0, -1); !errors.Is(err, errFull) {
		t.Errorf("got %v", err)
	}
}
