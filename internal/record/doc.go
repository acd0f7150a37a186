// Package record writes what the policy saw to a file, and reads it again.
//
// # The file
//
// A file begins with a magic of 8 bytes, a version byte and three zero bytes.
// Blocks follow, each with its kind, the length and the CRC-32C of what it
// holds: a header first, as JSON, then frames. Several recordings may stand
// one after the other in a file: a new header begins the next one.
//
// A frame is one call of policy.Controller.Decide: what became of moves since
// the frame before, the snapshot, the parameters, and a hash of the plan.
// Snapshots are differences to that of the frame before. The first frame of
// a block may be a key frame: it stands by itself and holds the state of the
// controller. Frames may be left out to keep to a size; the frame after them
// holds the state, too, so that every plan of a recording can be reproduced.
//
// What changes by the clock alone is not written: the ages of a region are
// predicted from ticks of 1/64 s, as the sampler has them, and written only
// where the prediction is not exact to the last bit.
//
// # The ring
//
// A Ring writes such files to a directory, one after the other, each with a
// header and a key frame: its segments. Their sequence gives their order, and the
// oldest go when all together would be larger than they may. A header in the middle of
// a segment says how many plans were lost before it.
//
// # Invariants
//
// What is read is bit by bit what was written. A file that is cut off
// anywhere reads up to the last whole block. No input makes the reader panic
// or use more than a bounded amount of memory. The loop never waits for who packs
// or writes what it hands over, and segments never take more room than they may.
//
// # Concurrency
//
// An Encoder, a Decoder, a Recorder and a Player belong to one goroutine each. A
// Tap has a Recorder for each who listens, on the goroutine of the loop, and a bounded
// queue to the goroutine that packs and writes: that of Stream's caller, or Ring.Run.
package record
