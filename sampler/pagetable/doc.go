// Package pagetable sees which memory a process uses by reading the accessed
// bits and the placement straight from its page tables.
//
// An eBPF iterator program follows the tables through the kernel's direct map
// (walk.c). It takes no lock of the process and stalls nobody; it needs
// CAP_BPF and CAP_PERFMON. The base of the direct map is found by calibration
// against tierd's own memory, not by symbols, and everything the sampler
// relies on is tested before the source declares itself available; otherwise
// Open returns an *Unavailable with the reason.
//
// Accessed bits are cleared by process_madvise with MADV_COLD, which also
// flushes the TLB, in slices of a few MiB. Side effect: the pages are also
// moved to the inactive end of the LRU lists. Reclaim looks at the accessed
// bit again before it takes one, so a page in use stays.
//
// A table that is freed during the walk is harmless, because the reads cannot
// fault, but may be garbage; the entry that led to it is read again after the
// copy, and a block whose entry changed is reported as torn.
//
// Concurrency: a Source and its Spaces belong to one goroutine.
//
// Kernel references: kernel/bpf/task_iter.c, mm/madvise.c,
// Documentation/arch/x86/x86_64/mm.rst, Documentation/arch/arm64/memory.rst.
package pagetable
