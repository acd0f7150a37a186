package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tierd/tierd/internal/golden"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("tierd.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func readExample(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile("testdata/example.toml")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\r\n", "\ufeff", "\ufeff\ufeff# c", "[tier]\n[workload]\n[topology.gpu]\n[sampler]\n"} {
		c := parse(t, text)
		if diff := cmp.Diff(Default(), c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%q is not Default (-want +got):\n%s", text, diff)
		}
		if n := c.NotActedOn(); len(n) > 0 {
			t.Errorf("%q: notices %v", text, n)
		}
	}
	if c := Default(); c.Mode != ModeObserve || c.Enforcing() {
		t.Error("the default moves memory")
	}
}

func TestExample(t *testing.T) {
	c := parse(t, string(readExample(t)))
	want := Default() // the example sets the defaults of all scalars
	want.Tiers = []Tier{
		{Name: "hbm", Nodes: NodeSetOf(1), Reserve: Reserve{Share: 2 * OnePercent}},
		{Name: "dram", Nodes: NodeSetOf(0), Reserve: Reserve{Share: 4 * OnePercent}},
		{Name: "cxl", Nodes: NodeSetOf(2), Reserve: DefaultReserve()},
	}
	want.GPUs = []GPU{{Address: "0000:c1:00.0", Node: 1}}
	want.Workloads = []Workload{{
		Name:   "train",
		Mode:   ModeEnforce,
		Comm:   []Glob{"python3", "torchrun"},
		Cgroup: []Glob{"/slurm/*", "/kubepods*"},
		GPU:    true,
		Weight: 1,
		Limits: []Limit{{Tier: "hbm", Bytes: 64 * GiB}},
	}}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var keys []string
	for _, n := range c.NotActedOn() {
		if n.Severity != SeverityWarning || n.Line == 0 || n.Message == "" {
			t.Errorf("notice %+v", n)
		}
		keys = append(keys, n.Key)
	}
	wantKeys := []string{
		"workload.train.gpu", "workload.train.near",
	}
	if diff := cmp.Diff(wantKeys, keys); diff != "" {
		t.Errorf("NotActedOn (-want +got):\n%s", diff)
	}
}

func TestNoTier(t *testing.T) {
	c := parse(t, "[tier.none]\nnodes = \"3\"\n[workload.w]\nuid = 1\nlimit.hbm = \"1GiB\"")
	if len(c.Tiers) != 1 || c.Tiers[0].Name != TierNone || !c.Tiers[0].Nodes.Equal(NodeSetOf(3)) {
		t.Errorf("%+v", c.Tiers)
	}
	// The tiers are discovered all the same, so any of them may have a limit.
	if len(c.Workloads) != 1 || len(c.Workloads[0].Limits) != 1 {
		t.Errorf("%+v", c.Workloads)
	}
	if ps := c.CheckNodes(NodeSetOf(0, 1)); len(ps) != 1 {
		t.Errorf("a node that is not there: %v", ps)
	}
}

func TestEveryKey(t *testing.T) {
	c := parse(t, `
mode = "enforce"
tier.near.nodes = "0-1"
tier.near.reserve = "1GiB"
sampler = { source = ["page-table", "damon"], cpu_budget = "25%", detail_memory = "1GB" }
migrate = { rate = "100MB/s", batch_latency = "1s" }
thrash = { separation = 3, payback = 1.0, max_waste = "1%", window = "10 s", breaker = "100%", psi = "5%" }
metrics.listen = ""
control.socket = "/tmp/t.sock"

[tier.far]
nodes = "2"

[topology.gpu."0000:01:00.0"]
node = 0
[topology.gpu."10000:01:00.7"]
node = 2

[workload.b]
comm = "one"
exe = ["/usr/bin/*"]
unit = ["a.service"]
slice = ["a.slice"]
cgroup = ["/x/*", "*"]
slurm_job = ["12*"]
k8s_namespace = ["train"]
k8s_pod = ["pod-*"]
uid = [0, 1000]
gpu = false
near = "1"
shared = true
period = "2s"
weight = 2.5
limit = { far = "1GiB", near = "0B" }

[workload.a]
mode = "observe"
uid = 5

[record]
dir = "/srv/tierd"
size = "20MiB"
`)
	want := &Config{
		Mode: ModeEnforce,
		Tiers: []Tier{
			{Name: "near", Nodes: NodeSetOf(0, 1), Reserve: Reserve{Bytes: GiB}},
			{Name: "far", Nodes: NodeSetOf(2), Reserve: DefaultReserve()},
		},
		GPUs: []GPU{{"0000:01:00.0", 0}, {"10000:01:00.7", 2}},
		Workloads: []Workload{
			{
				Name: "b", Mode: ModeEnforce,
				Comm: []Glob{"one"}, Exe: []PathGlob{"/usr/bin/*"}, Unit: []Glob{"a.service"}, Slice: []Glob{"a.slice"},
				Cgroup: []Glob{"/x/*", "*"}, SlurmJob: []Glob{"12*"}, K8sNamespace: []Glob{"train"}, K8sPod: []Glob{"pod-*"},
				UID:  []uint32{0, 1000},
				Near: Near{Kind: NearNodes, Nodes: NodeSetOf(1)}, Shared: true,
				Period: Period{Every: Duration(2 * time.Second)},
				Weight: 2.5,
				Limits: []Limit{{"far", GiB}, {"near", 0}},
			},
			{Name: "a", Mode: ModeObserve, UID: []uint32{5}, Weight: 1},
		},
		Sampler: Sampler{
			Sources:   []Source{SourcePageTable, SourceDAMON},
			CPUBudget: 25 * OnePercent, BurstBudget: 250 * OnePercent / 3, // follows
			DetailMemory: 1e9,
		},
		Migrate: Migrate{Rate: 100e6, BatchLatency: Duration(time.Second)},
		Thrash: Thrash{Separation: 3, Payback: 1, MaxWaste: OnePercent, Window: Duration(10 * time.Second),
			Breaker: 100 * OnePercent, PSI: 5 * OnePercent},
		Control: Control{Socket: "/tmp/t.sock"},
		Record:  Record{Dir: "/srv/tierd", Size: 20 * MiB, Segment: 5 * MiB}, // follows
	}
	if diff := cmp.Diff(want, c, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var b bytes.Buffer
	if err := Problems(c.NotActedOn()).Render(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/notices.golden", b.Bytes())
}

// Each testdata/bad/*.toml has a golden file with all that is wrong with it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(name, data)
			if c != nil {
				t.Error("a Config came with the error")
			}
			ps := checkProblems(t, data, err)
			var b bytes.Buffer
			if err := ps.Render(&b); err != nil {
				t.Fatal(err)
			}
			golden.Check(t, "testdata/bad/"+strings.TrimSuffix(name, ".toml")+".golden", b.Bytes())
		})
	}
}

// checkProblems asserts what holds for every error of Parse.
func checkProblems(t *testing.T, data []byte, err error) Problems {
	t.Helper()
	ps, ok := AsProblems(err)
	if !ok || len(ps) == 0 {
		t.Fatalf("error is a %T: %v", err, err)
	}
	lines := strings.Split(strings.TrimLeft(string(data), "\ufeff"), "\n")
	for i, p := range ps {
		if p.Line < 1 || p.Line > len(lines) {
			t.Fatalf("%v: the file has %d lines", p, len(lines))
		}
		if most := utf8.RuneCountInString(lines[p.Line-1]) + 1; p.Col < 1 || p.Col > most {
			t.Fatalf("%v: the line has %d columns", p, most)
		}
		if p.Message == "" || p.Severity != SeverityError {
			t.Errorf("problem %+v", p)
		}
		if i > 0 && (p.Line < ps[i-1].Line || p.Line == ps[i-1].Line && p.Col < ps[i-1].Col) {
			t.Errorf("%v comes after %v", p, ps[i-1])
		}
	}
	var b strings.Builder
	if err := ps.Render(&b); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{b.String(), ps.Error()} {
		if !utf8.ValidString(text) || strings.IndexFunc(text, func(r rune) bool {
			return unicode.IsControl(r) && r != '\n' && r != '\t'
		}) >= 0 {
			t.Errorf("raw control characters in %q", text)
		}
	}
	return ps
}

// Single mistakes: the place, the message and the hint.
func TestMistakes(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format+"\n", i)
		}
		return b.String()
	}
	tests := []struct{ name, text, want string }{
		{"type", "mode = true", `1:8: mode: must be a mode, not true or false (hint: say "observe")`},
		{"scalar for table", "tier = 3", `1:8: tier: must be a table, not a number (hint: write [tier.NAME])`},
		{"scalar for named table", "[tier]\nhbm = \"1\"", `2:7: hbm: must be a table, not a string (hint: write [tier.NAME])`},
		{"scalar for fixed table", "sampler = []", `1:11: sampler: must be a table, not a list (hint: write [sampler])`},
		{"array of tables", "[[tier]]\nnodes = \"0\"", `1:3: tier: [[tier]] is an array of tables (hint: give each a name: [tier.NAME])`},
		{"array of fixed tables", "[[sampler]]", `1:3: sampler: [[sampler]] is an array of tables (hint: write [sampler] with single brackets)`},
		{"inline array of tables", `workload = [{comm = ["x"]}]`, `1:12: workload: must be a table, not a list (hint: write [workload.NAME])`},
		{"far key", "cpu_budget = \"3%\"", `1:1: cpu_budget: unknown key (hint: cpu_budget belongs in [sampler])`},
		{"top key too late", "[metrics]\nmode = \"observe\"", `2:1: metrics.mode: unknown key (hint: mode belongs at the top, before the first [table] or in [workload.NAME])`},
		{"unknown table", "[sampling]", `1:2: sampling: unknown key (hint: the keys here are mode, tier, topology, workload, sampler, migrate, policy, thrash, metrics, control, record)`},
		{"case", "Mode = \"observe\"", `1:1: Mode: unknown key (hint: did you mean "mode"?)`},
		{"element", "[workload.w]\ncomm = [\n  \"ok\", # fine\n  3,\n]", `4:3: comm: must be a pattern in quotes (hint: say "3")`},
		{"nested list", "[workload.w]\ncomm = [[\"x\"]]", `2:9: comm: must be a pattern, not a list (hint: say "python3*")`},
		{"empty list", "[workload.w]\ncomm = []", `2:8: comm: the list is empty (hint: leave the key out, or name a pattern)`},
		{"long comm", "[workload.w]\ncomm = \"dataloader-worker\"", `2:8: comm: "dataloader-worker" matches no process: the kernel keeps 15 bytes of a name (hint: say "dataloader-work*")`},
		{"long comm pattern", "[workload.w]\ncomm = \"a?????????????????*\"", `2:8: comm: "a?????????????????*" matches no process: the kernel keeps 15 bytes of a name`},
		{"cgroup", "[workload.w]\ncgroup = \"slurm/*\"", `2:10: cgroup: "slurm/*" matches no cgroup: its path starts with a slash (hint: say "/slurm/*")`},
		{"no selector", "[workload.w]\nmode = \"enforce\"", `1:11: workload.w: the workload has no selector, so it would match every process (hint: to match every process say comm = ["*"])`},
		{"gpu = false is none", "[workload.w]\ngpu = false", `1:11: workload.w: the workload has no selector, so it would match every process (hint: to match every process say comm = ["*"])`},
		{"reserved name", "[workload.other]\nuid = 1", `1:11: workload.other: "other" is the name that metrics give to what belongs to no workload (hint: choose another name)`},
		{"name", "[workload.\"a b\"]\nuid = 1", `1:11: workload."a b": "a b" is not a name for a workload (hint: use letters, digits, dots, dashes and underscores, at most 63)`},
		{"empty name", "[tier.\"\"]\nnodes = \"1\"", `1:7: tier."": "" is not a name for a tier (hint: use letters, digits, dots, dashes and underscores, at most 63)`},
		{"uid name", "[workload.w]\nuid = \"alice\"", `2:7: uid: must be a user number, not a string (hint: say the number that id -u NAME prints)`},
		{"uid text", "[workload.w]\nuid = [1, \"2\"]", `2:11: uid: must be a user number, not a string (hint: say 2, without quotes)`},
		{"uid negative", "[workload.w]\nuid = -1", `2:7: uid: -1 is negative`},
		{"uid none", "[workload.w]\nuid = 4294967295", `2:7: uid: 4294967295 is above 4294967294`},
		{"gpu text", "[workload.w]\ngpu = \"true\"", `2:7: gpu: must be true or false, not a string (hint: say true, without quotes)`},
		{"nodes number", "[tier.a]\nnodes = 1", `2:9: nodes: must be a node list in quotes (hint: say "1")`},
		{"nodes missing", "[tier.a]\nreserve = \"1%\"", `1:7: tier.a: the tier has no nodes (hint: say nodes = "0")`},
		{"nodes empty", "[tier.a]\nnodes = \"\"", `2:9: nodes: the node list is empty (hint: say "0-1,4")`},
		{"overlap", "tier.a.nodes = \"0-3\"\ntier.b.nodes = \"2-5\"", `2:16: nodes: nodes 2-3 are already in tier.a (hint: a node is in one tier only)`},
		{"reserve", "[tier.a]\nnodes = \"0\"\nreserve = \"50.1%\"", `3:11: reserve: 50.1% is above 50% (hint: a reserve is memory that tierd never fills)`},
		{"reserve of no tier", "[tier.none]\nnodes = \"0\"\nreserve = \"1%\"", `3:11: reserve: tierd puts nothing on nodes in no tier, so nothing is kept free there (hint: leave the key out)`},
		{"no tier without nodes", "[tier.none]", `1:7: tier.none: the tier has no nodes (hint: say nodes = "0")`},
		{"in a tier and in none", "tier.a.nodes = \"0-3\"\ntier.none.nodes = \"3\"", `2:19: nodes: node 3 is already in tier.a (hint: a node is in one tier only)`},
		{"gpu address", "[topology.gpu.\"c1:00.0\"]\nnode = 1", `1:15: topology.gpu."c1:00.0": "c1:00.0" is not a PCI address (hint: say "0000:c1:00.0")`},
		{"gpu upper case", "[topology.gpu.\"0000:C1:00.0\"]\nnode = 1", `1:15: topology.gpu."0000:C1:00.0": "0000:C1:00.0" is not a PCI address (hint: say "0000:c1:00.0")`},
		{"gpu without node", "[topology.gpu.\"0000:c1:00.0\"]", `1:15: topology.gpu."0000:c1:00.0": the table says nothing (hint: say node = 1)`},
		{"gpu node", "[topology.gpu.\"0000:c1:00.0\"]\nnode = 1024", `2:8: node: 1024 is above 1023`},
		{"separation low", "thrash.separation = 1.5", `1:21: separation: 1.5 is below 2 (hint: the range is 2 to 6)`},
		{"weight low", "[workload.w]\nuid = 1\nweight = 0", `3:10: weight: 0 is below 0.01 (hint: the range is 0.01 to 100)`},
		{"separation nan", "thrash.separation = nan", `1:21: separation: must be a number, not nan (hint: the range is 2 to 6)`},
		{"separation inf", "thrash.separation = +inf", `1:21: separation: +Inf is above 6 (hint: the range is 2 to 6)`},
		{"separation text", "thrash.separation = \"3\"", `1:21: separation: must be a number, not a string (hint: say 3, without quotes)`},
		{"payback", "thrash.payback = 0.5", `1:18: payback: 0.5 is below 1 (hint: the range is 1 to 100)`},
		{"window", "thrash.window = \"2h\"", `1:17: window: 2h is above 1h (hint: the range is 1s to 1h)`},
		{"zero psi", "thrash.psi = \"0%\"", `1:14: psi: 0% is not above 0%`},
		{"cpu budget", "sampler.cpu_budget = \"0%\"", `1:22: cpu_budget: 0% is not above 0%`},
		{"burst", "sampler.burst_budget = \"2%\"", `1:24: burst_budget: 2% is below the cpu_budget of 3% (hint: a burst may take at least as much as the rest of the time)`},
		{"bad cpu budget only", "sampler.burst_budget = \"2%\"\nsampler.cpu_budget = 3", `2:22: cpu_budget: "3" has no unit (hint: say "3%")`},
		{"detail", "sampler.detail_memory = \"1KiB\"", `1:25: detail_memory: 1KiB is below 1MiB (hint: the range is 1MiB to 64GiB)`},
		{"rate", "migrate.rate = \"1KiB/s\"", `1:16: rate: 1KiB/s is below 1MiB/s (hint: the range is 1MiB/s to 1TiB/s)`},
		{"batch latency", "migrate.batch_latency = \"2s\"", `1:25: batch_latency: 2s is above 1s (hint: the range is 1ms to 1s)`},
		{"record dir", "record.dir = \"recordings\"", `1:14: dir: "recordings" is not an absolute path (hint: say "/var/lib/tierd/recordings")`},
		{"record size", "[record]\nsize = \"1KiB\"", `2:8: size: 1KiB is below 1MiB (hint: the range is 1MiB to 1TiB)`},
		{"record segment", "[record]\nsize = \"8MiB\"\nsegment = \"3MiB\"", `3:11: segment: 3MiB is above a quarter of the size of 8MiB (hint: say "2MiB", or leave the key out)`},
		{"record segment of the default", "[record]\nsegment = \"1GiB\"", `2:11: segment: 1GiB is above a quarter of the size of 256MiB (hint: say "64MiB", or leave the key out)`},
		{"record size only", "[record]\nsize = 8\nsegment = \"3MiB\"", `2:8: size: "8" has no unit (hint: say "8GiB" or "8MiB")`},
		{"source", "sampler.source = [\"auto\", \"damon\"]", `1:19: source: "auto" stands alone (hint: say source = "auto")`},
		{"source twice", "sampler.source = [\"damon\", \"damon\"]", `1:28: source: "damon" is named twice`},
		{"limit", "[tier.hbm]\nnodes = \"1\"\n[workload.w]\nuid = 1\nlimit.hbn = \"1GiB\"", `5:7: workload.w.limit.hbn: there is no tier "hbn" (hint: did you mean "hbm"?)`},
		{"limit of no tier", "[tier.none]\nnodes = \"1\"\n[workload.w]\nuid = 1\nlimit.none = \"1GiB\"", `5:7: workload.w.limit.none: "none" is no tier: tierd puts nothing on its nodes (hint: leave the limit out)`},
		{"limit beside no tier", "tier.none.nodes = \"1\"\ntier.hbm.nodes = \"0\"\n[workload.w]\nuid = 1\nlimit.dram = \"1GiB\"", `5:7: workload.w.limit.dram: there is no tier "dram" (hint: the tiers are hbm)`},
		{"control characters", "\"a\\u001b[2J\\u202e\" = 1", `1:1: "a\u001b[2J\u202e": unknown key (hint: the keys here are mode, tier, topology, workload, sampler, migrate, policy, thrash, metrics, control, record)`},
		{"too many tiers", many(70, `tier.t%d.nodes = "%[1]d"`), `65:6: tier.t64: more than 64 tiers`},
		{"too many workloads", many(300, `workload.w%d.uid = 1`), `257:10: workload.w256: more than 256 workloads`},
		{"too many patterns", "[workload.w]\nuid = [\n" + many(1100, `%d,`) + "]", `1027:1: uid: more than 1024 selector values in the file`},
		{"too large", strings.Repeat("#\n", MaxFileSize/2+1), `1:1: the file is larger than 1MiB`},
		{"too deep", "x = " + strings.Repeat("[", 500_000), `1:21: keys and lists are nested more than 16 deep`},
		{"too deep tables", strings.Repeat("a={", 300_000), `1:49: keys and lists are nested more than 16 deep`},
		{"too long a key", strings.Repeat("k", 300) + " = 1", `1:1: a key is longer than 256 bytes`},
		{"too many keys", many(30_000, "k%d = 1"), `20001:1: more than 20000 keys`},
		{"too many parts", strings.Repeat("a.", 5000) + "a = 1", `1:33: keys and lists are nested more than 16 deep`},
		{"unquoted share", "mode = \"observe\"\nsampler.cpu_budget = 3% # one core", `2:23: expected a top-level item to end with a newline, comment, or EOF, but got '%' instead (hint: put the value in quotes: "3%")`},
		{"unquoted rate", "migrate.rate = 1GiB/s", `1:17: expected a top-level item to end with a newline, comment, or EOF, but got 'G' instead (hint: put the value in quotes: "1GiB/s")`},
		{"unquoted word", "mode = enforce", `1:8: expected value but found "enforce" instead (hint: put the value in quotes: "enforce")`},
		{"unquoted nodes", "tier.a.nodes = 0-1", `1:17: expected a top-level item to end with a newline, comment, or EOF, but got '-' instead (hint: put the value in quotes: "0-1")`},
		{"UTF-16", "\xff\xfem\x00", `1:1: the file is UTF-16 (hint: save it as UTF-8)`},
		{"syntax after BOM", "\ufeffmode = \n", `1:7: expected value but found '\n' instead`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.text))
			checkProblems(t, []byte(tt.text), err)
			if diff := cmp.Diff("f:"+tt.want, err.Error()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, "k%d = 1\n", i)
	}
	_, err := Parse("f", []byte(b.String()))
	ps := checkProblems(t, []byte(b.String()), err)
	if len(ps) != maxProblems+1 || ps[maxProblems].Message != "and more; the rest is not shown" {
		t.Errorf("%d problems, the last is %v", len(ps), ps[len(ps)-1])
	}
}

func TestOrderOfTables(t *testing.T) {
	// The order is that of first mention, also through a subtable.
	c := parse(t, `
[workload.z.limit]
cxl = "1GiB"
[workload.a]
uid = 1
[workload.z]
uid = 2
[tier.z]
nodes = "0"
[tier.cxl]
nodes = "1"
`)
	var names []string
	for _, w := range c.Workloads {
		names = append(names, w.Name)
	}
	for _, tier := range c.Tiers {
		names = append(names, tier.Name)
	}
	if diff := cmp.Diff([]string{"z", "a", "z", "cxl"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWorkloadFor(t *testing.T) {
	c := parse(t, `
[workload.train]
mode = "enforce"
comm = ["python*", "torchrun"]
cgroup = ["/slurm/*"]
[workload.root]
uid = 0
[workload.gpu]
comm = "llm*"
gpu = true
[workload.bin]
exe = "/usr/bin/*"
[workload.rest]
mode = "enforce"
comm = "*"
uid = [1, 2]
`)
	tests := []struct {
		p    Process
		want string
	}{
		{Process{Comm: "python3", Cgroup: "/slurm/job_1", UID: 1}, "train"},
		{Process{Comm: "python3", Cgroup: "/slurm/job_1", UID: 0}, "train"},
		{Process{Comm: "python3", Cgroup: "/user.slice", UID: 0}, "root"},
		{Process{Comm: "python3", Cgroup: "/user.slice", UID: 2}, "rest"},
		{Process{Comm: "ls", Exe: "/usr/bin/ls", UID: 7}, "bin"},
		{Process{Comm: "ls", UID: 7}, ""},
		// It might be one of [workload.gpu], so it is not one of [workload.rest].
		{Process{Comm: "llm-serve", UID: 1}, ""},
	}
	for _, tt := range tests {
		got := ""
		if w := c.WorkloadFor(tt.p); w != nil {
			got = w.Name
		}
		if got != tt.want {
			t.Errorf("%+v is in %q, want %q", tt.p, got, tt.want)
		}
	}
	gpu := slices.IndexFunc(c.Workloads, func(w Workload) bool { return w.Name == "gpu" })
	if w := &c.Workloads[gpu]; w.Selectable() || w.Matches(Process{Comm: "llm"}) {
		t.Error("a workload whose selectors cannot be checked matches")
	}
	if !c.Enforcing() {
		t.Error("not enforcing")
	}
}

// Each selector that is not acted on makes the workload one that is skipped,
// and says so.
func TestNotSelectable(t *testing.T) {
	for _, key := range selectors() {
		var acted bool
		for _, k := range Keys() {
			if k.Path == "workload.NAME."+key {
				acted = k.ActedOn
			}
		}
		value := `"/x"`
		switch key {
		case "uid":
			value = "1"
		case "gpu":
			value = "true"
		}
		c := parse(t, fmt.Sprintf("mode = \"enforce\"\nworkload.w.%s = %s\n", key, value))
		if got := c.Workloads[0].Selectable(); got != acted {
			t.Errorf("%s: Selectable is %v", key, got)
		}
		if got := c.Enforcing(); got != acted {
			t.Errorf("%s: Enforcing is %v", key, got)
		}
		notices := c.NotActedOn()
		if (len(notices) == 0) != acted {
			t.Errorf("%s: notices %v", key, notices)
		}
		if !acted && !strings.Contains(notices[0].Message, "leaves every process alone") {
			t.Errorf("%s: the notice does not say that the workload is skipped: %v", key, notices[0])
		}
	}
}

func TestSourceNotice(t *testing.T) {
	for text, want := range map[string]int{
		`"auto"`: 0, `"page-table"`: 0, `["page-table"]`: 0, `"damon"`: 0, `["page-table", "precise"]`: 0,
	} {
		c := parse(t, "sampler.source = "+text)
		if got := c.NotActedOn(); len(got) != want {
			t.Errorf("source = %s: %d notices %v", text, len(got), got)
		}
	}
}

func TestCheckNodes(t *testing.T) {
	c := parse(t, string(readExample(t))+"\n[workload.n]\nuid = 1\nnear = \"1,7-8\"\n")
	if ps := c.CheckNodes(NodeSetOf(0, 1, 2, 7, 8)); len(ps) > 0 || ps.Err() != nil {
		t.Errorf("all nodes exist, but %v", ps)
	}
	ps := c.CheckNodes(NodeSetOf(0, 2))
	if ps.Err() == nil {
		t.Error("no error")
	}
	var b bytes.Buffer
	if err := ps.Render(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/nodes.golden", b.Bytes())

	made := &Config{Tiers: []Tier{{Name: "t", Nodes: NodeSetOf(3)}}}
	if got := made.CheckNodes(NodeSet{}).Error(); got != "config: tier.t.nodes: node 3 does not exist on this machine" {
		t.Errorf("without a file: %s", got)
	}
}

func TestHash(t *testing.T) {
	a := parse(t, "mode = \"observe\"\n[thrash]\nwindow = \"60s\"")
	b := parse(t, "# a comment\nthrash = { window = '1m' }\n")
	if a.Hash() != b.Hash() || a.Hash() != Default().Hash() || len(a.Hash()) != 16 {
		t.Errorf("hashes %s %s %s of the same", a.Hash(), b.Hash(), Default().Hash())
	}
	for _, text := range []string{"mode = \"enforce\"", "thrash.separation = 2.6", "tier.a.nodes = \"0\"", "workload.w.uid = 1"} {
		if parse(t, text).Hash() == a.Hash() {
			t.Errorf("%s has the hash of the default", text)
		}
	}
}

func TestErr(t *testing.T) {
	ps := Problems{{File: "f", Line: 1, Col: 2, Key: "a.b", Message: "m", Severity: SeverityWarning}}
	if ps.Err() != nil {
		t.Error("a warning is an error")
	}
	if got := ps.Error(); got != "f:1:2: warning: a.b: m" {
		t.Errorf("Error() = %q", got)
	}
	ps = append(ps, Problem{File: "f", Message: "is bad", Hint: "mend it"})
	if got := ps.Err(); got == nil || !strings.HasSuffix(got.Error(), "\nf: is bad (hint: mend it)") {
		t.Errorf("Err() = %v", got)
	}
	if _, ok := AsProblems(fmt.Errorf("wrapped: %w", ps.Err())); !ok {
		t.Error("AsProblems does not unwrap")
	}
	if _, ok := AsProblems(errors.New("x")); ok {
		t.Error("AsProblems of another error")
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestRender(t *testing.T) {
	if err := (Problems{{File: "f"}}).Render(failingWriter{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Render to a closed file: %v", err)
	}
	long := strings.Repeat("x", 300)
	src := newSource("f", "\tkey =\tvalue\nk = \"a\x1b[31mb\xff\u202e\" # c\n"+long+"Y"+long+"\r\n")
	ps := Problems{
		src.problem(span{7, 12}, "", "", "tabs", ""),
		src.problem(span{17, 19}, "", "", "escapes before", ""),
		src.problem(span{strings.IndexByte(src.text, '#'), 0}, "", "", "escapes", ""),
		src.problem(span{strings.IndexByte(src.text, 'Y'), len(src.text)}, "", "", "a long line", "and a hint"),
		src.problem(span{len(src.text), len(src.text)}, "", "", "the end", ""),
		src.problem(span{-1, -1}, "", "", "before the start", ""),
	}
	var b bytes.Buffer
	if err := ps.Render(&b); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "testdata/render.golden", b.Bytes())
}

func TestNearest(t *testing.T) {
	names := []string{"separation", "payback", "psi", "window"}
	for s, want := range map[string]string{
		"seperation": "separation", "pay_back": "payback", "ps": "psi", "PSI": "psi", "windows": "window",
		"": "", "xyz": "", "separator": "separation", "completely-different": "",
	} {
		if got := nearest(s, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", s, got, want)
		}
	}
}

// The scanner must find each key that the library finds, and its name there.
func checkLocate(t *testing.T, text string) {
	t.Helper()
	if newSource("", text).refused() != nil {
		return // Parse does not come to the scanner
	}
	var tree map[string]any
	md, err := toml.Decode(text, &tree)
	if err != nil {
		return
	}
	root, stop := locate(text)
	if stop != nil {
		return
	}
	for _, key := range md.Keys() {
		if underList(root, key) {
			continue
		}
		n := root.find(key...)
		if n == nil {
			t.Fatalf("no place for %v in %q", key, text)
		}
		if n.key.start < 0 || n.key.end > len(text) || n.key.end <= n.key.start {
			t.Fatalf("%v is at %v of %q", key, n.key, text)
		}
		if name := text[n.key.start:n.key.end]; name[0] != '"' && name[0] != '\'' && name != key[len(key)-1] {
			t.Fatalf("%v is at %q of %q", key, name, text)
		}
		if n.path().String() != key.String() {
			t.Fatalf("path of %v is %v", key, n.path())
		}
		// A value, taken out, must mean the same.
		if n.val != n.key && n.kids == nil {
			var v struct{ V any }
			if _, err := toml.Decode("V = "+text[n.val.start:n.val.end], &v); err != nil {
				t.Fatalf("value of %v is at %q: %v", key, text[n.val.start:n.val.end], err)
			}
			if list, ok := v.V.([]any); ok && len(n.elems) != min(len(list), maxElems) {
				t.Fatalf("%v has %d elements, %d places, in %q", key, len(list), len(n.elems), text)
			}
		}
	}
}

// underList reports whether a key is inside a list's element, where it has no
// place of its own.
func underList(root *node, key toml.Key) bool {
	for i := range len(key) - 1 {
		if n := root.find(key[:i+1]...); n != nil && (n.elems != nil || n.array) {
			return true
		}
	}
	return false
}

func TestLocate(t *testing.T) {
	for _, text := range []string{
		string(readExample(t)),
		"a.b . \"c d\".'e' = 1 # x\n[ t . 'u' ]\nk = [1, [2, 3,], {a = 1}, \"]\" , # ]\n'''\n]''' ]\n",
		"s = \"\"\"a\"\" \\\"\"\"\"\"\"\nl = 'it\\'\nd = 1979-05-27 07:32:00\nf = +1.5e3",
		"\"\\u0061\\\"b\" = { x = { y.z = 1 }, w = [ ] }",
		"[[a]]\nx = 1\n[[a]]\nx = 2\n[a.b]\ny = 3",
		"'' = 1\n\"\" . a = 2",
	} {
		checkLocate(t, text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(readExample(f))
	files, _ := filepath.Glob("testdata/bad/*.toml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("k = [1, [2, 3,], {a = 1}, \"]\" , # ]\n'''\n]''' ]\n"))
	f.Add([]byte("s = \"\"\"a\"\" \\\"\"\"\"\"\"\n[[a]]\n[a.b]\n\"\\u0061\" = { x.y = 1 }"))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkLocate(t, strings.TrimLeft(string(data), "\ufeff"))
		c, err := Parse("f", data)
		if err != nil {
			checkProblems(t, data, err)
			return
		}
		again, err := Parse("f", data)
		if err != nil || again.Hash() != c.Hash() {
			t.Fatalf("the second time: %v", err)
		}
		for _, n := range c.NotActedOn() {
			if n.Line < 1 || n.Col < 1 {
				t.Fatalf("notice without a place: %v", n)
			}
		}
		for _, p := range c.CheckNodes(NodeSet{}) {
			if p.Line < 1 || p.Col < 1 {
				t.Fatalf("problem without a place: %v", p)
			}
		}
		if len(c.Tiers) > MaxTiers || len(c.Workloads) > MaxWorkloads {
			t.Fatal("out of bounds")
		}
		for i := range c.Workloads {
			c.Workloads[i].Matches(Process{Comm: "x", Exe: "/x", Cgroup: "/x"})
		}
	})
}
