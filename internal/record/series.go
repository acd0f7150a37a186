package record

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// series reads the segments of a ring, one after the other. Each stands by itself,
// so that one that is torn does not hide those after it.
type series struct {
	root  *os.Root
	list  []segment // to be read
	file  *os.File
	begun int // how many were
	*places
}

// openSeries begins to read the segments of a directory. Their sequence is their
// order, whatever the clock said.
func openSeries(path string) (*File, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	all, err := readSegments(&disk{path: path, root: root})
	if err != nil {
		root.Close()
		return nil, err
	}
	s := &series{root: root, list: all, places: new(places)}
	f := &File{&Reader{series: s, places: s.places}, s.close}
	err = s.follow(f.Reader, io.EOF)
	switch {
	case err == io.EOF && len(s.gaps) > 0:
		err = fmt.Errorf("%w: %s", ErrTorn, s.gaps[0].Torn)
	case err == io.EOF:
		err = fmt.Errorf("%w: it has no segments of a ring", ErrForeign)
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

func (s *series) close() error {
	var err error
	if s.file != nil {
		err = s.file.Close()
	}
	return errors.Join(err, s.root.Close())
}

// follow goes on to the next segment that can be read; why says how the one before
// ended. It returns io.EOF after the last.
func (s *series) follow(r *Reader, why error) error {
	for {
		if errors.Is(why, ErrNewer) {
			return fmt.Errorf("%s: %w", s.name, why)
		}
		if why != io.EOF {
			s.broken(why)
		}
		if s.file != nil {
			s.file.Close()
			s.file = nil
		}
		if len(s.list) == 0 {
			s.end()
			return io.EOF
		}
		s.next(s.list[0].name, s.list[0].sequence)
		s.list = s.list[1:]
		s.file, why = s.root.Open(s.name)
		if errors.Is(why, os.ErrNotExist) {
			why = io.EOF // deleted meanwhile, as the oldest are
			continue
		}
		if why == nil {
			var next *Reader
			if next, why = newReader(s.file, s.places); why == nil {
				next.series = s
				*r = *next
				s.begun++
				return nil
			}
		}
	}
}
