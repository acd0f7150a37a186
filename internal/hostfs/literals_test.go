package hostfs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPathsOfTheHostAreHere keeps the knowledge of where the kernel's files are in this package: a reader
// elsewhere would ignore --root, and its bounds would have to be checked again.
func TestPathsOfTheHostAreHere(t *testing.T) {
	root := filepath.Join("..", "..")
	exempt := []string{"internal/hostfs", "test", "cmd/tierload"}
	scanned := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			for _, e := range exempt {
				if rel == e {
					return fs.SkipDir
				}
			}
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "vendor") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") || strings.HasSuffix(rel, "_test.go") {
			return nil
		}
		scanned++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			// A file that does not parse is the compiler's to report.
			return nil
		}
		for _, bad := range hostPaths(file) {
			t.Errorf("%s:%d: %s: read the host through internal/hostfs", rel, set.Position(bad.Pos()).Line, bad.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if scanned == 0 {
		t.Error("no files were scanned")
	}
}

// hostPaths returns the string literals of a file that name kernel files.
func hostPaths(file *ast.File) []*ast.BasicLit {
	var bad []*ast.BasicLit
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec: // golang.org/x/sys/unix
			return false
		case *ast.BasicLit:
			if n.Kind != token.STRING {
				return true
			}
			s, err := strconv.Unquote(n.Value)
			rooted := "/" + strings.TrimLeft(s, "/") // "proc/…" is what the methods of FS take
			if err == nil && (strings.Contains(rooted, "/proc/") || strings.Contains(rooted, "/sys/")) {
				bad = append(bad, n)
			}
		}
		return true
	})
	return bad
}

func TestHostPathsFindsThem(t *testing.T) {
	src := "package p\nimport _ \"golang.org/x/sys/unix\"\nconst a = \"/proc/meminfo\"\nvar b = `x /sys/kernel`\nvar c = \"process\"\nvar d = \"sys/kernel\"\n"
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := len(hostPaths(file)); got != 3 {
		t.Errorf("found %d literals, want 3", got)
	}
}
