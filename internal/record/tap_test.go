package record

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/tierd/tierd/policy"
)

// Who joins while the controller works gets a recording that stands by itself; who
// is slow or leaves holds up nobody.
func TestTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tap := Tap{Version: "1"}
		var c policy.Controller
		s := &policy.Snapshot{}
		step := func() {
			s.Seconds += 3
			tap.Decide(&c, s, policy.DefaultParams())
			tap.Done(&c, nil)
			synctest.Wait()
		}
		step()
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var file []byte
		wg.Go(func() {
			err := tap.Stream(ctx, func(b []byte) error { file = append(file, b...); return nil })
			if err != nil {
				t.Error(err)
			}
		})
		broken := errors.New("broken")
		wg.Go(func() {
			if err := tap.Stream(ctx, func([]byte) error { return broken }); err != broken {
				t.Errorf("of write: %v", err)
			}
		})
		wg.Go(func() {
			_ = tap.Stream(ctx, func([]byte) error { <-ctx.Done(); return nil })
		})
		synctest.Wait()
		for range 100 {
			step()
		}
		if got := len(tap.streams()); got != 2 {
			t.Errorf("%d streams", got)
		}
		if n, _ := read(t, file); n < 99 {
			t.Errorf("%d frames", n)
		}
		for range 2 {
			wg.Go(func() { _ = tap.Stream(ctx, func([]byte) error { return nil }) })
		}
		synctest.Wait()
		if err := tap.Stream(ctx, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("one too many: %v", err)
		}
		stop()
		wg.Wait()
		if got := len(tap.streams()); got != 0 {
			t.Errorf("%d streams after the end", got)
		}
	})
}
