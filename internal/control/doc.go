// Package control is the socket through which the command line speaks with a running tierd.
//
// It is HTTP with JSON over a Unix socket, so that curl --unix-socket can speak it, too:
//
//	GET /v1/status   the [status.Status]
//	GET /v1/record   a recording, for as long as the client reads
//	GET /v1/explain  a [status.Explanation] of what decision=, workload=, pid= or pid= and
//	                 address= name, or of the last decisions, up to limit=
//
// Errors are JSON as well: {"error": "…", "hint": "…"}. What a later version adds goes under /v1/ as long as
// clients of this one understand it.
//
// # Invariants
//
//   - Whoever may open the socket may read: its mode is 0660. Nothing can be changed through it.
//   - A socket is only taken over when nobody answers on it; no other kind of file is ever removed.
//   - A client that hangs, floods or sends garbage costs a bounded amount of memory and time,
//     and the loop never waits for one.
//
// # Concurrency
//
// A [Server] and a [Client] may be used by many goroutines.
package control
