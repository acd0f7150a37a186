// Package repo_test holds the repository's documents to what is there: commands, links, licences.
package repo_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files returns the paths below the root that end so, without what is not the project's.
func files(t *testing.T, suffixes ...string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() && (rel == "bin" || rel == "out" || d.Name() == "testdata" || len(rel) > 1 && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if !d.IsDir() && slices.Contains(suffixes, filepath.Ext(rel)) {
			out = append(out, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatalf("no files %v", suffixes)
	}
	return out
}

// targets are those of the Makefile.
func targets(t *testing.T) []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z0-9-]+):`).FindAllStringSubmatch(read(t, "Makefile"), -1) {
		out = append(out, m[1])
	}
	return out
}

// TestReadmeBeginsWithTwoCommands: after one paragraph a reader finds how to see it, and how to test it.
func TestReadmeBeginsWithTwoCommands(t *testing.T) {
	var commands []string
	for block := range strings.SplitSeq(read(t, "README.md"), "\n\n") {
		if strings.HasPrefix(block, "    ") {
			for line := range strings.Lines(block) {
				commands = append(commands, strings.TrimSpace(line))
			}
			break
		}
	}
	if want := []string{"make demo", "make test"}; !slices.Equal(commands, want) {
		t.Errorf("README.md begins with %q, want %q", commands, want)
	}
	if !strings.Contains(read(t, ".ci/run"), "make test\n") {
		t.Error(".ci/run does not run make test")
	}
}

// TestMakeTargetsExist looks for "make something" in all documents.
func TestMakeTargetsExist(t *testing.T) {
	have := targets(t)
	command := regexp.MustCompile("(?m)(?:^    |`|^step )make ([a-z][a-z0-9-]*)")
	found := 0
	for _, path := range append(files(t, ".md"), ".ci/run") {
		for _, m := range command.FindAllStringSubmatch(read(t, path), -1) {
			found++
			if !slices.Contains(have, m[1]) {
				t.Errorf("%s: make %s: no such target", path, m[1])
			}
		}
	}
	if found < 10 {
		t.Errorf("found %d commands only", found)
	}
}

// TestMenuNamesEveryTarget: a target without a line in the menu is one that nobody finds.
func TestMenuNamesEveryTarget(t *testing.T) {
	menu := regexp.MustCompile(`(?m)^## .*\n(?:\.PHONY: .*\n)?([a-z0-9-]+):`)
	var named []string
	for _, m := range menu.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		named = append(named, m[1])
	}
	for _, target := range targets(t) {
		if target != "help" && target != "comma" && !slices.Contains(named, target) {
			t.Errorf("make %s has no line in the menu", target)
		}
	}
}

// TestLinksResolve follows the relative links and pictures of all documents.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code := regexp.MustCompile("(?s)```.*?```|`[^`\n]*`")
	for _, path := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(read(t, path), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s: link to %s: %v", path, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s: link to %s: no such heading", path, m[1])
			}
		}
	}
}

// anchors are the names of a document's headings, as they are linked to.
func anchors(markdown string) []string {
	var out []string
	for line := range strings.Lines(markdown) {
		if h := strings.TrimLeft(line, "#"); h != line && strings.HasPrefix(h, " ") {
			name := strings.ToLower(strings.TrimSpace(h))
			name = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(name, "")
			out = append(out, strings.ReplaceAll(name, " ", "-"))
		}
	}
	return out
}

// TestPathsInDocumentsExist looks for files and folders of this repository that the documents name.
func TestPathsInDocumentsExist(t *testing.T) {
	named := regexp.MustCompile("`(?:\\./)?((?:cmd|config|docs|internal|migrate|policy|sampler|systemd|test|topology)(?:/[a-z0-9_./-]*[a-z0-9])?)/?`")
	for _, path := range files(t, ".md") {
		if strings.HasPrefix(path, "docs/") && path != filepath.FromSlash("docs/README.md") {
			continue // their paths are of the kernel and of the configuration
		}
		for _, m := range named.FindAllStringSubmatch(read(t, path), -1) {
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s: %s does not exist", path, m[1])
			}
		}
	}
}

// TestGoCommandsNamePackages looks for "go run ./package" and the like in all documents.
func TestGoCommandsNamePackages(t *testing.T) {
	command := regexp.MustCompile(`\bgo (?:run|test|doc) (?:-\S+ )*\./([a-z0-9_/-]+)`)
	found := 0
	for _, path := range append(files(t, ".md"), ".ci/run") {
		for _, m := range command.FindAllStringSubmatch(read(t, path), -1) {
			found++
			if sources, err := filepath.Glob(filepath.Join(root, m[1], "*.go")); err != nil || len(sources) == 0 {
				t.Errorf("%s: %s: no such package", path, m[0])
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d commands only", found)
	}
}

// TestLicences: the kernel loads the programs only with this licence, and each file must say its own.
func TestLicences(t *testing.T) {
	for file, want := range map[string]string{
		"LICENSE":                   "Apache License",
		"LICENSES/GPL-2.0-only.txt": "GNU GENERAL PUBLIC LICENSE",
	} {
		if !strings.Contains(read(t, file), want) {
			t.Errorf("%s is not the %s", file, want)
		}
	}
	sources := 0
	for _, path := range files(t, ".c", ".h") {
		sources++
		first, _, _ := strings.Cut(read(t, path), "\n")
		if !strings.Contains(first, "SPDX-License-Identifier: GPL-2.0-only") {
			t.Errorf("%s: its first line does not name its licence", path)
		}
		if filepath.Base(filepath.Dir(path)) != "bpf" {
			t.Errorf("%s: C outside a bpf folder", path)
		}
	}
	if sources < 2 {
		t.Errorf("found %d files of C", sources)
	}
	for _, path := range files(t, ".go") {
		b := read(t, path)
		if path != filepath.FromSlash("internal/repo/repo_test.go") && bytes.Contains([]byte(b), []byte("SPDX-License-Identifier: GPL")) {
			t.Errorf("%s: Go is under the Apache licence", path)
		}
	}
}
