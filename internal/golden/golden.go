// Package golden compares what a test got with a file. Importing it gives a test the flag -update, which writes the
// files instead: only tests may import it.
package golden

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// Check fails the test unless the file, whose path is relative to the test's folder, holds exactly got.
func Check[T string | []byte](tb testing.TB, file string, got T) {
	tb.Helper()
	file = filepath.FromSlash(file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		tb.Fatalf("%v (-update writes it)", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		tb.Errorf("%s (-want +got; -update accepts):\n%s", file, diff)
	}
}
