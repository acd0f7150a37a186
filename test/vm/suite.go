package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// guestTag is the build tag of tests that run in the machine, and guestSuffix ends their files' names.
const (
	guestTag    = "guest"
	guestSuffix = "_guest_test.go"
)

// packageTimeout bounds the tests of one package in the guest.
const packageTimeout = 10 * time.Minute

// A Suite is a set of compiled guest tests.
type Suite struct {
	packages []suitePackage
	below    string // the part of the selection behind the first slash, with it
}

type suitePackage struct {
	path, dir, binary string
	tests             []string
	broken            string // why there is no binary
}

// A PackageResult is what the guest tests of one package reported.
type PackageResult struct {
	Package string
	Tests   []TestResult
	// Err says why the package as a whole failed, where it did: its tests do not compile, or ended on their own.
	Err error
	// Output belongs to none of the tests.
	Output string
	Wall   time.Duration
}

// Counts returns the numbers of results that passed, that failed for any reason, and that were rightly skipped.
func (p PackageResult) Counts() (passed, failed, skipped int) {
	for _, t := range p.Tests {
		switch {
		case t.Problem() != "":
			failed++
		case t.Outcome == Skip:
			skipped++
		default:
			passed++
		}
	}
	return passed, failed, skipped
}

// BuildSuite compiles the guest tests, the Test functions in files called *_guest_test.go with the build tag guest, of the packages
// that the patterns match in the working directory. The binaries go to dir. match, where it is not empty, selects tests
// as go test's -run does.
func BuildSuite(ctx context.Context, dir, match string, patterns ...string) (*Suite, error) {
	if len(patterns) == 0 {
		patterns = []string{"./..."}
	}
	top, rest, nested := strings.Cut(match, "/")
	selected, err := regexp.Compile(top)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-e", "-tags", guestTag, "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	cmd.Env = guestEnviron()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("guest tests: go list: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	s := &Suite{}
	if nested {
		s.below = "/" + rest
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			ImportPath, Dir           string
			TestGoFiles, XTestGoFiles []string
		}
		if err := dec.Decode(&listed); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("guest tests: go list: %w", err)
		}
		p := suitePackage{path: listed.ImportPath, dir: listed.Dir}
		for _, name := range slices.Concat(listed.TestGoFiles, listed.XTestGoFiles) {
			if !strings.HasSuffix(name, guestSuffix) {
				continue
			}
			tests, err := testNames(filepath.Join(listed.Dir, name))
			if err != nil {
				p.broken = err.Error()
			}
			p.tests = append(p.tests, slices.DeleteFunc(tests, func(t string) bool { return !selected.MatchString(t) })...)
		}
		if len(p.tests) == 0 && p.broken == "" {
			continue
		}
		p.binary = filepath.Join(dir, fmt.Sprintf("%d.test", len(s.packages)))
		build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", guestTag, "-ldflags=-s -w", "-o", p.binary, p.path)
		build.Env = guestEnviron()
		if msg, err := build.CombinedOutput(); err != nil && p.broken == "" {
			p.broken = fmt.Sprintf("go test -c: %v\n%s", err, bytes.TrimSpace(msg))
		}
		s.packages = append(s.packages, p)
	}
	if len(s.packages) == 0 {
		return nil, fmt.Errorf("guest tests: none in %s", strings.Join(patterns, " "))
	}
	return s, nil
}

// testNames returns the names of the test functions in a file.
func testNames(file string) ([]string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || fn.Name.Name == "TestMain" || fn.Type.Params.NumFields() != 1 {
			continue
		}
		if rest, ok := strings.CutPrefix(fn.Name.Name, "Test"); ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
			names = append(names, fn.Name.Name)
		}
	}
	return names, nil
}

// Run boots m once, runs the tests of all packages in it, one package after the other, and returns what each
// reported. Live, where it is not nil, receives the output as it comes. The error is about the machine; what the
// tests before it reported is returned nevertheless.
//
// A package's tests run in a folder that holds its testdata.
func (s *Suite) Run(ctx context.Context, m Machine, live io.Writer) ([]PackageResult, error) {
	// Debian starts machines of several nodes with balancing, which moves the
	// tests' pages; a test that wants it switches it on.
	m.Append = strings.TrimSpace(m.Append + " numa_balancing=disable")
	var programs []Program
	var logs []*testLog
	var running []int
	out := make([]PackageResult, len(s.packages))
	for i, p := range s.packages {
		out[i] = PackageResult{Package: p.path}
		log := newTestLog(p.tests)
		logs = append(logs, log)
		if p.broken != "" {
			out[i].Err = errors.New(p.broken)
			continue
		}
		dir := path.Join("/tests", p.path)
		name := path.Join(dir, path.Base(p.path)+".test")
		files := map[string]string{name: p.binary}
		if data := filepath.Join(p.dir, "testdata"); isDir(data) {
			files[path.Join(dir, "testdata")] = data
		}
		var w io.Writer = log
		if live != nil {
			w = io.MultiWriter(log, unmarked{live})
		}
		programs = append(programs, Program{
			Files: files,
			Args: []string{name, "-test.v=test2json", "-test.paniconexit0",
				"-test.timeout=" + packageTimeout.String(),
				"-test.run=^(" + strings.Join(p.tests, "|") + ")$" + s.below},
			Dir:     dir,
			Stdout:  w,
			Timeout: packageTimeout + time.Minute,
		})
		running = append(running, i)
	}
	var results []Result
	var err error
	if len(programs) > 0 {
		if m.Timeout == 0 {
			m.Timeout = DefaultTimeout + time.Duration(len(programs))*packageTimeout
		}
		results, err = m.RunAll(ctx, programs)
	}
	for n, i := range running {
		p := &out[i]
		switch {
		case n >= len(results):
			p.Err = errors.New("not run")
		default:
			p.Wall = results[n].Wall
			if code := results[n].ExitCode; code != 0 {
				p.Err = fmt.Errorf("exit code %d %s", code, results[n].Signal)
			}
		}
	}
	for i, log := range logs {
		log.close()
		out[i].Tests, out[i].Output = log.tests, log.loose.String()
	}
	return out, err
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// unmarked removes the markers of test2json.
type unmarked struct{ w io.Writer }

func (u unmarked) Write(b []byte) (int, error) {
	if _, err := u.w.Write(bytes.ReplaceAll(b, []byte(marker), nil)); err != nil {
		return 0, err
	}
	return len(b), nil
}
