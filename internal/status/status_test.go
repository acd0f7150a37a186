package status_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tierd/tierd/internal/status"
)

func TestBoard(t *testing.T) {
	var b status.Board
	if b.Load() != nil {
		t.Error("an empty board shows something")
	}
	b.SetConfig(status.Config{Path: "a"})
	if b.Load() != nil {
		t.Error("a board without a picture shows something")
	}
	s := &status.Status{Mode: status.Observe}
	b.Publish(s)
	b.SetConfig(status.Config{Path: "b"})
	got := b.Load()
	if got.Config.Path != "b" || got.Mode != status.Observe {
		t.Errorf("got %+v", got)
	}
	if s.Config.Path != "" {
		t.Error("the published picture was changed")
	}
}

func TestErrors(t *testing.T) {
	var e status.Errors
	now := time.Unix(0, 0)
	for i := range status.MaxErrors + 3 {
		e.Add(now.Add(time.Duration(i)), status.Error{Message: fmt.Sprint("m", i)})
	}
	e.Add(now.Add(time.Hour), status.Error{Message: "m10"})
	list := e.List()
	if len(list) != status.MaxErrors || list[0].Message != "m3" {
		t.Fatalf("list %+v", list)
	}
	want := status.Error{Time: now.Add(time.Hour), Message: "m10", Count: 2}
	if diff := cmp.Diff(want, list[len(list)-1]); diff != "" {
		t.Error(diff)
	}
}

// TestNames holds every JSON name to snake_case: they are a contract.
func TestNames(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(ty reflect.Type) {
		switch ty.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(ty.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		if seen[ty] || ty == reflect.TypeFor[time.Time]() {
			return
		}
		seen[ty] = true
		for f := range ty.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "" || strings.ToLower(name) != name || strings.ContainsAny(name, "- ") {
				t.Errorf("%s.%s: JSON name %q", ty.Name(), f.Name, name)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[status.Status]())
}

func TestRoundTrip(t *testing.T) {
	cost := 1e-6
	in := status.Status{
		SchemaVersion: status.SchemaVersion,
		Workloads:     []status.Workload{{Name: "train", ResidentBytes: map[string]uint64{"hbm": 1<<63 + 1}}},
		Migrate:       status.Migrate{CostPerPageSeconds: &cost},
		DropsTotal:    map[status.Drop]uint64{status.DropGone: 3},
	}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out status.Status
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}
