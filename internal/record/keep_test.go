package record

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/policy"
)

// stream is a long recording with key frames, as it comes from a daemon; in the
// middle of it some plans are lost.
func longStream(t *testing.T) (file []byte, plans, lost uint64) {
	t.Helper()
	header := Header{Version: "1", Run: "a"}
	file, err := Preamble(&header)
	if err != nil {
		t.Fatal(err)
	}
	var pack packer
	r := newRecorder()
	r.All = true
	refuse := false
	r.hand = func(p *parcel) bool {
		if refuse {
			return false
		}
		h := (*Header)(nil)
		if p.lost > 0 {
			again := header
			h, again.Lost = &again, p.lost
		}
		b, err := pack.parcel(p, h)
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, b...)
		return true
	}
	var c policy.Controller
	s := &policy.Snapshot{Processes: []policy.Process{{Regions: make([]policy.Region, 100)}}}
	for range 3000 {
		s.Seconds++
		plans++
		refuse = plans >= 1500 && plans < 1600
		for i := range s.Processes[0].Regions {
			q := &s.Processes[0].Regions[i]
			q.Addr = uint64(i+1) << 21
			q.Rate = float32((plans*7919 + uint64(i)*104729) % 1_000_003)
		}
		r.Decide(&c, s, policy.DefaultParams())
	}
	r.Flush()
	return file, plans, r.Stats().Dropped
}

// What comes in is a ring on disk, which keeps to its size and plays the same.
func TestKeep(t *testing.T) {
	file, plans, lost := longStream(t)
	if lost == 0 {
		t.Fatal("nothing was lost")
	}
	for name, set := range map[string]Settings{
		"all": {Size: 64 << 20, Segment: 20_000}, "newest": {Size: int64(len(file) / 2), Segment: int64(len(file) / 20)},
	} {
		t.Run(name, func(t *testing.T) {
			set.Dir = filepath.Join(t.TempDir(), "ring")
			written, err := Keep(bytes.NewReader(file), set)
			if err != nil || written < int64(len(file)-200) {
				t.Fatalf("%d bytes, %v", written, err)
			}
			size, files := dirSize(t, set.Dir)
			if size > set.Size || len(files) < 3 {
				t.Errorf("%d bytes in %d files", size, len(files))
			}
			numbers, gaps := playAll(t, set.Dir)
			if numbers[len(numbers)-1] != plans {
				t.Errorf("the last is %d of %d", numbers[len(numbers)-1], plans)
			}
			if all := uint64(len(numbers)) == plans-lost; all != (name == "all") {
				t.Errorf("%d plans of %d", len(numbers), plans-lost)
			}
			if name == "all" && (len(gaps) != 1 || gaps[0].Plans != lost) {
				t.Errorf("gaps %+v, %d lost", gaps, lost)
			}
		})
	}
	t.Run("torn", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "ring")
		_, err := Keep(bytes.NewReader(file[:len(file)-3]), Settings{Dir: dir, Size: 64 << 20, Segment: 1 << 20})
		if !errors.Is(err, ErrTorn) {
			t.Errorf("%v", err)
		}
		if _, gaps := playAll(t, dir); len(gaps) != 1 {
			t.Errorf("gaps %+v", gaps)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var kept *KeepError
		if _, err := Keep(bytes.NewReader(file), Settings{Dir: path, Size: 1 << 20, Segment: 1 << 18}); !errors.As(err, &kept) {
			t.Errorf("%v", err)
		}
		if _, err := Keep(io.LimitReader(nil, 0), Settings{Dir: t.TempDir(), Size: 1 << 20, Segment: 1 << 18}); !errors.Is(err, ErrForeign) {
			t.Errorf("%v", err)
		}
	})
}
