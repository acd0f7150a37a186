package record

import (
	"bytes"
	"errors"
	"io/fs"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// shelf is a folder in memory, on a disk that may be full, broken or slow.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	room  int64 // bytes that the disk has; negative: as many as wanted
	fault error // of all that changes something
}

func newShelf() *shelf { return &shelf{files: map[string][]byte{}, room: -1} }

func (s *shelf) set(room int64, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.room, s.fault = room, fault
}

func (s *shelf) total() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.files {
		n += int64(len(b))
	}
	return n
}

func (s *shelf) check(name string, _ file) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.files[name]; !ok && name != "" {
		return fs.ErrNotExist
	}
	return s.fault
}

func (s *shelf) list() (l []entry, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range s.files {
		l = append(l, entry{name, int64(len(b)), true})
	}
	return l, nil
}

func (s *shelf) create(name string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return nil, s.fault
	}
	if _, ok := s.files[name]; ok {
		return nil, fs.ErrExist
	}
	s.files[name] = nil
	return &shelved{s, name}, nil
}

func (s *shelf) remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return s.fault
	}
	delete(s.files, name)
	return nil
}

func (s *shelf) close() error { return nil }

type shelved struct {
	on   *shelf
	name string
}

func (f *shelved) Write(b []byte) (int, error) {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.fault != nil {
		return 0, f.on.fault
	}
	n, err := len(b), error(nil)
	if f.on.room >= 0 {
		used := 0
		for _, b := range f.on.files {
			used += len(b)
		}
		if left := max(int(f.on.room)-used, 0); n > left {
			n, err = left, unix.ENOSPC
		}
	}
	f.on.files[f.name] = append(f.on.files[f.name], b[:n]...)
	return n, err
}

func (f *shelved) Truncate(size int64) error {
	f.on.mu.Lock()
	defer f.on.mu.Unlock()
	if f.on.fault != nil {
		return f.on.fault
	}
	f.on.files[f.name] = f.on.files[f.name][:size]
	return nil
}

func (f *shelved) Sync() error  { return nil }
func (f *shelved) Close() error { return nil }

// Whatever is written, whatever fails and whatever the bounds are changed to: the
// files together stay within the size, and what is known of them is true.
func TestSizeIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := newShelf()
		size, part := int64(4000), int64(1000)
		var s *segments
		fresh := func() {
			var err error
			if s, err = openSegments(disk, size, part); err != nil {
				s = nil
			}
		}
		fresh()
		broken := errors.New("broken")
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			var err error
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				fresh()
			case 1:
				size = rapid.Int64Range(1, 6000).Draw(t, "size")
				part = max(size/4, 1)
				if s != nil {
					err = s.limit(size, part)
				}
			case 2:
				disk.set(rapid.Int64Range(-1, 5000).Draw(t, "room"), rapid.SampledFrom([]error{nil, nil, nil, broken}).Draw(t, "fault"))
				continue
			default:
				if s == nil {
					continue
				}
				text := bytes.Repeat([]byte{'x'}, rapid.IntRange(1, 2000).Draw(t, "bytes"))
				if s.open == nil || s.full() {
					err = s.begin(time.Unix(rapid.Int64Range(0, 1e9).Draw(t, "clock"), 0), text)
				} else {
					err = s.write(text)
				}
			}
			if got := disk.total(); err == nil && s != nil && got > size {
				t.Fatalf("%d bytes of %d", got, size)
			}
			if s == nil {
				continue
			}
			if got := disk.total(); got != s.total || len(disk.files) < len(s.list) {
				t.Fatalf("%d bytes in %d files, thought %d in %d", got, len(disk.files), s.total, len(s.list))
			}
			if err != nil && s.open != nil && !errors.Is(err, broken) {
				t.Fatalf("after %v a segment is open", err)
			}
		}
	})
}

// A block that does not fit beside its own segment costs none of the others.
func TestNoRoom(t *testing.T) {
	s, err := openSegments(newShelf(), 250, 100)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(0, 0)
	for range 2 {
		if err := s.begin(at, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.write(make([]byte, 200)); !errors.Is(err, errNoRoom) || len(s.list) != 2 || s.open != nil {
		t.Errorf("%v, %+v", err, s.list)
	}
	if err := s.begin(at, make([]byte, 251)); err == nil || len(s.list) != 2 {
		t.Errorf("%v, %+v", err, s.list)
	}
	if err := s.begin(at, make([]byte, 150)); err != nil || len(s.list) != 2 || s.total != 250 {
		t.Errorf("%v, %+v", err, s.list)
	}
}

// Many small leftovers are too many at some point.
func TestSegmentsAreBounded(t *testing.T) {
	disk := newShelf()
	for i := range uint64(maxSegments + 10) {
		disk.files[segmentName(i+1, time.Unix(0, 0))] = []byte{0}
	}
	disk.files["notes.txt"] = []byte("mine")
	s, err := openSegments(disk, 1<<20, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.begin(time.Unix(1, 0), []byte("x")); err != nil {
		t.Fatal(err)
	}
	if len(s.list) != maxSegments || len(disk.files) != maxSegments+1 {
		t.Errorf("%d segments, %d files", len(s.list), len(disk.files))
	}
	if got := s.list[len(s.list)-1].sequence; got != maxSegments+11 {
		t.Errorf("the next is %d", got)
	}
}

// The sequence gives the order, not the clock.
func TestOrderWithoutClock(t *testing.T) {
	disk := newShelf()
	for i, at := range []int64{5000, 100, 9000, 100} {
		disk.files[segmentName(uint64(i+1), time.Unix(at, 0))] = make([]byte, 10)
	}
	s, err := openSegments(disk, 25, 5)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.list) != 2 || s.list[0].sequence != 3 || s.list[1].sequence != 4 {
		t.Errorf("%+v", s.list)
	}
}

func TestNames(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC)
	if got := segmentName(12, at); got != "tierd-00000012-20261123T030405Z.rec" {
		t.Error(got)
	}
	for _, name := range []string{
		"", "tierd-", "tierd-1-20261123T030405Z.rec", "tierd-00000012-20261123T030405Z.rec.tmp", "tierd-00000012-20261323T030405Z.rec",
		"tierd-+0000012-20261123T030405Z.rec", "tierd-9999999999999-20261123T030405Z.rec", "tierd-00000012.rec", "../tierd-00000012-20261123T030405Z.rec",
	} {
		if n, _, ok := parseName(name); ok {
			t.Errorf("%q is segment %d", name, n)
		}
	}
}

func FuzzName(f *testing.F) {
	f.Add(segmentName(12, time.Unix(1e9, 0)))
	f.Add("tierd-000000012-20261123T030405Z.rec")
	f.Add("tierd-00000012-00000101T000000Z.rec")
	f.Fuzz(func(t *testing.T, name string) {
		if n, at, ok := parseName(name); ok && (segmentName(n, at) != name || n > maxSequence || bytes.ContainsAny([]byte(name), "/\x00")) {
			t.Errorf("%q is %d at %v", name, n, at)
		}
	})
}
