package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func encode(t testing.TB, frames ...Frame) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, f := range frames {
		if err := w.Write(f.Type, f.Payload); err != nil {
			t.Fatal(err)
		}
	}
	return buf.Bytes()
}

// decode reads b to its end and returns the good frames and the number of damages reported.
func decode(t testing.TB, b []byte) (frames []Frame, damaged int, end error) {
	t.Helper()
	r := NewReader(bytes.NewReader(b))
	for range len(b) + 2 {
		f, err := r.Next()
		switch {
		case err == nil:
			frames = append(frames, f)
		case errors.Is(err, ErrCorrupt):
			damaged++
		default:
			return frames, damaged, err
		}
	}
	t.Fatal("reader does not come to an end")
	return nil, 0, nil
}

func TestRoundTrip(t *testing.T) {
	in := []Frame{{Type: Hello, Payload: []byte(`{}`)}, {Type: Beat}, {Type: Stdout, Payload: []byte("line\n\xf5V\x03")}}
	got, damaged, end := decode(t, encode(t, in...))
	if damaged != 0 || end != io.EOF {
		t.Fatalf("damaged %d, end %v", damaged, end)
	}
	if d := cmp.Diff(in, got); d != "" {
		t.Fatal(d)
	}
}

func TestLongPayloadIsSplit(t *testing.T) {
	long := bytes.Repeat([]byte("0123456789abcdef"), MaxPayload/8)
	got, _, _ := decode(t, encode(t, Frame{Type: FileData, Payload: long}))
	var all []byte
	for _, f := range got {
		all = append(all, f.Payload...)
	}
	if len(got) != 2 || !bytes.Equal(all, long) {
		t.Fatalf("%d frames, %d bytes", len(got), len(all))
	}
}

func TestNoiseBeforeTheFirstFrame(t *testing.T) {
	b := append([]byte("firmware says hi\xf5V\x00"), encode(t, Frame{Type: Hello, Payload: []byte("x")})...)
	got, damaged, _ := decode(t, b)
	if len(got) != 1 || damaged != 0 || got[0].Lost != 0 {
		t.Fatalf("frames %v, damaged %d", got, damaged)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	clean := encode(t, Frame{Type: Hello, Payload: []byte("aaaa")}, Frame{Type: Stdout, Payload: []byte("bbbb")}, Frame{Type: Exit, Payload: []byte("cccc")})
	one := len(clean) / 3
	for i := one; i < 2*one; i++ {
		b := bytes.Clone(clean)
		b[i] ^= 0x10
		got, damaged, _ := decode(t, b)
		if len(got) != 2 || damaged == 0 || got[1].Lost != 1 {
			t.Fatalf("flip at %d: %d frames, damaged %d", i, len(got), damaged)
		}
		// A byte that the line dropped.
		got, damaged, _ = decode(t, append(bytes.Clone(clean[:i]), clean[i+1:]...))
		if len(got) != 2 || damaged == 0 || got[1].Lost != 1 {
			t.Fatalf("drop at %d: %d frames, damaged %d", i, len(got), damaged)
		}
	}
}

func TestTruncated(t *testing.T) {
	clean := encode(t, Frame{Type: Hello, Payload: []byte("a")}, Frame{Type: Stdout, Payload: []byte("bbbb")})
	if _, _, end := decode(t, clean[:len(clean)-1]); end != io.ErrUnexpectedEOF {
		t.Fatalf("end %v", end)
	}
}

func FuzzReader(f *testing.F) {
	clean := encode(f, Frame{Type: Hello, Payload: []byte("a")}, Frame{Type: Stdout, Payload: []byte("bbbb")}, Frame{Type: Bye})
	f.Add(clean, 3, byte(1))
	f.Add(clean[5:], 0, byte(0x80))
	f.Add([]byte("\xf5V\xf5V\xf5V"), 0, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at int, flip byte) {
		// Any input comes to an end.
		decode(t, b)
		// A good frame with content from the fuzzer comes back, or the damage is told.
		payload := b[:min(len(b), MaxPayload)]
		enc := encode(t, Frame{Type: Hello}, Frame{Type: Stdout, Payload: payload}, Frame{Type: Bye})
		head := headerSize + trailerSize
		if body := len(enc) - 2*head; at >= 0 && flip != 0 {
			enc[head+at%body] ^= flip
		} else {
			flip = 0
		}
		got, damaged, _ := decode(t, enc)
		lost := uint32(0)
		for _, f := range got {
			lost += f.Lost
		}
		if flip == 0 && (len(got) != 3 || !bytes.Equal(got[1].Payload, payload)) {
			t.Fatalf("%d frames", len(got))
		}
		if flip != 0 && damaged == 0 && lost == 0 {
			t.Fatal("damage not noticed")
		}
	})
}
