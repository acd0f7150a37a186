// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counts the hint faults of NUMA balancing in the watched address spaces, by 2 MiB
 * of memory and by the node of the CPU that touched it.
 *
 * The functions that decide where the page of a hint fault belongs are called for
 * base pages and for huge ones, with all that is asked for: do_numa_page itself is
 * inlined. At their exit the flags say whether the page lay on the CPU's node.
 */
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define core __attribute__((preserve_access_index))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __always_inline inline __attribute__((always_inline))
#define NULL ((void *)0)

struct task_struct;

char LICENSE[] SEC("license") = "GPL";

/* The helpers in use, by their number in include/uapi/linux/bpf.h. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_probe_read_kernel)(void *dst, __u32 size, const void *from) = (void *)113;
static __u64 (*bpf_get_numa_node_id)(void) = (void *)42;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static long (*bpf_loop)(__u32 n, void *fn, void *ctx, __u64 flags) = (void *)181;
static struct task_struct *(*bpf_get_current_task_btf)(void) = (void *)158;

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_ARRAY_OF_MAPS 12
#define BPF_NOEXIST 1
#define BLOCK_SHIFT 21
#define TNF_FAULT_LOCAL 0x08 /* include/linux/sched/numa_balancing.h */

struct mm_struct;

struct vm_area_struct {
	struct mm_struct *vm_mm;
} core;

struct vm_fault {
	struct vm_area_struct *vma;
} core;

struct task_struct {
	struct mm_struct *mm;
} core;

/* What is known of 2 MiB of one address space. */
struct place {
	__u64 block; /* address >> BLOCK_SHIFT */
	__u32 space; /* a value of spaces */
	__u32 node;  /* of the CPU */
};

struct faults {
	__u32 local; /* the page lay on that node */
	__u32 remote;
	__u32 unknown; /* where the page lay */
	__u32 pad;
};

#define ROUND_STEPS 8
#define STEP_SHIFT 20 /* the first step ends about a millisecond after arming, each next one four times as late */

/* The pages of 2 MiB that were made inaccessible at once, and how soon they were touched. */
struct stretch {
	__u64 block;
	__u32 space;
	__u32 pad;
};

struct round {
	__u64 armed; /* ns on the monotonic clock */
	__u32 within[ROUND_STEPS];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct stretch);
	__type(value, struct round);
} rounds SEC(".maps");

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
	__type(value, struct faults);
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

__u32 active; /* the buffer that is filled */
__u64 seen;   /* faults of watched spaces; what the buffers lack of it is lost */

/* Notes how long a page was inaccessible before it was touched. */
static __always_inline void touch(__u32 space, __u64 addr)
{
	struct stretch at = {.block = addr >> BLOCK_SHIFT, .space = space};
	struct round *r = bpf_map_lookup_elem(&rounds, &at);
	__u64 past;
	__u32 step;

	if (!r)
		return;
	past = (bpf_ktime_get_ns() - r->armed) >> STEP_SHIFT;
	for (step = 0; step < ROUND_STEPS - 1 && past; step++)
		past >>= 2;
	__sync_fetch_and_add(&r->within[step & (ROUND_STEPS - 1)], 1);
}

static void count(struct mm_struct *mm, __u64 addr, const int *flags)
{
	__u32 *n;
	__u64 key = (__u64)mm;
	__u32 *space = bpf_map_lookup_elem(&spaces, &key);
	__u32 which = active & 1;
	struct place at = {};
	struct faults *f, first = {};
	void *counts;
	int how = 0;

	if (!space)
		return;
	__sync_fetch_and_add(&seen, 1);
	counts = bpf_map_lookup_elem(&buffers, &which);
	if (!counts)
		return;
	at.block = addr >> BLOCK_SHIFT;
	at.space = *space;
	at.node = bpf_get_numa_node_id();
	f = bpf_map_lookup_elem(counts, &at);
	if (!f) {
		/* Another CPU may be first. */
		bpf_map_update_elem(counts, &at, &first, BPF_NOEXIST);
		f = bpf_map_lookup_elem(counts, &at);
		if (!f)
			return;
	}
	n = &f->unknown;
	if (flags) {
		bpf_probe_read_kernel(&how, sizeof(how), flags);
		n = how & TNF_FAULT_LOCAL ? &f->local : &f->remote;
		touch(*space, addr);
	}
	__sync_fetch_and_add(n, 1);
}

/* numa_migrate_check(folio, vmf, addr, flags, writable, last_cpupid), from 6.12 on */
SEC("fexit/numa_migrate_check")
int checked(__u64 *ctx)
{
	struct vm_fault *vmf = (struct vm_fault *)ctx[1];

	count(vmf->vma->vm_mm, ctx[2], (const int *)ctx[3]);
	return 0;
}

/* numa_migrate_prep(folio, vmf, addr, page_nid, flags), in 6.10 and 6.11 */
SEC("fexit/numa_migrate_prep")
int prepared_fault(__u64 *ctx)
{
	struct vm_fault *vmf = (struct vm_fault *)ctx[1];

	count(vmf->vma->vm_mm, ctx[2], (const int *)ctx[4]);
	return 0;
}

/* numa_migrate_prep(page, vma, addr, page_nid, flags), before that */
SEC("fexit/numa_migrate_prep")
int prepared(__u64 *ctx)
{
	struct vm_area_struct *vma = (struct vm_area_struct *)ctx[1];

	count(vma->vm_mm, ctx[2], (const int *)ctx[4]);
	return 0;
}

/*
 * page_fault_user(address, regs, error_code): every fault of a user's access, where
 * functions cannot be hooked. A hint fault looks like one of a page that is not there.
 */
SEC("tp_btf/page_fault_user")
int touched(__u64 *ctx)
{
	count(bpf_get_current_task_btf()->mm, ctx[0], NULL);
	return 0;
}

#define MAX_ARMED 4096 /* blocks of one call: 8 GiB */

struct arming {
	__u64 block, end, now;
	__u32 space;
};

static long arm_block(__u32 i, void *ctx)
{
	struct arming *a = ctx;
	struct stretch at = {.block = a->block + i, .space = a->space};
	struct round begun = {.armed = a->now};

	if (at.block >= a->end)
		return 1;
	bpf_map_update_elem(&rounds, &at, &begun, 0);
	return 0;
}

/* change_prot_numa(vma, addr, end): makes pages inaccessible */
SEC("fentry/change_prot_numa")
int armed(__u64 *ctx)
{
	struct vm_area_struct *vma = (struct vm_area_struct *)ctx[0];
	__u64 mm = (__u64)vma->vm_mm;
	__u32 *space = bpf_map_lookup_elem(&spaces, &mm);
	struct arming a = {};

	if (!space)
		return 0;
	/* Of a block at the edge of a mapping only a part is armed; what is armed is seen in the page table. */
	a.block = ctx[1] >> BLOCK_SHIFT;
	a.end = (ctx[2] + (1ULL << BLOCK_SHIFT) - 1) >> BLOCK_SHIFT;
	a.now = bpf_ktime_get_ns();
	a.space = *space;
	bpf_loop(MAX_ARMED, arm_block, &a, 0);
	return 0;
}
