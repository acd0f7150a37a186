// Package topology finds out what memory a host has: its nodes and how fast they are, the tiers that
// they make, the GPUs and the node that each is near to.
//
// [Discover] reads the host through internal/hostfs, on the running machine or in a copy of its files, and
// returns a [Machine]. Every fact carries its provenance, and what is not certain is a [Finding] that
// says which key of the configuration settles it.
//
// # How a node is classified
//
// The first of these that has an answer decides:
//
//  1. the operator: [tier.NAME] nodes;
//  2. the NVIDIA driver (numa_status), or a "System RAM (NVIDIA)" resource: GPU memory, in no tier;
//  3. the node has CPUs: dram;
//  4. a CXL window or an NVDIMM's dax device behind the node: cxl;
//  5. HMAT, as CPUs see it: hbm, dram or cxl by the kernel's own formula for the abstract distance;
//  6. the kernel's memory tiers, from 6.12 on: 6.1 to 6.11 ignore HMAT, so their tiers prove nothing;
//  7. distance: a node without CPUs that nothing else speaks for is taken for the slow side, and reported.
//
// HBM of an MI300A has CPUs, and there is nothing faster or slower beside it: one tier, dram. HBM of a Xeon Max in flat
// mode has none, and HMAT puts it above DRAM.
//
// # Invariants
//
//   - A fact that the host does not give is unknown. It is never invented; a value that is assumed because
//     something must be computed with it says so in its provenance.
//   - GPU memory is in no tier unless the operator names it.
//   - A node is in at most one tier. AccessNS rises by at least 5 % from each tier to the next, for
//     tiers and for their nodes.
//   - The result is the same for the same files.
//
// # Concurrency
//
// Nothing here keeps state. A Machine is not changed after Discover has returned it and may be shared.
//
// # Kernel references
//
// Documentation/admin-guide/mm/numaperf.rst (access classes), mm/memory-tiers.c (mt_perf_to_adistance),
// drivers/acpi/numa/hmat.c, Documentation/ABI/testing/sysfs-bus-cxl, sysfs-bus-dax, Documentation/driver-api/cxl.
package topology
