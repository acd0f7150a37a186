// SPDX-License-Identifier: GPL-2.0-only
/*
 * Finds the address space of a process.
 */
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define core __attribute__((preserve_access_index))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

char LICENSE[] SEC("license") = "GPL";

#define BPF_MAP_TYPE_HASH 1

struct mm_struct;

struct task_struct {
	struct mm_struct *mm;
} core;

struct bpf_iter__task {
	struct task_struct *task;
} core;

/*
 * The watched address spaces, by the address of the mm: a process has a new one
 * after each execve. Other programs look here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} spaces SEC(".maps");

__u64 found; /* the address space of the task that the iterator visits */

SEC("iter/task")
int find(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		found = (__u64)task->mm;
	return 0;
}
