package precise

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"testing"

	"github.com/tierd/tierd/internal/hostfs"
)

func TestEncode(t *testing.T) {
	s := &hostfs.EventSource{Formats: map[string]string{"event": "config:0-7,32-35", "edge": "config:18", "all": "config2:0-63"}}
	for terms, want := range map[string]config{
		"event=0x1ff":             {0xff | 1<<32},
		"edge":                    {1 << 18},
		"event=1,edge=1,all=0x55": {1 | 1<<18, 0, 0x55},
		"all=0xffffffffffffffff":  {0, 0, ^uint64(0)},
		"event=0xff,event=2":      {2}, // the last counts
		"event=010, edge=0":       {8},
	} {
		if got, err := encode(s, terms); err != nil || got != want {
			t.Errorf("%s: %#x, %v, want %#x", terms, got, err, want)
		}
	}
}

// Whatever a format is, a value is found in the bits that it names, and nothing else.
func FuzzSet(f *testing.F) {
	for _, format := range []string{"config:0-7", "config1:0-63", "config2:3,5,9-11", "config:9-3", "config:64", "config3:1", "x", "config:", "config:0-7,4-9"} {
		f.Add(format, uint64(5))
	}
	f.Fuzz(func(t *testing.T, format string, value uint64) {
		var c config
		if err := c.set(format, value); err != nil {
			return
		}
		if bits.OnesCount64(c[0])+bits.OnesCount64(c[1])+bits.OnesCount64(c[2]) > bits.OnesCount64(value) {
			t.Errorf("%q: %#x becomes %#x", format, value, c)
		}
	})
}

// The period follows the cost, within bounds, and rests where it is right.
func TestSteer(t *testing.T) {
	const share = 0.01
	for name, tt := range map[string]struct {
		period, samples uint64
		program         float64
		want            uint64
	}{
		"right":         {2000, 5000, 0, 2000},
		"nearly":        {2000, 6000, 0, 2000},
		"too dear":      {2000, 10000, 0, 4000},
		"the program":   {2000, 5000, 0.01, 4000},
		"much too dear": {2000, 1e6, 0, 16000},
		"cheap":         {2000, 2500, 0, 1000},
		"nothing":       {8000, 0, 0, 1000},
		"the least":     {600, 0, 0, 512},
		"the longest":   {1 << 30, 1e9, 0, 1 << 31},
	} {
		if got := steer(tt.period, 512, 1, tt.samples, tt.program, 1, share); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
	if got := steer(0x10000, 512, 16, 12345, 0, 1, share); got%16 != 0 {
		t.Errorf("%#x is no multiple of 16", got)
	}
	if got := steer(2000, 512, 1, 1, 1, 0, share); got != 2000 {
		t.Errorf("in no time: %d", got)
	}
}

// record is one of the kernel's, of a type and with so many bytes after its header.
func record(kind uint32, body int) []byte {
	b := binary.NativeEndian.AppendUint32(nil, kind)
	b = binary.NativeEndian.AppendUint16(b, 0)
	b = binary.NativeEndian.AppendUint16(b, uint16(8+body))
	return append(b, make([]byte, body)...)
}

func TestThrottled(t *testing.T) {
	records := bytes.Join([][]byte{record(recordThrottle, 24), record(6, 24), record(9, 40), record(recordThrottle, 24)}, nil)
	ring := make([]byte, 256)
	const from = 200 // so that one goes around the end
	for i, b := range records {
		ring[(from+i)%len(ring)] = b
	}
	head := uint64(from + len(records))
	if n := throttled(ring, from, head); n != 2 {
		t.Errorf("throttled %d times, want 2", n)
	}
	if n := throttled(ring, from, head-1); n != 1 {
		t.Errorf("with a torn record: throttled %d times, want 1", n)
	}
	if n := throttled(ring, head, head); n != 0 {
		t.Errorf("nothing new: throttled %d times", n)
	}
}

func FuzzThrottled(f *testing.F) {
	f.Add(record(recordThrottle, 24), uint64(0), uint64(32))
	f.Fuzz(func(t *testing.T, ring []byte, tail, head uint64) {
		if n := throttled(ring, tail, head); n < 0 || n > len(ring)/8 {
			t.Errorf("%d records in %d bytes", n, len(ring))
		}
	})
}
