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
//
// # The engine
//
// Decide goes through three steps. Nodes below their reserve first let their
// coldest memory go (relief). Then, from the fastest tier on, the hottest
// memory of the slower tiers comes up: into free room if that pays (fill), or
// in the place of colder memory (exchange) if
//
//   - it is surely hotter: the log rates differ by more than z standard
//     deviations, after the luck of being the extreme of many is taken off, and
//   - it pays: the benefit over the horizon, less what the victims lose, is a
//     multiple of the cost of all the moves.
//
// A victim goes to the next slower tier; if that is full, colder memory of it
// makes room, or else the victim goes further down. The tiers in the middle
// keep the room of one region, so that two regions can change places.
//
// These hold for every plan, and tests hold the engine to them:
//
//   - Carried out in order, no move takes a node below its reserve.
//   - The bytes of all moves are within the budget; an exchange is planned
//     whole or not at all.
//   - Nothing moves twice, sideways, or against its last move within the
//     cool-down; nothing immovable, bound, shared or unseen moves.
//   - While the rates stay, plan after plan leads to rest; between two tiers no
//     region of equal size returns to the one that it left, and hardly ever
//     between more.
//
// What makes no sense in a snapshot (a rate that is no number, a node that is
// not there) is left alone or replaced by a cautious value; nothing panics. As
// long as Snapshot.MoveCost is not positive, a page is taken to cost 2 µs.
//
// An Engine is for one goroutine at a time.
package policy
