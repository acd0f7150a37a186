package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Texts of the largest size that would take the TOML library minutes, or more
// memory than there is, without the bounds.
func TestWorkIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	fill := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < MaxFileSize-2000; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	name := strings.Repeat("n", maxKey-10)
	header := "[" + strings.TrimSuffix(strings.Repeat(name+".", maxDepth-1), ".") + "]\n"
	for what, text := range map[string]string{
		"nested lists":       "x = " + strings.Repeat("[", 500_000),
		"nested tables":      strings.Repeat("x={", 300_000),
		"dotted key":         strings.Repeat("a.", 500_000) + "a = 1",
		"dotted keys":        fill("x%d.a.a.a.a.a.a.a.a.a.a.a.a.a.a = 1\n"),
		"headers":            fill("[x%d.a.a.a.a.a.a.a.a.a.a.a.a.a.a]\n"),
		"array of tables":    fill("[[x]]#%d\n"),
		"inline tables":      fill("x%d={a={a={a={a={a={a={a={a={a={a={}}}}}}}}}}}\n"),
		"lists":              fill("x%d=[[[[[[[[[[[[[[]]]]]]]]]]]]]]\n"),
		"keys":               fill("k%d=1\n"),
		"keys in long table": header + fill("k%d=1\n")[:150_000],
		"workloads":          fill("[workload.k%d]\n"),
		"escaped names":      fill("\"\\u0061%d\"=1\n"),
		"long names":         fill(name + "%d=1\n"),
		"long string":        `x = "` + strings.Repeat("a", MaxFileSize-10) + `"`,
		"long list":          "workload.w.uid=[" + strings.Repeat("1,", MaxFileSize/2-100) + "]",
		"long pattern":       `workload.w.comm="` + strings.Repeat("[", MaxFileSize-100) + `"`,
		"newlines":           strings.Repeat("\n", MaxFileSize),
	} {
		start := time.Now()
		_, err := Parse("f", []byte(text))
		took := time.Since(start)
		if err != nil {
			checkProblems(t, []byte(text), err)
		}
		t.Logf("%s: %v", what, took)
		// Far above what it takes, far below what it would take.
		if took > 20*time.Second {
			t.Errorf("%s: %v", what, took)
		}
	}
}
