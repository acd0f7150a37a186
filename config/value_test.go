package config

import (
	"encoding"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

// textValue is what all value types have.
type textValue interface {
	encoding.TextUnmarshaler
	encoding.TextMarshaler
	fmt.Stringer
}

func newValues() map[string]func() textValue {
	return map[string]func() textValue{
		"Bytes":      func() textValue { return new(Bytes) },
		"Rate":       func() textValue { return new(Rate) },
		"Reserve":    func() textValue { return new(Reserve) },
		"Percent":    func() textValue { return new(Percent) },
		"NodeSet":    func() textValue { return new(NodeSet) },
		"Duration":   func() textValue { return new(Duration) },
		"Period":     func() textValue { return new(Period) },
		"Mode":       func() textValue { return new(Mode) },
		"Near":       func() textValue { return new(Near) },
		"Source":     func() textValue { return new(Source) },
		"Glob":       func() textValue { return new(Glob) },
		"PathGlob":   func() textValue { return new(PathGlob) },
		"ListenAddr": func() textValue { return new(ListenAddr) },
		"SocketPath": func() textValue { return new(SocketPath) },
		"DirPath":    func() textValue { return new(DirPath) },
	}
}

func TestValues(t *testing.T) {
	tests := []struct {
		kind, text string
		want       string // the canonical text
	}{
		{"Bytes", "64GiB", "64GiB"},
		{"Bytes", "48 MiB", "48MiB"},
		{"Bytes", " 65536MiB ", "64GiB"},
		{"Bytes", "1.5GiB", "1536MiB"},
		{"Bytes", "64GB", "64GB"},
		{"Bytes", "1000000B", "1MB"},
		{"Bytes", "1kB", "1kB"},
		{"Bytes", "1001B", "1001B"},
		{"Bytes", "0B", "0B"},
		{"Bytes", "0GiB", "0B"},
		{"Bytes", "9223372036854775807B", "9223372036854775807B"},
		{"Bytes", "8191PiB", "8191PiB"},
		{"Rate", "1GiB/s", "1GiB/s"},
		{"Rate", "500 MB/s", "500MB/s"},
		{"Reserve", "2%", "2%"},
		{"Reserve", "4GiB", "4GiB"},
		{"Reserve", "0%", "0%"},
		{"Reserve", "0B", "0%"},
		{"Percent", "3%", "3%"},
		{"Percent", "0.2%", "0.2%"},
		{"Percent", "12.3450 %", "12.345%"},
		{"Percent", "0.0001%", "0.0001%"},
		{"Percent", "100%", "100%"},
		{"NodeSet", "0-1,4", "0-1,4"},
		{"NodeSet", "4,0,1\n", "0-1,4"},
		{"NodeSet", "0, 2", "0,2"},
		{"NodeSet", "63-64", "63-64"},
		{"NodeSet", "0-1023", "0-1023"},
		{"Duration", "20ms", "20ms"},
		{"Duration", "20 ms", "20ms"},
		{"Duration", "60s", "1m"},
		{"Duration", "1m30s", "1m30s"},
		{"Duration", "1h", "1h"},
		{"Duration", "10m", "10m"},
		{"Duration", "1.5h", "1h30m"},
		{"Duration", "1us", "1µs"},
		{"Duration", "24h", "24h"},
		{"Period", "auto", "auto"},
		{"Period", "off", "off"},
		{"Period", "2.5s", "2.5s"},
		{"Mode", "observe", "observe"},
		{"Mode", "enforce", "enforce"},
		{"Near", "auto", "auto"},
		{"Near", "gpu", "gpu"},
		{"Near", "cpu", "cpu"},
		{"Near", "0,2-3", "0,2-3"},
		{"Source", "page-table", "page-table"},
		{"Source", "damon", "damon"},
		{"Glob", "python*", "python*"},
		{"PathGlob", "/usr/bin/python3*", "/usr/bin/python3*"},
		{"ListenAddr", "", ""},
		{"ListenAddr", "127.0.0.1:9417", "127.0.0.1:9417"},
		{"ListenAddr", "127.8.0.1:0", "127.8.0.1:0"},
		{"ListenAddr", "[::1]:9417", "[::1]:9417"},
		{"ListenAddr", "localhost:9417", "localhost:9417"},
		{"SocketPath", "/run/tierd/tierd.sock", "/run/tierd/tierd.sock"},
		{"DirPath", "", ""},
		{"DirPath", "/var/lib/tierd/recordings", "/var/lib/tierd/recordings"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+tt.text, func(t *testing.T) {
			v := newValues()[tt.kind]()
			if err := v.UnmarshalText([]byte(tt.text)); err != nil {
				t.Fatal(err)
			}
			if got := v.String(); got != tt.want {
				t.Errorf("String() = %q, want %q", got, tt.want)
			}
			checkRoundTrip(t, newValues()[tt.kind], v)
		})
	}
}

func checkRoundTrip(t *testing.T, fresh func() textValue, v textValue) {
	t.Helper()
	text, err := v.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != v.String() {
		t.Errorf("MarshalText() = %q, String() = %q", text, v)
	}
	again := fresh()
	if err := again.UnmarshalText(text); err != nil {
		t.Fatalf("own text %q: %v", text, err)
	}
	if diff := cmp.Diff(v, again); diff != "" {
		t.Errorf("round trip of %q (-want +got):\n%s", text, diff)
	}
}

func TestValueErrors(t *testing.T) {
	long := strings.Repeat("9", 100)
	tests := []struct {
		kind, text string
		want       string
	}{
		{"Bytes", "64", `"64" has no unit (say "64GiB" or "64MiB")`},
		{"Bytes", "0", `"0" has no unit (say "0B")`},
		{"Bytes", "64G", `"64G" has the unknown unit "G" (say "64GiB" or "64GB")`},
		{"Bytes", "64k", `"64k" has the unknown unit "k" (say "64KiB" or "64kB")`},
		{"Bytes", "64gib", `"64gib" has the unknown unit "gib" (say "64GiB")`},
		{"Bytes", "64parsec", `"64parsec" has the unknown unit "parsec" (the units are B, KiB, MiB, GiB, TiB, PiB and kB, MB, GB, TB, PB)`},
		{"Bytes", "", `the value is empty (say "64MiB")`},
		{"Bytes", "-1GiB", `"-1GiB" is negative (say "64MiB")`},
		{"Bytes", "GiB", `"GiB" does not start with a number (say "64MiB")`},
		{"Bytes", "1.2.3GiB", `"1.2.3GiB" does not start with a number (say "64MiB")`},
		{"Bytes", ".5GiB", `".5GiB" does not start with a number (say "64MiB")`},
		{"Bytes", "1e3MiB", `"1e3MiB" has the unknown unit "e3MiB" (the units are B, KiB, MiB, GiB, TiB, PiB and kB, MB, GB, TB, PB)`},
		{"Bytes", "0.3B", `"0.3B" is not a whole number of bytes`},
		{"Bytes", "8192PiB", `"8192PiB" is too large (the largest is 8191PiB)`},
		{"Bytes", long + "B", `"` + strings.Repeat("9", 64) + `…" has too many digits (say "64MiB")`},
		{"Rate", "1GiB", `"1GiB" is a size, not a rate (say "1GiB/s")`},
		{"Rate", "1", `"1" has no unit (say "1GiB/s" or "1MiB/s")`},
		{"Rate", "1G/s", `"1G" has the unknown unit "G" (say "1GiB/s" or "1GB/s")`},
		{"Reserve", "2", `"2" has no unit (say "2%" or "2GiB")`},
		{"Reserve", "101%", `"101%" is above 100%`},
		{"Percent", "3", `"3" has no unit (say "3%")`},
		{"Percent", "3 percent", `"3 percent" has the unknown unit "percent" (say "3%")`},
		{"Percent", "101%", `"101%" is above 100%`},
		{"Percent", "-1%", `"-1%" is negative (say "3%")`},
		{"Percent", "0.00001%", `"0.00001%" is finer than 0.0001%`},
		{"NodeSet", "", `the node list is empty (say "0-1,4")`},
		{"NodeSet", "a", `"a" is not a node list (say "0-1,4")`},
		{"NodeSet", "0,,1", `"0,,1" is not a node list (say "0-1,4")`},
		{"NodeSet", "0-", `"0-" is not a node list (say "0-1,4")`},
		{"NodeSet", "-1", `"-1" is not a node list (say "0-1,4")`},
		{"NodeSet", "0-3:2/4", `"0-3:2/4" is not a node list (say "0-1,4")`},
		{"NodeSet", "3-1", `"3-1" is a range from high to low (write the lower node first)`},
		{"NodeSet", "0-2,1", `node 1 is named twice`},
		{"NodeSet", "1024", `node 1024 is above 1023, the highest that the kernel has`},
		{"NodeSet", "0-" + long, `node 999999999999999999999999… is above 1023, the highest that the kernel has`},
		{"Duration", "20", `"20" has no unit (say "20s" or "20ms")`},
		{"Duration", "0s", `"0s" is not longer than nothing (say "20ms", "60s" or "1m30s")`},
		{"Duration", "-1s", `"-1s" is negative (say "20ms", "60s" or "1m30s")`},
		{"Duration", "1 day", `"1 day" is not a duration (say "20ms", "60s" or "1m30s")`},
		{"Duration", "", `"" is not a duration (say "20ms", "60s" or "1m30s")`},
		{"Duration", "10ns", `10ns is below 1µs (the range is 1µs to 24h)`},
		{"Duration", "25h", `25h is above 24h (the range is 1µs to 24h)`},
		{"Period", "never", `"never" is not auto, off or a duration (say "auto", "off" or "2.5s")`},
		{"Period", "2", `"2" has no unit (say "2s" or "2ms")`},
		{"Mode", "enforced", `"enforced" is not observe or enforce (did you mean "enforce"?)`},
		{"Mode", "", `"" is not observe or enforce`},
		{"Near", "Gpu", `"Gpu" is not auto, gpu, cpu or a node list (did you mean "gpu"?)`},
		{"Near", "0-x", `"0-x" is not a node list (say "0-1,4")`},
		{"Source", "pagetable", `"pagetable" is not page-table, hint-fault, precise or damon (did you mean "page-table"?)`},
		{"Glob", "", `the pattern is empty (to match everything say "*")`},
		{"Glob", "a[", `"a[" is not a pattern (to match a "[" or "\" itself, put a backslash before it and use 'single quotes')`},
		{"Glob", "a\x1b[2J", `"a\x1b[2J" has a control character`},
		{"Glob", "[.-/]", `"[.-/]" has a slash between brackets (use "?" or write the alternatives out)`},
		{"Glob", strings.Repeat("a", 513), `"` + strings.Repeat("a", 64) + `…" is longer than 512 bytes`},
		{"PathGlob", "python3", `"python3" does not start with a slash, so it matches no path (say a path such as "/usr/bin/python3*", or use comm for the name alone)`},
		{"ListenAddr", "127.0.0.1", `"127.0.0.1" has no port (say "127.0.0.1:9417")`},
		{"ListenAddr", "127.0.0.1:http", `"http" is not a port number (say "127.0.0.1:9417")`},
		{"ListenAddr", "127.0.0.1:65536", `"65536" is not a port number (say "127.0.0.1:9417")`},
		{"ListenAddr", "::1:9417", `"::1:9417" has an IPv6 address without brackets (say "[::1]:9417")`},
		{"ListenAddr", ":9417", `":9417" listens on every interface without TLS (listen on 127.0.0.1, ::1 or localhost, and let a reverse proxy with TLS in front serve other hosts)`},
		{"ListenAddr", "10.0.0.1:9417", `"10.0.0.1:9417" can be reached by other hosts without TLS (listen on 127.0.0.1, ::1 or localhost, and let a reverse proxy with TLS in front serve other hosts)`},
		{"ListenAddr", "node7:9417", `"node7" is not an IP address (listen on 127.0.0.1, ::1 or localhost, and let a reverse proxy with TLS in front serve other hosts)`},
		{"SocketPath", "tierd.sock", `"tierd.sock" is not an absolute path (say "/run/tierd/tierd.sock")`},
		{"SocketPath", "", `the path is empty (say "/run/tierd/tierd.sock")`},
		{"DirPath", "recordings", `"recordings" is not an absolute path (say "/var/lib/tierd/recordings")`},
		{"DirPath", "/", `"/" is not the plain path of a directory (say "/var/lib/tierd/recordings")`},
		{"DirPath", "/a/", `"/a/" is not the plain path of a directory (say "/var/lib/tierd/recordings")`},
		{"DirPath", "/a\nb", `"/a\nb" has a control character (say "/var/lib/tierd/recordings")`},
		{"DirPath", "/" + strings.Repeat("d", 4000), `the path is longer than 3839 bytes (say "/var/lib/tierd/recordings")`},
		{"SocketPath", "/run/../etc/x", `"/run/../etc/x" is not the plain path of a file (say "/run/tierd/tierd.sock")`},
		{"SocketPath", "/" + strings.Repeat("s", 107), `"/` + strings.Repeat("s", 63) + `…" is longer than the 107 bytes of a socket's address (say "/run/tierd/tierd.sock")`},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+quote(tt.text), func(t *testing.T) {
			v := newValues()[tt.kind]()
			before := v.String()
			err := v.UnmarshalText([]byte(tt.text))
			if err == nil {
				t.Fatalf("accepted as %s", v)
			}
			var ve *ValueError
			if !errors.As(err, &ve) {
				t.Errorf("error is a %T", err)
			}
			if diff := cmp.Diff(tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if v.String() != before {
				t.Errorf("a rejected text changed the value to %s", v)
			}
		})
	}
}

// The types serve any TOML decoder that knows TextUnmarshaler, not only ours.
func TestValueInTOML(t *testing.T) {
	var v struct{ Size Bytes }
	_, err := toml.Decode("\nsize = \"64\"\n", &v)
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		t.Fatalf("error is %v", err)
	}
	if pe.Position.Line != 2 || !strings.Contains(pe.Error(), "64GiB") {
		t.Errorf("error is %v at %v", pe, pe.Position)
	}
}

func TestReserveOf(t *testing.T) {
	const max = 1<<64 - 1
	tests := []struct {
		reserve    string
		node, want uint64
	}{
		{"2%", 100 << 30, 2 << 30},
		{"0.5%", 1 << 40, 1 << 40 / 200},
		{"4GiB", 100 << 30, 4 << 30},
		{"4GiB", 1 << 30, 1 << 30},
		{"0%", 1 << 30, 0},
		{"100%", max, max},
		{"50%", max, max / 2},
	}
	for _, tt := range tests {
		var r Reserve
		if err := r.UnmarshalText([]byte(tt.reserve)); err != nil {
			t.Fatal(err)
		}
		if got := r.Of(tt.node); got != tt.want {
			t.Errorf("%s of %d = %d, want %d", r, tt.node, got, tt.want)
		}
	}
	if got := (Reserve{Share: 2 * whole}).Of(max); got != max {
		t.Errorf("a share above 100%% of %d = %d", uint64(max), got)
	}
}

func TestNodeSet(t *testing.T) {
	s := NodeSetOf(4, 0, 1, -1, 2000)
	if diff := cmp.Diff([]int{0, 1, 4}, s.Slice()); diff != "" {
		t.Errorf("Slice (-want +got):\n%s", diff)
	}
	if s.Len() != 3 || s.Empty() || !s.Has(4) || s.Has(2) || s.Has(-1) || s.Has(5000) {
		t.Errorf("set %s: Len %d", s, s.Len())
	}
	o := NodeSetOf(1, 2)
	for _, tt := range []struct {
		name string
		got  NodeSet
		want string
	}{
		{"union", s.Union(o), "0-2,4"},
		{"intersect", s.Intersect(o), "1"},
		{"minus", s.Minus(o), "0,4"},
		{"unchanged", s, "0-1,4"},
		{"zero", NodeSet{}, ""},
	} {
		if tt.got.String() != tt.want {
			t.Errorf("%s = %q, want %q", tt.name, tt.got, tt.want)
		}
	}
	for n := range s.All() {
		if n != 0 {
			t.Errorf("first node is %d", n)
		}
		break
	}
}

func TestGlobMatch(t *testing.T) {
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"/slurm/*", "/slurm/uid_1000/job_7/step_0", true},
		{"/slurm/*", "/slurm", false},
		{"/slurm/*", "/slurmd", false},
		{"/slurm", "/slurm", true},
		{"/slurm", "/slurm/job_7", false},
		{"/kubepods*", "/kubepods.slice/pod1/c1", true},
		{"*/pod1/*", "/kubepods.slice/pod1/c1", true},
		{"/a?b", "/a/b", true},
		{"*", "", true},
		{"*", "kworker/0:1", true},
		{"k*:[01]", "kworker/0:1", true},
		{"python[0-9]", "python3", true},
		{"python[^3]", "python3", false},
		{`\*`, "*", true},
		{`\*`, "x", false},
		{"python", "python3", false},
		{"[", "[", false},
	}
	for _, tt := range tests {
		if got := Glob(tt.pattern).Match(tt.name); got != tt.want {
			t.Errorf("Glob(%q).Match(%q) = %v", tt.pattern, tt.name, got)
		}
	}
	paths := []struct {
		pattern, name string
		want          bool
	}{
		{"/usr/bin/python3*", "/usr/bin/python3.11", true},
		{"/opt/*", "/opt/conda/bin/python", false},
		{"/opt/*/bin/python", "/opt/conda/bin/python", true},
		{"/x", "", false},
	}
	for _, tt := range paths {
		if got := PathGlob(tt.pattern).Match(tt.name); got != tt.want {
			t.Errorf("PathGlob(%q).Match(%q) = %v", tt.pattern, tt.name, got)
		}
	}
}

func TestGlobShortest(t *testing.T) {
	for pattern, want := range map[string]int{
		"*": 0, "abc": 3, "a*c": 2, "a?c": 3, "[a-z]x": 2, `\[a`: 2, `[\]a]`: 1, "": 0, "[": 1,
	} {
		if got := Glob(pattern).shortest(); got != want {
			t.Errorf("shortest(%q) = %d, want %d", pattern, got, want)
		}
	}
}

func TestConversions(t *testing.T) {
	if got := Duration(time.Minute).Std(); got != time.Minute {
		t.Errorf("Std = %v", got)
	}
	if got := (3 * OnePercent).Fraction(); got != 0.03 {
		t.Errorf("Fraction = %v", got)
	}
	if got := Rate(GiB).BytesPerSecond(); got != 1<<30 {
		t.Errorf("BytesPerSecond = %v", got)
	}
	if !(Period{}).Auto() || (Period{Off: true}).Auto() || (Period{Every: 1}).Auto() {
		t.Error("Period.Auto")
	}
}

func FuzzValues(f *testing.F) {
	for kind := range newValues() {
		for _, text := range []string{"64GiB", "1.5 GiB", "2%", "1GiB/s", "0-1,4", "20ms", "1h0m0.5s", "auto", "/a/[b-c]*", "127.0.0.1:1", "", "9.9999999999999999999999999999B"} {
			f.Add(kind, text)
		}
	}
	f.Fuzz(func(t *testing.T, kind, text string) {
		fresh, ok := newValues()[kind]
		if !ok {
			t.Skip()
		}
		v := fresh()
		if err := v.UnmarshalText([]byte(text)); err != nil {
			var ve *ValueError
			if !errors.As(err, &ve) || ve.Message == "" {
				t.Fatalf("error is %T %v", err, err)
			}
			return
		}
		checkRoundTrip(t, fresh, v)
	})
}
