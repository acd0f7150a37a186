package pagetable

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// Block is read out of memory that the program writes: the layouts must agree.
func TestBlockHasTheProgramsLayout(t *testing.T) {
	c := reflect.TypeOf(walkResult{}.Block[0])
	g := reflect.TypeOf(Block{})
	if c.Size() != g.Size() {
		t.Fatalf("struct block has %d bytes, Block %d", c.Size(), g.Size())
	}
	for _, name := range []string{"Young", "Present", "Slot", "Count", "PresentPages", "YoungPages", "Kind", "LeafShift", "ArmedPages"} {
		a, _ := c.FieldByName(name)
		b, _ := g.FieldByName(name)
		if a.Offset != b.Offset || a.Type.Size() != b.Type.Size() {
			t.Errorf("%s: offset %d size %d in C, %d and %d in Go", name, a.Offset, a.Type.Size(), b.Offset, b.Type.Size())
		}
	}
	if unsafe.Sizeof(walkRun{}) != 48 {
		t.Errorf("struct run has %d bytes", unsafe.Sizeof(walkRun{}))
	}
}

// captured reads tables as "physical-address entry" lines, one root a file.
func captured(t *testing.T, name string) (root uint64, read func(uint64) (uint64, error), want map[uint64]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	words := map[uint64]uint64{}
	want = map[uint64]string{}
	hex := func(s string) uint64 {
		v, err := strconv.ParseUint(s, 0, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return v
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch {
		case len(f) == 0 || f[0] == "#":
		case f[0] == "root":
			root = hex(f[1])
		case f[0] == "want":
			want[hex(f[1])] = strings.Join(f[2:], " ")
		default:
			words[hex(f[0])] = hex(f[1])
		}
	}
	return root, func(phys uint64) (uint64, error) {
		if phys%8 != 0 {
			return 0, errors.New("odd address")
		}
		return words[phys], nil
	}, want
}

func describe(e Entry, level int) string {
	if !e.Present {
		return "absent"
	}
	s := "level" + strconv.Itoa(level) + " 0x" + strconv.FormatUint(e.Phys, 16)
	if e.Young {
		s += " young"
	}
	if e.Special {
		s += " special"
	}
	return s
}

func TestCapturedTables(t *testing.T) {
	for name, f := range map[string]Format{
		"x86-4level.txt": X86Level4, "x86-5level.txt": X86Level5,
		"arm64-4k.txt": ARM64Page4K48, "arm64-64k.txt": ARM64Page64K48, "arm64-64k-42.txt": ARM64Page64K42,
	} {
		t.Run(name, func(t *testing.T) {
			root, read, want := captured(t, name)
			if len(want) == 0 {
				t.Fatal("nothing to look for")
			}
			for addr, w := range want {
				e, level, err := f.Lookup(root, addr, read)
				if err != nil {
					t.Fatal(err)
				}
				if got := describe(e, level); got != w {
					t.Errorf("%#x: got %s, want %s", addr, got, w)
				}
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint64(0x8000000123456867), 0)
	f.Fuzz(func(t *testing.T, raw uint64, level int) {
		for _, format := range []Format{X86Level4, X86Level5, ARM64Page4K48, ARM64Page4K39, ARM64Page64K48, ARM64Page64K42} {
			if level < 0 || level >= format.Levels {
				continue
			}
			e := format.Decode(raw, level)
			if !e.Present && e != (Entry{}) || e.Phys&^format.Phys != 0 {
				t.Fatalf("%s: %#x level %d: %+v", format.Name, raw, level, e)
			}
		}
	})
}

func TestGranuleCoversAllMemory(t *testing.T) {
	for _, tt := range []struct {
		end  uint64
		want uint32
	}{{2 << 30, 9}, {1 << 40, 10}, {64 << 40, 16}} {
		if got := granule([]PhysRange{{0, tt.end, 0}}, 12, 1<<18); got != tt.want {
			t.Errorf("%d GiB: granule of 2^%d pages, want 2^%d", tt.end>>30, got, tt.want)
		}
		if (tt.end-1)>>12>>tt.want >= 1<<18 {
			t.Errorf("%d GiB do not fit", tt.end>>30)
		}
	}
}
