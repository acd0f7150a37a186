//go:build linux

// Command guest is the init of the emulated machine (see package vm): it prepares a small Linux system, runs the
// programs of its specification one after the other, and reports what they do over the second serial port.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/test/vm/wire"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the init of tierd's emulated machine; it runs as process 1 only")
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "guest: %v\n", err)
	}
	unix.Sync()
	// The host stops the machine once it has the last frame; this is for when nobody listens.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

func run() error {
	if err := mountAll(); err != nil {
		return err
	}
	line, err := openSerial(wire.Device)
	if err != nil {
		return err
	}
	w := wire.NewWriter(line)
	err = serve(w)
	if err != nil {
		_ = w.Write(wire.Fail, []byte(err.Error()))
	} else {
		_ = w.Write(wire.Bye, nil)
	}
	// Wait until the last byte has left the port.
	_ = unix.IoctlSetInt(int(line), unix.TCSBRK, 1)
	return err
}

func serve(w *wire.Writer) error {
	if err := settle(); err != nil {
		return err
	}
	data, err := os.ReadFile(wire.SpecPath)
	if err != nil {
		return err
	}
	var spec wire.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("%s: %w", wire.SpecPath, err)
	}
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	if err := writeJSON(w, wire.Hello, wire.Greeting{Release: unix.ByteSliceToString(uts.Release[:])}); err != nil {
		return err
	}
	stop := make(chan struct{})
	var beats sync.WaitGroup
	beats.Go(func() {
		for {
			select {
			case <-time.After(time.Second):
				_ = w.Write(wire.Beat, nil)
			case <-stop:
				return
			}
		}
	})
	defer beats.Wait()
	defer close(stop)
	for i, p := range spec.Programs {
		if err := w.Write(wire.Start, []byte(strconv.Itoa(i))); err != nil {
			return err
		}
		status := execute(w, p)
		for _, pattern := range p.Collect {
			if err := collect(w, pattern); err != nil {
				return fmt.Errorf("collect %s: %w", pattern, err)
			}
		}
		if err := writeJSON(w, wire.Exit, status); err != nil {
			return err
		}
	}
	return nil
}

func writeJSON(w *wire.Writer, t wire.Type, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.Write(t, b)
}

// serial is a file descriptor used with plain blocking calls.
type serial int

func (s serial) Write(b []byte) (int, error) {
	done := 0
	for done < len(b) {
		n, err := unix.Write(int(s), b[done:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func openSerial(path string) (serial, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	// Raw: no translation of line ends, no echo, eight bits.
	t := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200, Ispeed: unix.B115200, Ospeed: unix.B115200}
	t.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &t); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return serial(fd), nil
}

// mountAll mounts what programs on a usual host find. What this kernel does not have stays away.
func mountAll() error {
	for _, m := range []struct {
		fstype, target, data string
		optional             bool
	}{
		{"devtmpfs", "/dev", "mode=0755", false},
		{"proc", "/proc", "", false},
		{"sysfs", "/sys", "", false},
		{"cgroup2", "/sys/fs/cgroup", "", true},
		{"bpf", "/sys/fs/bpf", "mode=0700", true},
		{"tracefs", "/sys/kernel/tracing", "", true},
		{"debugfs", "/sys/kernel/debug", "", true},
		{"devpts", "/dev/pts", "mode=0620", true},
		{"tmpfs", "/dev/shm", "mode=1777", false},
		{"tmpfs", "/run", "mode=0755", false},
		{"tmpfs", "/tmp", "mode=1777", false},
	} {
		// Folders inside a pseudo file system exist where the kernel has the feature.
		_ = os.MkdirAll(m.target, 0o755)
		err := unix.Mount(m.fstype, m.target, m.fstype, unix.MS_NOSUID, m.data)
		if err != nil && !m.optional && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for name, target := range map[string]string{"fd": "self/fd", "stdin": "self/fd/0", "stdout": "self/fd/1", "stderr": "self/fd/2"} {
		_ = os.Symlink(filepath.Join("/proc", target), filepath.Join("/dev", name))
	}
	return nil
}

// settle sets limits and brings the loopback interface up.
func settle() error {
	for resource, limit := range map[int]uint64{unix.RLIMIT_MEMLOCK: unix.RLIM_INFINITY, unix.RLIMIT_NOFILE: 1 << 16, unix.RLIMIT_CORE: 0} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}

// execute runs p to its end, and ends whatever it left running.
func execute(w *wire.Writer, p wire.Program) wire.Status {
	// A program that cannot start reports the code that a shell would.
	failed := func(err error) wire.Status { return wire.Status{Code: 127, Error: err.Error()} }
	if len(p.Args) == 0 {
		return failed(errors.New("no program"))
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return failed(err)
	}
	defer null.Close()
	var copies sync.WaitGroup
	var ends []*os.File
	defer copies.Wait()
	files := []*os.File{null}
	for _, t := range []wire.Type{wire.Stdout, wire.Stderr} {
		r, we, err := os.Pipe()
		if err != nil {
			return failed(err)
		}
		files, ends = append(files, we), append(ends, we)
		copies.Go(func() {
			defer r.Close()
			buf := make([]byte, wire.MaxPayload)
			for {
				n, err := r.Read(buf)
				if n > 0 {
					_ = w.Write(t, buf[:n])
				}
				if err != nil {
					return
				}
			}
		})
	}
	dir := p.Dir
	if dir == "" {
		dir = "/"
	}
	env := append([]string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TMPDIR=/tmp", "TERM=dumb", "USER=root"}, p.Env...)
	path := p.Args[0]
	if !strings.Contains(path, "/") {
		for _, d := range []string{"/usr/local/bin", "/usr/bin", "/sbin", "/bin"} {
			if _, err := os.Stat(filepath.Join(d, path)); err == nil {
				path = filepath.Join(d, path)
				break
			}
		}
	}
	proc, err := os.StartProcess(path, p.Args, &os.ProcAttr{Dir: dir, Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true}})
	for _, f := range ends {
		f.Close()
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if _, stat := os.Stat(path); stat == nil {
				err = fmt.Errorf("%w (a dynamically linked program, or a script whose interpreter is missing)", err)
			}
		}
		return failed(err)
	}
	pid := proc.Pid
	var timedOut chan struct{}
	if p.Timeout > 0 {
		timedOut = make(chan struct{})
		timer := time.AfterFunc(p.Timeout, func() {
			close(timedOut)
			_ = unix.Kill(pid, unix.SIGKILL)
		})
		defer timer.Stop()
	}
	status := wire.Status{}
	for {
		// As process 1 this also reaps the orphans.
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		if err == unix.EINTR || (err == nil && got != pid) {
			continue
		}
		if err != nil {
			status.Error = fmt.Sprintf("wait: %v", err)
		} else if ws.Signaled() {
			status.Code, status.Signal = 128+int(ws.Signal()), unix.SignalName(ws.Signal())
		} else {
			status.Code = ws.ExitStatus()
		}
		break
	}
	if timedOut != nil {
		select {
		case <-timedOut:
			status.TimeOut = true
		default:
		}
	}
	// What still runs may hold the pipes open: end it, and reap it.
	_ = unix.Kill(-1, unix.SIGKILL)
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err != nil && err != unix.EINTR {
			break
		}
	}
	copies.Wait()
	return status
}

// collect sends the files that pattern names; folders with everything in them.
func collect(w *wire.Writer, pattern string) error {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	for _, root := range paths {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			// Through symlinks, and pseudo files too: they have no size.
			if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
				return nil
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if err := writeJSON(w, wire.FileBegin, wire.File{Path: path}); err != nil {
				return err
			}
			// The line is slow: compressing pays even here.
			var packed bytes.Buffer
			z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
			if err != nil {
				return err
			}
			if _, err := z.Write(data); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
			if err := w.Write(wire.FileData, packed.Bytes()); err != nil {
				return err
			}
			return w.Write(wire.FileEnd, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
