package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tierd/tierd/test/vm/wire"
)

// guestPackage is the init that runs in the machine.
const guestPackage = "github.com/tierd/tierd/test/vm/guest"

// guestEnviron is the environment to build static programs for the guest.
func guestEnviron() []string {
	return append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
}

// buildInit builds the guest's init at path.
func buildInit(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-ldflags=-s -w", "-o", path, guestPackage)
	cmd.Env = guestEnviron()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("guest init: go build: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// writeInitramfs writes the guest's root file system: init, the specification, busybox where the host has a static
// one, and files (path in the guest to path on the host, which may be a folder).
func writeInitramfs(w io.Writer, init string, spec wire.Spec, files map[string]string) error {
	c := newCPIO(w)
	for _, d := range []string{"/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/etc", "/bin", "/sbin", "/usr/bin", "/usr/sbin", "/var/lib", "/var/run"} {
		c.dir(d)
	}
	c.char("/dev/console", 0o600, 5, 1)
	c.char("/dev/null", 0o666, 1, 3)
	if err := addFile(c, "/init", init); err != nil {
		return err
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	c.file(wire.SpecPath, 0o644, data)
	taken := map[string]bool{}
	for name := range files {
		taken[path.Clean("/"+name)] = true
	}
	for name, content := range map[string]string{
		"/etc/passwd":   "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"/etc/group":    "root:x:0:\nnogroup:x:65534:\n",
		"/etc/hosts":    "127.0.0.1 localhost\n",
		"/etc/hostname": spec.Hostname + "\n",
	} {
		if !taken[name] {
			c.file(name, 0o644, []byte(content))
		}
	}
	for _, guest := range slices.Sorted(maps.Keys(files)) {
		if err := addTree(c, guest, files[guest]); err != nil {
			return err
		}
	}
	if err := addBusybox(c, taken); err != nil {
		return err
	}
	return c.close()
}

func addFile(c *cpioWriter, guest, host string) error {
	data, err := os.ReadFile(host)
	if err != nil {
		return fmt.Errorf("guest file %s: %w", guest, err)
	}
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("guest file %s: %w", guest, err)
	}
	c.file(guest, uint32(info.Mode().Perm()), data)
	return nil
}

func addTree(c *cpioWriter, guest, host string) error {
	info, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("guest file %s: %w", guest, err)
	}
	if !info.IsDir() {
		return addFile(c, guest, host)
	}
	return filepath.WalkDir(host, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(host, p)
		if err != nil {
			return err
		}
		to := path.Join(guest, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			c.dir(to)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			c.symlink(to, target)
		case d.Type().IsRegular():
			return addFile(c, to, p)
		}
		return nil
	})
}

// busyboxPaths are where distributions put a static busybox.
var busyboxPaths = []string{"/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static", "/sbin/busybox"}

// addBusybox adds a shell and its tools. Without a busybox the guest only runs what the caller brings.
func addBusybox(c *cpioWriter, taken map[string]bool) error {
	for _, p := range busyboxPaths {
		if dynamic, err := isDynamic(p); err != nil || dynamic {
			continue
		}
		if err := addFile(c, "/bin/busybox", p); err != nil {
			return err
		}
		list, err := exec.Command(p, "--list").Output()
		if err != nil {
			return fmt.Errorf("busybox: list of tools: %w", err)
		}
		for name := range strings.FieldsSeq(string(list)) {
			if link := "/bin/" + name; name != "busybox" && !taken[link] {
				c.symlink(link, "busybox")
			}
		}
		return nil
	}
	return nil
}

// isDynamic says whether the program at path needs an interpreter.
func isDynamic(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}
