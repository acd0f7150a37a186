package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/load"
)

func runArgs(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out, err bytes.Buffer
	code = run(ctx, args, strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

func TestBadUsageIsOneLineAndExit2(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"--pattern hot", "--pattern hot: unknown; there are"},
		{"--size 1", "the unit is missing"},
		{"--size 15TiB", "--size 15TiB: this machine has"},
		{"--size 32MiB --hot 64MiB", "--hot 64MiB: more than the size, 32MiB"},
		{"--hot-share 90", "--hot-share 90: must be between 0 and 1"},
		{"--node 1000", "--node: node 1000 has no memory"},
		{"--node -1", `"-1" is not the number of a node`},
		{"--capacity 0=1GiB,1000=1GiB", "--capacity: node 1000 has no memory"},
		{"--capacity 0", `"0" is not node=bytes`},
		{"--capacity 0=1", "the unit is missing"},
		{"--fast x", `"x" is not the number of a node`},
		{"--shift 10s,5s", "--shift: times must be above 0 and rise, but 5s follows 10s"},
		{"--shift 10", "missing unit in duration"},
		{"--huge yes", "must be on or off"},
		{"--nothing", "not defined: -nothing"},
		{"something", `unexpected argument "something"`},
	} {
		code, out, err := runArgs(t, strings.Fields(tt.args)...)
		if code != exitUsage || out != "" || !strings.HasPrefix(err, "tierload: ") ||
			!strings.Contains(err, tt.want) || strings.Count(err, "\n") != 1 {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", tt.args, code, out, err)
		}
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	code, out, err := runArgs(t, "--help")
	if code != exitOK || err != "" || out != usage {
		t.Errorf("exit %d, stderr %q", code, err)
	}
	var named []string
	for _, m := range regexp.MustCompile(`(?m)^  --([a-z-]+)`).FindAllStringSubmatch(usage, -1) {
		named = append(named, m[1])
	}
	var got []string
	flagSet(new(load.Config), new(bool)).VisitAll(func(f *flag.Flag) { got = append(got, f.Name) })
	slices.Sort(named)
	if diff := cmp.Diff(got, named); diff != "" {
		t.Errorf("flags and usage differ (-flags +usage)\n%s", diff)
	}
}

func TestParse(t *testing.T) {
	c, err := parse(strings.Fields("--size 2GiB --capacity 1=128MiB,0=350MiB,2=2GiB --shift 60s,120s --huge on --node 2"))
	if err != nil {
		t.Fatal(err)
	}
	want := load.Default()
	want.Size, want.Huge, want.Node = 2*load.GiB, true, 2
	want.Capacity = []load.Capacity{{Node: 1, Bytes: 128 * load.MiB}, {Node: 0, Bytes: 350 * load.MiB}, {Node: 2, Bytes: 2 * load.GiB}}
	want.Fast = []int{1, 0} // all but the last
	want.Shift = []time.Duration{time.Minute, 2 * time.Minute}
	if diff := cmp.Diff(&want, c); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if c, err = parse(strings.Fields("--fast 1 --capacity 1=128MiB,0=350MiB,2=2GiB")); err != nil || !slices.Equal(c.Fast, []int{1}) {
		t.Errorf("fast %v, %v", c.Fast, err)
	}
}

func TestRunPrintsSamplesAndASummary(t *testing.T) {
	code, out, errs := runArgs(t, strings.Fields("--size 32MiB --hot 4MiB --duration 300ms --interval 100ms --mmap-probe")...)
	if code != exitOK || errs != "" {
		t.Fatalf("exit %d, stderr %q", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, l := range lines {
		var v struct {
			Version int `json:"schema_version"`
			Type    string
		}
		want := "sample"
		if i == len(lines)-1 {
			want = "summary"
		}
		if err := json.Unmarshal([]byte(l), &v); err != nil || v.Version != 1 || v.Type != want {
			t.Errorf("line %d is %s: %v", i, l, err)
		}
	}
}
