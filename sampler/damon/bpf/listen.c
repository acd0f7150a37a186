// SPDX-License-Identifier: GPL-2.0-only
/*
 * Passes on what one worker of DAMON says at the end of each aggregation interval.
 */
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define core __attribute__((preserve_access_index))
#define __uint(name, val) int(*name)[val]

char LICENSE[] SEC("license") = "GPL";

/* The helpers in use, by their number in include/uapi/linux/bpf.h. */
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_ringbuf_output)(void *ringbuf, void *data, __u64 size, __u64 flags) = (void *)130;

#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_RB_NO_WAKEUP 1

struct damon_addr_range {
	unsigned long start;
	unsigned long end;
} core;

struct damon_region {
	struct damon_addr_range ar;
	unsigned int nr_accesses;
} core;

/* What is said of one of DAMON's regions. */
struct said {
	__u64 start;
	__u64 end;
	__u32 target; /* its index among the worker's */
	__u32 accesses;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 19);
} heard SEC(".maps");

__u32 worker; /* whom to listen to: a thread of the kernel */
__u64 lost;

/* damon_aggregated(target_id, region, nr_regions) */
SEC("tp_btf/damon_aggregated")
int aggregated(__u64 *ctx)
{
	struct damon_region *r = (struct damon_region *)ctx[1];
	struct said s = {};

	if ((__u32)bpf_get_current_pid_tgid() != worker)
		return 0;
	s.start = r->ar.start;
	s.end = r->ar.end;
	s.target = (__u32)ctx[0];
	s.accesses = r->nr_accesses;
	if (bpf_ringbuf_output(&heard, &s, sizeof(s), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}
