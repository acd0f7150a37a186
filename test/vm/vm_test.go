package vm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/test/vm/wire"
)

func TestQEMUArguments(t *testing.T) {
	four := ThreeTier()
	four.LA57 = false
	four.Append = "numa_balancing=disable"
	plain := Machine{Nodes: []Node{{Size: 256 * MiB, CPUs: []int{0}}}}
	for name, m := range map[string]Machine{"threetier": ThreeTier(), "threetier-4level": four, "twosocket": TwoSocket(), "plain": plain} {
		t.Run(name, func(t *testing.T) {
			if err := m.validate(); err != nil {
				t.Fatal(err)
			}
			// One option with its values on each line.
			line := strings.Join(m.args("vmlinuz", "initrd"), " ")
			golden.Check(t, "testdata/"+name+".qemu", strings.ReplaceAll(line, " -", "\n-")+"\n")
		})
	}
}

func TestInvalidMachines(t *testing.T) {
	cpu := []int{0}
	for want, m := range map[string]Machine{
		"machine: no nodes": {},
		"node0: size 5":     {Nodes: []Node{{Size: 5, CPUs: cpu}}},
		"node1: initiator 1 is not a node with CPUs": {Nodes: []Node{{Size: MiB, CPUs: cpu}, {Size: MiB, Initiator: 1}}},
		"node1: cpu 0":                   {Nodes: []Node{{Size: MiB, CPUs: cpu}, {Size: MiB, CPUs: cpu}}},
		"node1: neither":                 {Nodes: []Node{{Size: MiB, CPUs: cpu}, {}}},
		"cpu 0: on no node":              {Nodes: []Node{{Size: MiB, CPUs: []int{1}}}},
		"distances: 1 rows":              {Nodes: []Node{{Size: MiB, CPUs: cpu}, {Size: MiB}}, Distances: [][]int{{10}}},
		"distances: 9 from":              {Nodes: []Node{{Size: MiB, CPUs: cpu}, {Size: MiB}}, Distances: [][]int{{10, 9}, {20, 10}}},
		"distances: row 1 has 1 entries": {Nodes: []Node{{Size: MiB, CPUs: cpu}, {Size: MiB}}, Distances: [][]int{{10, 20}, {10}}},
	} {
		_, err := m.Run(t.Context(), Program{Args: []string{"true"}})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s…", err, want)
		}
	}
}

func TestParseNode(t *testing.T) {
	got, err := ParseNode("size=384M,cpus=0-1,cpus=4,latency=100,bandwidth=200G")
	if err != nil {
		t.Fatal(err)
	}
	want := Node{Size: 384 * MiB, CPUs: []int{0, 1, 4}, Latency: 100, Bandwidth: 200 * GiB}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, s := range []string{"", "size", "size=1X", "size=99999999999T", "cpus=1-0", "cpus=a", "colour=red", "latency="} {
		if _, err := ParseNode(s); err == nil {
			t.Errorf("%q: no error", s)
		}
	}
}

func TestCPIO(t *testing.T) {
	var buf bytes.Buffer
	c := newCPIO(&buf)
	c.file("/a/b/hello", 0o755, []byte("world"))
	c.symlink("/a/link", "b/hello")
	c.char("/dev/console", 0o600, 5, 1)
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	if buf.Len()%4 != 0 {
		t.Errorf("%d bytes are not a multiple of 4", buf.Len())
	}
	golden.Check(t, "testdata/small.cpio", buf.String())
}

func TestInitramfsHoldsFilesAndFolders(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tree", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"init": "the init", "tree/one": "1", "tree/deep/two": "2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	err := writeInitramfs(&buf, filepath.Join(dir, "init"), wire.Spec{Hostname: "h"}, map[string]string{
		"/data": filepath.Join(dir, "tree"), "/etc/hosts": filepath.Join(dir, "tree/one"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"init", "data/one", "data/deep/two", "etc/tiervm.json", "dev/console", "etc/hosts"} {
		header := regexp.MustCompile(`070701[0-9a-f]{104}` + regexp.QuoteMeta(name) + "\x00")
		if n := len(header.FindAll(buf.Bytes(), -1)); n != 1 {
			t.Errorf("%s: %d times in the archive", name, n)
		}
	}
	if err := writeInitramfs(&buf, filepath.Join(dir, "init"), wire.Spec{}, map[string]string{"/x": "/no/such/file"}); err == nil {
		t.Error("missing file: no error")
	}
}

const sourcesList = `# comment
deb http://mirror.example/debian bookworm main contrib # trailing
deb-src http://mirror.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://two.example/debian/ trixie main
deb [ trusted=yes ] http://three.example/ubuntu noble main
debug nonsense
deb [broken http://x y z
deb
`

const sourcesDeb822 = `Types: deb deb-src
# a comment inside a stanza
URIs: http://one.example/debian https://two.example/debian
Suites: bookworm
 bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no

Types: deb
URIs: http://sec.example/debian-security
Suites: bookworm-security
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
`

func TestParseSources(t *testing.T) {
	exported := cmp.AllowUnexported(source{})
	got, err := parseSourcesList(strings.NewReader(sourcesList))
	want := []source{
		{uri: "http://mirror.example/debian", suites: []string{"bookworm"}},
		{uri: "https://two.example/debian/", suites: []string{"trixie"}, signedBy: "/usr/share/keyrings/x.gpg"},
		{uri: "http://three.example/ubuntu", suites: []string{"noble"}, trusted: true},
	}
	if d := cmp.Diff(want, got, exported, cmpopts.EquateEmpty()); d != "" || err != nil {
		t.Errorf("one-line: %v\n%s", err, d)
	}
	got, err = parseSources(strings.NewReader(sourcesDeb822))
	want = []source{
		{uri: "http://one.example/debian", suites: []string{"bookworm", "bookworm-updates"}, signedBy: "/usr/share/keyrings/x.gpg"},
		{uri: "https://two.example/debian", suites: []string{"bookworm", "bookworm-updates"}, signedBy: "/usr/share/keyrings/x.gpg"},
		{uri: "http://sec.example/debian-security", suites: []string{"bookworm-security"}},
	}
	if d := cmp.Diff(want, got, exported, cmpopts.EquateEmpty()); d != "" || err != nil {
		t.Errorf("deb822: %v\n%s", err, d)
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add(sourcesList)
	f.Add(sourcesDeb822)
	f.Fuzz(func(t *testing.T, s string) {
		// Any text is read, or refused for a line that is too long.
		list, _ := parseSourcesList(strings.NewReader(s))
		stanzas, _ := parseSources(strings.NewReader(s))
		for _, src := range append(list, stanzas...) {
			if src.uri == "" || strings.ContainsAny(src.uri, " \n") || strings.ContainsAny(src.signedBy, " \n") {
				t.Errorf("source %+v", src)
			}
		}
	})
}

func TestHostSourcesAndArchive(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "sources.list.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	sources, err := hostSources(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(archiveEnv, "")
	if got, err := archive(sources); err == nil {
		t.Errorf("no sources: %v", got)
	}
	t.Setenv(archiveEnv, "http://env.example/debian/")
	if got, err := archive(sources); err != nil || got.uri != "http://env.example/debian" || got.signedBy != debianKeyring {
		t.Errorf("no sources, but the environment's: %v, %v", got, err)
	}
	for name, content := range map[string]string{
		"sources.list":               "deb http://ubuntu.example/ubuntu noble main\ndeb http://s.example/debian bookworm-security main\n",
		"sources.list.d/a.sources":   "Types: deb\nURIs: http://mirror.example/debian/\nSuites: bookworm\n",
		"sources.list.d/off.ignored": "deb http://no.example/debian bookworm main\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if sources, err = hostSources(root); err != nil {
		t.Fatal(err)
	}
	if got, err := archive(sources); err != nil || got.uri != "http://mirror.example/debian" || got.signedBy != debianKeyring {
		t.Errorf("archive %v, %v", got, err)
	}
}

func TestNewest(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64", "linux-image-6.1.0-60-amd64",
		"linux-image-6.12.94+deb12-cloud-amd64", "linux-image-6.12.107+deb13-cloud-amd64", "linux-image-6.12.108-cloud-amd64-dbg",
		"linux-image-7.3.4+deb13-cloud-amd64", "linux-binary-7.3.4+deb13-cloud-amd64", "linux-binary-unsigned-7.3.4+deb13-cloud-amd64",
	}
	for version, want := range map[string]string{
		"6.1":     "linux-image-6.1.0-50-cloud-amd64",
		"6.12":    "linux-image-6.12.107+deb13-cloud-amd64",
		"6.12.94": "linux-image-6.12.94+deb12-cloud-amd64",
		"7":       "linux-binary-7.3.4+deb13-cloud-amd64",
		"6.18":    "",
	} {
		if got := newest(names, version); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}

func TestKernelByPathAndFromTheCache(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TIERD_VM_CACHE", dir)
	image := filepath.Join(dir, "6.12", "vmlinuz")
	if err := os.Mkdir(filepath.Dir(image), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(image, []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TIERD_VM_KERNEL", "")
	for _, ask := range []string{"", "6.12", image} {
		if got, err := Kernel(t.Context(), ask); got != image || err != nil {
			t.Errorf("%q: %q, %v", ask, got, err)
		}
	}
	t.Setenv("TIERD_VM_KERNEL", image)
	if got, err := Kernel(t.Context(), ""); got != image || err != nil {
		t.Errorf("environment: %q, %v", got, err)
	}
	if _, err := Kernel(t.Context(), "/no/vmlinuz"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("missing path: %v", err)
	}
	if _, err := Kernel(t.Context(), "../x y"); err == nil {
		t.Error("strange name: no error")
	}
}

func TestKernelWithoutTools(t *testing.T) {
	t.Setenv("TIERD_VM_CACHE", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := Kernel(t.Context(), "6.12")
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "TIERD_VM_KERNEL") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
	_, err = ThreeTier().Run(t.Context(), Program{Args: []string{"true"}})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "deps.sh") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v", err)
	}
}

func TestLockIsExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	var mu sync.Mutex
	holders := 0
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			unlock, err := lock(t.Context(), path)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if holders++; holders != 1 {
				t.Errorf("%d holders", holders)
			}
			mu.Unlock()
			mu.Lock()
			holders--
			mu.Unlock()
			unlock()
		})
	}
	wg.Wait()
	unlock, err := lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lock(ctx, path); !errors.Is(err, context.Canceled) {
		t.Errorf("second lock: %v", err)
	}
}

func TestLineWriter(t *testing.T) {
	var calls []string
	l := &lineWriter{w: writerFunc(func(b []byte) { calls = append(calls, string(b)) })}
	for _, s := range []string{"on", "e\ntwo\nth", "ree"} {
		if err := l.write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"one\ntwo\n", "three"}, calls); d != "" {
		t.Error(d)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

func TestConsoleFindsPanicAndKeepsTheEnd(t *testing.T) {
	var c console
	c.read(strings.NewReader(strings.Repeat("noise noise noise\r\n", consoleBytes/10) + "[ 1.0] Kernel panic - not syncing: because\r\nlast"))
	if got := c.panicLine(); got != "Kernel panic - not syncing: because" {
		t.Errorf("panic %q", got)
	}
	if lines := strings.Split(c.tail(), "\n"); len(lines) != consoleLines || lines[consoleLines-1] != "last" {
		t.Errorf("tail %q", lines)
	}
	if len(c.text()) > consoleBytes {
		t.Errorf("%d bytes kept", len(c.text()))
	}
}

func TestTestLog(t *testing.T) {
	l := newTestLog([]string{"TestA", "TestB", "TestC", "TestNever"})
	out := "loose\n" +
		"\x16=== RUN   TestA\n    a_test.go:3: note\n\x16=== RUN   TestA/sub\nprinted\x16--- PASS: TestA (0.10s)\n    \x16--- FAIL: TestA/sub (0.01s)\n" +
		"\x16=== NAME  \nagain loose\n" +
		"\x16=== RUN   TestB\n    b_test.go:9: kernel lacks DAMON\n\x16--- SKIP: TestB (0.00s)\n" +
		"\x16=== RUN   TestC\n    c_test.go:9: too slow: kernel lacks nothing\n\x16--- SKIP: TestC (0.00s)\n" +
		"\x16=== NAME  \nFAIL"
	for i := range out {
		if _, err := l.Write([]byte(out[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	l.close()
	want := []TestResult{
		{"TestA", Pass, "    a_test.go:3: note\n"},
		{"TestB", Skip, "    b_test.go:9: kernel lacks DAMON\n"},
		{"TestC", Skip, "    c_test.go:9: too slow: kernel lacks nothing\n"},
		{"TestNever", Missing, ""},
		{"TestA/sub", Fail, "printed"},
	}
	if d := cmp.Diff(want, l.tests); d != "" {
		t.Error(d)
	}
	if got := l.loose.String(); got != "loose\nagain loose\nFAIL" {
		t.Errorf("loose %q", got)
	}
	p := PackageResult{Tests: l.tests}
	if passed, failed, skipped := p.Counts(); passed != 1 || failed != 3 || skipped != 1 {
		t.Errorf("counts %d %d %d", passed, failed, skipped)
	}
}

func TestSuiteFindsGuestTests(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a test binary")
	}
	s, err := BuildSuite(t.Context(), t.TempDir(), "Nodes|HMAT/deep", ".")
	if err != nil {
		t.Fatal(err)
	}
	if len(s.packages) != 1 || s.packages[0].broken != "" || s.below != "/deep" {
		t.Fatalf("suite %+v", s)
	}
	if d := cmp.Diff([]string{"TestNodes", "TestHMAT"}, s.packages[0].tests); d != "" {
		t.Error(d)
	}
	if _, err := BuildSuite(t.Context(), t.TempDir(), "", "./wire"); err == nil || !strings.Contains(err.Error(), "none in ./wire") {
		t.Errorf("no guest tests: %v", err)
	}
}

func TestCPUsTakeTurnsUnlessAsked(t *testing.T) {
	m := ThreeTier()
	for _, parallel := range []bool{false, true} {
		m.Parallel = parallel
		if got := slices.Contains(m.args("vmlinuz", "initrd"), "tcg,thread=multi"); got != parallel {
			t.Errorf("parallel %v: runs in parallel %v", parallel, got)
		}
	}
}
