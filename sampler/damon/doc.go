// Package damon hears what DAMON, the kernel's access monitor, says of the memory of
// processes.
//
// DAMON divides an address space into regions that it adapts, looks at one page of each
// every sampling interval, and after an aggregation interval tells by a tracepoint in how many of those
// intervals the page had been accessed. It works for memory that several processes map, of
// which the page-table source cannot clear the accessed bits. As it does not flush what processors have
// cached of the page table, it does not see each use of a page: it tells more from less used
// memory, and rates too low.
//
// # Whose DAMON
//
// DAMON has one array of workers for the whole host, in sysfs, and nobody owns them. A
// Monitor is only started where the array is empty, and leaves it empty; where it is
// not, somebody else uses it, and starting fails with ErrInUse. The kernel answers EBUSY while one of
// its own modules (damon_stat from 6.17 on) monitors. What a killed tierd has left behind Recover takes
// away: a note, kept where the caller says, tells it by the boot, the worker and its targets.
//
// A Monitor asks for no schemes: it moves nothing.
//
// # Concurrency
//
// A Monitor belongs to one goroutine.
//
// Kernel references: mm/damon/core.c, mm/damon/vaddr.c, mm/damon/sysfs.c,
// include/trace/events/damon.h; Documentation/admin-guide/mm/damon/usage.rst.
package damon
