package damon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/sampler/pagetable"
)

// A tree in which everything is as if a worker of ours, number 70, were at work.
const atWork = `
-- proc/sys/kernel/random/boot_id --
boot-1
-- sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds --
1
-- sys/kernel/mm/damon/admin/kdamonds/0/state --
on
-- sys/kernel/mm/damon/admin/kdamonds/0/pid --
70
-- sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/targets/nr_targets --
1
-- sys/kernel/mm/damon/admin/kdamonds/0/contexts/0/targets/0/pid_target --
4242
`

func TestRecover(t *testing.T) {
	const ours = `{"boot":"boot-1","worker":70,"targets":[4242]}`
	tests := []struct {
		name, note    string
		state, number string // afterwards
	}{
		{name: "ours", note: ours, state: "off", number: "0"},
		{name: "set up, and not yet started", note: `{"boot":"boot-1","worker":0,"targets":[4242,4243]}`, state: "off", number: "0"},
		{name: "no note", state: "on", number: "1"},
		{name: "of another boot", note: `{"boot":"boot-0","worker":70,"targets":[4242]}`, state: "on", number: "1"},
		{name: "another worker", note: `{"boot":"boot-1","worker":71,"targets":[4242]}`, state: "on", number: "1"},
		{name: "other targets", note: `{"boot":"boot-1","worker":70,"targets":[4243]}`, state: "on", number: "1"},
		{name: "a torn note", note: `{"boot":"boot-1","wor`, state: "on", number: "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			host := hostfs.New(hostfstest.Unpack(t, atWork))
			file := filepath.Join(t.TempDir(), "note")
			if tt.note != "" {
				if err := os.WriteFile(file, []byte(tt.note), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := Recover(host, file); err != nil {
				t.Error(err)
			}
			// A regular file keeps what stood behind what was written.
			if got, _ := read(host, first+"/state"); got[:2] != tt.state[:2] {
				t.Errorf("state is %s, want %s", got, tt.state)
			}
			if got, _ := read(host, number); got != tt.number {
				t.Errorf("%s workers, want %s", got, tt.number)
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("the note is still there")
			}
		})
	}
}

func TestStartRefuses(t *testing.T) {
	s := Settings{Targets: []Target{{PID: 1, Regions: []pagetable.Range{{Start: 0, End: 2 << 20}}}}, Sample: time.Second, Aggregate: 20 * time.Second}
	note := filepath.Join(t.TempDir(), "note")
	host := hostfs.New(hostfstest.Unpack(t, atWork))
	if _, err := start(host, s, note); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	if got, _ := read(host, first+"/state"); got != "on" {
		t.Errorf("the state of somebody else's is %s", got)
	}
	if _, err := start(hostfs.New(t.TempDir()), s, note); !errors.Is(err, ErrAbsent) {
		t.Errorf("absent: %v", err)
	}
	if _, err := os.Stat(note); err == nil {
		t.Error("there is a note of what was not started")
	}
}
