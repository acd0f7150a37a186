package pagetable

import (
	"fmt"
	"runtime"
)

// Format describes how one architecture lays out its page tables. It is the
// only home of these numbers: the eBPF program gets them as constants, and
// Reader walks captured tables by them.
//
// Sources: arch/x86/include/asm/pgtable_types.h, pgtable-invert.h;
// arch/arm64/include/asm/pgtable-hwdef.h, pgtable-prot.h.
type Format struct {
	Name string
	// Levels is the number of tables from the root to the base page's entry.
	Levels int
	// PageShift is the log2 of the base page; IndexBits of a table's entries.
	PageShift, IndexBits int
	// An entry is present if any bit of Present is set. If Valid is then clear
	// a hint fault is armed, and the frame is inverted if InvertInvalid.
	Present, Valid uint64
	InvertInvalid  bool
	// Above the last level an entry with entry & LeafMask == LeafValue maps a
	// huge page.
	LeafMask, LeafValue uint64
	// Young is the accessed bit; Special marks the zero page and device
	// frames, which are nobody's memory.
	Young, Special uint64
	// Phys has the bits of the physical address.
	Phys uint64
}

var (
	x86 = Format{
		PageShift: 12, IndexBits: 9,
		Present: 1 | 1<<8, Valid: 1, InvertInvalid: true,
		LeafMask: 1 << 7, LeafValue: 1 << 7,
		Young: 1 << 5, Special: 1 << 9,
		Phys: 0x000f_ffff_ffff_f000,
	}
	arm64 = Format{
		Present: 1 | 1<<58, Valid: 1,
		LeafMask: 3, LeafValue: 1,
		Young: 1 << 10, Special: 1 << 56,
		Phys: 0x0000_ffff_ffff_f000,
	}
)

func (f Format) named(name string, levels, pageShift int) Format {
	f.Name, f.Levels, f.PageShift, f.IndexBits = name, levels, pageShift, pageShift-3
	f.Phys &^= 1<<pageShift - 1
	return f
}

// The formats that tierd knows.
var (
	X86Level4      = x86.named("x86-64, 4 levels", 4, 12)
	X86Level5      = x86.named("x86-64, 5 levels", 5, 12)
	ARM64Page4K48  = arm64.named("arm64, 4 KiB granule, 48 bits", 4, 12)
	ARM64Page4K39  = arm64.named("arm64, 4 KiB granule, 39 bits", 3, 12)
	ARM64Page64K48 = arm64.named("arm64, 64 KiB granule, 48 bits", 3, 16)
	ARM64Page64K42 = arm64.named("arm64, 64 KiB granule, 42 bits", 2, 16)
)

// candidates are the formats that the running machine may use.
func candidates(pageSize int) ([]Format, error) {
	switch {
	case runtime.GOARCH == "amd64" && pageSize == 4<<10:
		return []Format{X86Level5, X86Level4}, nil
	case runtime.GOARCH == "arm64" && pageSize == 4<<10:
		return []Format{ARM64Page4K48, ARM64Page4K39}, nil
	case runtime.GOARCH == "arm64" && pageSize == 64<<10:
		return []Format{ARM64Page64K48, ARM64Page64K42}, nil
	}
	return nil, fmt.Errorf("page tables: no known format for %s with %d KiB pages", runtime.GOARCH, pageSize>>10)
}

// Entry is one decoded page table entry.
type Entry struct {
	Present, Young, Leaf, Special bool
	// Phys is the address of the page, or of the next table.
	Phys uint64
}

// Shift is the log2 of the memory that one entry of a level covers; level 0
// holds the base pages.
func (f Format) Shift(level int) int { return f.PageShift + level*f.IndexBits }

// Decode reads an entry of the given level.
func (f Format) Decode(raw uint64, level int) Entry {
	e := Entry{Present: raw&f.Present != 0}
	if !e.Present {
		return Entry{}
	}
	e.Leaf = level == 0 || raw&f.LeafMask == f.LeafValue
	e.Young = raw&f.Young != 0
	e.Special = level == 0 && raw&f.Special != 0
	if f.InvertInvalid && raw&f.Valid == 0 {
		raw = ^raw
	}
	e.Phys = raw & f.Phys
	if e.Leaf {
		e.Phys &^= 1<<f.Shift(level) - 1
	}
	return e
}

// Lookup walks the tables from the root at physical address root and returns
// the entry that ends the walk for addr, and its level. read returns the
// eight bytes at a physical address.
func (f Format) Lookup(root, addr uint64, read func(phys uint64) (uint64, error)) (Entry, int, error) {
	at := root
	for level := f.Levels - 1; ; level-- {
		index := addr >> f.Shift(level) & (1<<f.IndexBits - 1)
		raw, err := read(at + index*8)
		if err != nil {
			return Entry{}, level, fmt.Errorf("page table at %#x: %w", at, err)
		}
		e := f.Decode(raw, level)
		if !e.Present || e.Leaf {
			return e, level, nil
		}
		at = e.Phys
	}
}
