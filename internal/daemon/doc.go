// Package daemon is tierd's loop: it selects processes, samples them, asks the
// policy for a plan once per epoch, carries the plan out, and publishes what
// happened.
//
// One goroutine owns everything here; others see only the immutable status
// that it publishes. The ring of recordings is written by a goroutine of its
// own, which the loop hands blocks to and waits for at its end only.
//
// Sampling and moving take turns in slices of some tens of milliseconds, so that
// a window is read soon after it ends and a long plan does not blind the sampler.
//
// A new plan replaces what is left of the old one: it is made from newer
// knowledge.
package daemon
