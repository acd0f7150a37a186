//go:build guest

package damon_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/sampler"
	"github.com/tierd/tierd/sampler/damon"
	"github.com/tierd/tierd/sampler/pagetable"
)

const (
	number  = "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds"
	noteEnv = "TIERD_TEST_DAMON_NOTE"
	size    = 64 << 20
	hot     = 8 << 20
	region  = 2 << 20
)

var host = hostfs.New("")

// settings are for memory of this process.
func settings(pid int, from, to uint64) damon.Settings {
	s := damon.Settings{Targets: []damon.Target{{PID: pid}}, Sample: 20 * time.Millisecond, Aggregate: 400 * time.Millisecond}
	for at := from; at < to; at += region {
		s.Targets[0].Regions = append(s.Targets[0].Regions, pagetable.Range{Start: at, End: at + region})
	}
	return s
}

// some is a process that lives long enough.
func some() damon.Settings { return settings(os.Getppid(), 1<<30, 1<<30+4*region) }

func TestMain(m *testing.M) {
	if note := os.Getenv(noteEnv); note != "" { // to be killed
		if _, err := damon.Start(host, some(), note); err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("started\n")
		select {}
	}
	os.Exit(m.Run())
}

// has tells whether this kernel can be asked at all; one that cannot must say so.
func has(t *testing.T) bool {
	t.Helper()
	var u *damon.Unavailable
	if _, err := os.Stat(number); !errors.Is(err, fs.ErrNotExist) {
		const stat = "/sys/module/damon_stat/parameters/enabled"
		if b, err := os.ReadFile(stat); err == nil && strings.TrimSpace(string(b)) == "Y" {
			if _, err := damon.Start(host, some(), filepath.Join(t.TempDir(), "note")); !errors.Is(err, damon.ErrBusy) || !errors.As(err, &u) || u.Hint == "" {
				t.Errorf("beside damon_stat: %v", err)
			}
			if n := workers(t); n != "0" {
				t.Errorf("beside damon_stat %s workers are left", n)
			}
			write(t, stat, "N")
		}
		return true
	}
	if _, err := damon.Start(host, some(), filepath.Join(t.TempDir(), "note")); !errors.As(err, &u) {
		t.Errorf("without DAMON: %v", err)
	} else {
		t.Logf("without DAMON: %v (%s)", err, u.Hint)
	}
	return false
}

func workers(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(number)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func write(t *testing.T, file, v string) {
	t.Helper()
	fd, err := unix.Open(file, unix.O_WRONLY, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(v))
		unix.Close(fd)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// What is used is heard to be, and what is not is not.
func TestGuestMonitorHears(t *testing.T) {
	if !has(t) {
		return
	}
	mem, err := unix.Mmap(-1, 0, size+region, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mem)
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	at := uintptr(unsafe.Pointer(&mem[0]))
	used := mem[-at&(region-1):][:size]
	for i := 0; i < size; i += 4096 {
		used[i] = 1
	}
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for !stop.Load() {
			for i := 0; i < hot; i += 4096 {
				used[i]++
			}
			time.Sleep(time.Millisecond)
		}
	}()
	defer func() { stop.Store(true); <-done }()

	note := filepath.Join(t.TempDir(), "note")
	from := uint64(uintptr(unsafe.Pointer(&used[0])))
	m, err := damon.Start(host, settings(os.Getpid(), from, from+size), note)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := damon.Start(host, some(), note+"2"); !errors.Is(err, damon.ErrInUse) {
		t.Errorf("a second one: %v", err)
	}
	looks, hits := map[bool]int{}, map[bool]int{}
	for end := time.Now().Add(8 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if err := m.Drain(func(_ int, heard []sampler.Heard) {
			for _, h := range heard {
				if h.Addr >= from && h.Addr < from+size {
					looks[h.Addr < from+hot] += h.Pages
					hits[h.Addr < from+hot] += h.Accessed
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("hot: %d of %d looks, cold: %d of %d; %d lost", hits[true], looks[true], hits[false], looks[false], m.Lost())
	// DAMON does not flush what the processor has cached of the page table, so it does not
	// see each use of a page.
	share := func(hot bool) float64 { return float64(hits[hot]) / float64(max(looks[hot], 1)) }
	if looks[true] < 100 || looks[false] < 500 || share(true) < 0.01 || share(true) < 5*share(false) {
		t.Error("hot memory is not told from cold")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if n := workers(t); n != "0" {
		t.Errorf("%s workers are left", n)
	}
	if _, err := os.Stat(note); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note: %v", err)
	}
}

// What somebody else has set up stays as it is.
func TestGuestLeavesOthersAlone(t *testing.T) {
	if !has(t) {
		return
	}
	write(t, number, "1")
	defer write(t, number, "0")
	note := filepath.Join(t.TempDir(), "note")
	var u *damon.Unavailable
	if _, err := damon.Start(host, some(), note); !errors.Is(err, damon.ErrInUse) || !errors.As(err, &u) || u.Hint == "" {
		t.Errorf("start: %v", err)
	}
	// Not even an old note is a reason.
	if err := os.WriteFile(note, []byte(`{"boot":"another","worker":1,"targets":[1]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := damon.Recover(host, note); err != nil {
		t.Error(err)
	}
	if n := workers(t); n != "1" {
		t.Errorf("%s workers, want the one of somebody else", n)
	}
}

// What was left by one that was killed is taken away.
func TestGuestRecovers(t *testing.T) {
	if !has(t) {
		return
	}
	note := filepath.Join(t.TempDir(), "note")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), noteEnv+"="+note)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	if line != "started\n" {
		t.Errorf("it says %q", line)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n := workers(t); n != "1" {
		t.Errorf("%s workers after the kill", n)
	}
	if err := damon.Recover(host, note); err != nil {
		t.Error(err)
	}
	if n := workers(t); n != "0" {
		t.Errorf("%s workers are left", n)
	}
}
