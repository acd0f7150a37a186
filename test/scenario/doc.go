// Package scenario runs a workload and something that moves its memory, tierd or the kernel's own tiering, in the
// emulated machine of package vm, and returns what happened as a series of samples. The demo, the benchmark and the
// smoke test are made of it.
//
//	series, err := scenario.Scenario{
//		Mover:    scenario.Tierd,
//		Load:     []string{"--size", "1GiB", "--hot", "96MiB", "--node", "2", "--shift", "50s"},
//		Config:   "mode = \"enforce\"\n[workload.load]\ncomm = [\"tierload\"]\n",
//		Duration: 100 * time.Second,
//	}.Run(ctx, func(s scenario.Sample) { … })
//
// # What a run does
//
// A small program (package guest) is the only one that the machine runs. It turns the kernel's NUMA balancing and
// demotion off, or on for the kernel as the mover; starts tierload and waits until that has touched its memory; starts
// the mover and the accesses; and once a second, with every line of tierload, prints a Sample. At the end it stops tierd by SIGTERM,
// looks for what it left behind, and lets tierload write its summary.
//
// Time zero is when the mover starts: for tierd just before it is executed, so that its own start counts. Each sample's time is
// when tierload's line arrived, which is after it was measured.
//
// # Invariants
//
//   - What tierd costs is read from the kernel's accounting of its process, not from what it says of itself.
//   - Counters of a sample count from time zero on.
//   - A run in which tierload or tierd ends early, or the guest loses lines, is an error and not a short series.
//   - Only the scenario writes the guest's sysctls; that they are as it left them is checked at the end.
package scenario
