package record

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"
)

// maxSegments bounds how many files there are, whatever their size: a daemon that is
// started again and again makes small ones.
const maxSegments = 4096

// errNoRoom: a block does not fit beside the segment that it belongs to.
var errNoRoom = errors.New("no room for the block beside its own segment")

// segment is a file of a ring.
type segment struct {
	name     string
	sequence uint64
	at       time.Time
	size     int64
}

// segments are the files of a ring, which together are never larger than size: the
// oldest go first. Only the newest, while it is open, grows.
type segments struct {
	folder folder
	// size bounds all files together; part is when a new one is due.
	size, part int64

	list  []segment // oldest first
	total int64
	next  uint64
	open  file // the last of list; nil if none is open
}

// readSegments finds what is in a folder, in order.
func readSegments(f folder) (list []segment, err error) {
	entries, err := f.list()
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if n, at, ok := parseName(e.name); ok && e.regular {
			list = append(list, segment{e.name, n, at, e.size})
		}
	}
	slices.SortFunc(list, func(a, b segment) int {
		return cmp.Or(cmp.Compare(a.sequence, b.sequence), cmp.Compare(a.name, b.name))
	})
	return list, nil
}

// openSegments takes over what is in a folder, and deletes what is too much. What
// an earlier run has left is part of the ring, and never written to.
func openSegments(f folder, size, part int64) (*segments, error) {
	list, err := readSegments(f)
	if err != nil {
		return nil, err
	}
	s := &segments{folder: f, next: 1, list: list}
	for i := range list {
		s.next = max(s.next, list[i].sequence+1)
		s.total += list[i].size
	}
	return s, s.limit(size, part)
}

// limit changes the bounds.
func (s *segments) limit(size, part int64) error {
	s.size, s.part = size, part
	if s.open != nil && s.list[len(s.list)-1].size > size {
		if err := s.end(); err != nil {
			return err
		}
	}
	return s.trim(0, 0)
}

// trim deletes the oldest until there is room for so many files and bytes more. The
// open one stays.
func (s *segments) trim(files int, bytes int64) error {
	for len(s.list) > 0 && (s.total+bytes > s.size || len(s.list)+files > maxSegments) {
		if s.open != nil && len(s.list) == 1 {
			return errNoRoom
		}
		if err := s.folder.remove(s.list[0].name); err != nil {
			return err
		}
		s.total -= s.list[0].size
		s.list = s.list[1:]
	}
	return nil
}

// full tells that a new segment is due.
func (s *segments) full() bool { return s.open != nil && s.list[len(s.list)-1].size >= s.part }

// begin ends the open segment and makes a new one, which begins so. What it begins
// with is written whole or not at all.
func (s *segments) begin(at time.Time, text []byte) error {
	if err := s.end(); err != nil {
		return err
	}
	if int64(len(text)) > s.size {
		return fmt.Errorf("a key frame of %d bytes is larger than the [record] size of %d", len(text), s.size)
	}
	if s.next > maxSequence {
		return fmt.Errorf("no names are left after %s", segmentName(maxSequence, at))
	}
	if err := s.folder.check("", nil); err != nil {
		return err
	}
	if err := s.trim(1, int64(len(text))); err != nil {
		return err
	}
	name := segmentName(s.next, at)
	f, err := s.folder.create(name)
	for tries := 0; errors.Is(err, fs.ErrExist) && tries < 100; tries++ {
		// Something that is no file, or somebody else's: it stays.
		s.next++
		name = segmentName(s.next, at)
		f, err = s.folder.create(name)
	}
	if err != nil {
		return err
	}
	s.list = append(s.list, segment{name: name, sequence: s.next, at: at.UTC().Truncate(time.Second)})
	s.next++
	s.open = f
	if err := s.append(text); err != nil {
		// An empty file would be part of the ring and say nothing.
		if last := len(s.list) - 1; s.list[last].size == 0 && s.folder.remove(name) == nil {
			s.list = s.list[:last]
		}
		return err
	}
	return nil
}

// write adds a block to the open segment, whole or not at all. After an error no
// segment is open.
func (s *segments) write(block []byte) error {
	last := &s.list[len(s.list)-1]
	if last.size+int64(len(block)) > s.size {
		return cmp.Or(s.end(), errNoRoom)
	}
	err := s.folder.check(last.name, s.open)
	if err == nil {
		err = s.trim(0, int64(len(block)))
	}
	if err != nil {
		_ = s.end() // the first error says more
		return err
	}
	return s.append(block)
}

func (s *segments) append(text []byte) error {
	last := &s.list[len(s.list)-1]
	n, err := s.open.Write(text)
	if err == nil {
		// So that it is there after a crash of the host, too.
		err = s.open.Sync()
	}
	if err == nil {
		last.size += int64(n)
		s.total += int64(n)
		return nil
	}
	// A torn block in the middle would hide what comes after it; and it takes room.
	if s.open.Truncate(last.size) != nil {
		last.size += int64(n)
		s.total += int64(n)
	}
	_ = s.end()
	return err
}

// end closes the open segment, if there is one.
func (s *segments) end() error {
	if s.open == nil {
		return nil
	}
	f := s.open
	s.open = nil
	return f.Close()
}

// close ends everything.
func (s *segments) close() error { return errors.Join(s.end(), s.folder.close()) }
