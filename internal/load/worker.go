package load

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

const (
	// batch is how many accesses are drawn at once. Their addresses stay in
	// the first-level cache.
	batch = 1024
	// An idle pattern is looked at again after idlePause.
	idlePause = 10 * time.Millisecond
	// maxDebt is how far a paced worker may fall behind and still catch up.
	maxDebt = 100 * time.Millisecond
)

// worker makes accesses. The padding keeps the counters of two workers apart.
type worker struct {
	base  unsafe.Pointer
	stage *atomic.Pointer[Stage]
	write float64 // share of the accesses
	rate  float64 // accesses per second; 0: no limit

	_     [64]byte
	count atomic.Uint64
	sum   uint64 // what was read, so that the reads are not optimized away
	_     [64]byte
}

// run makes accesses until ctx ends.
func (w *worker) run(ctx context.Context, cursor Cursor) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var stop atomic.Bool
	defer context.AfterFunc(ctx, func() { stop.Store(true) })()

	lines := make([]uint64, w.batch())
	next := time.Now()
	owed := 0.0 // writes, what does not make a whole one included
	for !stop.Load() {
		n := w.stage.Load().Pattern.Fill(&cursor, lines)
		if n == 0 {
			pause(ctx, idlePause)
			next = time.Now()
			continue
		}
		owed += w.write * float64(n)
		writes := min(int(owed), n)
		owed -= float64(writes)
		w.sum += access(w.base, lines[:n], writes)
		w.count.Add(uint64(n))
		if w.rate > 0 {
			next = next.Add(time.Duration(float64(n) / w.rate * 1e9))
			switch ahead := time.Until(next); {
			case ahead > 0:
				pause(ctx, ahead)
			case ahead < -maxDebt:
				next = time.Now()
			}
		}
	}
}

// batch is smaller for a paced worker, so that it pauses about 100 times a second.
func (w *worker) batch() int {
	if w.rate == 0 {
		return batch
	}
	return int(min(max(w.rate/100, 1), batch))
}

// access writes the first lines and reads the others. That the writes come
// first spares a branch per access that no CPU could predict; the lines
// themselves are in random order.
func access(base unsafe.Pointer, lines []uint64, writes int) (sum uint64) {
	for _, l := range lines[:writes] {
		*(*uint64)(unsafe.Add(base, l<<LineShift)) = l
	}
	for _, l := range lines[writes:] {
		sum += *(*uint64)(unsafe.Add(base, l<<LineShift))
	}
	return sum
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d < 20*time.Millisecond {
		time.Sleep(d)
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
