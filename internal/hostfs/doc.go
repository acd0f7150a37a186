// Package hostfs reads what a Linux host says about itself in its process and
// device file systems. It is the only package of the module that knows where
// those files are; a test looks for path literals elsewhere.
//
// Reading and parsing are apart. Methods of [FS] open one file, read it once to
// a bound, and close it; functions named Parse… take the bytes and name the
// kernel file whose format they know. A parser never panics, whatever it is
// given, and each has a fuzz test.
//
// # Invariants
//
//   - Absent is not zero. A file that is not there is an error that wraps
//     [io/fs.ErrNotExist]; an optional field is a [Value] with OK false.
//   - Nothing waits. Files are opened with the raw system call and never enter
//     Go's poller: kernfs control files are pollable and may answer EAGAIN, in
//     which case os.ReadFile and os.WriteFile wait for ever. Here EAGAIN is an error.
//   - Nothing grows without bound: every read has a limit, and every list has
//     a largest number that it accepts.
//   - Under a root other than "/", no path leaves the root: the kernel resolves
//     symbolic links, absolute ones too, inside it (openat2, RESOLVE_IN_ROOT).
//   - Nothing is ever written.
//
// # Concurrency
//
// An [FS] is immutable after [New] and may be used by many goroutines.
//
// # Kernel references
//
// Documentation/filesystems/proc.rst, Documentation/admin-guide/mm/numaperf.rst,
// Documentation/ABI/stable/sysfs-devices-node, Documentation/ABI/testing/sysfs-kernel-mm-memory-tiers,
// Documentation/ABI/testing/sysfs-bus-cxl, Documentation/accounting/psi.rst,
// fs/proc/array.c, mm/vmstat.c, mm/memory-tiers.c.
package hostfs
