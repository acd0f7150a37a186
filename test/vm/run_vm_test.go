//go:build vm

package vm_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/test/vm"
)

// shell returns a program that runs script with busybox, and where its output goes.
func shell(script string) (vm.Program, *bytes.Buffer) {
	var out bytes.Buffer
	return vm.Program{Args: []string{"/bin/sh", "-c", script}, Stdout: &out}, &out
}

func TestRun(t *testing.T) {
	host := filepath.Join(t.TempDir(), "greeting")
	if err := os.WriteFile(host, []byte("hello from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p, out := shell(`cat /etc/greeting; echo "to stderr" >&2; pwd; echo $COLOUR; uname -r; ulimit -l
cat /sys/devices/system/node/online; ls /sys/kernel/debug/sched >/dev/null && echo debugfs
printf 'no newline'; mkdir -p /tmp/out/deep; seq 100000 > /tmp/out/deep/seq; echo one > /tmp/out/one; exit 42`)
	p.Files = map[string]string{"/etc/greeting": host}
	p.Env = []string{"COLOUR=green"}
	p.Dir = "/tmp"
	p.Collect = []string{"/tmp/out", "/proc/version", "/no/such/file"}
	r, err := vm.ThreeTier().Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel %s, boot %v, wall %v", r.Release, r.Boot.Round(time.Millisecond), r.Wall.Round(time.Millisecond))
	if r.ExitCode != 42 || r.Signal != "" {
		t.Errorf("exit code %d, signal %q, want 42 and none", r.ExitCode, r.Signal)
	}
	want := "hello from the host\nto stderr\n/tmp\ngreen\n" + r.Release + "\nunlimited\n0-2\ndebugfs\nno newline"
	got := strings.Replace(out.String(), "to stderr\n", "", 1)
	if got != strings.Replace(want, "to stderr\n", "", 1) || !strings.Contains(out.String(), "to stderr\n") {
		t.Errorf("output %q, want %q", out, want)
	}
	if got := string(r.Files["/tmp/out/deep/seq"]); len(got) != 588895 || !strings.HasSuffix(got, "\n100000\n") {
		t.Errorf("seq: %d bytes", len(got))
	}
	if got := string(r.Files["/tmp/out/one"]); got != "one\n" {
		t.Errorf("one: %q", got)
	}
	if got := string(r.Files["/proc/version"]); !strings.Contains(got, r.Release) {
		t.Errorf("/proc/version: %q", got)
	}
	if len(r.Files) != 3 {
		t.Errorf("%d files, want 3", len(r.Files))
	}
}
