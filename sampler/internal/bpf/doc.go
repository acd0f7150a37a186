// Package bpf is what the sources that are eBPF programs have in common: iterators over one
// task, system calls that do not disturb the Go scheduler, and what to do when a program
// does not load.
//
// Kernel references: kernel/bpf/task_iter.c, kernel/bpf/bpf_iter.c.
package bpf
