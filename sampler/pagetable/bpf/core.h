/* SPDX-License-Identifier: GPL-2.0-only */
/* The few kernel types that the programs read, by CO-RE: only the fields named here matter. */
#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define core __attribute__((preserve_access_index))
#define bpf_core_field_exists(field) __builtin_preserve_field_info(field, 2)

/* The helpers in use, by their number in include/uapi/linux/bpf.h. */
static long (*bpf_probe_read_kernel)(void *dst, __u32 size, const void *from) = (void *)113;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;

struct seq_file;
static long (*bpf_seq_write)(struct seq_file *m, const void *data, __u32 len) = (void *)127;
static long (*bpf_loop)(__u32 n, void *callback, void *ctx, __u64 flags) = (void *)181;

struct atomic_long {
	long counter;
} core;

struct rw_semaphore {
	struct atomic_long count;
} core;

struct mm_struct {
	void *pgd;
	struct rw_semaphore mmap_lock;
} core;

struct mempolicy {
	unsigned short mode;
} core;

struct super_block {
	__u32 s_dev;
} core;

struct inode {
	unsigned long i_ino;
	struct super_block *i_sb;
} core;

struct address_space {
	struct inode *host;
} core;

struct file {
	struct address_space *f_mapping;
} core;

struct vm_area_struct {
	unsigned long vm_start;
	unsigned long vm_end;
	unsigned long vm_flags;
	unsigned long vm_pgoff;
	struct file *vm_file;
	struct mempolicy *vm_policy;
} core;

struct task_struct {
	struct mm_struct *mm;
	struct mempolicy *mempolicy;
	__u64 self_exec_id;
} core;

struct bpf_iter_meta {
	struct seq_file *seq;
} core;

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} core;

struct bpf_iter__task_vma {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	struct vm_area_struct *vma;
} core;
