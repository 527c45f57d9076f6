/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways out through the cgroup file systems. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* ---- version 1 ---- */

/* The controller's whole hierarchy, mounted afresh: in a group of its own, this process would be out of the others'. */
static int mount_v1(const char *controller, const char *unused) {
        int r = try_mount("none", "cgroup", controller);

        if (r < 0)
                return r;
        at("make a group in a mount of v1 %s", controller);
        r = answer_of(mkdir(MNT "/cordon-hostile", 0755));
        if (r < 0)
                return r;
        r = try_write(MNT "/cordon-hostile/cgroup.procs", "0");
        rmdir(MNT "/cordon-hostile");
        return r;
}

static int write_v1(const char *options, const char *file_and_text) {
        char path[128], *text;
        int r = try_mount("none", "cgroup", options);

        if (r < 0)
                return r;
        snprintf(path, sizeof(path), MNT "/%s", file_and_text);
        text = strchr(path, '=');
        *text++ = '\0';
        return try_write(path, text);
}

static int remount_v1(const char *options, const char *more) {
        int r = try_mount("none", "cgroup", options);

        if (r < 0)
                return r;
        at("remount it with %s", more);
        return answer_of(mount("none", MNT, "cgroup", MS_REMOUNT, more));
}

/* Its options are the same as they are, which is what everybody else has, too. */
static int remount_v2(const char *options, const char *unused) {
        int r = try_mount("none", "cgroup2", NULL);

        if (r < 0)
                return r;
        at("remount cgroup2 with %s", options);
        return answer_of(mount("none", MNT, "cgroup2", MS_REMOUNT, options));
}

static int rename_v1(const char *options, const char *unused) {
        int r = try_mount("none", "cgroup", options);

        if (r < 0)
                return r;
        at("make, then rename a group of v1");
        if (mkdir(MNT "/a", 0755) < 0)
                return -errno;
        r = answer_of(rename(MNT "/a", MNT "/b"));
        rmdir(r < 0 ? MNT "/a" : MNT "/b");
        return r;
}

/* ---- version 2: other ways to the same files ---- */

static int mount_v2(const char *file, const char *text) {
        char path[128];
        int r = try_mount("none", "cgroup2", NULL);

        snprintf(path, sizeof(path), MNT "/%s", file);
        return r < 0 ? r : try_write(path, text);
}

/* The mount API of 5.2, which attaches the mount nowhere. */
static int fsmount_v2(const char *file, const char *text) {
        int context, mount_fd, fd;

        at("fsopen, fsconfig, fsmount cgroup2");
        context = (int) syscall(SYS_fsopen, "cgroup2", FSOPEN_CLOEXEC);
        if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        mount_fd = (int) syscall(SYS_fsmount, context, 0, 0);
        if (mount_fd < 0)
                return -errno;
        at("open %s of a detached mount", file);
        fd = openat(mount_fd, file, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -errno : answer_of(write(fd, text, strlen(text)));
}

/* From within namespaces of its own the domain looks like the root. */
static int mount_in_namespace(const char *file, const char *text) {
        char path[128];
        int r;

        at("unshare the cgroup namespace");
        if (unshare(CLONE_NEWCGROUP | CLONE_NEWNS) < 0)
                return -errno;
        r = try_mount("none", "cgroup2", NULL);
        snprintf(path, sizeof(path), MNT "/%s", file);
        return r < 0 ? r : try_write(path, text);
}

static int mount_in_user_namespace(const char *file, const char *text) {
        int r = enter_user_namespace(0);

        return r < 0 ? r : mount_in_namespace(file, text);
}

static int write_by_handle(const char *directory, const char *file) {
        struct {
                struct file_handle handle;
                unsigned char bytes[MAX_HANDLE_SZ];
        } space = { .handle.handle_bytes = MAX_HANDLE_SZ };
        char path[512];
        int mount_id, mount_fd = open_at(directory, O_RDONLY | O_DIRECTORY), fd;

        if (mount_fd < 0)
                return mount_fd;
        snprintf(path, sizeof(path), "%s/%s", directory, file);
        at("open %s by its handle", path);
        if (name_to_handle_at(AT_FDCWD, path, &space.handle, &mount_id, 0) < 0)
                return -errno;
        fd = open_by_handle_at(mount_fd, &space.handle, O_WRONLY | O_CLOEXEC);
        return fd < 0 ? -errno : answer_of(write(fd, "0", 1));
}

/* A descriptor for reading is no step to one for writing. */
static int reopen(const char *path, const char *text) {
        int fd = open_at(path, O_RDONLY);
        char again[64];

        if (fd < 0)
                return fd;
        snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
        return try_write(again, text);
}

static int reopen_path(const char *path, const char *text) {
        int fd = open_at(path, O_PATH);
        char again[64];

        if (fd < 0)
                return fd;
        snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
        return try_write(again, text);
}

static int bind_over(const char *source, const char *target) {
        at("bind %s over %s", source, target);
        if (mount(source, target, NULL, MS_BIND, NULL) < 0)
                return -errno;
        return try_write(target, "0");
}

static int clone_into(const char *directory, const char *by_path) {
        struct clone_args args = { .flags = CLONE_INTO_CGROUP };
        int fd = open_at(directory, by_path ? O_PATH | O_DIRECTORY : O_RDONLY | O_DIRECTORY);
        long pid;

        if (fd < 0)
                return fd;
        args.cgroup = (unsigned) fd;
        at("clone3 into %s%s", directory, by_path ? " by an O_PATH descriptor" : "");
        pid = syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0)
                _exit(0);
        return answer_of(pid);
}

/* ---- groups and their attributes ---- */

static int make_group(const char *path, const char *unused) {
        int r;

        at("mkdir %s", path);
        r = answer_of(mkdir(path, 0755));
        rmdir(path);
        return r;
}

static int remove_group(const char *path, const char *unused) {
        at("rmdir %s", path);
        return answer_of(rmdir(path));
}

static int rename_group(const char *from, const char *to) {
        at("rename %s", from);
        return answer_of(rename(from, to));
}

static int set_xattr(const char *path, const char *name) {
        at("setxattr %s of %s", name, path);
        return answer_of(setxattr(path, name, "x", 1, 0));
}

static int set_xattr_by_fd(const char *path, const char *name) {
        int fd = open_at(path, O_RDONLY);

        if (fd < 0)
                return fd;
        at("fsetxattr %s of %s", name, path);
        return answer_of(fsetxattr(fd, name, "x", 1, 0));
}

static int remove_xattr(const char *path, const char *name) {
        at("removexattr %s of %s", name, path);
        return answer_of(removexattr(path, name));
}

static int change_owner(const char *path, const char *unused) {
        at("chown %s", path);
        return answer_of(chown(path, 65534, 65534));
}

static int change_mode(const char *path, const char *unused) {
        at("chmod %s", path);
        return answer_of(chmod(path, 0777));
}

/* From a group of its own, where it may do everything, upwards. */
static int escape_from_below(const char *domain, const char *target) {
        char path[512];
        int r;

        snprintf(path, sizeof(path), "%s/nest-%d", domain, (int) getpid());
        at("mkdir %s", path);
        if (mkdir(path, 0755) < 0)
                return -errno;
        strcat(path, "/cgroup.procs");
        r = try_write(path, "0");
        return r < 0 ? r : try_write(target, "0");
}

/* Takes somebody else's process in, so out of where it was. */
static int pull_into_below(const char *domain, const char *pid) {
        char path[512];
        int r;

        snprintf(path, sizeof(path), "%s/pull-%d", domain, (int) getpid());
        at("mkdir %s", path);
        if (mkdir(path, 0755) < 0)
                return -errno;
        strcat(path, "/cgroup.procs");
        r = try_write(path, pid);
        *strrchr(path, '/') = '\0';
        rmdir(path);
        return r;
}

const struct attempt group_attempts[] = {
        { "v1-mount-cpuset", VM, mount_v1, "cpuset" },
        { "v1-mount-cpu", VM, mount_v1, "cpu" },
        { "v1-mount-cpuacct", VM, mount_v1, "cpuacct" },
        { "v1-mount-blkio", VM, mount_v1, "blkio" },
        { "v1-mount-memory", VM, mount_v1, "memory" },
        { "v1-mount-devices", VM, mount_v1, "devices" },
        { "v1-mount-freezer", VM, mount_v1, "freezer" },
        { "v1-mount-net_cls", VM, mount_v1, "net_cls" },
        { "v1-mount-net_prio", VM, mount_v1, "net_prio" },
        { "v1-mount-perf_event", VM, mount_v1, "perf_event" },
        { "v1-mount-hugetlb", VM, mount_v1, "hugetlb" },
        { "v1-mount-pids", VM, mount_v1, "pids" },
        { "v1-mount-rdma", VM, mount_v1, "rdma" },
        { "v1-mount-misc", VM, mount_v1, "misc" },
        { "v1-mount-named", VM, mount_v1, "none,name=cordon-hostile" },
        { "v1-devices-allow", VM, write_v1, "devices", "devices.allow=a *:* rwm" },
        { "v1-devices-tasks", VM, write_v1, "devices", "tasks=0" },
        { "v1-freezer-clone-children", VM, write_v1, "freezer", "cgroup.clone_children=1" },
        { "v1-release-agent", VM, write_v1, "none,name=cordon-hostile", "release_agent=/bin/false" },
        { "v1-release-agent-option", VM, write_v1, "none,name=cordon-hostile,release_agent=/bin/false",
          "notify_on_release=1" },
        /* A name of its own: the kernel has not given up the others yet, and answers EBUSY. */
        { "v1-release-agent-remount", VM, remount_v1, "none,name=cordon-remount",
          "none,name=cordon-remount,release_agent=/bin/false" },
        { "v1-rename", VM, rename_v1, "none,name=cordon-hostile" },
        { "v2-mount-procs", USER, mount_v2, "cgroup.procs", "0" },
        { "v2-mount-threads", USER, mount_v2, "cgroup.threads", "0" },
        { "v2-fsmount-procs", USER, fsmount_v2, "cgroup.procs", "0" },
        { "v2-remount", VM, remount_v2, "nsdelegate,memory_recursiveprot" },
        { "v2-namespace-limit", VM, mount_in_namespace, "pids.max", "max" },
        { "v2-namespace-type", VM, mount_in_namespace, "cgroup.type", "threaded" },
        { "v2-user-namespace-limit", USER, mount_in_user_namespace, "pids.max", "max" },
        { "v2-handle-root", VM, write_by_handle, "{root}", "cgroup.procs" },
        { "v2-handle-driver", USER, write_by_handle, "{driver}", "cgroup.procs" },
        { "v2-reopen-root", VM, reopen, "{root}/cgroup.procs", "0" },
        { "v2-reopen-path", VM, reopen_path, "{root}/cgroup.procs", "0" },
        { "v2-bind-limit", VM, bind_over, "{domain}/pids.max", "{domain}/cgroup.procs" },
        { "procs-root", USER, write_file, "{root}/cgroup.procs", "0" },
        { "threads-root", USER, write_file, "{root}/cgroup.threads", "0" },
        { "procs-tree", USER, write_file, "{tree}/cgroup.procs", "0" },
        { "procs-driver", USER, write_file, "{driver}/cgroup.procs", "0" },
        { "threads-driver", USER, write_file, "{driver}/cgroup.threads", "0" },
        { "procs-sibling", USER, write_file, "{sibling}/cgroup.procs", "0" },
        { "threads-sibling", USER, write_file, "{sibling}/cgroup.threads", "0" },
        { "procs-from-below", VM, escape_from_below, "{domain}", "{root}/cgroup.procs" },
        { "procs-sibling-from-below", VM, escape_from_below, "{domain}", "{sibling}/cgroup.procs" },
        { "clone-into-root", USER, clone_into, "{root}" },
        { "clone-into-driver", USER, clone_into, "{driver}" },
        { "clone-into-sibling", USER, clone_into, "{sibling}" },
        { "clone-into-root-path", USER, clone_into, "{root}", "O_PATH" },
        { "move-neighbour-out", VM, write_file, "{root}/cgroup.procs", "{neighbour}" },
        { "move-neighbour-in", USER, write_file, "{domain}/cgroup.procs", "{neighbour}" },
        { "move-victim-in", USER, write_file, "{domain}/cgroup.procs", "{victim}" },
        { "move-victim-below", VM, pull_into_below, "{domain}", "{victim}" },
        { "limit-memory-max", USER, write_file, "{domain}/memory.max", "max" },
        { "limit-memory-high", USER, write_file, "{domain}/memory.high", "max" },
        { "limit-memory-swap", USER, write_file, "{domain}/memory.swap.max", "max" },
        { "limit-memory-min", USER, write_file, "{domain}/memory.min", "1073741824" },
        { "limit-pids-max", USER, write_file, "{domain}/pids.max", "max" },
        { "limit-cpu-max", USER, write_file, "{domain}/cpu.max", "max" },
        { "limit-cpu-weight", USER, write_file, "{domain}/cpu.weight", "10000" },
        { "limit-descendants", USER, write_file, "{domain}/cgroup.max.descendants", "max" },
        { "limit-driver", USER, write_file, "{driver}/pids.max", "max" },
        { "limit-sibling", USER, write_file, "{sibling}/pids.max", "1" },
        { "limit-tree", USER, write_file, "{tree}/pids.max", "max" },
        { "limit-v1-memory", USER, write_file, "{v1-memory}/memory.limit_in_bytes", "-1" },
        { "limit-v1-swap", USER, write_file, "{v1-memory}/memory.memsw.limit_in_bytes", "-1" },
        { "limit-v1-pids", USER, write_file, "{v1-pids}/pids.max", "max" },
        { "limit-v1-cpu", USER, write_file, "{v1-cpu}/cpu.cfs_quota_us", "-1" },
        { "limit-v1-cpuset", USER, write_file, "{v1-cpuset}/cpuset.cpus", "0" },
        { "limit-v1-driver", USER, write_file, "{v1-pids}/../pids.max", "max" },
        { "limit-v1-devices", USER, write_file, "{v1-devices}/devices.allow", "c *:* rwm" },
        { "procs-v1-driver", USER, write_file, "{v1-pids}/../cgroup.procs", "0" },
        { "procs-v1-sibling", USER, write_file, "{v1-memory}/../sibling/tasks", "0" },
        { "make-v1", USER, make_group, "{v1-pids}/hostile" },
        { "controllers-driver", USER, write_file, "{driver}/cgroup.subtree_control", "-pids" },
        { "controllers-root", VM, write_file, "{root}/cgroup.subtree_control", "-pids" },
        { "type-domain", USER, write_file, "{domain}/cgroup.type", "threaded" },
        { "type-sibling", USER, write_file, "{sibling}/cgroup.type", "threaded" },
        { "freeze-sibling", USER, write_file, "{sibling}/cgroup.freeze", "1" },
        { "thaw-domain", USER, write_file, "{domain}/cgroup.freeze", "0" },
        { "kill-sibling", USER, write_file, "{sibling}/cgroup.kill", "1" },
        { "make-in-driver", USER, make_group, "{driver}/hostile" },
        { "make-in-root", USER, make_group, "{root}/cordon-hostile" },
        { "make-in-sibling", USER, make_group, "{sibling}/hostile" },
        { "remove-empty-sibling", USER, remove_group, "{empty}" },
        { "rename-domain", USER, rename_group, "{domain}", "{driver}/renamed" },
        { "rename-sibling", USER, rename_group, "{empty}", "{driver}/renamed" },
        { "xattr-devices", USER, set_xattr, "{domain}", "trusted.cordon.devices" },
        { "xattr-devices-fd", USER, set_xattr_by_fd, "{domain}", "trusted.cordon.devices" },
        { "xattr-owner", USER, set_xattr, "{domain}", "trusted.cordon.owner" },
        { "xattr-ceiling", USER, set_xattr, "{driver}", "trusted.cordon.ceiling" },
        { "xattr-user", USER, set_xattr, "{driver}", "user.delegate" },
        { "xattr-remove-kind", USER, remove_xattr, "{domain}", "trusted.cordon.kind" },
        { "xattr-remove-driver", USER, remove_xattr, "{driver}", "trusted.cordon.kind" },
        { "owner-domain", USER, change_owner, "{domain}/pids.max" },
        { "owner-driver", USER, change_owner, "{driver}/cgroup.procs" },
        { "mode-driver", USER, change_mode, "{driver}/cgroup.procs" },
        { "mode-root", VM, change_mode, "{root}/cgroup.procs" },
        {},
};
