// Package vm is the emulated machine: a stock Linux kernel booted by QEMU, without KVM, as a host whose
// memory comes in tiers. Tests and the demo use it to see the real kernel move real pages between real NUMA
// nodes on any laptop or CI runner.
//
// A [Machine] describes the nodes; [Machine.Run] boots it, runs one static program in it as a child of a small
// init (package guest), hands its output on line by line, brings back files, and returns the exit code. A
// [Suite] does the same with every Go test of this module that is built with the tag "guest".
//
// # Inside
//
// The guest's root is an initramfs written by this package: /init, busybox where the host has a static one, the
// caller's files, and a specification in JSON. The kernel's console is the first serial port; everything that the
// guest reports goes through the second one, in the checked frames of package wire, so that kernel messages
// never mix with a program's output.
//
// Kernels come from Debian's archive (see [Kernel]) and stay in a cache folder; no root is needed and the host's
// package configuration is only read.
//
// # What may be measured here
//
// Emulation is 10 to 50 times slower than silicon and every node is equally fast. Placement, moved bytes, CPU
// seconds and comparisons within one run mean something; absolute speed does not.
//
// # Invariants
//
//   - No QEMU process outlives the call that started it, nor the process that made the call.
//   - A guest that panics, hangs, or loses output yields an error with the last lines of its console, never a result
//     that looks complete.
//   - Run may be called from several goroutines; each call has its own machine.
package vm
