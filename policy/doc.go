// Package policy decides which memory is worth moving. It turns a Snapshot of
// what the sampler saw into a Plan of moves, each with a reason.
//
// The package is pure: no input or output, no clock, no system call, no
// package of ours. The same snapshot and parameters always give the same
// plan, which is what makes recording, replay, simulation and explanation
// possible. A test holds the list of imports to that.
//
// # Vocabulary
//
// A node is a NUMA node with memory; a tier is a rank of nodes, 0 the
// fastest. A region is one 2 MiB-aligned piece of one process's address
// space, the unit of accounting and usually of moving; a piece is 64 KiB of a
// region, the unit of moving where a region is hot only in parts. Rates are
// accesses per second and 4 KiB page.
package policy
