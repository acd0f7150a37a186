// Package migrate carries out planned moves with move_pages(2) and says what
// became of every page.
//
// An [Executor] takes the moves of one process, in the plan's order, and returns
// one [Outcome] for each. It works in batches: it asks the kernel where the pages
// are, drops what is absent or elsewhere, asks how much room the target node has,
// waits its turn under the rate limit, checks that the process is still the one
// that was planned for, makes one call, and checks again. Observe mode is the same
// path with a [Recorder] in place of the call that moves.
//
// # Invariants
//
//   - The pages of an Outcome's results add up to the pages that the move asked
//     for. What was not tried is counted as [Unattempted].
//   - A positive return is not success, and a status that the kernel did not write
//     is never taken for an answer: statuses start as a value that the kernel does
//     not use, and after any return but 0, any status left, and any EBUSY, the
//     kernel is asked where the pages really are.
//   - The bytes that were tried since New are never more than the rate times the
//     time; after idle time, never more than one batch or 20 ms ahead.
//   - A batch never asks for more than the room that the target node has left above
//     its reserve.
//   - A page that the kernel refuses is not tried in a loop: see [Refusals].
//   - Between two batches the executor stops at once when its context ends.
//
// # What the kernel answers
//
// Tried on 6.1, 6.12 and 7.3. All pages of a call have the same target, so that the
// kernel handles runs of them as one group. It closes a group, and migrates it, at
// a page that it cannot queue, whose own status it writes first. When some pages of a
// group stay, it returns their number plus that of all pages not yet looked at,
// writes no status for the group, and attempts no later one. So the group that failed
// reaches from the first unwritten status to the next written one: what is still
// in its old place inside it was refused, what lies behind it was not tried, and is
// tried again.
//
//   - The second page of a large folio that is already queued answers EBUSY although
//     the whole folio then moves.
//   - Moving a huge page when no huge page can be had on the target makes the kernel
//     split it and move what it can.
//   - ENOMEM ends the call, writes no status for the group, and leaves an unknown part
//     of the group moved.
//   - EACCES for the call: the node is outside the cpuset of the task that owns the
//     memory. EACCES for a page: several processes map it.
//   - EFAULT (6.1) and ENOENT (later) for a page: it is absent.
//
// # Concurrency
//
// An Executor and its Refusals belong to one goroutine.
//
// # Kernel references
//
// mm/migrate.c: do_pages_move, add_folio_for_migration, move_pages_and_store_status,
// do_pages_stat_array, migrate_pages. mm/swap.c: lru_cache_disable, which every call
// that moves runs on every CPU. mm/mempolicy.c: cpuset_mems_allowed bounds the target.
package migrate
