// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the pages that are migrated on the host, by the reason that the kernel gives
 * and by whether tierd asked for it, and how long each call took.
 */
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

char LICENSE[] SEC("license") = "GPL";

/* The helpers in use, by their number in include/uapi/linux/bpf.h. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;

#define BPF_MAP_TYPE_ARRAY 2
#define BPF_MAP_TYPE_LRU_HASH 9
#define REASONS 32
#define BUCKETS 48

struct sums {
	__u64 moved; /* pages of the machine */
	__u64 failed;
	__u64 calls;
	__u64 nanos;
	__u64 took[BUCKETS]; /* calls, by the binary logarithm of 2^-30 s */
};

/* By reason, and those that tierd asked for after all others. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * REASONS);
	__type(key, __u32);
	__type(value, struct sums);
} reasons SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} begun SEC(".maps");

__u32 own; /* the process that is tierd */

/* mm_migrate_pages_start(mode, reason) */
SEC("tp_btf/mm_migrate_pages_start")
int begin(__u64 *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();
	__u64 now = bpf_ktime_get_ns();

	bpf_map_update_elem(&begun, &thread, &now, 0);
	return 0;
}

static void count(__u64 moved, __u64 failed, __u32 reason)
{
	__u64 id = bpf_get_current_pid_tgid(), took = 0, rest;
	__u32 thread = id, bucket = 0;
	__u64 *from = bpf_map_lookup_elem(&begun, &thread);
	struct sums *s;

	if (reason >= REASONS)
		reason = REASONS - 1;
	if (id >> 32 == own)
		reason += REASONS;
	s = bpf_map_lookup_elem(&reasons, &reason);
	if (!s)
		return;
	__sync_fetch_and_add(&s->moved, moved);
	__sync_fetch_and_add(&s->failed, failed);
	if (!from)
		return;
	took = bpf_ktime_get_ns() - *from;
	bpf_map_delete_elem(&begun, &thread);
	__sync_fetch_and_add(&s->calls, 1);
	__sync_fetch_and_add(&s->nanos, took);
	rest = took + took * 75 / 1024; /* 2^30 / 10^9 */
	for (bucket = 0; bucket < BUCKETS - 1 && rest; bucket++)
		rest >>= 1;
	__sync_fetch_and_add(&s->took[bucket], 1);
}

/* mm_migrate_pages(succeeded, failed, thp_succeeded, thp_failed, thp_split, mode, reason) */
SEC("tp_btf/mm_migrate_pages")
int end_7(__u64 *ctx)
{
	count(ctx[0], ctx[1], ctx[6]);
	return 0;
}

/* The same with large_folio_split before the mode. */
SEC("tp_btf/mm_migrate_pages")
int end_8(__u64 *ctx)
{
	count(ctx[0], ctx[1], ctx[7]);
	return 0;
}
