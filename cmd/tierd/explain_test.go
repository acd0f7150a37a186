package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/golden"
	"github.com/tierd/tierd/internal/status"
)

// TestDrawExplanation draws every answer of testdata/explain, and those that the policy's accounts have become.
func TestDrawExplanation(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var files []string
	for _, pattern := range []string{"testdata/explain/*.json", "../../internal/explain/testdata/*.json"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatal(pattern, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			dec := json.NewDecoder(bytes.NewReader(b))
			dec.DisallowUnknownFields()
			var e status.Explanation
			if err := dec.Decode(&e); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			drawExplanation(&out, &e, now, 100)
			if strings.ContainsAny(out.String(), "\x1b\x07\r\t") {
				t.Errorf("what a terminal could act on: %q", out.String())
			}
			golden.Check(t, "testdata/explain/"+strings.TrimSuffix(filepath.Base(file), "json")+"txt", out.String())
		})
	}
}

func TestReadSubject(t *testing.T) {
	for text, want := range map[string]status.Question{
		"d-1042-7": {Decision: "d-1042-7"}, "4242": {PID: 4242}, "4242:7f0000000000": {PID: 4242, Address: 0x7f0000000000},
		"4242:0x7f0000000000": {PID: 4242, Address: 0x7f0000000000}, "train": {Workload: "train"}, "d-day": {Workload: "d-day"}, "a:b": {Workload: "a:b"},
	} {
		var q status.Question
		if err := readSubject(&q, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, q); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, text := range []string{"", "0", "99999999999", "1:", "1:xyz", "1:0", "0:1", "1:-1", "1:10000000000000000", ":1", strings.Repeat("a", 257)} {
		var q status.Question
		var f *failure
		if err := readSubject(&q, text); !errors.As(err, &f) || f.code != exitUsage {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
	}
}

func FuzzReadSubject(f *testing.F) {
	for _, s := range []string{"d-1-1", "1:7f00", "1", "train", "\x1b[31m", ":", "-1:-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var q status.Question
		if readSubject(&q, s) != nil {
			return
		}
		kinds := 0
		for _, has := range []bool{q.Decision != "", q.Workload != "", q.PID > 0} {
			if has {
				kinds++
			}
		}
		if kinds != 1 || q.PID < 0 || q.Address != 0 && q.PID == 0 {
			t.Errorf("%q is %+v", s, q)
		}
	})
}
