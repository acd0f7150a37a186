// Package hintfault hears from the hint faults of NUMA balancing which memory a process
// uses, and from which node's CPUs: an accessed bit tells neither.
//
// While kernel.numa_balancing is on, the kernel makes pages inaccessible in turns, some
// hundred MiB at a time, and learns from the faults who uses them. An eBPF program at the
// exit of the function that decides where such a page belongs counts the faults of the
// watched address spaces by 2 MiB and node, in one of two maps while the other is read.
// Where functions cannot be hooked, as some sandboxes forbid, a tracepoint tells of every page fault
// instead: of the first use of each page, too, and not where the page lay.
//
// tierd never switches NUMA balancing on; without it there is nothing to hear.
//
// Concurrency: a Source belongs to one goroutine.
//
// Kernel references: mm/memory.c (numa_migrate_check), kernel/sched/fair.c
// (task_numa_work), mm/mprotect.c (change_prot_numa).
package hintfault
