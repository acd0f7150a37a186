// Package doctor finds out what of tierd works on a host, and what to do about the rest.
//
// Each probe has an id that never changes, one of four verdicts, what was found, and what to do. Features are probed
// by trying them, never by the kernel's version.
//
//   - ok: nothing to do;
//   - warn: tierd works, but worse than it could, or not alone;
//   - fail: without it tierd cannot place memory here;
//   - unknown: it could not be found out, which is not a failure.
//
// # Invariants
//
//   - The host is only read, and only through internal/hostfs. Trying the page tables clears accessed bits of
//     the doctor's own memory, nobody else's.
//   - On a copy of a host's files, what needs the running kernel is unknown, and a file that the copy lacks proves
//     nothing.
//   - Every report has every probe, in the same order.
//
// # Concurrency
//
// [Run] keeps no state. Trying the page tables beside a running tierd disturbs neither.
package doctor
