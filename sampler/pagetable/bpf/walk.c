// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads accessed bits and placement from a process's page tables without
 * taking a lock of the process, and lists its mappings.
 *
 * The walk follows physical addresses through the direct map with
 * bpf_probe_read_kernel, which cannot fault. A table that is freed under it
 * yields garbage, so the entry that led to a table is read again after the
 * copy and the block is dropped if it changed.
 */
#include "core.h"

char LICENSE[] SEC("license") = "GPL";

#define MAX_BLOCKS 1024
#define MAX_SLOTS 32
#define NO_SLOT 0xff
#define NODE_GRANULES (1 << 18)
#define BLOCK_SHIFT 21
#define MAGIC_WORDS 8
#define NULL ((void *)0)

/* The format of the page tables: see format.go, which owns these numbers. */
const volatile __u32 page_shift = 12;
const volatile __u32 index_bits = 9;
const volatile __u64 present_mask = 0x101;
const volatile __u64 valid_mask = 0x1;	 /* cleared while a hint fault is armed */
const volatile __u8 invert_invalid = 1;	 /* then the frame bits are inverted (L1TF) */
const volatile __u64 leaf_mask = 0x80;
const volatile __u64 leaf_value = 0x80;
const volatile __u64 young_mask = 0x20;
const volatile __u32 young_shift = 5; /* young_mask == 1 << young_shift */
const volatile __u64 special_mask = 0x200;

/* Which slot a frame belongs to: node_of[frame >> granule_shift]. */
const volatile __u32 granule_shift = 9;
__u8 node_of[NODE_GRANULES];

enum kind {
	KIND_NONE = 0,	/* nothing is mapped */
	KIND_TABLE = 1, /* a table of base pages */
	KIND_LEAF = 2,	/* one huge page of leaf_shift bits */
	KIND_TORN = 3,	/* the table changed while it was read */
	KIND_FAULT = 4, /* the table could not be read */
};

struct block {
	__u64 young[8];	  /* a bit for each 4 KiB page */
	__u64 present[8];
	__u8 slot[32];	  /* of each 64 KiB piece; NO_SLOT: none or mixed */
	__u16 count[MAX_SLOTS]; /* present 4 KiB pages on each slot */
	__u16 present_pages;
	__u16 young_pages;
	__u8 kind;
	__u8 leaf_shift; /* of the entry that ended the walk: what it maps, or leaves out */
	__u16 armed_pages; /* present, and made inaccessible: the next access is a hint fault */
};

enum mode {
	MODE_WALK = 0,
	MODE_CALIBRATE = 1,
	MODE_WAITERS = 2, /* only tell whether somebody waits for the address space */
};

struct request {
	__u64 base;	 /* of the direct map; the first one to try in calibration */
	__u64 phys_mask; /* the frame's bits of an entry */
	__u64 budget_ns; /* stop after this long: the program runs under RCU */
	__u64 magic[MAGIC_WORDS];
	__u32 levels;
	__u32 n;
	__u32 mode;
	__u32 candidates; /* how many bases to try */
	__u64 addr[MAX_BLOCKS];
};

struct result {
	__u64 base; /* found by calibration; 0: none */
	__u64 pgd;
	__u64 exec;
	__u64 ns;
	__u32 done; /* blocks that were read */
	__u32 visited; /* 1: the task is there; 2: it has an address space */
	__u32 waiters; /* somebody waits for the lock of the address space */
	__u32 pad;
	struct block block[MAX_BLOCKS];
};

#define RWSEM_FLAG_WAITERS 2 /* kernel/locking/rwsem.c */

struct request req;
struct result res;
__u64 table[512];

/*
 * The state of one run lies in global variables, and the parts of the walk are
 * global functions: so the verifier looks at each of them once, instead of
 * anew for every path that leads to it. That is a second of start-up time on
 * a slow machine.
 */
struct block empty;
__u64 started;
/* the last level-1 table, so that neighbours do not descend again */
__u64 cached_key;
__u64 cached_table;

/* What a descent finds: the entry that ends it, where it lies, and its level. */
struct found {
	__u64 entry;
	__u64 entry_at;
	__u64 table; /* of base pages, when level is 0 */
	__u32 level;
	__u32 kind;
} found;

static __always_inline __u64 frame_of(__u64 e, __u64 phys_mask)
{
	if (invert_invalid && !(e & valid_mask))
		e = ~e;
	return e & phys_mask;
}

static __always_inline int slot_of(__u64 phys)
{
	__u64 i = (phys >> page_shift) >> granule_shift;

	if (i >= NODE_GRANULES)
		return NO_SLOT;
	return node_of[i];
}

__attribute__((noinline)) int descend(__u64 addr, __u64 base)
{
	__u64 at = res.pgd, e = 0, slot;
	__u64 mask = (1ULL << index_bits) - 1;
	__u64 key = addr >> (page_shift + 2 * index_bits);
	int level = req.levels - 1;
	__u32 i;

	found.kind = KIND_NONE;
	found.level = 0;
	found.table = 0;
	if (cached_table && cached_key == key) {
		level = 1;
		at = cached_table;
	}
	for (i = 0; i < 4; i++) {
		if (level < 1)
			break;
		if (level == 1) {
			cached_key = key;
			cached_table = at;
		}
		slot = at + (((addr >> (page_shift + level * index_bits)) & mask) << 3);
		if (bpf_probe_read_kernel(&e, sizeof(e), (void *)slot)) {
			found.kind = KIND_FAULT;
			return 0;
		}
		found.level = level;
		if (!(e & present_mask))
			return 0;
		found.entry = e;
		found.entry_at = slot;
		if ((e & leaf_mask) == leaf_value) {
			found.kind = KIND_LEAF;
			return 0;
		}
		at = base + (e & req.phys_mask);
		level--;
	}
	found.level = 0;
	found.table = at;
	found.kind = KIND_TABLE;
	return 0;
}

__attribute__((noinline)) int read_leaf(__u32 bi, __u64 addr)
{
	__u64 size = 1ULL << (page_shift + found.level * index_bits);
	__u64 phys = frame_of(found.entry, req.phys_mask) & ~(size - 1);
	__u64 young = found.entry & young_mask ? ~0ULL : 0, slots;
	struct block *b = &res.block[bi & (MAX_BLOCKS - 1)];
	__u32 slot = slot_of(phys + (addr & (size - 1))), i;

	b->present_pages = 512;
	b->young_pages = young ? 512 : 0;
	b->armed_pages = found.entry & valid_mask ? 0 : 512;
	slots = slot * 0x0101010101010101ULL;
	for (i = 0; i < 8; i++) {
		b->present[i] = ~0ULL;
		b->young[i] = young;
		((__u64 *)b->slot)[i & 3] = slots;
	}
	if (slot < MAX_SLOTS)
		b->count[slot & (MAX_SLOTS - 1)] = 512;
	return 0;
}

/* Reads one piece of a table entry by entry: 16 of 4 KiB, or one of 64 KiB. */
__attribute__((noinline)) int read_entries(__u32 piece, __u32 bi)
{
	struct block *b = &res.block[bi & (MAX_BLOCKS - 1)];
	__u32 per = page_shift == 16 ? 1 : 16, weight = page_shift == 16 ? 16 : 1;
	__u64 young = 0, present = 0, e, bit;
	__u32 first = NO_SLOT, mixed = 0, slot, j;

	piece &= 31;
	for (j = 0; j < per; j++) {
		e = table[(piece * per + j) & 511];
		if (!(e & present_mask) || (e & special_mask))
			continue;
		bit = !!(e & young_mask);
		b->armed_pages += e & valid_mask ? 0 : weight;
		present |= 1ULL << j;
		young |= bit << j;
		slot = slot_of(frame_of(e, req.phys_mask));
		if (first == NO_SLOT)
			first = slot;
		mixed |= slot ^ first;
		if (slot < MAX_SLOTS)
			b->count[slot & (MAX_SLOTS - 1)] += weight;
	}
	if (weight == 16) {
		present = present ? 0xffff : 0;
		young = young ? 0xffff : 0;
	}
	j = (piece & 3) * 16;
	b->present[(piece >> 2) & 7] |= present << j;
	b->young[(piece >> 2) & 7] |= young << j;
	b->slot[piece] = mixed ? NO_SLOT : first;
	return 0;
}

/*
 * Reads one piece of a table. The usual one has all its pages, in one granule:
 * then the conjunction and the disjunction of its entries say all that they
 * have in common, without a branch for each, which is three times faster.
 */
static long read_piece(__u32 piece, void *ctx)
{
	__u32 bi = *(__u32 *)ctx & (MAX_BLOCKS - 1), slot, at, j;
	/* Read once: each use of a volatile constant is a load. */
	__u64 ym = young_mask, all = ~0ULL, any = 0, young = 0, e;
	struct block *b = &res.block[bi];
	const __u64 *entry;

	piece &= 31;
	entry = &table[piece * 16];
#pragma unroll
	for (j = 0; j < 16; j++) {
		e = entry[j];
		all &= e;
		any |= e;
		young |= (e & ym) << j;
	}
	/* What differs among them must be neither the granule nor the validity. */
	e = ((all ^ any) & req.phys_mask) >> (page_shift + granule_shift);
	if (page_shift == 16 || !(all & present_mask) || (any & special_mask) || e || ((all ^ any) & valid_mask)) {
		read_entries(piece, bi);
		return 0;
	}
	slot = slot_of(frame_of(all, req.phys_mask));
	at = (piece & 3) * 16;
	b->present[piece >> 2] |= 0xffffULL << at;
	b->young[piece >> 2] |= (young >> young_shift) << at;
	b->slot[piece] = slot;
	b->armed_pages += all & valid_mask ? 0 : 16;
	if (slot < MAX_SLOTS)
		b->count[slot & (MAX_SLOTS - 1)] += 16;
	return 0;
}

static __always_inline __u32 ones(__u64 v)
{
	v -= (v >> 1) & 0x5555555555555555ULL;
	v = (v & 0x3333333333333333ULL) + ((v >> 2) & 0x3333333333333333ULL);
	v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (v * 0x0101010101010101ULL) >> 56;
}

__attribute__((noinline)) int read_table(__u32 bi, __u64 addr)
{
	__u64 again = 0, mask = (1ULL << index_bits) - 1, same = req.phys_mask | present_mask;
	__u32 bytes = (1U << (BLOCK_SHIFT - page_shift)) * 8, i;
	struct block *b = &res.block[bi & (MAX_BLOCKS - 1)];

	if (bytes > sizeof(table))
		bytes = sizeof(table);
	if (bpf_probe_read_kernel(table, bytes, (void *)(found.table + (((addr >> page_shift) & mask) << 3))))
		return KIND_FAULT;
	if (bpf_probe_read_kernel(&again, sizeof(again), (void *)found.entry_at) ||
	    (again & same) != (found.entry & same))
		return KIND_TORN;
	bpf_loop(32, read_piece, &bi, 0);
#pragma unroll
	for (i = 0; i < 8; i++) {
		b->present_pages += ones(b->present[i]);
		b->young_pages += ones(b->young[i]);
	}
	return KIND_TABLE;
}

static long read_block(__u32 i, void *ctx)
{
	struct block *b = &res.block[i & (MAX_BLOCKS - 1)];
	__u64 addr = req.addr[i & (MAX_BLOCKS - 1)];
	__u32 kind;

	if (i >= req.n || i >= MAX_BLOCKS)
		return 1;
	if ((i & 3) == 3 && bpf_ktime_get_ns() - started > req.budget_ns)
		return 1;
	bpf_probe_read_kernel(b, sizeof(*b), &empty);
	descend(addr, req.base);
	kind = found.kind;
	b->leaf_shift = page_shift + found.level * index_bits;
	if (kind == KIND_LEAF)
		read_leaf(i, addr);
	else if (kind == KIND_TABLE)
		kind = read_table(i, addr);
	b->kind = kind;
	res.done = i + 1;
	return 0;
}

/* Tries one base: does the known page, reached through it, hold what we wrote? */
static long try_base(__u32 i, void *ctx)
{
	__u64 base = req.base - ((__u64)i << 30);
	__u64 addr = req.addr[0], e = 0, word = 0, mask = (1ULL << index_bits) - 1;
	__u32 j;

	cached_table = 0;
	descend(addr, base);
	if (found.kind != KIND_TABLE)
		return 0;
	if (bpf_probe_read_kernel(&e, sizeof(e), (void *)(found.table + (((addr >> page_shift) & mask) << 3))))
		return 0;
	if (!(e & present_mask))
		return 0;
	e = base + frame_of(e, req.phys_mask);
	for (j = 0; j < MAGIC_WORDS; j++) {
		if (bpf_probe_read_kernel(&word, sizeof(word), (void *)(e + j * 8)) || word != req.magic[j])
			return 0;
	}
	res.base = base;
	return 1;
}

SEC("iter/task")
int walk_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct mm_struct *mm;

	if (!task)
		return 0;
	res.visited = 1;
	mm = task->mm;
	if (!mm)
		return 0;
	res.visited = 2;
	if (req.mode == MODE_WAITERS) {
		res.waiters = 0;
		/* Not on a real-time kernel, whose locks hand themselves over. */
		if (bpf_core_field_exists(mm->mmap_lock.count.counter))
			res.waiters = !!(mm->mmap_lock.count.counter & RWSEM_FLAG_WAITERS);
		return 0;
	}
	res.exec = task->self_exec_id;
	res.pgd = (__u64)mm->pgd;
	started = bpf_ktime_get_ns();
	cached_table = 0;
	if (req.mode == MODE_CALIBRATE)
		bpf_loop(req.candidates, try_base, NULL, 0);
	else
		bpf_loop(MAX_BLOCKS, read_block, NULL, 0);
	res.ns = bpf_ktime_get_ns() - started;
	return 0;
}

/* What kind of mapping it is, as far as sampling and moving are concerned. */
#define VM_SHARED 0x00000008UL
#define VM_PFNMAP 0x00000400UL
#define VM_LOCKED 0x00002000UL
#define VM_IO 0x00004000UL
#define VM_HUGETLB 0x00400000UL
#define VM_MIXEDMAP 0x10000000UL
#define VM_NOHUGEPAGE 0x40000000UL

enum class {
	CLASS_FILE = 1,
	CLASS_SHARED = 2,
	CLASS_DEVICE = 4,
	CLASS_LOCKED = 8,
	CLASS_HUGETLB = 16,
	CLASS_BOUND = 32,
};

struct run {
	__u64 start, end;
	__u32 class;
	__u32 vmas;
	__u32 huge; /* of its mappings, those in which huge pages may appear */
	/* of shared memory: the file, or what stands for one, and where in it the run begins */
	__u32 dev;
	__u64 inode;
	__u64 offset;
};

/* Neighbours of one class are reported as one run: a process of a million
 * mappings has few runs. The last one stays here for user space to read. */
struct run last_run;
__u64 vma_total;
__u32 task_policy; /* mode of the task's own mempolicy, plus one; 0: none */
/*
 * Set at the end of the list. A read after that shows the mappings after the last full
 * buffer again: the kernel forgets that an iterator over one task is at its end,
 * and a reader that waits for the end of file would never see it.
 */
__u32 listed;

SEC("iter/task_vma")
int list_vmas(struct bpf_iter__task_vma *ctx)
{
	struct vm_area_struct *vma = ctx->vma;
	struct task_struct *task = ctx->task;
	struct mempolicy *policy;
	struct inode *inode;
	unsigned long flags;
	__u64 number = 0, offset = 0;
	__u32 class = 0, dev = 0;

	if (!vma || !task) {
		listed = 1;
		return 0;
	}
	if (listed)
		return 0;
	flags = vma->vm_flags;
	if (vma->vm_file)
		class |= CLASS_FILE;
	if (flags & VM_SHARED)
		class |= CLASS_SHARED;
	if (flags & (VM_PFNMAP | VM_IO | VM_MIXEDMAP))
		class |= CLASS_DEVICE;
	if (flags & VM_LOCKED)
		class |= CLASS_LOCKED;
	if (flags & VM_HUGETLB)
		class |= CLASS_HUGETLB;
	if (bpf_core_field_exists(vma->vm_policy) && vma->vm_policy)
		class |= CLASS_BOUND;
	if (bpf_core_field_exists(task->mempolicy)) {
		policy = task->mempolicy;
		task_policy = policy ? policy->mode + 1 : 0;
	}
	if (vma->vm_file && flags & VM_SHARED) {
		inode = vma->vm_file->f_mapping->host; /* who owns the pages */
		number = inode->i_ino;
		dev = inode->i_sb->s_dev;
		offset = vma->vm_pgoff << page_shift;
	}
	if (last_run.end == vma->vm_start && last_run.class == class && last_run.vmas && last_run.inode == number && last_run.dev == dev &&
	    (!number || last_run.offset + (last_run.end - last_run.start) == offset)) {
		last_run.end = vma->vm_end;
		last_run.vmas++;
		last_run.huge += !(flags & VM_NOHUGEPAGE);
	} else {
		/* When the buffer is full the kernel shows this mapping again. */
		if (last_run.vmas && bpf_seq_write(ctx->meta->seq, &last_run, sizeof(last_run)))
			return 0;
		last_run.start = vma->vm_start;
		last_run.end = vma->vm_end;
		last_run.class = class;
		last_run.vmas = 1;
		last_run.huge = !(flags & VM_NOHUGEPAGE);
		last_run.inode = number;
		last_run.dev = dev;
		last_run.offset = offset;
	}
	vma_total++;
	return 0;
}
