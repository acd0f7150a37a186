// Package hostfstest makes whole hosts for tests out of one text file each.
//
// The format is txtar: a comment, then for each file a line "-- NAME --" and its content. Two names are special:
//
//   - "PATH -> TARGET" is a symbolic link, and has no content;
//   - "PATH/" is an empty folder.
//
// A trailing newline in the content is kept, as kernel files have one.
package hostfstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/internal/hostfs"
)

// Open unpacks the txtar file into a temporary folder and returns a reader of the host in it.
func Open(tb testing.TB, file string) *hostfs.FS {
	tb.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return hostfs.New(Unpack(tb, string(b)))
}

// Unpack writes the files of a txtar text into a temporary folder and returns it.
func Unpack(tb testing.TB, text string) string {
	tb.Helper()
	root := tb.TempDir()
	for name, content := range parse(text) {
		if link, target, ok := strings.Cut(name, " -> "); ok {
			p := place(tb, root, link)
			if err := os.Symlink(target, p); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		if dir, ok := strings.CutSuffix(name, "/"); ok {
			if err := os.MkdirAll(place(tb, root, dir), 0o755); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(place(tb, root, name), []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

// place makes the folders above a file and returns the file's path.
func place(tb testing.TB, root, name string) string {
	tb.Helper()
	if !filepath.IsLocal(name) {
		tb.Fatalf("txtar: %q is not below the root", name)
	}
	p := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tb.Fatal(err)
	}
	return p
}

// parse yields the files of a txtar text in their order.
func parse(text string) func(yield func(name, content string) bool) {
	return func(yield func(name, content string) bool) {
		var name string
		var content strings.Builder
		for line := range strings.Lines(text) {
			mark := strings.TrimRight(line, "\n")
			if strings.HasPrefix(mark, "-- ") && strings.HasSuffix(mark, " --") && len(mark) > len("--  --") {
				if name != "" && !yield(name, content.String()) {
					return
				}
				name = strings.TrimSpace(mark[3 : len(mark)-3])
				content.Reset()
				continue
			}
			content.WriteString(line)
		}
		if name != "" {
			yield(name, content.String())
		}
	}
}
