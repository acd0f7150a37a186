package record

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/tierd/tierd/policy"
)

// loop makes plans in virtual time, of memory that changes at each.
type loop struct {
	t       *testing.T
	tap     *Tap
	ring    *Ring
	control policy.Controller
	snap    *policy.Snapshot
	plans   uint64
	wg      sync.WaitGroup
	stop    context.CancelFunc
}

func newLoop(t *testing.T, open func(string) (folder, error)) *loop {
	l := &loop{t: t, tap: &Tap{Version: "1"}}
	l.snap = &policy.Snapshot{
		Tiers: []policy.Tier{{Name: "fast", AccessNS: 100}, {Name: "slow", AccessNS: 300}},
		Nodes: []policy.Node{{Tier: 0, Size: 1 << 30, Free: 1 << 30}, {ID: 1, Tier: 1, Size: 1 << 30, Free: 1 << 30}},
		Processes: []policy.Process{{ID: policy.ProcessID{PID: 1}, Workload: "a",
			Regions: make([]policy.Region, 200)}},
		SincePhase: math.Inf(1), Pressure: math.NaN(),
	}
	for i := range l.snap.Processes[0].Regions {
		l.snap.Processes[0].Regions[i] = policy.Region{Addr: uint64(i+1) << 21, Rate: 1, LogVar: 0.1, Evidence: 255, Detail: -1,
			Placement: [3]policy.SlotPages{{Pages: 512, Slot: 1}}}
	}
	l.ring = NewRing(l.tap)
	if open != nil {
		l.ring.open = open
	}
	l.ring.stream.recorder.All = true
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	l.wg.Go(func() { l.ring.Run(ctx) })
	return l
}

// run makes plans, one a second. The loop never waits: time stands still in Decide.
func (l *loop) run(plans int) {
	l.t.Helper()
	for range plans {
		time.Sleep(time.Second)
		synctest.Wait()
		l.snap.Seconds++
		l.plans++
		for i := range l.snap.Processes[0].Regions {
			r := &l.snap.Processes[0].Regions[i]
			r.Rate = float32(math.Float64frombits(0x3ff<<52|(uint64(i)*7919+l.plans*104729)*2654435761%(1<<52))) * 100
		}
		before := time.Now()
		p := policy.DefaultParams()
		p.Budget = 64 << 20
		l.tap.Decide(&l.control, l.snap, p)
		if time.Since(before) != 0 {
			l.t.Fatal("the loop has waited")
		}
	}
	synctest.Wait()
}

func (l *loop) end() {
	l.tap.Close()
	l.stop()
	l.wg.Wait()
}

// playAll plays what is in a directory, and returns the numbers of the plans.
func playAll(t *testing.T, dir string) (numbers []uint64, gaps []Gap) {
	t.Helper()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p Player
	for {
		frame, err := f.Next()
		if err == io.EOF {
			return numbers, f.Gaps()
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, same, err := p.Play(frame); err != nil || !same {
			t.Fatalf("plan %d: same %v, %v", frame.Number, same, err)
		}
		numbers = append(numbers, frame.Number)
	}
}

func dirSize(t *testing.T, dir string) (n int64, files []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
		files = append(files, filepath.Join(dir, e.Name()))
	}
	return n, files
}

// The newest plans are there, to the last one before the end, without a gap.
func TestRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ring")
		l := newLoop(t, nil)
		set := Settings{dir, 100_000, 12_000}
		l.ring.Set(set)
		for range 60 {
			l.run(10)
			if n, _ := dirSize(t, dir); n > set.Size {
				t.Fatalf("%d bytes", n)
			}
		}
		l.run(7)
		st := l.ring.Stats()
		l.end()
		if st.Failing || st.Errors > 0 || st.Lost > 0 || st.Segments < 5 || st.Bytes == 0 || st.Oldest.IsZero() {
			t.Errorf("%+v", st)
		}
		numbers, gaps := playAll(t, dir)
		if len(gaps) > 0 || len(numbers) < 60 || numbers[0] == 1 {
			t.Errorf("%d plans from %d on, gaps %+v", len(numbers), numbers[0], gaps)
		}
		for i, n := range numbers {
			if n != l.plans-uint64(len(numbers)-1-i) {
				t.Fatalf("plan %d at place %d of %d, the last is %d", n, i, len(numbers), l.plans)
			}
		}
		// Where somebody has taken a segment away, that many are missing.
		_, files := dirSize(t, dir)
		if err := os.Remove(files[2]); err != nil {
			t.Fatal(err)
		}
		fewer, gaps := playAll(t, dir)
		if len(gaps) != 1 || gaps[0].Plans != uint64(len(numbers)-len(fewer)) || gaps[0].Before != filepath.Base(files[3]) {
			t.Errorf("%d of %d plans, gaps %+v", len(fewer), len(numbers), gaps)
		}
	})
}

// After a crash, wherever it tore the last segment, all others are whole, and the
// next run goes on in new ones.
func TestCrash(t *testing.T) {
	var dir string
	var whole int
	synctest.Test(t, func(t *testing.T) {
		dir = filepath.Join(t.TempDir(), "ring")
		l := newLoop(t, nil)
		l.ring.Set(Settings{dir, 1 << 20, 8000})
		l.run(60)
		l.end()
		numbers, _ := playAll(t, dir)
		whole = len(numbers)
		_, files := dirSize(t, dir)
		last, err := os.ReadFile(files[len(files)-1])
		if err != nil {
			t.Fatal(err)
		}
		before := 0
		for cut := 0; cut < len(last); cut += 97 {
			if err := os.WriteFile(files[len(files)-1], last[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			numbers, gaps := playAll(t, dir)
			if len(numbers) < before || len(numbers) > whole || len(numbers) == 0 || len(gaps) > 1 {
				t.Fatalf("cut at %d: %d plans of %d, gaps %+v", cut, len(numbers), whole, gaps)
			}
			before = len(numbers)
		}
		if err := os.WriteFile(files[len(files)-1], last[:len(last)-5], 0o600); err != nil {
			t.Fatal(err)
		}
		again := newLoop(t, nil)
		again.ring.Set(Settings{dir, 1 << 20, 8000})
		again.run(20)
		again.end()
		numbers, gaps := playAll(t, dir)
		if len(gaps) != 1 || !gaps[0].Restart || gaps[0].Torn == "" || numbers[len(numbers)-1] != 20 {
			t.Errorf("%d plans, gaps %+v", len(numbers), gaps)
		}
		if _, after := dirSize(t, dir); len(after) <= len(files) {
			t.Errorf("%d files after %d", len(after), len(files))
		}
	})
}

// A disk that is full or broken stops recording, not the loop; what was lost is
// counted, and writing goes on when there is room.
func TestFailingDisk(t *testing.T) {
	for name, fault := range map[string]struct {
		room int64
		err  error
	}{"full": {5000, nil}, "read-only": {-1, unix.EROFS}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				disk := newShelf()
				l := newLoop(t, func(string) (folder, error) { return disk, nil })
				l.ring.Set(Settings{"ring", 1 << 20, 8000})
				l.run(25)
				if st := l.ring.Stats(); st.Failing || st.Frames == 0 {
					t.Fatalf("%+v", st)
				}
				disk.set(fault.room, fault.err)
				l.run(100)
				st := l.ring.Stats()
				if !st.Failing || st.LastError == "" || st.Errors < 2 || st.Errors > 8 || st.Lost < 80 {
					t.Errorf("%+v", st)
				}
				if n := l.ring.stream.recorder.encoder.Frames(); n > 0 {
					t.Errorf("%d frames were encoded for nobody", n)
				}
				disk.set(-1, nil)
				l.run(90)
				l.end()
				st = l.ring.Stats()
				if st.Failing || st.Frames+st.Lost != l.plans {
					t.Errorf("%d plans, %+v", l.plans, st)
				}
				for name, b := range disk.files {
					if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				numbers, gaps := playAll(t, dir)
				if numbers[0] != 1 || numbers[len(numbers)-1] != l.plans || uint64(len(numbers)) != st.Frames {
					t.Errorf("plans %v", numbers)
				}
				if len(gaps) != 1 || gaps[0].Torn != "" || gaps[0].Plans != st.Lost || gaps[0].Seconds != float64(st.Lost+1) {
					t.Errorf("gaps %+v, %d lost", gaps, st.Lost)
				}
			})
		})
	}
}

// A disk that does not answer holds up nobody, and costs a bounded amount of memory.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		disk := newShelf()
		slow := make(chan struct{}, 1)
		l := newLoop(t, func(string) (folder, error) { return stuck{disk, slow}, nil })
		slow <- struct{}{}
		l.ring.Set(Settings{"ring", 1 << 20, 8000})
		l.run(12)
		<-slow
		l.run(400)
		st := l.ring.Stats()
		if st.Lost == 0 || len(l.ring.stream.parcels) != queued {
			t.Errorf("%d blocks wait, %+v", len(l.ring.stream.parcels), st)
		}
		for range 20 {
			l.run(1)
			if n := l.ring.stream.recorder.encoder.Frames(); n > 0 {
				t.Fatalf("%d frames were encoded for nobody", n)
			}
		}
		close(slow)
		l.run(30)
		l.end()
		if st = l.ring.Stats(); st.Failing || st.Frames+st.Lost != l.plans {
			t.Errorf("%d plans, %+v", l.plans, st)
		}
		for name, b := range disk.files {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		numbers, gaps := playAll(t, dir)
		if uint64(len(numbers)) != st.Frames || len(gaps) != 1 || gaps[0].Plans != st.Lost {
			t.Errorf("%d plans, gaps %+v, %+v", len(numbers), gaps, st)
		}
	})
}

// stuck writes when it is let.
type stuck struct {
	*shelf
	let chan struct{}
}

func (s stuck) create(name string) (file, error) {
	f, err := s.shelf.create(name)
	return stuckFile{f, s.let}, err
}

type stuckFile struct {
	file
	let chan struct{}
}

func (f stuckFile) Write(b []byte) (int, error) {
	if _, open := <-f.let; open {
		f.let <- struct{}{}
	}
	return f.file.Write(b)
}

// The configuration may change at any time.
func TestRingIsReloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := t.TempDir()
		one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
		l := newLoop(t, nil)
		l.run(5)
		if got := len(l.tap.streams()); got != 0 {
			t.Errorf("%d streams while it is off", got)
		}
		l.ring.Set(Settings{one, 1 << 20, 8000})
		l.run(15) // 6 to 20
		l.ring.Set(Settings{two, 1 << 20, 8000})
		l.run(35) // 21 to 55
		l.ring.Set(Settings{})
		l.run(1)
		if st := l.ring.Stats(); len(l.tap.streams()) != 0 || st.Dir != "" || st.Segments != 0 {
			t.Errorf("%+v", st)
		}
		l.run(9)
		l.ring.Set(Settings{one, 1 << 20, 8000})
		l.run(25) // 66 to 90, or one later
		l.ring.Set(Settings{one, 6000, 1500})
		l.run(1)
		if n, _ := dirSize(t, one); n > 6000 {
			t.Errorf("%d bytes", n)
		}
		l.ring.Set(Settings{one, 1 << 20, 8000})
		l.run(20)
		l.end()
		if numbers, gaps := playAll(t, two); len(numbers) < 33 || numbers[len(numbers)-1] != 55 || len(gaps) > 0 {
			t.Errorf("two: %v, gaps %+v", numbers, gaps)
		}
		if numbers, _ := playAll(t, one); numbers[len(numbers)-1] != l.plans {
			t.Errorf("one: %v", numbers)
		}
	})
}

// Whatever is set and whatever fails, at any time: the loop does not wait, the size
// is kept, nothing is counted twice, and all that is there plays.
func TestRingAnyway(t *testing.T) {
	base := t.TempDir()
	type step struct {
		set   *Settings
		dir   string
		room  int64
		fault error
		plans int
	}
	dirs := []string{"one", "two"}
	steps := rapid.Custom(func(t *rapid.T) step {
		s := step{dir: rapid.SampledFrom(dirs).Draw(t, "dir"), room: -1, plans: rapid.IntRange(0, 30).Draw(t, "plans")}
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0, 1:
			size := rapid.Int64Range(4000, 100_000).Draw(t, "size")
			s.set = &Settings{s.dir, size, size / rapid.Int64Range(4, 20).Draw(t, "part")}
		case 2:
			s.set = &Settings{}
		case 3:
			s.room = rapid.Int64Range(-1, 30_000).Draw(t, "room")
		case 4:
			s.fault = rapid.SampledFrom([]error{nil, unix.EROFS}).Draw(t, "fault")
		}
		return s
	})
	run := func(t *testing.T, all bool, script []step) error {
		disks := map[string]*shelf{"one": newShelf(), "two": newShelf()}
		l := newLoop(t, func(dir string) (folder, error) {
			d := disks[dir]
			d.mu.Lock()
			defer d.mu.Unlock()
			return d, d.fault
		})
		defer l.end()
		l.ring.stream.recorder.All = all
		var set Settings
		for _, s := range script {
			if s.set != nil {
				set = *s.set
				l.ring.Set(set)
			} else {
				disks[s.dir].set(s.room, s.fault)
			}
			l.run(s.plans)
			if d := disks[set.Dir]; d != nil && s.plans > 0 && d.total() > set.Size && !l.ring.Stats().Failing {
				return fmt.Errorf("%d bytes of %d", d.total(), set.Size)
			}
		}
		l.tap.Close()
		synctest.Wait()
		if st := l.ring.Stats(); st.Frames+st.Lost+st.LeftOut > l.plans {
			return fmt.Errorf("%d plans, %+v", l.plans, st)
		}
		for _, d := range disks {
			if len(d.files) == 0 {
				continue
			}
			dir, err := os.MkdirTemp(base, "ring")
			if err != nil {
				return err
			}
			for name, b := range d.files {
				if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
					return err
				}
			}
			numbers, _ := playAll(t, dir)
			for i := range numbers {
				if i > 0 && numbers[i] <= numbers[i-1] {
					return fmt.Errorf("in the order %v", numbers)
				}
			}
		}
		return nil
	}
	rapid.Check(t, func(rt *rapid.T) {
		all := rapid.Bool().Draw(rt, "all")
		script := rapid.SliceOfN(steps, 1, 8).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(t *testing.T) { err = run(t, all, script) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// What was off for a while says so.
func TestResumedIsAGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ring")
		set := Settings{dir, 1 << 20, 1 << 18}
		l := newLoop(t, nil)
		l.ring.Set(set)
		l.run(20)
		l.ring.Set(Settings{})
		l.run(20)
		l.ring.Set(set)
		l.run(20)
		l.end()
		numbers, gaps := playAll(t, dir)
		if len(gaps) != 1 || gaps[0].Plans < 19 || gaps[0].Restart || gaps[0].Plans+uint64(len(numbers)) != l.plans {
			t.Errorf("%v, gaps %+v", numbers, gaps)
		}
	})
}

// A directory that is taken away and comes back is used again.
func TestRingWithoutDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := t.TempDir()
		dir := filepath.Join(base, "missing", "ring")
		l := newLoop(t, nil)
		l.ring.Set(Settings{dir, 1 << 20, 8000})
		l.run(30)
		if st := l.ring.Stats(); !st.Failing || st.Frames != 0 {
			t.Errorf("%+v", st)
		}
		if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		l.run(80)
		if st := l.ring.Stats(); st.Failing || st.Frames == 0 {
			t.Errorf("%+v", st)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		l.run(12)
		if st := l.ring.Stats(); !st.Failing {
			t.Errorf("%+v", st)
		}
		l.run(30)
		l.end()
		if st := l.ring.Stats(); st.Failing || st.Frames+st.Lost > l.plans {
			t.Errorf("%+v", st)
		}
		if numbers, _ := playAll(t, dir); numbers[len(numbers)-1] != l.plans {
			t.Errorf("%v of %d", numbers, l.plans)
		}
	})
}

// What cannot be played, in a directory.
func TestSeries(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, ErrForeign) {
		t.Errorf("empty: %v", err)
	}
	write := func(n uint64, b []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, segmentName(n, time.Unix(0, 0))), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	whole, _ := short(t, 3)
	write(1, nil)
	if _, err := Open(dir); !errors.Is(err, ErrTorn) {
		t.Errorf("nothing but an empty segment: %v", err)
	}
	write(2, whole)
	write(3, []byte("something else"))
	write(4, whole[:len(whole)-1])
	write(6, whole)
	write(7, whole[:10])
	numbers, gaps := playAll(t, dir)
	if len(numbers) != 3+2+3 || len(gaps) != 4 || gaps[3].Before != "" {
		t.Errorf("%v, gaps %+v", numbers, gaps)
	}
	newer := append([]byte(nil), whole...)
	newer[len(magic)]++
	write(8, newer)
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Next()
	}
	if !errors.Is(err, ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

// A block that needs one before it which is not there is not written: nobody could
// read it.
func TestBlockNeedsItsKey(t *testing.T) {
	disk := newShelf()
	r := NewRing(new(Tap))
	s, err := openSegments(disk, 1<<20, 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	r.segments, r.header = s, &Header{}
	r.retry = time.NewTimer(time.Hour)
	e := NewEncoder()
	for _, key := range []bool{false, true, false} {
		if key {
			e.Restart()
		} else {
			e.begun = true
		}
		e.Frame(&Frame{State: []byte{}, Snapshot: &policy.Snapshot{}})
		p := e.take([streams][]byte{})
		if p.key != key {
			t.Fatalf("key %v", p.key)
		}
		r.stream.waiting.Add(int64(p.size()))
		r.take(p)
	}
	if st := r.Stats(); st.Lost != 1 || st.Frames != 2 || st.Errors > 0 || len(disk.files) != 1 || !r.stream.renew.Load() {
		t.Errorf("%+v, %d files", st, len(disk.files))
	}
	if n := r.stream.waiting.Load(); n != 0 {
		t.Errorf("%d bytes wait", n)
	}
}

// What waits takes a bounded amount of memory, but for a single block.
func TestQueueIsBounded(t *testing.T) {
	q := newQueue()
	large := func(n int) *parcel { return &parcel{frames: 1, raw: [streams][]byte{make([]byte, n)}} }
	if !q.put(large(queuedRaw+1)) || q.put(large(1)) {
		t.Error("one that is too large alone goes in, and nothing beside it")
	}
	q.finish(<-q.parcels, 1)
	for range 2 {
		if !q.put(large(queuedRaw / 2)) {
			t.Error("half of the bytes each")
		}
	}
	if q.put(large(1)) {
		t.Error("not so many bytes")
	}
	p := <-q.parcels
	if q.put(large(1)) {
		t.Error("one at work is not done")
	}
	if q.finish(p, 1); !q.put(large(1)) {
		t.Error("there is room again")
	}
	for len(q.parcels) > 0 {
		q.finish(<-q.parcels, 1)
	}
	for range queued {
		q.put(large(0))
	}
	if q.put(large(0)) {
		t.Error("more blocks than may wait")
	}
}
