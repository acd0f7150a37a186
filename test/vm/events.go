package vm

import (
	"bytes"
	"slices"
	"strings"
)

// An Outcome is how a guest test ended.
type Outcome string

// The outcomes. Missing is a test that should have run, or began, and never reported its end.
const (
	Pass    Outcome = "PASS"
	Fail    Outcome = "FAIL"
	Skip    Outcome = "SKIP"
	Missing Outcome = "MISSING"
)

// A TestResult is what a guest test, or a part of one, reported.
type TestResult struct {
	Name    string
	Outcome Outcome
	Output  string
}

// Problem says why the result is a failure, or nothing. A skip is one unless its message begins with "kernel lacks":
// otherwise a test that cannot work here would look like one that does.
func (r TestResult) Problem() string {
	switch r.Outcome {
	case Fail:
		return "failed"
	case Missing:
		return "never reported"
	case Skip:
		if !lacksKernel(r.Output) {
			return "skipped, and not because the kernel lacks something"
		}
	}
	return ""
}

// lacksKernel says whether a skip's message, which follows "file.go:12: ", begins with "kernel lacks".
func lacksKernel(output string) bool {
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if place, message, ok := strings.Cut(line, ": "); ok && strings.Contains(place, ".go:") {
			line = message
		}
		if strings.HasPrefix(line, "kernel lacks") {
			return true
		}
	}
	return false
}

// marker precedes the lines that package testing itself prints under -test.v=test2json.
const marker = "\x16"

// A testLog reads the output of a test binary that runs under -test.v=test2json.
type testLog struct {
	tests   []TestResult
	index   map[string]int
	current string
	loose   strings.Builder // belongs to no test
	line    []byte
}

// newTestLog expects the tests of these names.
func newTestLog(names []string) *testLog {
	l := &testLog{index: map[string]int{}}
	for _, n := range names {
		l.test(n)
	}
	return l
}

// test returns the result of the test called name.
func (l *testLog) test(name string) *TestResult {
	i, ok := l.index[name]
	if !ok {
		i = len(l.tests)
		l.index[name] = i
		l.tests = append(l.tests, TestResult{Name: name, Outcome: Missing})
	}
	return &l.tests[i]
}

// Write takes the next piece of output.
func (l *testLog) Write(b []byte) (int, error) {
	l.line = append(l.line, b...)
	for {
		i := bytes.IndexByte(l.line, '\n')
		if i < 0 {
			return len(b), nil
		}
		l.handle(string(l.line[:i+1]))
		l.line = slices.Delete(l.line, 0, i+1)
	}
}

// close takes what is left of an unfinished line.
func (l *testLog) close() {
	if len(l.line) > 0 {
		l.handle(string(l.line))
		l.line = nil
	}
}

func (l *testLog) handle(line string) {
	text, event, ok := strings.Cut(line, marker)
	if strings.TrimSpace(text) != "" {
		l.output(text)
	}
	if !ok {
		return
	}
	fields := strings.Fields(event)
	if len(fields) < 3 {
		// "=== NAME" without a name: back to no test.
		l.current = ""
		return
	}
	switch what := fields[0] + " " + fields[1]; what {
	case "=== RUN", "=== NAME", "=== CONT", "=== PAUSE":
		l.current = fields[2]
		l.test(l.current)
	case "--- PASS:", "--- FAIL:", "--- SKIP:":
		l.current = fields[2]
		l.test(l.current).Outcome = Outcome(strings.TrimSuffix(fields[1], ":"))
	default:
		l.output(event)
	}
}

func (l *testLog) output(text string) {
	if l.current == "" {
		l.loose.WriteString(text)
		return
	}
	l.test(l.current).Output += text
}
