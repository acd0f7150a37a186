//go:build guest

package pagetable_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

const (
	manyEnv    = "TIERD_TEST_MANY"
	withoutEnv = "TIERD_TEST_WITHOUT_BTF"
)

// beMany makes very many mappings of a page each: neighbours of one class,
// which differ only in their protection, or with a hole between every two.
func beMany(spec string) {
	var n int
	var kind string
	if _, err := fmt.Sscan(spec, &kind, &n); err != nil {
		fmt.Println("error", err)
		return
	}
	pages := n
	if kind == "holes" {
		pages = 2 * n
	}
	// Not writable, so that it is not charged to anybody.
	mem, err := unix.Mmap(-1, 0, pages*4096, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	base := uintptr(unsafe.Pointer(&mem[0]))
	for i := 0; i < pages; i += 2 {
		call, prot := uintptr(unix.SYS_MPROTECT), uintptr(unix.PROT_NONE)
		if kind == "holes" {
			call = unix.SYS_MUNMAP
		}
		if _, _, errno := unix.RawSyscall(call, base+uintptr(i)*4096, 4096, prot); errno != 0 {
			fmt.Println("error", i, errno)
			return
		}
	}
	fmt.Println("ok", base)
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// A process of very many mappings costs tierd neither memory nor its sight of
// others, its list has an end, and what is left out is said.
func TestGuestMillionMappings(t *testing.T) {
	if spec := os.Getenv(manyEnv); spec != "" {
		beMany(spec)
		return
	}
	const sysctl = "/proc/sys/vm/max_map_count"
	old, err := os.ReadFile(sysctl)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(sysctl, []byte("2100000"), 0); err != nil {
		t.Fatal(err)
	}
	defer os.WriteFile(sysctl, old, 0)
	s := open(t)
	const maxRuns = 1 << 16
	for _, tt := range []struct {
		kind string
		n    int
		err  error
	}{
		// More than the kernel looks at in one read of an iterator.
		{"joined", 1_000_000, nil},
		// More than are followed. A million of these takes as long again.
		{"holes", 100_000, pagetable.ErrTooMany},
		// More than the kernel's buffer holds.
		{"holes", 20_000, nil},
	} {
		t.Run(fmt.Sprintf("%d %s", tt.n, tt.kind), func(t *testing.T) {
			begin := time.Now()
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestGuestMillionMappings$")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", manyEnv, tt.kind, tt.n))
			c, at := attach(t, s, cmd)
			t.Logf("made in %v", time.Since(begin).Round(time.Millisecond))
			other := start(t, s)
			mem := other.do("map %d 0", 2*policy.RegionSize)
			other.do("touch 0 512")

			list := func(visit func(pagetable.Run)) (int, error) {
				vmas, _, err := c.space.Mappings(visit)
				return vmas, err
			}
			// What is allocated on the first call only does not count.
			_, _ = list(func(pagetable.Run) {})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin = time.Now()
			runs, in, last := 0, 0, uint64(0)
			vmas, err := list(func(r pagetable.Run) {
				if r.Start < last || r.End <= r.Start {
					t.Errorf("run %d: %x to %x after %x", runs, r.Start, r.End, last)
				}
				last = r.End
				runs++
				if r.End > at && r.Start < at+uint64(2*tt.n)*4096 {
					in += r.VMAs
				}
			})
			took := time.Since(begin)
			runtime.ReadMemStats(&after)
			t.Logf("listed in %v: %d mappings, %d runs, %v", took.Round(time.Millisecond), vmas, runs, err)
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if vmas < tt.n || vmas > tt.n+1000 {
				t.Errorf("%d mappings, the process made %d", vmas, tt.n)
			}
			switch {
			case tt.err != nil && runs != maxRuns:
				t.Errorf("%d runs were delivered, want as many as are followed: %d", runs, maxRuns)
			case tt.kind == "joined" && runs > 1000:
				t.Errorf("%d runs of neighbours of one class", runs)
			case tt.err == nil && in < tt.n-1:
				t.Errorf("%d mappings in the runs, want all %d", in, tt.n)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
				t.Errorf("the listing allocated %d bytes", got)
			}

			// Others are seen as before, and so is the process itself.
			if b := other.block(mem); b.PresentPages != 512 {
				t.Errorf("another process: %s, %d pages", b.Kind, b.PresentPages)
			}
			if vmas, _, err := other.space.Mappings(func(pagetable.Run) {}); err != nil || vmas > 1000 {
				t.Errorf("another process: %d mappings, %v", vmas, err)
			}
			if b := c.block(at); b.Kind == pagetable.KindFault {
				t.Errorf("its memory: %s", b.Kind)
			}
		})
	}
}

// A kernel without BTF is named as such, with what to do about it.
func TestGuestWithoutBTF(t *testing.T) {
	if os.Getenv(withoutEnv) != "" {
		if err := unix.Mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		_, err := openRanges()
		var u *pagetable.Unavailable
		if !errors.As(err, &u) || u.Step != "load" || !strings.Contains(u.Hint, "CONFIG_DEBUG_INFO_BTF") {
			t.Fatalf("without BTF: %v, %#v", err, err)
		}
		t.Log(err, "hint:", u.Hint)
		return
	}
	// In a process of its own, whose mounts nobody else sees and which has not
	// read the kernel's types yet.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestGuestWithoutBTF$", "-test.v")
	cmd.Env = append(os.Environ(), withoutEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestGuestWithoutBTF") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
