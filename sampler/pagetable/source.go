package pagetable

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/internal/bpf"
	"github.com/tierd/tierd/policy"
)

// Unavailable says why the page tables of this host cannot be read, and what
// an operator can do about it.
type Unavailable struct {
	// Step is what was tried: "load", "calibrate", "self-test", "clear".
	Step string
	Err  error
	Hint string
}

func (u *Unavailable) Error() string { return fmt.Sprintf("page tables: %s: %v", u.Step, u.Err) }

// Unwrap returns the cause.
func (u *Unavailable) Unwrap() error { return u.Err }

// PhysRange says on which node a range of physical memory lies.
type PhysRange struct {
	Start, End uint64 // bytes
	Slot       policy.Slot
}

// maxNanos bounds one run of the program, which runs under RCU.
const maxNanos = 1_000_000

// MaxBlocks is how many blocks one run can read.
const MaxBlocks = len(walkResult{}.Block)

// Source reads page tables by an eBPF program. It is not safe for concurrent
// use: one goroutine owns it and every Space attached to it.
type Source struct {
	coll   *ebpf.Collection
	mem    []byte // the programs' global variables, shared with the kernel
	req    *walkRequest
	res    *walkResult
	last   *walkRun
	vmas   *uint64
	policy *uint32
	listed *uint32
	format Format
	base   uint64
	buf    []byte
}

// Format is the page table format that calibration found.
func (s *Source) Format() Format { return s.format }

// Open loads the programs and calibrates them against tierd's own memory.
// ranges tell which node a frame belongs to. The error is an *Unavailable.
func Open(ranges []PhysRange) (*Source, error) {
	formats, err := candidates(os.Getpagesize())
	if err != nil {
		return nil, &Unavailable{Step: "load", Err: err}
	}
	s, err := load(formats[0], ranges)
	if err != nil {
		return nil, &Unavailable{Step: "load", Err: err, Hint: bpf.LoadHint(err)}
	}
	if err := s.calibrate(formats, ranges); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// granule is the smallest power of two of pages that lets the table of
// nodes cover all memory.
func granule(ranges []PhysRange, pageShift, entries int) uint32 {
	var top uint64
	for _, r := range ranges {
		top = max(top, (r.End-1)>>pageShift)
	}
	shift := uint32(21 - pageShift)
	for top>>shift >= uint64(entries) {
		shift++
	}
	return shift
}

func load(f Format, ranges []PhysRange) (*Source, error) {
	spec, err := loadWalk()
	if err != nil {
		return nil, err
	}
	nodeOf := spec.Variables[walkVarNodeOf]
	shift := granule(ranges, f.PageShift, int(nodeOf.Size()))
	invert := uint8(0)
	if f.InvertInvalid {
		invert = 1
	}
	for name, v := range map[string]any{
		walkVarPageShift: uint32(f.PageShift), walkVarIndexBits: uint32(f.IndexBits),
		walkVarPresentMask: f.Present, walkVarValidMask: f.Valid, walkVarInvertInvalid: invert,
		walkVarLeafMask: f.LeafMask, walkVarLeafValue: f.LeafValue,
		walkVarYoungMask: f.Young, walkVarYoungShift: uint32(bits.TrailingZeros64(f.Young)),
		walkVarSpecialMask: f.Special, walkVarGranuleShift: shift,
	} {
		if err := spec.Variables[name].Set(v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	s := &Source{coll: coll, buf: make([]byte, 64<<10)}
	bss := coll.Maps[".bss"]
	if bss == nil {
		s.Close()
		return nil, errors.New("object has no .bss")
	}
	size := (int(bss.ValueSize()) + os.Getpagesize() - 1) &^ (os.Getpagesize() - 1)
	s.mem, err = unix.Mmap(bss.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("map of global variables: %w", err)
	}
	at := func(name string) unsafe.Pointer { return unsafe.Pointer(&s.mem[spec.Variables[name].Offset]) }
	s.req = (*walkRequest)(at(walkVarReq))
	s.res = (*walkResult)(at(walkVarRes))
	s.last = (*walkRun)(at(walkVarLastRun))
	s.vmas = (*uint64)(at(walkVarVmaTotal))
	s.policy = (*uint32)(at(walkVarTaskPolicy))
	s.listed = (*uint32)(at(walkVarListed))
	table := unsafe.Slice((*byte)(at(walkVarNodeOf)), nodeOf.Size())
	for i := range table {
		table[i] = byte(policy.NoSlot)
	}
	for _, r := range ranges {
		first := r.Start >> f.PageShift >> shift
		last := (r.End - 1) >> f.PageShift >> shift
		for i := first; i <= last && i < uint64(len(table)) && r.End > r.Start; i++ {
			table[i] = byte(r.Slot)
		}
	}
	return s, nil
}

// Close releases the programs. Spaces must be closed first.
func (s *Source) Close() {
	if s.mem != nil {
		_ = unix.Munmap(s.mem)
		s.mem = nil
	}
	s.coll.Close()
}

// own is memory of tierd itself with a known pattern, to calibrate by.
type own struct {
	mem     []byte
	block   uint64 // the address of its aligned 2 MiB
	touched []int  // pages of the block, in 4 KiB
	magic   [8]uint64
}

func newOwn() (*own, error) {
	mem, err := unix.Mmap(-1, 0, 4*policy.RegionSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, fmt.Errorf("own memory: %w", err)
	}
	o := &own{mem: mem}
	_ = unix.Madvise(mem, unix.MADV_NOHUGEPAGE)
	start := uint64(uintptr(unsafe.Pointer(&mem[0])))
	o.block = (start + policy.RegionSize - 1) &^ (policy.RegionSize - 1)
	// One touched base page in every third, whatever the page's size.
	step := 3 * os.Getpagesize() / policy.PageSize
	for p := 0; p < policy.PagesPerRegion; p += step {
		o.touched = append(o.touched, p)
	}
	var random [64]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("own memory: %w", err)
	}
	for i := range o.magic {
		o.magic[i] = binary.NativeEndian.Uint64(random[i*8:])
	}
	copy(mem[o.block-start:], random[:])
	o.touch()
	return o, nil
}

func (o *own) touch() {
	start := uint64(uintptr(unsafe.Pointer(&o.mem[0])))
	for _, p := range o.touched {
		o.mem[o.block-start+uint64(p)*policy.PageSize+128]++
	}
}

// settle gets pages that wait on a processor's list onto the LRU. Moving a page,
// even to where it is, empties the lists of all processors (mm/migrate.c,
// do_pages_move); touching others for the first time pushes only those of this one.
func (o *own) settle(try int) {
	addr, node := o.block, int32(-1)
	move := func(nodes *int32) unix.Errno {
		const movePrivate = 1 << 1 // MPOL_MF_MOVE
		status := int32(-1)
		_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, 1, uintptr(unsafe.Pointer(&addr)), uintptr(unsafe.Pointer(nodes)), uintptr(unsafe.Pointer(&status)), movePrivate)
		node = status
		return errno
	}
	if move(nil) == 0 && node >= 0 {
		to := node
		_ = move(&to)
	}
	start := uint64(uintptr(unsafe.Pointer(&o.mem[0])))
	for i := range 32 {
		at := uint64(try*32+i) * policy.PageSize
		if start+at >= o.block {
			at += policy.RegionSize
		}
		if at < uint64(len(o.mem)) {
			o.mem[at] = 1
		}
	}
}

func (o *own) close() { _ = unix.Munmap(o.mem) }

// encryption has the places where memory encryption puts its mark in the
// frame's bits; 0 is none.
var encryption = []uint64{0, 1 << 51, 1 << 47}

func (s *Source) calibrate(formats []Format, ranges []PhysRange) error {
	o, err := newOwn()
	if err != nil {
		return &Unavailable{Step: "calibrate", Err: err}
	}
	defer o.close()
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return &Unavailable{Step: "calibrate", Err: fmt.Errorf("pidfd: %w", err)}
	}
	defer unix.Close(self)
	space, err := s.Attach(os.Getpid(), self)
	if err != nil {
		return &Unavailable{Step: "calibrate", Err: err, Hint: "an iterator over one task needs kernel 6.1 or later"}
	}
	defer space.Close()

	for _, f := range formats {
		for _, mark := range encryption {
			f := f
			f.Phys &^= mark
			base, err := s.findBase(space, f, o, ranges)
			if err != nil {
				return &Unavailable{Step: "calibrate", Err: err}
			}
			if base == 0 {
				continue
			}
			s.format, s.base = f, base
			return s.selfTest(space, o)
		}
	}
	return &Unavailable{
		Step: "calibrate", Err: errors.New("tierd's own memory was not found through any base of the direct map"),
		Hint: "the kernel's page tables have a format that tierd does not know, or lockdown forbids reading them",
	}
}

func (s *Source) findBase(space *Space, f Format, o *own, ranges []PhysRange) (uint64, error) {
	var top uint64
	for _, r := range ranges {
		top = max(top, r.End)
	}
	s.req.Mode, s.req.Levels, s.req.PhysMask = modeCalibrate, uint32(f.Levels), f.Phys
	s.req.Magic, s.req.Addr[0] = o.magic, o.block
	s.req.Candidates = 0
	if err := space.run(); err != nil {
		return 0, err
	}
	// A direct map lies at or above -(what the address bits can hold); the
	// table itself lies somewhere in it.
	first := s.res.Pgd >> 30 << 30
	const chunk = 64
	for i := uint64(0); i <= top>>30+1; i += chunk {
		s.res.Base = 0
		s.req.Base, s.req.Candidates = first-i<<30, chunk
		if err := space.run(); err != nil {
			return 0, err
		}
		if s.res.Base != 0 {
			return s.res.Base, nil
		}
	}
	return 0, nil
}

// selfTest holds everything that the sampler relies on against memory whose
// state is known.
func (s *Source) selfTest(space *Space, o *own) error {
	fail := func(format string, args ...any) error {
		return &Unavailable{Step: "self-test", Err: fmt.Errorf(format, args...)}
	}
	var want [8]uint64
	for _, p := range o.touched {
		for i := range os.Getpagesize() / policy.PageSize {
			want[(p+i)/64] |= 1 << ((p + i) % 64)
		}
	}
	read := func() (Block, error) {
		var got Block
		_, err := space.Walk([]uint64{o.block}, func(_ int, b *Block) { got = *b })
		return got, err
	}
	b, err := read()
	switch {
	case err != nil:
		return fail("%w", err)
	case b.Kind != KindTable || b.Present != want:
		return fail("wrote %d pages, the walk sees %d (%s)", bitsSet(want), b.PresentPages, b.Kind)
	}
	if err := o.placement(b); err != nil {
		return fail("%w", err)
	}
	// A page that was just touched waits on its processor's list to become
	// part of the LRU, and is passed over until then; others push it there.
	for try := 0; ; try++ {
		if _, err := space.Clear([]Range{{o.block, o.block + policy.RegionSize}}); err != nil {
			return &Unavailable{Step: "clear", Err: err, Hint: "process_madvise(MADV_COLD) needs CAP_SYS_NICE and CONFIG_ADVISE_SYSCALLS=y"}
		}
		if b, err = read(); err != nil {
			return fail("%w", err)
		}
		if b.Present == want && b.YoungPages <= b.PresentPages/8 {
			break
		}
		if try == 20 || b.Present != want {
			return fail("%d of %d pages are young after clearing", b.YoungPages, b.PresentPages)
		}
		o.settle(try)
		time.Sleep(time.Millisecond)
	}
	o.touch()
	if b, err = read(); err != nil {
		return fail("%w", err)
	}
	if b.Young != want {
		return fail("touched %d pages, %d are young", bitsSet(want), b.YoungPages)
	}
	return nil
}

// placement holds the nodes that the walk saw against what the kernel says.
func (o *own) placement(b Block) error {
	var nodes [policy.MaxSlots]int
	for i := range nodes {
		nodes[i] = -1
	}
	for _, p := range o.touched {
		slot := b.Slot[p/policy.PagesPerPiece]
		addr := o.block + uint64(p)*policy.PageSize
		status := int32(-1)
		_, _, errno := unix.Syscall6(unix.SYS_MOVE_PAGES, 0, 1, uintptr(unsafe.Pointer(&addr)), 0, uintptr(unsafe.Pointer(&status)), 0)
		if errno != 0 {
			// A kernel without NUMA has nothing to compare with.
			return nil
		}
		if slot == policy.NoSlot || status < 0 {
			continue
		}
		if nodes[slot] >= 0 && nodes[slot] != int(status) {
			return fmt.Errorf("frames of node %d and node %d look alike", nodes[slot], status)
		}
		nodes[slot] = int(status)
	}
	return nil
}

func bitsSet(m [8]uint64) int {
	n := 0
	for _, w := range m {
		n += bits.OnesCount64(w)
	}
	return n
}
