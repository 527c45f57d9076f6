// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard: what keeps root inside a domain from going round the seal. Programs of type lsm_cgroup on the driver
 * group; they run for every task below it, and return 1 to go on or 0 for EPERM.
 *
 * The own domain is the ancestor at domain_level of the task's group. Where something cannot be read, the answer is no.
 */
#include "kernel.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define ALLOW 1
#define DENY 0

/* Level of the domains in the hierarchy of the whole system, its root being 0; set before loading. */
const volatile __u32 domain_level;

#define equals(name, constant)                                     \
        ({                                                         \
                static const char text[] = constant;               \
                bpf_strncmp(name, sizeof(text), text) == 0;        \
        })

/* ---- where something is ---- */

enum place {
        OUTSIDE,  /* of the task's own domain */
        TOP,      /* the domain's own group */
        BELOW,    /* a group that the tenant made */
};

static __always_inline __u64 own_domain(void) {
        return bpf_get_current_ancestor_cgroup_id(domain_level);
}

static __always_inline enum place place_of(struct cgroup *group) {
        struct cgroup *ancestor = NULL;
        __u64 domain = own_domain();
        int level = BPF_CORE_READ(group, level);

        if (!group || domain == 0 || level < (int) domain_level)
                return OUTSIDE;
        /* group->ancestors[domain_level] */
        if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
                                  (void *) group + bpf_core_field_offset(struct cgroup, ancestors) +
                                          domain_level * sizeof(ancestor)) < 0 || !ancestor)
                return OUTSIDE;
        if (BPF_CORE_READ(ancestor, kn, id) != domain)
                return OUTSIDE;
        return level == (int) domain_level ? TOP : BELOW;
}

static __always_inline struct kernfs_node *parent_of(struct kernfs_node *node) {
        struct kernfs_node___since_6_15 *newer = (void *) node;

        if (bpf_core_field_exists(newer->__parent))
                return BPF_CORE_READ(newer, __parent);
        return BPF_CORE_READ(node, parent);
}

static __always_inline int is_directory(struct inode *inode) {
        return (BPF_CORE_READ(inode, i_mode) & S_IFMT) == S_IFDIR;
}

/* Of a file or directory on cgroup2: a directory's node belongs to its cgroup, a file's to its file type. */
static __always_inline enum place place_of_inode(struct inode *inode) {
        struct kernfs_node *node = BPF_CORE_READ(inode, i_private);

        if (!is_directory(inode))
                node = parent_of(node);
        return node ? place_of(BPF_CORE_READ(node, priv)) : OUTSIDE;
}

/* ---- files ---- */

/* At the domain's own group: what moves processes and hands controllers on, and making groups below it; no limits. */
static __always_inline int may_write_at_top(struct inode *inode) {
        struct kernfs_node *node = BPF_CORE_READ(inode, i_private);
        char name[32] = {};

        if (is_directory(inode))
                return ALLOW;
        if (bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(node, name)) < 0)
                return DENY;
        return equals(name, "cgroup.procs") || equals(name, "cgroup.threads") || equals(name, "cgroup.subtree_control");
}

/*
 * Programs that the kernel would start outside of every domain: usermode helpers (kernel/umh.c and its callers). The
 * number of the next process, with which one outside could be made to look like a caller on the bus that has ended. And
 * the keys that act on the whole machine.
 */
static __always_inline int may_write_proc(struct inode *inode) {
        struct proc_inode *proc = (void *) inode - bpf_core_field_offset(struct proc_inode, vfs_inode);
        struct proc_dir_entry *entry = BPF_CORE_READ(proc, pde);
        const char *pointer = entry ? BPF_CORE_READ(entry, name) : BPF_CORE_READ(proc, sysctl_entry, procname);
        char name[32] = {};

        if (!pointer) /* a process's */
                return ALLOW;
        if (bpf_probe_read_kernel_str(name, sizeof(name), pointer) < 0)
                return DENY;
        if (entry)
                return !equals(name, "sysrq-trigger");
        return !equals(name, "core_pattern") && !equals(name, "modprobe") && !equals(name, "hotplug") &&
               !equals(name, "poweroff_cmd") && !equals(name, "hb_ctl_path") && !equals(name, "ns_last_pid");
}

static __always_inline int read_node_name(struct kernfs_node *node, char name[static 32]) {
        return node && bpf_probe_read_kernel_str(name, 32, BPF_CORE_READ(node, name)) >= 0;
}

/* /sys/module/firmware_class/parameters/path */
static __always_inline int is_firmware_path(struct kernfs_node *node, const char *name) {
        char module[32] = {};

        return equals(name, "path") && (!read_node_name(parent_of(parent_of(node)), module) ||
                                        equals(module, "firmware_class"));
}

static __always_inline int may_write_sysfs(struct inode *inode) {
        struct kernfs_node *node = BPF_CORE_READ(inode, i_private);
        char name[32] = {};

        if (!read_node_name(node, name))
                return DENY;
        if (equals(name, "resume")) /* reads an image of the whole kernel from any block device */
                return DENY;
        if (is_firmware_path(node, name))
                return DENY;
        return !equals(name, "uevent_helper") && !equals(name, "usermode_helper") && !equals(name, "cltrack_prog") &&
               !equals(name, "cache_getent") && !equals(name, "v86d");
}

SEC("lsm_cgroup/inode_permission")
int BPF_PROG(guard_write, struct inode *inode, int mask) {
        unsigned long magic;

        if (!(mask & (MAY_WRITE | MAY_APPEND)))
                return ALLOW;
        magic = inode->i_sb->s_magic;
        if (magic == CGROUP2_SUPER_MAGIC) {
                switch (place_of_inode(inode)) {
                case BELOW:
                        return ALLOW;
                case TOP:
                        return may_write_at_top(inode);
                default:
                        return DENY;
                }
        }
        if (magic == CGROUP_SUPER_MAGIC)
                return DENY;
        /* To be asked by access(2) whether it could be written harms nobody, and bubblewrap ends at any other answer. */
        if (magic == PROC_SUPER_MAGIC)
                return mask & MAY_ACCESS || may_write_proc(inode);
        if (magic == SYSFS_MAGIC)
                return may_write_sysfs(inode);
        if (magic == BINFMTFS_MAGIC) /* of the initial user namespace: the whole system's interpreters */
                return BPF_CORE_READ(inode, i_sb, s_user_ns, level) > 0;
        return ALLOW;
}

/* Attributes, owners and modes: those of the tenant's own groups only. */
static __always_inline int may_change(struct dentry *dentry) {
        struct inode *inode = BPF_CORE_READ(dentry, d_inode);
        unsigned long magic = BPF_CORE_READ(inode, i_sb, s_magic);

        if (magic == CGROUP_SUPER_MAGIC)
                return DENY;
        return magic != CGROUP2_SUPER_MAGIC || place_of_inode(inode) == BELOW;
}

SEC("lsm_cgroup/inode_setxattr")
int BPF_PROG(guard_setxattr, void *idmap, struct dentry *dentry) {
        return may_change(dentry);
}

SEC("lsm_cgroup/inode_removexattr")
int BPF_PROG(guard_rmxattr, void *idmap, struct dentry *dentry) {
        return may_change(dentry);
}

/* Opening a file with O_TRUNC comes here, too: sizes and times give nobody anything. */
static __always_inline int may_set(struct dentry *dentry, struct iattr *attributes) {
        return !(BPF_CORE_READ(attributes, ia_valid) & (ATTR_MODE | ATTR_UID | ATTR_GID)) || may_change(dentry);
}

/* One of the two is loaded, by the signature that the running kernel's hook has. */
SEC("lsm_cgroup/inode_setattr")
int BPF_PROG(guard_setattr, void *idmap, struct dentry *dentry, struct iattr *attributes) {
        return may_set(dentry, attributes);
}

SEC("lsm_cgroup/inode_setattr")
int BPF_PROG(guard_setattr2, struct dentry *dentry, struct iattr *attributes) {
        return may_set(dentry, attributes);
}

/* ---- mounts ---- */

/*
 * What is mounted of a control group hierarchy is the host's, too, and so are its options: release_agent= of version 1
 * is a program for the kernel to start, nsdelegate of version 2 bounds others.
 */
SEC("lsm_cgroup/sb_remount")
int BPF_PROG(guard_remount, struct super_block *sb) {
        unsigned long magic = BPF_CORE_READ(sb, s_magic);

        return magic != CGROUP_SUPER_MAGIC && magic != CGROUP2_SUPER_MAGIC;
}

/*
 * Since Linux 6.6 nothing is opened, so nothing is asked of the seal, to mount again what is mounted already, such as
 * the host's root. btrfs opens its devices itself.
 */
SEC("lsm_cgroup/sb_set_mnt_opts")
int BPF_PROG(guard_mount, struct super_block *sb) {
        char type[8] = {};

        if (!BPF_CORE_READ(sb, s_bdev) || BPF_CORE_READ(sb, s_active.counter) <= 1)
                return ALLOW;
        return bpf_probe_read_kernel_str(type, sizeof(type), BPF_CORE_READ(sb, s_type, name)) > 0 &&
               equals(type, "btrfs");
}

/* ---- bpf(2) ---- */

/*
 * Whether a descriptor is of a group below the domain's own. The kernel looks it up again after this, so nobody else
 * may be able to change the table meanwhile: one with a single user is only changed by the task that is here now.
 */
static __always_inline int is_own_group(int fd) {
        struct task_struct *task = bpf_get_current_task_btf();
        struct files_struct *files = BPF_CORE_READ(task, files);
        struct fdtable *table = BPF_CORE_READ(files, fdt);
        struct file **slot, *file = NULL;
        struct inode *inode;

        if (BPF_CORE_READ(files, count.counter) != 1 || (unsigned) fd >= BPF_CORE_READ(table, max_fds))
                return 0;
        slot = BPF_CORE_READ(table, fd);
        if (bpf_probe_read_kernel(&file, sizeof(file), slot + (unsigned) fd) < 0 || !file)
                return 0;
        inode = BPF_CORE_READ(file, f_inode);
        return BPF_CORE_READ(inode, i_sb, s_magic) == CGROUP2_SUPER_MAGIC && is_directory(inode) &&
               place_of_inode(inode) == BELOW;
}

/*
 * A container engine in the domain may narrow its own groups by device programs, and do nothing else: no object by id
 * or by pin, no link, no other kind of program, for those see and change what is outside.
 */
SEC("lsm_cgroup/bpf")
int BPF_PROG(guard_bpf, int cmd, union bpf_attr *attr) {
        struct {
                __u32 target_fd, attach_bpf_fd, attach_type, attach_flags;
        } attach;
        __u32 type;

        switch (cmd) {
        case BPF_PROG_LOAD:
                return bpf_probe_read_kernel(&type, sizeof(type), &attr->prog_type) == 0 &&
                       type == BPF_PROG_TYPE_CGROUP_DEVICE;
        case BPF_PROG_ATTACH:
        case BPF_PROG_DETACH:
                return bpf_probe_read_kernel(&attach, sizeof(attach), attr) == 0 &&
                       attach.attach_type == BPF_CGROUP_DEVICE &&
                       !(attach.attach_flags & ~(BPF_F_ALLOW_OVERRIDE | BPF_F_ALLOW_MULTI)) &&
                       is_own_group(attach.target_fd);
        case BPF_PROG_QUERY: /* begins with target_fd, attach_type */
                return bpf_probe_read_kernel(&attach, sizeof(attach), attr) == 0 &&
                       attach.attach_bpf_fd == BPF_CGROUP_DEVICE && is_own_group(attach.target_fd);
        default:
                return DENY;
        }
}

/* ---- tasks, the kernel ---- */

/* ptrace(2), process_vm_writev(2), pidfd_getfd(2), setns(2), /proc/PID/{mem,fd,root,ns,…}. */
SEC("lsm_cgroup/ptrace_access_check")
int BPF_PROG(guard_ptrace, struct task_struct *child) {
        return place_of(BPF_CORE_READ(child, cgroups, dfl_cgrp)) != OUTSIDE;
}

/* reboot(2): x86-64, its 32-bit calls and x32; arm64 and its 32-bit calls. */
static __always_inline int is_reboot(struct task_struct *task) {
        struct pt_regs *regs = (struct pt_regs *) bpf_task_pt_regs(task);
        struct pt_regs___arm64 *arm64 = (void *) regs;

        if (bpf_core_field_exists(regs->orig_ax)) {
                unsigned long number = BPF_CORE_READ(regs, orig_ax);

                return number == 169 || number == 88 || number == (0x40000000 | 169);
        }
        if (bpf_core_field_exists(arm64->syscallno)) {
                int number = BPF_CORE_READ(arm64, syscallno);

                return number == 142 || number == 88;
        }
        return 0;
}

/*
 * Modules and kexec images, by the capabilities that all ways to load them ask for; and the restart of the machine. In
 * a PID namespace reboot(2) ends that only.
 */
SEC("lsm_cgroup/capable")
int BPF_PROG(guard_capable, const void *credentials, struct user_namespace *namespace, int capability) {
        struct task_struct *task;

        if (capability != CAP_SYS_MODULE && capability != CAP_SYS_BOOT)
                return ALLOW;
        if (BPF_CORE_READ(namespace, level) > 0)
                return ALLOW;
        task = bpf_get_current_task_btf();
        return capability == CAP_SYS_BOOT && BPF_CORE_READ(task, thread_pid, level) > 0 && is_reboot(task);
}

/* With a device node: then the seal has decided. */
static __always_inline int needs_node(int reason) {
        return reason == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_DEV_MEM) ||
               reason == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_EFI_TEST) ||
               reason == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_MSR) ||
               reason == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_TIOCSSERIAL);
}

/*
 * Ports, PCI resources, ACPI tables, debugfs, the kernel's memory: devices without a node, and the kernel's own code.
 * What lockdown(7) withholds from all of a system for its integrity is withheld from tenants.
 */
SEC("lsm_cgroup/locked_down")
int BPF_PROG(guard_lockdown, int reason) {
        if (reason == bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_KCORE))
                return DENY;
        return needs_node(reason) || reason > bpf_core_enum_value(enum lockdown_reason, LOCKDOWN_INTEGRITY_MAX);
}

char LICENSE[] SEC("license") = "GPL";
