// Command bench measures what tierd promises and prints each number beside the one that is wanted. Run it from the
// module's folder:
//
//	go run ./test/bench                     everything; some 20 minutes
//	go run ./test/bench -only a -runs 3     one table, medians of three runs
//	go run ./test/bench -update             also rewrites the tables of docs/benchmarks.md
//
// Tables a to d are runs of package scenario in the emulated machine; table e measures on this host and needs root.
// That a number falls short is a result and not a failure: the exit code is 0. It is 1 when something could not be
// measured, 2 for usage.
package main
