// Package load is a workload that knows its own hot pages. It is what
// cmd/tierload runs, and what the other tests measure placement with.
//
// A Pattern says with which probability each page is accessed. The same
// pattern drives the accesses (Fill), the best placement that any tiering
// could reach (Oracle) and the measurement of the placement it has now
// (Surveyor), so the three cannot disagree.
//
// Everything about patterns, oracle and survey is pure: no syscall, no clock.
// Memory, Probe and Run do the rest, on Linux only.
//
// Invariants:
//   - A Pattern never changes once made; workers share it without locks. A
//     Schedule names the pattern in force at each moment.
//   - The owned memory lies outside the Go heap. What the program needs beside
//     it is a few bytes per piece, not per page.
//   - Looking at the placement does not disturb it: move_pages(2) without nodes
//     neither sets an accessed bit nor moves a page.
//   - When the accesses begin the range has no memory policy of its own
//     (mbind(2), MPOL_DEFAULT): NUMA balancing skips ranges that have one.
//
// Kernel references: mm/migrate.c (do_pages_stat), mm/mempolicy.c.
package load
