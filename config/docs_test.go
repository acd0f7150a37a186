package config

import (
	"os"
	"strings"
	"testing"
)

// docs/config.md has one row for each key, with what this version does with it.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // key → last column
	for line := range strings.Lines(string(data)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 4 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		key := strings.Trim(strings.TrimSpace(cells[1]), "`")
		if _, twice := rows[key]; twice {
			t.Errorf("%s has two rows", key)
		}
		rows[key] = strings.TrimSpace(cells[len(cells)-2])
	}
	for _, k := range Keys() {
		want := "yes"
		if !k.ActedOn {
			want = "not yet"
		}
		if got, ok := rows[k.Path]; !ok {
			t.Errorf("%s is missing", k.Path)
		} else if got != want {
			t.Errorf("%s is acted on: %q, want %q", k.Path, got, want)
		}
		delete(rows, k.Path)
	}
	for key := range rows {
		t.Errorf("%s is no key", key)
	}
}
