// Package explain says why memory lies where it does: it remembers the decisions
// of the loop, and puts what the policy tells of regions into words.
//
// # Invariants
//
//   - No rule is written here a second time. What held a region back, and what would
//     have to change, comes from the policy, which has tried it with the engine.
//   - Sentences are made of numbers that stand beside them in the answer.
//   - A [Ring] has a bounded size, and takes no memory per region.
//
// # Concurrency
//
// A [Ring] may be used by many goroutines. Who asks keeps the loop waiting for as long as
// it takes to copy the ring, which is a megabyte.
package explain
