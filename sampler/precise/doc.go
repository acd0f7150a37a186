// Package precise hears from the processor itself which memory is used: samples of loads, with
// their address, the CPU that made them, and where the hardware tells it how long each took.
//
// Intel's load latency event (PEBS) and AMD's IBS op are taken as the kernel publishes them in
// its event sources. A program counts samples of the watched address spaces by 2 MiB and node, in one of
// two maps while the other is read. The period between samples is steered so that interrupts and program
// together stay within a share of a processor. Samples of a load latency event are a random part of the
// accesses, and not a known one: who uses them has to find the scale by another source.
//
// Other processors, and virtual machines without such a unit, have nothing to hear; [Open] says so. ARM's SPE writes to a buffer
// of its own that programs never see.
//
// Tested without such a unit through the event of page faults, which goes through the same program; the
// encodings by trees of /sys.
//
// Concurrency: a Source belongs to one goroutine.
//
// Kernel references: kernel/events/core.c (bpf_overflow_handler), arch/x86/events/intel/ds.c,
// arch/x86/events/amd/ibs.c, tools/perf/util/mem-events.c.
package precise
