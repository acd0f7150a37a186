package record

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// Why a recording cannot be read on.
var (
	// ErrTorn: it ends in the middle, or what follows is damaged. What was read
	// before is whole.
	ErrTorn = errors.New("recording is torn")
	// ErrNewer: it was written by a newer tierd.
	ErrNewer = errors.New("recording is of a newer format")
	// ErrOlder: it is of a format whose plans this tierd cannot make again.
	ErrOlder = errors.New("recording is of an older format")
	// ErrForeign: it is no recording.
	ErrForeign = errors.New("not a recording of tierd")
)

// Reader reads the frames of a recording in their order.
type Reader struct {
	// series, if set, has what is read after the end of in.
	series  *series
	places  *places
	in      *bufio.Reader
	offset  int64 // of what is read next
	block   int64 // of the block at hand
	content []byte
	header  Header
	decoder Decoder
	err     error
}

// NewReader begins to read a recording. The error wraps ErrForeign, ErrNewer or
// ErrTorn.
func NewReader(r io.Reader) (*Reader, error) {
	return newReader(r, new(places))
}

func newReader(r io.Reader, p *places) (*Reader, error) {
	d := &Reader{in: bufio.NewReaderSize(r, 64<<10), places: p}
	if err := d.preamble(); err != nil {
		return nil, err
	}
	return d, nil
}

// File is a recording in a file, or in the segments of a ring.
type File struct {
	*Reader
	close func() error
}

// Open begins to read a file, or a directory with the segments of a ring. Close it.
func Open(path string) (*File, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return openSeries(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &File{r, f.Close}, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Header is that of the recording being read.
func (r *Reader) Header() *Header { return &r.header }

// Offset is where the last whole block ends, in bytes.
func (r *Reader) Offset() int64 { return r.offset }

// Next returns the next frame, which is valid until the next call; io.EOF after the
// last one. An error that wraps ErrTorn says at which byte the recording breaks off;
// that of a segment is no error but a gap.
func (r *Reader) Next() (*Frame, error) {
	for r.err == nil {
		f, err := r.decoder.next()
		if err == nil && f == nil {
			_, err = r.advance()
		} else if err != nil {
			err = fmt.Errorf("%w: block at byte %d: %w", ErrTorn, r.block, err)
		}
		if err != nil && r.series != nil {
			err = r.series.follow(r, err)
		}
		if r.err = err; f != nil && err == nil {
			r.places.frame(f)
			return f, nil
		}
	}
	return nil, r.err
}

// Gaps are those before the frames that were read so far.
func (r *Reader) Gaps() []Gap { return r.places.gaps }

// Segments is how many segments have been begun; 0 in a file.
func (r *Reader) Segments() int {
	if r.series == nil {
		return 0
	}
	return r.series.begun
}

// advance reads the next block, or the header of another recording.
func (r *Reader) advance() (begun bool, err error) {
	first, err := r.in.Peek(1)
	switch {
	case err == io.EOF:
		return false, io.EOF
	case err != nil:
		return false, fmt.Errorf("byte %d: %w", r.offset, err)
	case first[0] == magic[0]: // another recording follows
		return true, r.preamble()
	}
	kind, err := r.read()
	if err != nil {
		return false, err
	}
	if kind != kindFrames {
		return false, fmt.Errorf("%w: block at byte %d is of an unknown kind %#02x", ErrTorn, r.block, kind)
	}
	if err := r.decoder.block(r.content); err != nil {
		return false, fmt.Errorf("%w: block at byte %d: %w", ErrTorn, r.block, err)
	}
	return false, nil
}

func (r *Reader) preamble() error {
	var b [preamble]byte
	n, err := io.ReadFull(r.in, b[:])
	if n < len(magic) && (n == 0 || string(b[:n]) != magic[:n]) || n >= len(magic) && string(b[:len(magic)]) != magic {
		return fmt.Errorf("%w: byte %d", ErrForeign, r.offset)
	}
	if err != nil {
		return fmt.Errorf("%w: it ends at byte %d, in its preamble", ErrTorn, r.offset+int64(n))
	}
	if v := b[len(magic)]; v > Version {
		return fmt.Errorf("%w: version %d, and this tierd reads up to %d", ErrNewer, v, Version)
	} else if v == 0 {
		return fmt.Errorf("%w: byte %d: version 0", ErrForeign, r.offset+int64(len(magic)))
	} else if v < oldest {
		return fmt.Errorf("%w: version %d, and this tierd reads from %d on", ErrOlder, v, oldest)
	}
	r.offset += int64(preamble)
	kind, err := r.read()
	if err != nil {
		return err
	}
	r.header = Header{}
	if kind != kindHeader {
		return fmt.Errorf("%w: block at byte %d is no header", ErrTorn, r.block)
	}
	if err := json.Unmarshal(r.content, &r.header); err != nil {
		return fmt.Errorf("%w: header at byte %d: %w", ErrTorn, r.block, err)
	}
	r.decoder.begun, r.decoder.version = false, b[len(magic)]
	r.places.header(&r.header)
	return nil
}

// read reads one block.
func (r *Reader) read() (kind byte, err error) {
	r.block = r.offset
	var head [blockHead]byte
	if n, err := io.ReadFull(r.in, head[:]); err != nil {
		return 0, r.torn(int64(n), err)
	}
	size := binary.LittleEndian.Uint32(head[1:])
	if size > maxBlock {
		return 0, fmt.Errorf("%w: block at byte %d says that it has %d bytes", ErrTorn, r.block, size)
	}
	// In steps: a length alone must not cost memory.
	r.content = r.content[:0]
	for len(r.content) < int(size) {
		at := len(r.content)
		r.content = append(r.content, make([]byte, min(int(size)-at, 1<<20))...)
		if n, err := io.ReadFull(r.in, r.content[at:]); err != nil {
			return 0, r.torn(int64(blockHead+at+n), err)
		}
	}
	sum := crc32.Update(crc32.Checksum(head[:5], castagnoli), castagnoli, r.content)
	if sum != binary.LittleEndian.Uint32(head[5:]) {
		return 0, fmt.Errorf("%w: block at byte %d does not have its checksum", ErrTorn, r.block)
	}
	r.offset += blockHead + int64(size)
	return head[0], nil
}

func (r *Reader) torn(n int64, err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends at byte %d, %d bytes into a block", ErrTorn, r.block+n, n)
	}
	return fmt.Errorf("byte %d: %w", r.block+n, err)
}
