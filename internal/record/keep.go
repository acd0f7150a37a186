package record

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Keep writes a recording that comes in to a directory, as a Ring does, until it
// ends, and returns how many bytes it wrote. The error is that of reading, or wraps
// a KeepError.
func Keep(from io.Reader, s Settings) (written int64, err error) {
	f, err := openDisk(s.Dir)
	if err != nil {
		return 0, &KeepError{err}
	}
	disk, err := openSegments(f, s.Size, s.Segment)
	if err != nil {
		f.close()
		return 0, &KeepError{err}
	}
	defer func() {
		if closed := disk.close(); closed != nil && err == nil {
			err = &KeepError{closed}
		}
	}()
	in, err := NewReader(from)
	if err != nil {
		return 0, err
	}
	headed, lost := true, uint64(0)
	for {
		begun, err := in.advance()
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		if headed = headed || begun; begun {
			continue
		}
		frames, key := in.decoder.left, in.decoder.key()
		if !key && disk.open == nil {
			lost += frames // it needs a key frame before it
			continue
		}
		begin := disk.open == nil || key && disk.full()
		block := seal(nil, kindFrames, in.content)
		at := time.Now()
		if begin || key && headed {
			h := in.header
			if !headed {
				h.Lost, h.Resumed = 0, false
			}
			h.Began, h.Lost = at.UTC().Truncate(time.Second), h.Lost+lost
			text, err := Preamble(&h)
			if err != nil {
				return written, err
			}
			block = append(text, block...)
		}
		if begin {
			err = disk.begin(at, block)
		} else {
			err = disk.write(block)
		}
		switch {
		case errors.Is(err, errNoRoom):
			lost += frames
		case err != nil:
			return written, &KeepError{err}
		default:
			written += int64(len(block))
			headed, lost = headed && !key, 0
		}
	}
}

// KeepError is one of the directory that Keep writes to.
type KeepError struct{ err error }

func (e *KeepError) Error() string { return fmt.Sprintf("recording is not kept: %v", e.err) }

// Unwrap returns the cause.
func (e *KeepError) Unwrap() error { return e.err }
