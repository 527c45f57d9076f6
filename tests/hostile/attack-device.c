/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways to a device that was not granted. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static dev_t forbidden(void) {
        struct stat st = {};

        stat(value_of("device"), &st);
        return st.st_rdev;
}

/* ---- making a node ---- */

static int make_node(const char *directory, mode_t type, dev_t device) {
        char path[512];
        int r;

        snprintf(path, sizeof(path), "%s/hostile-%d", directory, (int) getpid());
        at("mknod %s %u:%u", path, major(device), minor(device));
        r = answer_of(mknod(path, type | 0666, device));
        if (r == 0)
                r = try_open(path, O_RDWR);
        unlink(path);
        return r;
}

static int make_in(const char *directory, const char *unused) {
        return make_node(directory, S_IFCHR, forbidden());
}

static int make_block_in(const char *directory, const char *unused) {
        return make_node(directory, S_IFBLK, makedev(7, 0));
}

static int make_on(const char *type, const char *options) {
        int r = try_mount("none", type, options);

        return r < 0 ? r : make_node(MNT, S_IFCHR, forbidden());
}

/* upper and work on a tmpfs, `lower` below. */
static int mount_overlay(const char *lower) {
        char options[256];
        int r = try_mount("none", "tmpfs", NULL);

        if (r < 0)
                return r;
        mkdir(MNT "/upper", 0755);
        mkdir(MNT "/work", 0755);
        mkdir(MNT "/merged", 0755);
        snprintf(options, sizeof(options), "lowerdir=%s,upperdir=" MNT "/upper,workdir=" MNT "/work", lower);
        at("mount an overlay with %s", options);
        return answer_of(mount("none", MNT "/merged", "overlay", 0, options));
}

static int make_on_overlay(const char *lower, const char *unused) {
        int r = mount_overlay(lower);

        return r < 0 ? r : make_node(MNT "/merged", S_IFCHR, forbidden());
}

static int make_in_user_namespace(const char *unused, const char *unused_) {
        int r = enter_user_namespace(CLONE_NEWNS);

        return r < 0 ? r : make_on("tmpfs", NULL);
}

/* ---- opening one that is there ---- */

static int open_device(const char *path, const char *flags) {
        return try_open(path, flags ? atoi(flags) : O_RDWR);
}

static int open_through_proc(const char *path, const char *unused) {
        int fd = open_at(path, O_PATH);
        char again[64];

        if (fd < 0)
                return fd;
        snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
        return try_open(again, O_RDWR);
}

static int open_on(const char *type, const char *name) {
        char path[128];
        int r = try_mount("none", type, strcmp(type, "devpts") == 0 ? "newinstance,ptmxmode=0666" : NULL);

        snprintf(path, sizeof(path), MNT "/%s", name);
        return r < 0 ? r : try_open(path, O_RDWR);
}

static int open_on_overlay(const char *lower, const char *name) {
        char path[128];
        int r = mount_overlay(lower);

        snprintf(path, sizeof(path), MNT "/merged/%s", name);
        return r < 0 ? r : try_open(path, O_RDWR);
}

/* A permitted name for the forbidden node. */
static int open_bound(const char *device, const char *over) {
        at("bind %s over %s", device, over);
        if (mount(device, over, NULL, MS_BIND, NULL) < 0)
                return -errno;
        return try_open(over, O_RDWR);
}

static int open_symlink(const char *device, const char *unused) {
        char path[64];
        int r;

        snprintf(path, sizeof(path), "/dev/shm/hostile-%d", (int) getpid());
        at("symlink %s", path);
        if (symlink(device, path) < 0)
                return -errno;
        r = try_open(path, O_RDWR);
        unlink(path);
        return r;
}

static int open_hard_link(const char *device, const char *unused) {
        char path[64];
        int r;

        snprintf(path, sizeof(path), "/dev/hostile-%d", (int) getpid());
        at("link %s", path);
        if (link(device, path) < 0)
                return -errno;
        r = try_open(path, O_RDWR);
        unlink(path);
        return r;
}

static int open_by_handle(const char *device, const char *unused) {
        struct {
                struct file_handle handle;
                unsigned char bytes[MAX_HANDLE_SZ];
        } space = { .handle.handle_bytes = MAX_HANDLE_SZ };
        int mount_id, dev = open_at("/dev", O_RDONLY | O_DIRECTORY), fd;

        at("open %s by its handle", device);
        if (dev < 0 || name_to_handle_at(AT_FDCWD, device, &space.handle, &mount_id, 0) < 0)
                return -errno;
        fd = open_by_handle_at(dev, &space.handle, O_RDWR | O_CLOEXEC);
        return fd < 0 ? -errno : 0;
}

static int open_as_nobody(const char *device, const char *unused) {
        at("become another user");
        if (setgid(65534) < 0 || setuid(65534) < 0)
                return -errno;
        return try_open(device, O_RDWR);
}

static int open_in_namespaces(const char *device, const char *unused) {
        int r = enter_user_namespace(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWPID);

        return r < 0 ? r : try_open(device, O_RDWR);
}

static int open_in_chroot(const char *device, const char *unused) {
        at("bind /dev to another root");
        if (mount("/", MNT, NULL, MS_BIND | MS_REC, NULL) < 0 || chroot(MNT) < 0)
                return -errno;
        return try_open(device, O_RDWR);
}

static int open_below(const char *domain, const char *device) {
        char path[512];
        int r;

        snprintf(path, sizeof(path), "%s/device-%d", domain, (int) getpid());
        at("mkdir %s", path);
        if (mkdir(path, 0755) < 0)
                return -errno;
        strcat(path, "/cgroup.procs");
        r = try_write(path, "0");
        return r < 0 ? r : try_open(device, O_RDWR);
}

static int execute(const char *device, const char *unused) {
        char command[512];
        int status;

        snprintf(command, sizeof(command), "exec 3<>%s", device);
        at("sh -c '%s'", command);
        status = system(command);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

/* ---- descriptors within the domain ---- */

static int send_descriptor(int socket, int fd) {
        char control[CMSG_SPACE(sizeof(int))] = {}, byte = 0;
        struct iovec data = { &byte, 1 };
        struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
        struct cmsghdr *header;

        if (fd >= 0) {
                message.msg_control = control;
                message.msg_controllen = sizeof(control);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &fd, sizeof(int));
        }
        return sendmsg(socket, &message, 0) < 0 ? -errno : 0;
}

/* One process opens, as O_PATH what it cannot open otherwise; the other uses what it is given. */
static int pass_descriptor(const char *device, const char *as_path) {
        char control[CMSG_SPACE(sizeof(int))] = {}, byte, again[64];
        struct iovec data = { &byte, 1 };
        struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control,
                                  .msg_controllen = sizeof(control) };
        int pair[2], fd;
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || (pid = fork()) < 0)
                return -errno;
        if (pid == 0)
                _exit(send_descriptor(pair[1], open(device, as_path ? O_PATH : O_RDWR)) < 0);
        at("take %s from another process", device);
        if (recvmsg(pair[0], &message, 0) < 0)
                return -errno;
        waitpid(pid, NULL, 0);
        if (!CMSG_FIRSTHDR(&message))
                return -EPERM; /* that one was refused */
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
        snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
        return as_path ? try_open(again, O_RDWR) : 0;
}

/* ---- block devices ---- */

static int mount_disk(const char *disk, const char *type) {
        at("mount %s as %s", disk, type);
        return answer_of(mount(disk, MNT, type, 0, NULL));
}

/* By the mount API of 5.2, for the kernel asks in other places there. */
static int fsmount_disk(const char *disk, const char *type) {
        int context = (int) syscall(SYS_fsopen, type, 0);

        at("fsopen, fsconfig, fsmount %s as %s", disk, type);
        if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", disk, 0) < 0 ||
            syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
                return -errno;
        return answer_of(syscall(SYS_fsmount, context, 0, 0));
}

static int swap_on(const char *disk, const char *unused) {
        at("swapon %s", disk);
        return answer_of(swapon(disk, 0));
}

/* The kernel answers that all is well whatever became of it; where it stands then says more. */
static int resume_from(const char *path, const char *device) {
        char now[32] = "";
        int r = try_write(path, device), fd = open(path, O_RDONLY | O_CLOEXEC);

        if (r < 0)
                return r;
        if (read(fd, now, sizeof(now) - 1) < 0)
                return -errno;
        close(fd);
        return strncmp(now, device, strlen(device)) == 0 ? 0 : -EPERM;
}

/* ---- hardware without a node ---- */

static int ports(const char *unused, const char *unused_) {
        at("iopl(3)");
        return answer_of(iopl(3));
}

static int port_permission(const char *unused, const char *unused_) {
        at("ioperm(0x1f0)");
        return answer_of(ioperm(0x1f0, 8, 1));
}

const struct attempt device_attempts[] = {
        { "node-dev", ANYWHERE, make_in, "/dev" },
        { "node-root", ANYWHERE, make_in, "/var/tmp" },
        { "node-block", ANYWHERE, make_block_in, "/dev" },
        { "node-tmpfs", ANYWHERE, make_on, "tmpfs" },
        { "node-tmpfs-dev", ANYWHERE, make_on, "tmpfs", "mode=0777" },
        { "node-ramfs", ANYWHERE, make_on, "ramfs" },
        { "node-devtmpfs", ANYWHERE, make_on, "devtmpfs" },
        { "node-overlay", ANYWHERE, make_on_overlay, "/etc" },
        { "node-user-namespace", ANYWHERE, make_in_user_namespace },
        { "open", ANYWHERE, open_device, "{device}", "2" },
        { "open-read", ANYWHERE, open_device, "{device}", "0" },
        { "open-write", ANYWHERE, open_device, "{device}", "1" },
        { "open-ioctl-only", ANYWHERE, open_device, "{device}", "3" },
        { "open-memory", ANYWHERE, open_device, "/dev/mem", "0" },
        { "open-kernel-log", ANYWHERE, open_device, "/dev/kmsg", "1" },
        { "open-loop-control", ANYWHERE, open_device, "/dev/loop-control", "2" },
        { "open-own-terminal", ANYWHERE, open_device, "/dev/console", "2" },
        { "open-path-reopen", ANYWHERE, open_through_proc, "{device}" },
        { "open-devtmpfs", ANYWHERE, open_on, "devtmpfs", "fuse" },
        { "open-devpts", ANYWHERE, open_on, "devpts", "ptmx" },
        { "open-overlay", ANYWHERE, open_on_overlay, "/dev", "fuse" },
        { "open-bound", ANYWHERE, open_bound, "{device}", "/dev/null" },
        { "open-symlink", ANYWHERE, open_symlink, "{device}" },
        { "open-hard-link", ANYWHERE, open_hard_link, "{device}" },
        { "open-handle", ANYWHERE, open_by_handle, "{device}" },
        { "open-nobody", ANYWHERE, open_as_nobody, "{device}" },
        { "open-namespaces", ANYWHERE, open_in_namespaces, "{device}" },
        { "open-chroot", ANYWHERE, open_in_chroot, "{device}" },
        { "open-below", ANYWHERE, open_below, "{domain}", "{device}" },
        { "open-executed", ANYWHERE, execute, "{device}" },
        { "descriptor-passed", ANYWHERE, pass_descriptor, "{device}" },
        { "descriptor-passed-path", ANYWHERE, pass_descriptor, "{device}", "O_PATH" },
        { "block-mount", VM, mount_disk, "{disk}", "ext4" },
        { "block-mount-again", VM, mount_disk, "{rootdisk}", "ext4" },
        { "block-fsmount-again", VM, fsmount_disk, "{rootdisk}", "ext4" },
        { "block-mount-raw", VM, mount_disk, "{disk}", "iso9660" },
        { "block-open", VM, open_device, "{disk}", "0" },
        { "block-swapon", VM, swap_on, "{disk}" },
        { "block-resume", VM, resume_from, "/sys/power/resume", "7:0" },
        { "port-level", VM, ports },
        { "port-permission", VM, port_permission },
        {},
};
