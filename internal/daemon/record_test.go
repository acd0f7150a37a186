package daemon_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/config"
	"github.com/tierd/tierd/internal/daemon"
	"github.com/tierd/tierd/internal/record"
)

// played plays what is in a directory again, and returns the number of its last
// plan and how many it has.
func played(t *testing.T, dir string) (last uint64, n int, gaps []record.Gap) {
	t.Helper()
	f, err := record.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p record.Player
	for {
		frame, err := f.Next()
		if err == io.EOF {
			return last, n, f.Gaps()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, same, err := p.Play(frame); err != nil || !same {
			t.Fatalf("plan %d: same %v, %v", frame.Number, same, err)
		}
		last, n = frame.Number, n+1
	}
}

// With [record] everything that was decided is on disk when the loop has ended,
// up to the last plan; a reload switches it on and off.
func TestRecordsToDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "recordings")
		with := enforce + fmt.Sprintf("[record]\ndir = %q\n", dir)
		w := newWorld(t, enforce, nil)
		w.sleep(5 * time.Second)
		if _, err := os.Stat(dir); err == nil || w.board.Load().Record.Dir != "" {
			t.Error("it is recorded without being asked for")
		}
		reload := func(text string) {
			t.Helper()
			c, err := config.Parse("new.toml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			w.daemon.Reload(c)
		}
		reload(with)
		w.sleep(15 * time.Second)
		if got := w.board.Load().Record; got.Dir != dir || got.Failing || got.Segments != 1 || got.FramesTotal == 0 || got.Bytes == 0 {
			t.Errorf("%+v", got)
		}
		reload(enforce)
		w.sleep(5 * time.Second)
		if got := w.board.Load().Record; got.Dir != "" || got.Segments != 0 {
			t.Errorf("%+v", got)
		}
		reload(with)
		w.sleep(4 * time.Second)
		epochs := w.board.Load().Epoch.Number
		w.end()
		last, n, gaps := played(t, dir)
		if last != epochs || n < 20 || len(gaps) != 1 || gaps[0].Plans == 0 {
			t.Errorf("%d plans up to %d of %d, gaps %+v", n, last, epochs, gaps)
		}
	})
}

// Who listens gets the last plan, too.
func TestListenerGetsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := &record.Tap{Version: "1"}
		w := newWorld(t, enforce, func(o *daemon.Options) { o.Tap = tap })
		file := filepath.Join(t.TempDir(), "file")
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ended := make(chan error, 1)
		go func() {
			ended <- tap.Stream(t.Context(), func(b []byte) error { _, err := f.Write(b); return err })
		}()
		w.sleep(9500 * time.Millisecond)
		s := w.board.Load()
		if s.Record.Listeners != 1 || s.Record.ListenersLostTotal != 0 {
			t.Errorf("%+v", s.Record)
		}
		w.end()
		synctest.Wait()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		default:
			t.Error("it goes on after the loop's end")
		}
		if last, _, gaps := played(t, file); last != s.Epoch.Number || len(gaps) > 0 {
			t.Errorf("up to %d of %d, gaps %+v", last, s.Epoch.Number, gaps)
		}
		if err := tap.Stream(t.Context(), nil); err != record.ErrClosed {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A directory that cannot be used is named, and holds up nothing.
func TestRecordingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing", "recordings")
		w := newWorld(t, enforce, func(o *daemon.Options) { o.Config.Record.Dir = config.DirPath(dir) })
		w.sleep(30 * time.Second)
		s := w.board.Load()
		if !s.Record.Failing || !strings.Contains(s.Record.LastError, "no such file") || s.Record.LostTotal == 0 {
			t.Errorf("%+v", s.Record)
		}
		if len(s.LastErrors) != 1 || !strings.Contains(s.LastErrors[0].Message, "recording: ") || s.LastErrors[0].Count < 2 {
			t.Errorf("%+v", s.LastErrors)
		}
		if hots, _ := w.onNode(1); hots != hot {
			t.Errorf("%d of %d hot regions on node1", hots, hot)
		}
		if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		w.sleep(70 * time.Second)
		if s := w.board.Load(); s.Record.Failing || s.Record.FramesTotal == 0 {
			t.Errorf("%+v", s.Record)
		}
		w.end()
		played(t, dir)
	})
}
