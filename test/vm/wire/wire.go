// Package wire is what the init program inside an emulated machine and the host say to each other over a serial
// line: frames with a checksum and a running number, so that damage and loss are noticed.
//
// A frame is
//
//	offset  size  content
//	0       2     magic "\xf5V"
//	2       1     type
//	3       1     sum of the other header bytes, modulo 256
//	4       4     number of the frame, from 0
//	8       4     length of the payload, at most MaxPayload
//	12      n     payload
//	12+n    4     CRC-32C of type, number, length and payload
//
// with all integers little-endian.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
	"time"
)

// Device is the guest's serial port that carries the frames.
const Device = "/dev/ttyS1"

// SpecPath is where the guest finds its [Spec], in JSON.
const SpecPath = "/etc/tiervm.json"

// MaxPayload is the largest payload of one frame in bytes.
const MaxPayload = 16 << 10

const (
	headerSize  = 12
	trailerSize = 4
	magic0      = 0xf5
	magic1      = 'V'
)

// Type says what a frame carries.
type Type uint8

// The types of frames. Between Start and Exit of one program its output and its files are reported.
const (
	Hello     Type = iota + 1 // the guest is up; payload: Greeting
	Start                     // a program starts; payload: its index in decimal
	Stdout                    // bytes of its standard output
	Stderr                    // bytes of its standard error
	FileBegin                 // a collected file; payload: File
	FileData                  // bytes of that file, compressed as by gzip
	FileEnd                   // that file is complete
	Exit                      // the program ended; payload: Status
	Beat                      // the guest is alive
	Fail                      // the guest cannot go on; payload: the reason
	Bye                       // all programs ran; the guest powers off
)

// A Spec tells the guest what to do.
type Spec struct {
	Hostname string    `json:"hostname"`
	Programs []Program `json:"programs"`
}

// A Program is one program to run in the guest.
type Program struct {
	Args    []string      `json:"args"`
	Env     []string      `json:"env,omitempty"`
	Dir     string        `json:"dir,omitempty"`
	Collect []string      `json:"collect,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"` // 0 is none
}

// A Greeting describes the booted guest.
type Greeting struct {
	Release string `json:"release"`
}

// A File announces the content of a collected file.
type File struct {
	Path string `json:"path"`
}

// A Status says how a program ended.
type Status struct {
	Code    int    `json:"code"`             // exit code, or 128 + signal
	Signal  string `json:"signal,omitempty"` // name of the signal that ended it
	Error   string `json:"error,omitempty"`  // why it could not be started
	TimeOut bool   `json:"time_out,omitempty"`
}

// A Frame is one message.
type Frame struct {
	Type    Type
	Payload []byte
	// Lost is the number of frames missing between the previous good frame and this one.
	Lost uint32
}

// ErrCorrupt is wrapped by the errors for bytes that are not a good frame. Reading can go on after it.
var ErrCorrupt = errors.New("frame damaged")

func headerSum(h []byte) byte {
	sum := h[0] + h[1] + h[2]
	for _, b := range h[4:headerSize] {
		sum += b
	}
	return sum
}

func checksum(frame []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, frame[2:3])
	return crc32.Update(sum, table, frame[4:])
}

// A Writer writes frames. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	seq uint32
	buf []byte
}

// NewWriter returns a Writer on w. Each frame is one call of w.Write.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends payload as frames of type t: one, or as many as its length needs.
func (w *Writer) Write(t Type, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		n := min(len(payload), MaxPayload)
		b := append(w.buf[:0], magic0, magic1, byte(t), 0)
		b = binary.LittleEndian.AppendUint32(b, w.seq)
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		b[3] = headerSum(b)
		b = append(b, payload[:n]...)
		b = binary.LittleEndian.AppendUint32(b, checksum(b))
		w.buf = b
		w.seq++
		if _, err := w.w.Write(b); err != nil {
			return err
		}
		if payload = payload[n:]; len(payload) == 0 {
			return nil
		}
	}
}

// A Reader reads frames. It skips whatever precedes the first one.
type Reader struct {
	r      *bufio.Reader
	synced bool
	next   uint32
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 4*(headerSize+MaxPayload+trailerSize))}
}

// Next returns the next good frame. Its payload belongs to the caller. An error that wraps [ErrCorrupt] tells of damage that has
// been skipped; the next call goes on behind it. At the end the error is io.EOF, or io.ErrUnexpectedEOF within
// a frame.
func (r *Reader) Next() (Frame, error) {
	for {
		f, err := r.frame()
		if err == nil || r.synced || !errors.Is(err, ErrCorrupt) {
			return f, err
		}
	}
}

func (r *Reader) frame() (Frame, error) {
	skipped := 0
	for {
		h, err := r.r.Peek(headerSize)
		if err != nil {
			switch {
			case err != io.EOF:
				return Frame{}, err
			case skipped > 0 && r.synced:
				_, _ = r.r.Discard(len(h))
				return Frame{}, fmt.Errorf("%w: %d stray bytes at the end", ErrCorrupt, skipped+len(h))
			case len(h) > 0 && r.synced:
				return Frame{}, io.ErrUnexpectedEOF
			}
			return Frame{}, io.EOF
		}
		if h[0] == magic0 && h[1] == magic1 && h[3] == headerSum(h) && binary.LittleEndian.Uint32(h[8:]) <= MaxPayload {
			break
		}
		_, _ = r.r.Discard(1)
		skipped++
	}
	if skipped > 0 && r.synced {
		return Frame{}, fmt.Errorf("%w: %d stray bytes", ErrCorrupt, skipped)
	}
	h, _ := r.r.Peek(headerSize)
	n := int(binary.LittleEndian.Uint32(h[8:]))
	b, err := r.r.Peek(headerSize + n + trailerSize)
	if err != nil {
		if err == io.EOF {
			if !r.synced {
				return Frame{}, io.EOF
			}
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	body := b[:headerSize+n]
	if binary.LittleEndian.Uint32(b[headerSize+n:]) != checksum(body) {
		// Another frame may begin inside: step over the magic only.
		_, _ = r.r.Discard(2)
		return Frame{}, fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	f := Frame{Type: Type(body[2]), Payload: append([]byte(nil), body[headerSize:]...)}
	seq := binary.LittleEndian.Uint32(body[4:])
	f.Lost = seq - r.next
	r.next = seq + 1
	r.synced = true
	_, _ = r.r.Discard(len(b))
	return f, nil
}
