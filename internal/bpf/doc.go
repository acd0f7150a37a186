// Package bpf is what the users of eBPF programs have in common: iterators over one task, the
// address spaces that are watched, system calls that do not disturb the Go scheduler, and what to
// do when a program does not load.
//
// Kernel references: kernel/bpf/task_iter.c, kernel/bpf/bpf_iter.c.
package bpf
