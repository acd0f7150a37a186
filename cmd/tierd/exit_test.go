package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/status"
)

func TestExit(t *testing.T) {
	_, bad := config.Parse("t.toml", []byte("mood = 1\n"))
	for _, tt := range []struct {
		name    string
		err     error
		started bool
		code    int
		says    string
	}{
		{"nothing", nil, true, 0, ""},
		{"answer has said it", errProblems, true, 1, ""},
		{"some error", errors.New("node1: gone"), true, 1, "tierd: node1: gone\n"},
		{"before the command", errors.New("unknown flag: --x"), false, 2, "tierd: unknown flag: --x\nhint: tierd help lists the commands\n"},
		{"daemon away", unreachable(fmt.Errorf("s: %w", control.ErrNotRunning)), true, 3, "hint: systemctl"},
		{"daemon starting", unreachable(control.ErrNotReady), true, 3, "hint: try again"},
		{"socket forbidden", unreachable(fmt.Errorf("s: %w", fs.ErrPermission)), true, 4, "hint: run it as root, or as a member"},
		{"listening forbidden", listenFailure(fmt.Errorf("s: %w", unix.EACCES), "[control] socket"), true, 4, "[control] socket"},
		{"file forbidden", explainLoad("f", &fs.PathError{Op: "open", Path: "f", Err: unix.EACCES}), true, 4, "hint: run it as root"},
		{"anything forbidden", fmt.Errorf("x: %w", unix.EPERM), true, 4, "hint: run it as root"},
		{"bad configuration", bad, true, 1, "t.toml:1:1: mood: unknown key"},
		{"terminal escapes", errors.New("a\x1b[31mb"), true, 1, "tierd: a?[31mb\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var errs bytes.Buffer
			a := &app{env: os.Getenv, stderr: &errs, started: tt.started}
			if code := a.exit(tt.err); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(errs.String(), tt.says) || tt.says == "" && errs.Len() > 0 {
				t.Errorf("said %q, want %q", errs.String(), tt.says)
			}
		})
	}
}

// TestDrawStatus: what a person must not miss, and what a terminal must not act on.
func TestDrawStatus(t *testing.T) {
	now, pressure, local := time.Unix(1_700_000_000, 0), 0.02, 0.625
	s := &status.Status{
		Time: now.Add(-time.Minute), Version: "1", Mode: status.Observe, ModeReason: "one\x1b[31m node",
		Machine: status.Machine{
			Tiers: []status.Tier{{Name: "hbm", Nodes: []int{1, 2}}, {Name: "cxl", Rank: 1, Nodes: []int{4}}},
			Nodes: []status.Node{{ID: 1, Tier: "hbm", SizeBytes: 1 << 30}, {ID: 2, Tier: "hbm", SizeBytes: 1 << 30}, {ID: 4, Tier: "cxl", SizeBytes: 1 << 40}},
		},
		Sources: []status.Source{{Name: "page-table", Reason: "no BTF", Hint: "boot another"}, {Name: "damon", Lost: true, Reason: "ended"}},
		Workloads: []status.Workload{
			{Name: "tr\x1bain", Mode: status.Enforce, Processes: 2, ResidentBytes: map[string]uint64{"hbm": 5 << 30}, HitEstimate: map[string]float64{"hbm": 0.9, "cxl": 0.1}, LocalRatio: &local, PromotedBytesTotal: 1536,
				Breaker: status.Breaker{State: "open", UndoneRatio: 0.75, Reason: "75 %\x1b of its moves"}},
			{Name: "idle", Mode: status.Observe, PlannedDemotedBytesTotal: 10},
		},
		Thrash: status.Thrash{
			Separation: 3.5, BudgetRatio: 0.25, WasteRatio: 0.003, PressureRatio: &pressure, PaidTotal: 9, WastedTotal: 4,
			Settings: status.ThrashSettings{Separation: 2.5, MaxWaste: 0.002, PSI: 0.1},
		},
		Record: status.Record{
			Dir: "/var/\x1bx", SizeBytes: 256 << 20, Bytes: 30 << 20, Segments: 4, OldestAt: now.Add(-90 * time.Minute),
			FramesTotal: 900, LeftOutTotal: 8, LostTotal: 7, Failing: true, LastError: "no space\x1b left",
		},
		Config:     status.Config{LoadedAt: now, LastReloadAt: now, LastReloadError: "t.toml:1: bad\nt.toml:2: bad", RestartNeeded: []string{"tier"}},
		LastErrors: []status.Error{{Time: now, Workload: "tr", Message: "no\nrights", Hint: "do", Count: 3}},
	}
	var b bytes.Buffer
	drawStatus(&b, s, now)
	text := b.String()
	for _, want := range []string{
		"observe (one?[31m node)", "1m00s ago: the loop is stuck", "t.toml:1: bad t.toml:2: bad", "tier has changed",
		"hbm   1-2    2.0 GiB", "source page-table is not available: no BTF\n  hint: boot another", "source damon is lost: ended", "90.0 %  62.5 %", "1.5 KiB", "planned only",
		"waste 0.3 % of the time (limit 0.2 %), separation 3.5 (configured 2.5), budget 25 %; promotions: 9 paid, 4 wasted; memory pressure 2 % (limit 10 %)",
		"recording to /var/?x: 30 MiB of 256 MiB in 4 files, the first begun 1h30m ago; 900 plans written, 8 left out, 7 lost\n  it cannot be written, and is tried again: no space? left",
		"breaker of tr?ain: open; 75 %? of its moves", "no rights  (3 times)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Errorf("escapes in %q", text)
	}
	drawStatus(&b, &status.Status{}, now) // an empty picture is no reason to panic
}

func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 10 << 20: "10 MiB", 1023 << 20: "1.0 GiB", 1 << 63: "8.0 EiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
