package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "tierd.toml")
	if err := os.WriteFile(path, readExample(t), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tiers) != 3 {
		t.Errorf("%d tiers", len(c.Tiers))
	}

	link := filepath.Join(dir, "link.toml")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link); err != nil {
		t.Errorf("own symbolic link: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}

	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	inOpen := filepath.Join(open, "tierd.toml")
	if err := os.WriteFile(inOpen, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	linkToOpen := filepath.Join(dir, "open.toml")
	if err := os.Symlink(inOpen, linkToOpen); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name string
		path string
		prep func() error
		want string // with PATH for the path
	}{
		{"fifo", fifo, nil, "PATH: is not a regular file"},
		{"directory", dir, nil, "PATH: is not a regular file"},
		{"world-writable", path, func() error { return os.Chmod(path, 0o646) }, "PATH: is writable by group or others (hint: chmod go-w PATH)"},
		{"group-writable", path, func() error { return os.Chmod(path, 0o660) }, "PATH: is writable by group or others (hint: chmod go-w PATH)"},
		{"open directory", inOpen, func() error { return os.Chmod(open, 0o707) },
			"PATH: lies in \"" + open + "\", where everybody may exchange files (hint: chmod o-w " + open + ")"},
		{"link to open directory", linkToOpen, nil,
			"PATH: lies in \"" + open + "\", where everybody may exchange files (hint: chmod o-w " + open + ")"},
		{"too large", path, func() error { return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, MaxFileSize+1)) }, "PATH: is larger than 1MiB"},
		{"content", path, func() error { return os.WriteFile(path, []byte("mode = 3"), 0o600) },
			"PATH:1:8: mode: \"3\" is not observe or enforce"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.prep != nil {
				if err := tt.prep(); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(tt.path)
			if err == nil {
				t.Fatal("loaded")
			}
			if _, ok := AsProblems(err); !ok {
				t.Errorf("error is a %T", err)
			}
			if want := strings.ReplaceAll(tt.want, "PATH", tt.path); err.Error() != want {
				t.Errorf("error is %q, want %q", err, want)
			}
		})
	}

	if err := unix.Chmod(open, 0o1707); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(inOpen); err != nil {
		t.Errorf("in a sticky directory: %v", err)
	}
}

func TestJudgeFile(t *testing.T) {
	reg := func(uid uint32, mode uint32) unix.Stat_t {
		return unix.Stat_t{Uid: uid, Mode: unix.S_IFREG | mode}
	}
	tests := []struct {
		name string
		st   unix.Stat_t
		euid int
		want string
	}{
		{"root's", reg(0, 0o644), 0, ""},
		{"root's for a user", reg(0, 0o644), 1000, ""},
		{"own", reg(1000, 0o600), 1000, ""},
		{"another's for root", reg(1000, 0o600), 0, "belongs to user 1000, who could change what tierd does"},
		{"another's for a user", reg(1001, 0o600), 1000, "belongs to user 1001, who could change what tierd does"},
		{"group", reg(0, 0o664), 0, "is writable by group or others"},
		{"others", reg(0, 0o646), 0, "is writable by group or others"},
		{"socket", unix.Stat_t{Mode: unix.S_IFSOCK | 0o600}, 0, "is not a regular file"},
		{"large", unix.Stat_t{Mode: unix.S_IFREG | 0o600, Size: MaxFileSize + 1}, 0, "is larger than 1MiB"},
	}
	for _, tt := range tests {
		got := ""
		if p := judgeFile("f", &tt.st, tt.euid); p != nil {
			got = p.Message
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	for mode, ok := range map[uint32]bool{0o755: true, 0o775: true, 0o777: false, 0o1777: true, 0o702: false} {
		if p := judgeDir("d/f", "d", &unix.Stat_t{Mode: unix.S_IFDIR | mode}); (p == nil) != ok {
			t.Errorf("directory with mode %o: %v", mode, p)
		}
	}
}
