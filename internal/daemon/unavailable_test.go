package daemon_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/status"
)

const withoutEnv = "TIERD_TEST_WITHOUT_BPF"

// withoutBPF lets bpf(2) answer this process as a kernel does that was built
// without it. There is no way back.
func withoutBPF(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_BPF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		t.Fatalf("seccomp: %v", errno)
	}
}

// On a kernel without BPF tierd stays up, moves nothing though it is told to,
// and says why and what to do.
func TestKernelWithoutBPF(t *testing.T) {
	if os.Getenv(withoutEnv) == "" {
		// In a process of its own: the filter stays.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestKernelWithoutBPF$", "-test.v")
		cmd.Env = append(os.Environ(), withoutEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestKernelWithoutBPF") {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	withoutBPF(t)
	synctest.Test(t, func(t *testing.T) {
		ready := false
		w := newWorld(t, enforce, func(o *daemon.Options) {
			o.Source = nil // the real one
			o.Ready = func() { ready = true }
		})
		w.sleep(10 * time.Second)
		s := w.board.Load()
		if s == nil || !ready {
			t.Fatal("no epoch has come to its end")
		}
		if s.Mode != status.Observe || !s.Forced || !strings.Contains(s.ModeReason, "no source") {
			t.Errorf("mode %s, forced %v, because %q", s.Mode, s.Forced, s.ModeReason)
		}
		if len(s.Sources) != 1 || s.Sources[0].Available || s.Sources[0].Reason == "" || !strings.Contains(s.Sources[0].Hint, "CONFIG_BPF_SYSCALL") {
			t.Errorf("sources %+v", s.Sources)
		}
		t.Logf("%s; hint: %s", s.Sources[0].Reason, s.Sources[0].Hint)
		if got := w.workload(); got.Processes != 1 || got.Mode != status.Observe || got.ProcessDetails[0].State != status.Waiting {
			t.Errorf("%+v", got)
		}
		before := s.Epoch.Number

		// It takes a new configuration, notices that the process ends, and goes on.
		cfg, err := config.Parse("new.toml", []byte(enforce))
		if err != nil {
			t.Fatal(err)
		}
		w.daemon.Reload(cfg)
		w.process.Exit()
		if err := os.RemoveAll(filepath.Join(w.root, "proc", strconv.Itoa(pid))); err != nil {
			t.Fatal(err)
		}
		w.sleep(10 * time.Second)
		if s = w.board.Load(); s.Epoch.Number < before+10 || w.workload().Processes != 0 || w.machine.Moves != 0 {
			t.Errorf("%d epochs later %d processes, %d calls that move", s.Epoch.Number-before, w.workload().Processes, w.machine.Moves)
		}
		w.stop()
		if err := <-w.done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}
