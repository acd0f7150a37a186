// Package status is the picture of a running tierd that everybody but its loop
// looks at: metrics, control socket and command line.
//
// # Invariants
//
//   - A [Status] is immutable once it is published. The loop builds a new one each
//     epoch and never touches it again; maps and slices included.
//   - Names in JSON are stable. A field that changes its meaning gets a new name, or
//     [SchemaVersion] rises. Byte counts are integers; times are RFC 3339; durations are
//     seconds.
//   - A field whose name ends in _total counts since the daemon started and never falls.
//   - Absent is not zero: an optional number that is not known is null.
//
// # Concurrency
//
// A [Board] may be used by many goroutines.
package status
