/* SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

/*
 * What the guard reads of the kernel's own structures: only the members it needs, found at load time by the running
 * kernel's BTF (CO-RE), so one build runs on all kernels that have them by these names.
 */
#include <linux/types.h>

#define CGROUP_SUPER_MAGIC 0x27e0eb
#define CGROUP2_SUPER_MAGIC 0x63677270
#define PROC_SUPER_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572
#define BINFMTFS_MAGIC 0x42494e4d

#define MAY_WRITE 2
#define MAY_APPEND 8
#define MAY_ACCESS 16

#define ATTR_MODE 1
#define ATTR_UID 2
#define ATTR_GID 4

#define CAP_SYS_MODULE 16
#define CAP_SYS_BOOT 22

#define S_IFMT 00170000
#define S_IFDIR 0040000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
        const char *name;
        void *priv;
        __u64 id;
        struct kernfs_node *parent;
};

/* The member's name since 6.15. */
struct kernfs_node___since_6_15 {
        struct kernfs_node *__parent;
};

struct cgroup {
        int level;
        struct kernfs_node *kn;
        struct cgroup *ancestors[];
};

struct css_set {
        struct cgroup *dfl_cgrp;
};

struct user_namespace {
        int level; /* 0: the initial one */
};

struct file_system_type {
        const char *name;
};

typedef struct {
        int counter;
} atomic_t;

struct super_block {
        unsigned long s_magic;
        atomic_t s_active;
        struct block_device *s_bdev;
        struct file_system_type *s_type;
        struct user_namespace *s_user_ns;
};

struct inode {
        unsigned short i_mode;
        struct super_block *i_sb;
        void *i_private;
};

struct dentry {
        struct inode *d_inode;
};

struct iattr {
        unsigned int ia_valid;
};

struct file {
        struct inode *f_inode;
};

struct fdtable {
        unsigned int max_fds;
        struct file **fd;
};

struct files_struct {
        atomic_t count;
        struct fdtable *fdt;
};

struct pid {
        unsigned int level; /* of its namespace; 0: the initial one */
};

struct task_struct {
        struct css_set *cgroups;
        struct files_struct *files;
        struct pid *thread_pid;
};

/* The number of the system call: x86-64's, arm64's. */
struct pt_regs {
        unsigned long orig_ax;
};

struct pt_regs___arm64 {
        int syscallno;
};

struct ctl_table {
        const char *procname;
};

struct proc_dir_entry {
        const char *name;
};

struct proc_inode {
        struct proc_dir_entry *pde;
        struct ctl_table *sysctl_entry;
        struct inode vfs_inode;
};

#pragma clang attribute pop

/* By name only: bpf_core_enum_value() reads the running kernel's numbers. */
enum lockdown_reason {
        LOCKDOWN_DEV_MEM = 1,
        LOCKDOWN_EFI_TEST,
        LOCKDOWN_MSR,
        LOCKDOWN_TIOCSSERIAL,
        LOCKDOWN_INTEGRITY_MAX,
        LOCKDOWN_KCORE,
};
