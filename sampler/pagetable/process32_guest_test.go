//go:build guest

package pagetable_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/hostfs"
	"github.com/tierd/tierd/internal/process"
	"github.com/tierd/tierd/migrate"
	"github.com/tierd/tierd/policy"
	"github.com/tierd/tierd/sampler/pagetable"
)

// assembler makes i386 code; there is no compiler in the machine.
type assembler struct {
	code   []byte
	labels map[string]uint32
	uses   map[int]string // where an address or a distance is missing
}

func (a *assembler) put(b ...byte)     { a.code = append(a.code, b...) }
func (a *assembler) number(v uint32)   { a.code = binary.LittleEndian.AppendUint32(a.code, v) }
func (a *assembler) label(name string) { a.labels[name] = uint32(len(a.code)) }

// jump is a jump with a distance of 32 bits.
func (a *assembler) jump(op string, to string) {
	a.code = append(a.code, op...)
	a.uses[len(a.code)] = to
	a.number(0)
}

// address is the address of a label in an immediate operand.
func (a *assembler) address(label string) {
	a.uses[len(a.code)] = "&" + label
	a.number(0)
}

// system calls the kernel; a string is a label's address.
func (a *assembler) system(args ...any) {
	for i, v := range args {
		a.put([]byte{0xb8, 0xbb, 0xb9, 0xba, 0xbe, 0xbf, 0xbd}[i]) // mov eax, ebx, ecx, edx, esi, edi, ebp
		switch v := v.(type) {
		case string:
			a.address(v)
		case int:
			a.number(uint32(v))
		}
	}
	a.put(0xcd, 0x80)
}

const (
	base32 = 0xd0000000 // above 2 GiB: nobody may take it for negative
	size32 = 4 * policy.RegionSize
	load32 = 0x08048000
	head32 = 52 + 32 // of the file and of its segment
)

// program32 is a static 32-bit program. It maps memory on node 2 and writes
// into each page a word made of its address, says "ok" and the address, and for
// each byte that it reads compares the words, writes them again and says
// so again. It exits with 1 when a word has changed.
func program32() []byte {
	a := &assembler{labels: map[string]uint32{}, uses: map[int]string{}}
	// each does something with the address in eax and the word in ecx of each page.
	each := func(name string, body func()) {
		a.put(0xb8) // mov eax, base
		a.number(base32)
		a.label(name)
		a.put(0x89, 0xc1)         // mov ecx, eax
		a.put(0x81, 0xf1)         // xor ecx, …
		a.number(0x5a5a1234)      //
		body()                    //
		a.put(0x05)               // add eax, 4096
		a.number(4096)            //
		a.put(0x3d)               // cmp eax, end
		a.number(base32 + size32) //
		a.jump("\x0f\x82", name)  // jb
	}
	a.system(192, base32, size32, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_FIXED, -1, 0) // mmap2
	a.put(0x39, 0xd8)                                                                                                   // cmp eax, ebx
	a.jump("\x0f\x85", "failed")                                                                                        // jne
	a.system(219, base32, size32, unix.MADV_NOHUGEPAGE)
	a.system(274, base32, size32, 2, "mask", 33, 0) // mbind
	a.put(0x85, 0xc0)                               // test eax, eax
	a.jump("\x0f\x85", "failed")
	each("first", func() { a.put(0x89, 0x08) }) // mov [eax], ecx
	a.system(274, base32, size32, 0, 0, 0, 0)   // no policy, as most memory
	a.label("reply")
	text := fmt.Sprintf("ok %d\n", uint32(base32))
	a.system(4, 1, "text", len(text)) // write
	a.system(3, 0, "byte", 1)         // read
	a.put(0x83, 0xf8, 0x01)           // cmp eax, 1
	a.jump("\x0f\x85", "end")
	each("again", func() {
		a.put(0x39, 0x08) // cmp [eax], ecx
		a.jump("\x0f\x85", "failed")
		a.put(0x89, 0x08)
	})
	a.jump("\xe9", "reply")
	a.label("end")
	a.system(1, 0) // exit
	a.label("failed")
	a.system(1, 1)
	a.label("mask")
	a.number(1 << 2)
	a.number(0)
	a.label("text")
	a.put([]byte(text)...)
	a.label("byte")
	a.put(0)
	for at, name := range a.uses {
		v := a.labels[name] - uint32(at) - 4
		if name[0] == '&' {
			v = load32 + head32 + a.labels[name[1:]]
		}
		binary.LittleEndian.PutUint32(a.code[at:], v)
	}

	le, total := binary.LittleEndian, uint32(head32+len(a.code))
	f := []byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	for _, v := range []uint16{2, 3} { // an executable for i386
		f = le.AppendUint16(f, v)
	}
	for _, v := range []uint32{1, load32 + head32, 52, 0, 0} {
		f = le.AppendUint32(f, v)
	}
	for _, v := range []uint16{52, 32, 1, 0, 0, 0} {
		f = le.AppendUint16(f, v)
	}
	for _, v := range []uint32{1, 0, load32, load32, total, total, 7, 4096} { // one segment
		f = le.AppendUint32(f, v)
	}
	return append(f, a.code...)
}

// all is room without end.
type all struct{}

func (all) Room(policy.NodeID) (uint64, error) { return math.MaxUint64, nil }

// A 32-bit process is sampled and moved as any other, and its memory stays
// what it was.
func TestGuest32Bit(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("kernel lacks i386 programs")
	}
	file := filepath.Join(t.TempDir(), "subject32")
	if err := os.WriteFile(file, program32(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exec.Command(file).Run(); errors.Is(err, unix.ENOEXEC) {
		t.Skip("kernel lacks the emulation of i386 system calls")
	} else if err != nil {
		t.Fatal(err)
	}
	s := open(t)
	c, at := attach(t, s, exec.Command(file))
	again := func() {
		t.Helper()
		if _, err := c.in.Write([]byte{'.'}); err != nil {
			t.Fatal(err)
		}
		c.answer()
	}
	if at != base32 {
		t.Fatalf("memory at %x", at)
	}
	found := false
	vmas, _, err := c.space.Mappings(func(r pagetable.Run) {
		if r.End > 1<<32 {
			t.Errorf("mapping from %x to %x", r.Start, r.End)
		}
		found = found || r.Class == 0 && r.Start <= at && r.End >= at+size32
	})
	if err != nil || !found {
		t.Errorf("%d mappings, that of its memory among them: %v, %v", vmas, found, err)
	}
	if b := c.block(at); b.Kind != pagetable.KindTable || b.PresentPages != 512 || b.Count[2] != 512 {
		t.Fatalf("%s, %d pages, by node %v", b.Kind, b.PresentPages, b.Count[:3])
	}
	last := at + size32 - policy.RegionSize
	c.clear(last)
	// What was touched last may wait in a batch of either processor for the LRU list still: MADV_COLD passes it over.
	if b := c.block(last); b.YoungPages > 62 {
		t.Errorf("%d pages are young after clearing", b.YoungPages)
	}
	again()
	if b := c.block(last); b.YoungPages != 512 {
		t.Errorf("%d pages are young after it wrote to all", b.YoungPages)
	}

	h, err := process.Open(hostfs.New(""), c.cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if h.Bits() != 32 || h.ID().Exec == 0 {
		t.Errorf("%d bits, exec marker %d", h.Bits(), h.ID().Exec)
	}
	e := migrate.New(migrate.Config{Nodes: []policy.NodeID{2, 1}, Room: all{}})
	var moves []policy.Move
	for a := at; a < at+size32; a += policy.RegionSize {
		moves = append(moves, policy.Move{ID: h.ID(), Addr: a, Set: policy.AllPages(), From: 0, To: 1, Pages: policy.PagesPerRegion})
	}
	moved := 0
	for i, o := range e.Move(t.Context(), migrate.Target{Identity: h}, moves) {
		moved += o.Moved
		b := c.block(moves[i].Addr)
		if o.Err != nil || o.Moved < 500 || int(b.Count[1]) != o.Moved || b.PresentPages != 512 {
			t.Errorf("region %d: %d pages moved, %v, by node %v, %v", i, o.Moved, o.ByResult, b.Count[:3], o.Err)
		}
	}
	again() // compares the words
	t.Logf("%d pages moved", moved)

	// And its end is noticed.
	c.in.Close()
	if err := c.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if _, err := c.space.Walk([]uint64{at}, func(int, *pagetable.Block) {}); !errors.Is(err, pagetable.ErrGone) {
		t.Errorf("walk after its end: %v", err)
	}
}
