package pagetable

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/policy"
)

func TestHost(t *testing.T) {
	s, err := Open([]PhysRange{{0, 64 << 30, 0}})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer s.Close()
	t.Logf("%s base %#x", s.format.Name, s.base)
	fd, _ := unix.PidfdOpen(os.Getpid(), 0)
	sp, err := s.Attach(os.Getpid(), fd)
	if err != nil {
		t.Fatal(err)
	}
	n, pm, err := sp.Mappings(func(r Run) { t.Logf("%x-%x %x %d", r.Start, r.End, r.Class, r.VMAs) })
	t.Log(n, pm, err)
	m, _ := unix.Mmap(-1, 0, 1<<30, 3, unix.MAP_ANON|unix.MAP_PRIVATE)
	unix.Madvise(m, unix.MADV_NOHUGEPAGE)
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	a := uint64(uintptr(unsafe.Pointer(&m[0])))
	a = (a + 1<<21 - 1) &^ (1<<21 - 1)
	var addrs []uint64
	for i := range uint64(510) {
		addrs = append(addrs, a+i<<21)
	}
	p, y := 0, 0
	_, err = sp.Walk(addrs, func(i int, b *Block) { p += int(b.PresentPages); y += int(b.YoungPages) })
	t.Log(p, y, err, s.res.Ns)
	c, err := sp.Clear([]Range{{a, a + 510<<21}})
	t.Log(c, err)
	p, y = 0, 0
	_, err = sp.Walk(addrs, func(i int, b *Block) { p += int(b.PresentPages); y += int(b.YoungPages) })
	t.Log(p, y, err, s.res.Ns, policy.PageSize)
}

func BenchmarkWalk(b *testing.B) {
	s, err := Open([]PhysRange{{0, 64 << 30, 0}})
	if err != nil {
		b.Fatal(err)
	}
	fd, _ := unix.PidfdOpen(os.Getpid(), 0)
	sp, _ := s.Attach(os.Getpid(), fd)
	m, _ := unix.Mmap(-1, 0, 1<<30+1<<21, 3, unix.MAP_ANON|unix.MAP_PRIVATE)
	unix.Madvise(m, unix.MADV_NOHUGEPAGE)
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	a := uint64(uintptr(unsafe.Pointer(&m[0])))
	a = (a + 1<<21 - 1) &^ (1<<21 - 1)
	var addrs []uint64
	for i := range uint64(512) {
		addrs = append(addrs, a+i<<21)
	}
	b.Run("walk", func(b *testing.B) {
		for b.Loop() {
			sp.Walk(addrs, func(i int, bl *Block) {})
		}
	})
	b.Run("clear", func(b *testing.B) {
		for b.Loop() {
			sp.Clear([]Range{{a, a + 1<<30}})
		}
	})
	b.Run("clear2m", func(b *testing.B) {
		var r []Range
		for i := range uint64(512) {
			r = append(r, Range{a + i<<21, a + i<<21 + 1<<21})
		}
		for b.Loop() {
			sp.Clear(r)
		}
	})
}
