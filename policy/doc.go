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
// space, the unit of accounting and usually of moving. Where a region is hot
// only in parts, a stratum is its pages that are used alike, wherever in it they
// are, and a portion is those of them on one node: the unit of moving there. Rates
// are accesses per second and 4 KiB page.
//
// # The engine
//
// Decide goes through three steps. Nodes below their reserve first let their
// coldest memory go (relief). They go on until there is some room above the
// reserve, the headroom of an eighth of it or two regions, but only with what is
// surely not worth its place, in runs of addresses: that stays away as long as
// it is so cold. Filling leaves the headroom, so that nothing goes to and fro
// where others take and return memory. Then workloads that are above a limit
// let their coldest memory go (limit). Last, from the fastest tier on, the
// hottest memory of the slower tiers comes up, by one move from wherever it
// lies: into free room if that pays (fill), or in the place of colder memory
// (exchange) if
//
//   - it is surely hotter: the log rates differ by more than z standard
//     deviations, after the luck of being the extreme of many is taken off, and
//   - it pays: the benefit over the horizon, less what the victims lose, is a
//     multiple of the cost of all the moves.
//
// The horizon is for how long memory has been as it is: for so long it probably stays.
// What comes into free room is in nobody's way when that is over, so it is weighed by
// what it will earn then, too: as much as its process's memory does on the whole, or
// what it earns now if that is less.
//
// A victim goes to the next slower tier, or straight to the one that it belongs
// in; if that is full, colder memory of it makes room, or else the victim goes
// further down. Thanks to the headroom of the tiers in the middle, two regions
// can change places.
//
// # Limits and shares
//
// At its limit of a tier, a workload's memory comes only in the place of colder
// memory of its own.
//
// Where several workloads have memory, each has a share of every tier but the
// slowest. What the movable memory of all holds there, and what is free, is
// poured over them by weight, nobody getting more than it has a use for: what
// would be worth a place there and lies there or further down, cut at the limit.
// Whoever lacks more than a 64th of his share, and more than a region, takes the
// coldest of those that have more than theirs, without being hotter (share): his
// own benefit must pay for all the moves, and what the others lose does not
// count. Those who have their share, or more, can push out nothing that is
// within another's. Everything else is by the exchange's test, so that what no
// share claims is used by whoever has the hottest memory for it. Two workloads do
// not take in turns: the demand for the fastest tier is the same wherever memory
// lies, and taking begins well below the share and ends at it.
//
// These hold for every plan, and tests hold the engine to them:
//
//   - Carried out in order, no move takes a node below its reserve.
//   - The bytes of all moves are within the budget; an exchange is planned
//     whole or not at all.
//   - No workload ends above a limit that it was below, or above what it had if
//     it was above already.
//   - In the fastest tier, where sizes are equal, a workload loses what is within
//     its share only if nobody else gains beyond his.
//   - Nothing moves twice, sideways, or against its last move within the
//     cool-down; nothing immovable, bound, shared or unseen moves.
//   - While the rates stay, plan after plan leads to rest; between two tiers no
//     region of equal size returns to the one that it left, and hardly ever
//     between more.
//   - One workload without limits is planned for as if there were neither limits
//     nor shares.
//
// What makes no sense in a snapshot (a rate that is no number, a node that is
// not there) is left alone or replaced by a cautious value; nothing panics. As
// long as Snapshot.MoveCost is not positive, a page is taken to cost 2 µs.
//
// # Thrash control
//
// A Controller is an Engine with a memory. Its ledger has an entry for each
// promotion: what it cost, with the demotions for it, and what it has earned
// since by the present estimates. An exchange is booked net of what its victim
// would earn now. An entry closes as paid once it has earned its cost, and as
// wasted when it is undone before, or after 30 s; one that is on its way to pay
// within Params.HorizonMax has until then, because that is what the engine
// promised. Every 5 s the cost of what was wasted, per time, is compared with
// Params.MaxWaste: above it the separation rises, up to 6, and the budget falls;
// below a quarter of it both recover. The budget falls by the part of the moves
// that does not pay: where nearly all do, a smaller one loses more than it saves.
//
// A region that is undone before it has paid cools down twice as long each time
// before it may come up again. A workload more than Params.Breaker of whose moves
// are so undone, in three windows in a row, is stopped by its breaker: of it
// nothing moves but relief, and every 30 s a probe of a hundredth of the budget,
// which closes the breaker if it pays. A phase change forgives all this, but not
// if another came within Params.Window before. Above Params.MaxPressure nothing
// moves but relief.
//
//   - A Controller's plans depend on the calls before and on nothing else.
//   - Its memory is bounded: 64 Ki entries and 16 Ki longer cool-downs. What has no
//     room is counted.
//   - Relief has the whole budget whatever else is steered.
//
// # Explanation
//
// Explain makes a plan with an observer at the engine's tests and tells how memory
// stands, which rule holds it, and what would lift that rule. It finds the latter by making the plan
// again with a change, so there is no second copy of the rules. Without an observer
// nothing of this costs anything. Plan.Terms has the numbers behind each move.
//
//   - The plan that is explained is the one that Decide makes, to the last bit.
//   - By rule, as many pages are told to be held back as Plan.Vetoed counts.
//   - A change that is told has lifted its rule, and Change.Then held after it.
//
// An Engine, and a Controller, is for one goroutine at a time.
package policy
