// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the samples of a perf event in the watched address spaces, by 2 MiB of memory and
 * by the node of the CPU, and adds up how long the sampled accesses took where that is known.
 */
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define core __attribute__((preserve_access_index))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __always_inline inline __attribute__((always_inline))
#define NULL ((void *)0)

char LICENSE[] SEC("license") = "GPL";

struct mm_struct;

struct task_struct {
	struct mm_struct *mm;
} core;

/* The helpers in use, by their number in include/uapi/linux/bpf.h. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static struct task_struct *(*bpf_get_current_task)(void) = (void *)35;
static __u64 (*bpf_get_numa_node_id)(void) = (void *)42;
static long (*bpf_probe_read_kernel)(void *dst, __u32 size, const void *from) = (void *)113;

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_NOEXIST 1
#define BLOCK_SHIFT 21
#define PERF_SAMPLE_WEIGHT_TYPE ((1ULL << 14) | (1ULL << 24)) /* PERF_SAMPLE_WEIGHT, _WEIGHT_STRUCT */

/* What a program of this type is given, include/uapi/linux/bpf_perf_event.h. */
#if defined(__TARGET_ARCH_x86)
#define REGS 21
#elif defined(__TARGET_ARCH_arm64)
#define REGS 34
#endif

struct bpf_perf_event_data {
	__u64 regs[REGS];
	__u64 sample_period;
	__u64 addr;
};

/* And what the kernel has made of it. */
union perf_sample_weight {
	__u64 full;
} core;

struct perf_sample_data {
	__u64 sample_flags;
	union perf_sample_weight weight;
} core;

struct bpf_perf_event_data_kern {
	struct perf_sample_data *data;
} core;

extern void *bpf_cast_to_kern_ctx(void *ctx) __attribute__((section(".ksyms"))) __attribute__((weak));

/* What is known of 2 MiB of one address space. */
struct place {
	__u64 block; /* address >> BLOCK_SHIFT */
	__u32 space; /* a value of spaces */
	__u32 node;  /* of the CPU */
};

struct hits {
	__u32 count;
	__u32 weighed; /* those of them of which it is known how long they took */
	__u64 weight;  /* of these together, in cycles */
};

/* The watched address spaces; the map of internal/bpf is taken for it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} spaces SEC(".maps");

struct counts {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct place);
	__type(value, struct hits);
};

struct counts counts_0 SEC(".maps");
struct counts counts_1 SEC(".maps");

/* One is filled while the other is read. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__uint(value_size, sizeof(__u32));
	struct counts *values[2];
} buffers SEC(".maps") = {.values = {&counts_0, &counts_1}};

__u32 active;  /* the buffer that is filled */
__u64 seen;    /* samples of watched spaces; what the buffers lack of it is lost */
__u64 runs;    /* samples of anything */
__u64 took_ns; /* of this program, for all of them */

static __always_inline void count(__u64 addr, __u64 weight)
{
	struct task_struct *task = bpf_get_current_task();
	struct mm_struct *mm = NULL;
	__u32 *space, which = active & 1;
	struct place at = {};
	struct hits *h, first = {};
	void *counts;

	/* Of what the kernel does only that counts which it does to the process's memory. */
	if (!addr || addr >> 63 || bpf_probe_read_kernel(&mm, sizeof(mm), &task->mm))
		return;
	space = bpf_map_lookup_elem(&spaces, &mm);
	if (!space)
		return;
	__sync_fetch_and_add(&seen, 1);
	counts = bpf_map_lookup_elem(&buffers, &which);
	if (!counts)
		return;
	at.block = addr >> BLOCK_SHIFT;
	at.space = *space;
	at.node = bpf_get_numa_node_id();
	h = bpf_map_lookup_elem(counts, &at);
	if (!h) {
		/* Another CPU may be first. */
		bpf_map_update_elem(counts, &at, &first, BPF_NOEXIST);
		h = bpf_map_lookup_elem(counts, &at);
		if (!h)
			return;
	}
	__sync_fetch_and_add(&h->count, 1);
	if (weight) {
		__sync_fetch_and_add(&h->weighed, 1);
		__sync_fetch_and_add(&h->weight, weight);
	}
}

/* Kernels before 6.2 do not show programs how long an access took. */
SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	__u64 began = bpf_ktime_get_ns();

	count(ctx->addr, 0);
	__sync_fetch_and_add(&runs, 1);
	__sync_fetch_and_add(&took_ns, bpf_ktime_get_ns() - began);
	return 0;
}

SEC("perf_event")
int sample_weight(struct bpf_perf_event_data *ctx)
{
	__u64 began = bpf_ktime_get_ns(), weight = 0;
	struct bpf_perf_event_data_kern *kern = bpf_cast_to_kern_ctx(ctx);
	struct perf_sample_data *data = kern->data;

	if (data->sample_flags & PERF_SAMPLE_WEIGHT_TYPE)
		weight = data->weight.full & 0xffffffff; /* the rest is other latencies, where there are any */
	count(ctx->addr, weight);
	__sync_fetch_and_add(&runs, 1);
	__sync_fetch_and_add(&took_ns, bpf_ktime_get_ns() - began);
	return 0;
}
