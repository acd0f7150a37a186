// Package sampler keeps, for every process it is given, the regions of its
// address space with their rates and placement, and feeds them by sampling
// within a CPU budget.
//
// One sample of a region clears its accessed bits, waits for a window, and
// reads how many pages were touched. Windows are steered to the boundary
// rates that the policy reports: there a bit says most. Regions that are
// clearly on their side of the boundary are sampled less often when the
// budget does not reach for all. Most samples look at an eighth of a region;
// where its pages differ, at all of them: see detail.
//
// What many regions have in common is how fast the process runs: see pace.
// A region counts as changed when a second sample says so as well. What is used
// for a moment in each training step is known from its neighbours: see extent.
//
// The Tracker owns no goroutine and reads no clock of its own: its owner calls
// Step when the time that the last Step returned has come. It is not safe for
// concurrent use.
package sampler
