package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFolderIsTrustworthy(t *testing.T) {
	base := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := func(name string, mode os.FileMode) string {
		path := filepath.Join(base, name)
		must(os.Mkdir(path, 0o700))
		must(os.Chmod(path, mode))
		return path
	}
	link := filepath.Join(base, "link")
	must(os.Symlink(dir("target", 0o755), link))
	plain := filepath.Join(base, "plain")
	must(os.WriteFile(plain, nil, 0o600))
	for _, tt := range []struct{ path, problem string }{
		{filepath.Join(base, "new"), ""},
		{dir("own", 0o755), ""},
		{dir("group", 0o770), "writable by group or others"},
		{dir("others", 0o707), "writable by group or others"},
		{dir("sticky", 0o777|os.ModeSticky), "writable by group or others"},
		{link, "symbolic link"},
		{plain, "not a directory"},
		{filepath.Join(base, "missing", "dir"), "no such file"},
	} {
		d, err := openDisk(tt.path)
		if err == nil {
			d.close()
		}
		if tt.problem == "" && err != nil || tt.problem != "" && (err == nil || !strings.Contains(err.Error(), tt.problem)) {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.problem)
		}
	}
	d, err := openDisk(filepath.Join(base, "own"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := openDisk(filepath.Join(base, "own")); err == nil || !strings.Contains(err.Error(), "another tierd") {
		t.Errorf("twice: %v", err)
	}
	if info, err := os.Stat(filepath.Join(base, "new")); err != nil || info.Mode().Perm() != folderMode {
		t.Errorf("a new one: %v, %v", info, err)
	}
}

// A link that has the name of the next segment leads nowhere.
func TestLinksAreNotFollowed(t *testing.T) {
	dir, victim := t.TempDir(), filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1e9, 0)
	for n := range uint64(3) {
		if err := os.Symlink(victim, filepath.Join(dir, segmentName(n+1, at))); err != nil {
			t.Fatal(err)
		}
	}
	d, err := openDisk(dir)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSegments(d, 100, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for range 30 {
		if err := s.begin(at, make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(victim); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if len(s.list) != 1 || s.total != 60 {
		t.Errorf("%+v", s.list)
	}
	if info, err := os.Stat(filepath.Join(dir, s.list[0].name)); err != nil || info.Mode().Perm()&^fileMode != 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// A file that is not there any more, or a directory that is another one, is not
// written to in silence.
func TestVanishing(t *testing.T) {
	at := time.Unix(1e9, 0)
	for name, vanish := range map[string]func(dir, file string) error{
		"file":      func(_, file string) error { return os.Remove(file) },
		"exchanged": func(_, file string) error { return os.Rename(file+".new", file) },
		"directory": func(dir, _ string) error { return os.RemoveAll(dir) },
		"moved":     func(dir, _ string) error { return os.Rename(dir, dir+".old") },
		"replaced": func(dir, _ string) error {
			if err := os.Rename(dir, dir+".old"); err != nil {
				return err
			}
			return os.Mkdir(dir, 0o700)
		},
		"opened": func(dir, _ string) error { return os.Chmod(dir, 0o777) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ring")
			d, err := openDisk(dir)
			if err != nil {
				t.Fatal(err)
			}
			s, err := openSegments(d, 1000, 100)
			if err != nil {
				t.Fatal(err)
			}
			defer s.close()
			if err := s.begin(at, []byte("one")); err != nil {
				t.Fatal(err)
			}
			if err := s.write([]byte("two")); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, s.list[0].name)
			if err := os.WriteFile(file+".new", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := vanish(dir, file); err != nil {
				t.Fatal(err)
			}
			if err := s.write([]byte("three")); err == nil {
				t.Error("nothing was noticed")
			}
		})
	}
}
