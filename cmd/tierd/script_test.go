package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/control"
	"github.com/tierd/tierd/internal/hostfs/hostfstest"
	"github.com/tierd/tierd/internal/status"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tierd": main})
}

// TestScripts runs the real program. Beside testscript's own commands there are
//
//	exits N ARGS…           run tierd and hold its exit code against N
//	until SOCKET PATTERN    wait for a status that matches, as JSON
//	send SIGNAL SOCKET      send a signal to the tierd on a socket
//	scrape PATTERN          fetch $METRICS/metrics and look for a match
func TestScripts(t *testing.T) {
	hosts := map[string]string{}
	for _, name := range []string{"emulated", "onenode", "h100"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "topology", "testdata", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		hosts[name] = hostfstest.Unpack(t, string(b))
	}
	example, err := filepath.Abs(filepath.Join("..", "..", "config", "testdata", "example.toml"))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, dir := range hosts {
				e.Setenv(strings.ToUpper(name), dir)
			}
			e.Setenv("EXAMPLE", example)
			// Socket addresses are short, temporary folders may not be.
			dir, err := os.MkdirTemp("", "tierd")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("RUN", dir)
			if err := recordings(dir); err != nil {
				return err
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer l.Close()
			e.Setenv("METRICS", l.Addr().String())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "until": until, "send": send, "scrape": scrape, "subst": subst,
		},
	})
}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("tierd", args[1:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// subst replaces $NAME in files by the environment's value.
func subst(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := os.Expand(ts.ReadFile(name), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
	}
}

func ask(ts *testscript.TestScript, socket string) (*status.Status, error) {
	c := control.NewClient(ts.MkAbs(socket))
	defer c.Close()
	return c.Status(context.Background())
}

func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[1])
	var last string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		s, err := ask(ts, args[0])
		if err != nil {
			last = err.Error()
			continue
		}
		b, err := json.Marshal(s)
		ts.Check(err)
		if last = string(b); want.MatchString(last) {
			return
		}
	}
	ts.Fatalf("no status matches %s: %s", args[1], last)
}

func send(ts *testscript.TestScript, _ bool, args []string) {
	s, err := ask(ts, args[1])
	ts.Check(err)
	ts.Check(unix.Kill(s.PID, unix.SignalNum("SIG"+args[0])))
}

func scrape(ts *testscript.TestScript, neg bool, args []string) {
	resp, err := http.Get("http://" + ts.Getenv("METRICS") + "/metrics")
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if regexp.MustCompile(`(?m)`+args[0]).Match(b) == neg {
		ts.Fatalf("metrics: %s: match is %v in\n%s", args[0], neg, b)
	}
}

// TestHelp: the texts are written by hand, so hold them to the flags.
func TestHelp(t *testing.T) {
	a := &app{env: os.Getenv, stdout: io.Discard, stderr: io.Discard}
	for _, cmd := range a.root().Commands() {
		if !strings.Contains(helpRoot, "\n  "+cmd.Name()+" ") {
			t.Errorf("%s is not in the list of commands", cmd.Name())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			want := fmt.Sprintf("      --%s ", f.Name)
			if f.Shorthand != "" {
				want = fmt.Sprintf("  -%s, --%s ", f.Shorthand, f.Name)
			}
			if !strings.Contains(cmd.Long, want) {
				t.Errorf("%s: help does not explain --%s", cmd.Name(), f.Name)
			}
		})
		for line := range strings.Lines(cmd.Long) {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: long line %q", cmd.Name(), line)
			}
		}
	}
}
