// Package process holds on to one life of another process.
//
// A process number is reused, and after an execve the same process has another
// memory. A [Handle] names the life that was there when it was opened, and
// [Handle.Check] says, at any later moment, whether that life goes on.
//
// # What makes the identity
//
//   - a pidfd: it becomes readable when the process exits, and never means
//     another process afterwards;
//   - the start time (field 22 of the process's stat file), which together with
//     the number names a process for ever, also in a recording;
//   - the exec marker, mixed from the addresses of the stack (field 28) and of
//     the code (field 26). Both are drawn anew by execve as long as address
//     space randomisation is on.
//
// # Limits
//
// The kernel hides the two addresses from a reader that may not trace the
// process. Then the marker is 0 and an execve is not noticed; whoever lacks that
// right cannot move the process's memory either. With randomisation off
// (setarch -R) an execve of the same program with the same arguments and
// environment gives the same marker.
//
// # Invariants
//
//   - What Check reads is known to be of the handle's process: the pidfd is asked
//     after the stat file was read, not before.
//   - Threads of the kernel and the calling process itself are refused: neither
//     has memory that tierd may move.
//
// # Concurrency
//
// ID, FD and Check may be called from several goroutines; Close must be the last
// call.
//
// # Kernel references
//
// fs/proc/array.c (do_task_stat), kernel/fork.c (pidfd_poll), fs/exec.c
// (de_thread keeps the start time of the leader).
package process
