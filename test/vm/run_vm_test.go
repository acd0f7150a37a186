//go:build vm

package vm_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
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

// children returns the ids of the QEMU processes that this process started.
func children(t *testing.T) []string {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		for pid := range strings.FieldsSeq(string(b)) {
			if name, _ := os.ReadFile("/proc/" + pid + "/comm"); strings.HasPrefix(string(name), "qemu") {
				out = append(out, pid)
			}
		}
	}
	return out
}

// TestRunAll looks at how programs end, and that none disturbs the next.
func TestRunAll(t *testing.T) {
	killed, _ := shell("kill -SEGV $$")
	orphan, _ := shell("sleep 1000 & echo started")
	endless, out := shell("echo begun; exec sleep 1000")
	endless.Timeout = 2 * time.Second
	after, alone := shell("pidof sleep || echo nobody; ls /etc/given")
	after.Files = map[string]string{"/etc/given": "doc.go"}
	rs, err := vm.ThreeTier().RunAll(t.Context(), []vm.Program{killed, orphan, endless, after})
	if err != nil {
		t.Fatal(err)
	}
	if r := rs[0]; r.ExitCode != 139 || r.Signal != "SIGSEGV" {
		t.Errorf("killed: exit code %d, signal %q", r.ExitCode, r.Signal)
	}
	if r := rs[1]; r.ExitCode != 0 {
		t.Errorf("orphan: exit code %d", r.ExitCode)
	}
	if r := rs[2]; r.ExitCode != 137 || !r.TimedOut || out.String() != "begun\n" {
		t.Errorf("endless: exit code %d, timed out %v, output %q", r.ExitCode, r.TimedOut, out)
	}
	if r := rs[3]; r.ExitCode != 0 || alone.String() != "nobody\n/etc/given\n" {
		t.Errorf("after: exit code %d, output %q", r.ExitCode, alone)
	}
}

func TestProgramThatIsNotThere(t *testing.T) {
	_, err := vm.ThreeTier().Run(t.Context(), vm.Program{Args: []string{"/no/program"}})
	if err == nil || !strings.HasPrefix(err.Error(), "program /no/program: ") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error %v", err)
	}
}

func TestDynamicProgramIsRefused(t *testing.T) {
	_, err := vm.ThreeTier().Run(t.Context(), vm.Program{Args: []string{"/bin/x"}, Files: map[string]string{"/bin/x": "/usr/bin/env"}})
	if err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("error %v", err)
	}
}

func TestPanicIsNoticed(t *testing.T) {
	p, out := shell("echo before; echo 1 > /proc/sys/kernel/sysrq; sleep 1; echo c > /proc/sysrq-trigger; sleep 100")
	begun := time.Now()
	r, err := vm.ThreeTier().Run(t.Context(), p)
	if !errors.Is(err, vm.ErrPanic) || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("error %v", err)
	}
	if out.String() != "before\n" || r.ExitCode != -1 || !strings.Contains(r.Console, "Kernel panic") {
		t.Errorf("output %q, exit code %d", out, r.ExitCode)
	}
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("took %v", d)
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("processes %v still run", left)
	}
}

func TestTimeoutEndsTheMachine(t *testing.T) {
	m := vm.ThreeTier()
	m.Timeout = 20 * time.Second
	p, _ := shell("sleep 1000")
	_, err := m.Run(t.Context(), p)
	if !errors.Is(err, vm.ErrTimeout) || !strings.Contains(err.Error(), "20s") {
		t.Errorf("error %v", err)
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("processes %v still run", left)
	}
}

// TestOutputComesLive also ends the run by its context, from within.
func TestOutputComesLive(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	running := 0
	p := vm.Program{Args: []string{"sh", "-c", "echo ready; sleep 1000"}, Stdout: writerFunc(func(b []byte) {
		if string(b) == "ready\n" {
			running = len(children(t))
			cancel()
		}
	})}
	_, err := vm.ThreeTier().Run(ctx, p)
	if !errors.Is(err, context.Canceled) || running != 1 {
		t.Errorf("error %v, %d machines while it ran", err, running)
	}
	if left := children(t); len(left) != 0 {
		t.Errorf("processes %v still run", left)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// TestMachineEndsWithItsOwner kills a process that runs a machine, and sees the machine go.
func TestMachineEndsWithItsOwner(t *testing.T) {
	if os.Getenv("TIERD_VM_OWNER") != "" {
		p, _ := shell("echo ready; sleep 1000")
		p.Stdout = os.Stdout
		_, err := vm.ThreeTier().Run(t.Context(), p)
		t.Fatal(err)
	}
	owner := exec.Command(os.Args[0], "-test.run=^TestMachineEndsWithItsOwner$")
	owner.Env = append(os.Environ(), "TIERD_VM_OWNER=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = owner.Wait() }()
	defer owner.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("owner says %q, %v", line, err)
	}
	var machines []string
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", owner.Process.Pid))
	for _, path := range tasks {
		b, _ := os.ReadFile(path)
		machines = append(machines, strings.Fields(string(b))...)
	}
	if len(machines) != 1 {
		t.Fatalf("machines %v", machines)
	}
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		status, err := os.ReadFile("/proc/" + machines[0] + "/status")
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("machine %s outlives its owner", machines[0])
}

func TestTwoSocket(t *testing.T) {
	m := vm.TwoSocket()
	p, out := shell("cd /sys/devices/system/node; cat online has_cpu node1/cpulist; cat node4/distance; ls -d node3/access1/initiators/node*")
	if _, err := m.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if want := "0-4\n0-1\n1\n30 40 34 44 10\nnode3/access1/initiators/node1\n"; out.String() != want {
		t.Errorf("output %q, want %q", out, want)
	}
}

// TestThroughput says what the serial line carries.
func TestThroughput(t *testing.T) {
	const size = 4 << 20
	p := vm.Program{Args: []string{"sh", "-c", "head -c " + strconv.Itoa(size) + " /dev/zero"}}
	n := 0
	p.Stdout = writerFunc(func(b []byte) { n += len(b) })
	r, err := vm.ThreeTier().Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if n != size {
		t.Errorf("%d bytes, want %d", n, size)
	}
	t.Logf("%.2f MB/s", float64(n)/1e6/r.Wall.Seconds())
}
