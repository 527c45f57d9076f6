/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways out through processes outside, the kernel itself, and the bus. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- processes ---- */

static int open_pidfd(const char *pid) {
        int fd;

        at("pidfd_open %s", pid);
        fd = (int) syscall(SYS_pidfd_open, atoi(pid), 0);
        return fd < 0 ? -errno : fd;
}

static int take_descriptor(const char *pid, const char *unused) {
        int pidfd = open_pidfd(pid);

        if (pidfd < 0)
                return pidfd;
        at("pidfd_getfd 0 of %s", pid);
        return answer_of(syscall(SYS_pidfd_getfd, pidfd, 0, 0));
}

static int follow_link(const char *path, const char *unused) {
        return try_open(path, O_RDONLY);
}

static int trace(const char *pid, const char *how) {
        at("ptrace %s by %s", pid, how);
        return answer_of(ptrace(strcmp(how, "seize") == 0 ? PTRACE_SEIZE : PTRACE_ATTACH, atoi(pid), NULL, NULL));
}

static int write_memory(const char *pid, const char *unused) {
        char byte = 0;
        struct iovec mine = { &byte, 1 }, theirs = { (void *) 0x400000, 1 };

        at("process_vm_writev %s", pid);
        return answer_of(process_vm_writev(atoi(pid), &mine, 1, &theirs, 1, 0));
}

static int read_memory(const char *pid, const char *unused) {
        char byte = 0;
        struct iovec mine = { &byte, 1 }, theirs = { (void *) 0x400000, 1 };

        at("process_vm_readv %s", pid);
        return answer_of(process_vm_readv(atoi(pid), &mine, 1, &theirs, 1, 0));
}

static int advise_memory(const char *pid, const char *unused) {
        struct iovec theirs = { (void *) 0x400000, 4096 };
        int pidfd = open_pidfd(pid);

        if (pidfd < 0)
                return pidfd;
        at("process_madvise %s", pid);
        return answer_of(syscall(SYS_process_madvise, pidfd, &theirs, 1, MADV_COLD, 0));
}

static int compare(const char *pid, const char *unused) {
        at("kcmp with %s", pid);
        return answer_of(syscall(SYS_kcmp, getpid(), atoi(pid), 0, 0, 0));
}

static int enter_namespace(const char *path, const char *unused) {
        int fd = open_at(path, O_RDONLY);

        if (fd < 0)
                return fd;
        at("setns to %s", path);
        return answer_of(setns(fd, 0));
}

static int enter_namespaces(const char *pid, const char *flags) {
        int pidfd = open_pidfd(pid);

        if (pidfd < 0)
                return pidfd;
        at("setns to %s by pidfd, flags %s", pid, flags);
        return answer_of(setns(pidfd, (int) strtol(flags, NULL, 0)));
}

/* ---- the kernel ---- */

static int load_module(const char *unused, const char *unused_) {
        char image[64] = "\177ELF";

        at("init_module");
        return answer_of(syscall(SYS_init_module, image, sizeof(image), ""));
}

static int load_module_file(const char *path, const char *flags) {
        int fd = open_at(path, O_RDONLY);

        if (fd < 0)
                return fd;
        at("finit_module %s, flags %s", path, flags);
        return answer_of(syscall(SYS_finit_module, fd, "", atoi(flags)));
}

static int load_kernel(const char *unused, const char *unused_) {
        at("kexec_load");
        return answer_of(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int load_kernel_file(const char *path, const char *unused) {
        int fd = open_at(path, O_RDONLY), r;

        if (fd < 0)
                return fd;
        at("kexec_file_load %s", path);
        r = answer_of(syscall(SYS_kexec_file_load, fd, -1, 1UL, "", 4 /* KEXEC_FILE_NO_INITRAMFS */));
        if (r == 0)
                syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, 1 /* KEXEC_FILE_UNLOAD */);
        return r;
}

/* In a PID namespace, as its first process, which may end that by reboot(2). */
static int in_pid_namespace(int (*what)(const char *, const char *), const char *a, const char *b) {
        int status;
        pid_t pid;

        at("unshare the PID namespace");
        if (unshare(CLONE_NEWPID) < 0 || (pid = fork()) < 0)
                return -errno;
        if (pid == 0)
                _exit(-what(a, b));
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int load_module_in_namespace(const char *path, const char *flags) {
        return in_pid_namespace(load_module_file, path, flags);
}

static int load_kernel_in_namespace(const char *unused, const char *unused_) {
        return in_pid_namespace(load_kernel, NULL, NULL);
}

static int load_kernel_file_in_namespace(const char *path, const char *unused) {
        return in_pid_namespace(load_kernel_file, path, NULL);
}

/* What needs the same right as a restart, and does nothing to this machine. */
static int restart(const char *unused, const char *unused_) {
        at("reboot, by the command that is about Ctrl-Alt-Del only");
        return answer_of(reboot(RB_DISABLE_CAD));
}

/* A fresh proc or sysfs is the same kernel. */
static int write_on(const char *type, const char *file) {
        char path[128];
        int r = try_mount("none", type, NULL);

        snprintf(path, sizeof(path), MNT "/%s", file);
        return r < 0 ? r : try_open(path, O_WRONLY);
}

static int register_format(const char *unused, const char *unused_) {
        int r = try_mount("none", "binfmt_misc", NULL);

        return r < 0 ? r : try_write(MNT "/register", ":cordon-hostile:M::CORDON!::/bin/false:");
}

static int write_debugfs(const char *unused, const char *unused_) {
        int r = try_mount("none", "debugfs", NULL);

        return r < 0 ? r : try_open(MNT "/sched/verbose", O_WRONLY);
}

/* Memory of a PCI device: the hardware without a node. Resources that are ports cannot be mapped: ENODEV. */
static int map_hardware(const char *pattern, const char *unused) {
        glob_t found;
        int r = -ENOENT;

        at("find %s", pattern);
        if (glob(pattern, 0, NULL, &found) != 0)
                return r;
        for (size_t i = 0; i < found.gl_pathc && (r == -ENOENT || r == -ENODEV); i++) {
                int fd = open_at(found.gl_pathv[i], O_RDWR);

                if (fd < 0)
                        return fd;
                at("map %s", found.gl_pathv[i]);
                r = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -errno : 0;
                close(fd);
        }
        globfree(&found);
        return r;
}

/* ---- Cordon itself ---- */

/* A call over the bus; the last words are the answer. */
static int call(const char *path, const char *words) {
        char command[512], line[256] = "";
        FILE *pipe;
        int status;

        snprintf(command, sizeof(command), "busctl --system call org.cordon.CgroupManager1 %s %s 2>&1", path, words);
        pipe = popen(command, "r");
        if (!pipe || !fgets(line, sizeof(line), pipe))
                return -errno;
        status = pclose(pipe);
        line[strcspn(line, "\n")] = '\0';
        at("%s: %s", words, line);
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EACCES;
}

#define MANAGER "/org/cordon/CgroupManager1"
#define DOMAIN MANAGER "/driver/hostile/domain/inside org.cordon.CgroupManager1.Domain"

const struct attempt task_attempts[] = {
        { "outside-descriptor", USER, open_for_writing, "/proc/{victim}/fd/0" },
        { "outside-pidfd-descriptor", USER, take_descriptor, "{victim}" },
        { "outside-root", USER, follow_link, "/proc/{victim}/root/" },
        { "outside-root-device", VM, open_for_writing, "/proc/{victim}/root/{device}" },
        { "outside-directory", USER, follow_link, "/proc/{victim}/cwd/" },
        { "outside-program", USER, follow_link, "/proc/{victim}/exe" },
        { "outside-memory-file", USER, open_for_writing, "/proc/{victim}/mem" },
        { "outside-environment", USER, read_file, "/proc/{victim}/environ" },
        { "outside-system-call", USER, read_file, "/proc/{victim}/syscall" },
        { "outside-ptrace-attach", USER, trace, "{victim}", "attach" },
        { "outside-ptrace-seize", USER, trace, "{victim}", "seize" },
        { "outside-ptrace-init", VM, trace, "1", "seize" },
        { "outside-ptrace-neighbour", USER, trace, "{neighbour}", "seize" },
        { "outside-write-memory", USER, write_memory, "{victim}" },
        { "outside-read-memory", USER, read_memory, "{victim}" },
        { "outside-advise-memory", USER, advise_memory, "{victim}" },
        { "outside-compare", USER, compare, "{victim}" },
        { "outside-namespace-mount", USER, enter_namespace, "/proc/1/ns/mnt" },
        { "outside-namespace-cgroup", USER, enter_namespace, "/proc/1/ns/cgroup" },
        { "outside-namespace-user", USER, enter_namespace, "/proc/1/ns/user" },
        { "outside-namespaces-pidfd", USER, enter_namespaces, "1", "0x2020000" /* CLONE_NEWNS | CLONE_NEWCGROUP */ },
        { "outside-namespaces-victim", USER, enter_namespaces, "{victim}", "0x20000" },
        { "kernel-module", VM, load_module },
        { "kernel-module-file", VM, load_module_file, "{module}", "0" },
        { "kernel-module-compressed", VM, load_module_file, "{module}", "4" },
        { "kernel-kexec", VM, load_kernel },
        { "kernel-kexec-file", VM, load_kernel_file, "{kernel}" },
        { "kernel-module-namespace", VM, load_module_in_namespace, "{module}", "0" },
        { "kernel-kexec-namespace", VM, load_kernel_in_namespace },
        { "kernel-kexec-file-namespace", VM, load_kernel_file_in_namespace, "{kernel}" },
        { "kernel-restart", VM, restart },
        { "kernel-keys", VM, open_for_writing, "/proc/sysrq-trigger" },
        { "kernel-keys-fresh", VM, write_on, "proc", "sysrq-trigger" },
        { "kernel-firmware-path", VM, open_for_writing, "/sys/module/firmware_class/parameters/path" },
        { "kernel-firmware-path-fresh", VM, write_on, "sysfs", "module/firmware_class/parameters/path" },
        { "kernel-core-pattern", VM, open_for_writing, "/proc/sys/kernel/core_pattern" },
        { "kernel-core-pattern-fresh", VM, write_on, "proc", "sys/kernel/core_pattern" },
        { "kernel-modprobe", VM, open_for_writing, "/proc/sys/kernel/modprobe" },
        { "kernel-poweroff", VM, open_for_writing, "/proc/sys/kernel/poweroff_cmd" },
        { "kernel-hotplug", VM, open_for_writing, "/proc/sys/kernel/hotplug" },
        { "kernel-last-pid", VM, open_for_writing, "/proc/sys/kernel/ns_last_pid" },
        { "kernel-uevent-helper", VM, open_for_writing, "/sys/kernel/uevent_helper" },
        { "kernel-uevent-helper-fresh", VM, write_on, "sysfs", "kernel/uevent_helper" },
        { "kernel-binary-format", VM, register_format },
        { "kernel-debugfs", VM, write_debugfs },
        { "kernel-memory", VM, read_file, "/proc/kcore" },
        { "kernel-pci", VM, map_hardware, "/sys/bus/pci/devices/*/resource[0-5]" },
        { "bus-grant", ANYWHERE, call, DOMAIN, "AllowDevices 'a(ss)' 1 {device} rw" },
        { "bus-limit", ANYWHERE, call, DOMAIN, "SetProperties 'a{sv}' 1 TasksMax t 1000000" },
        { "bus-attach", ANYWHERE, call, MANAGER "/driver/hostile/domain/sibling org.cordon.CgroupManager1.Domain",
          "AttachProcesses au 1 {self}" },
        { "bus-domain", ANYWHERE, call, MANAGER " org.cordon.CgroupManager1",
          "CreateDomain 'ssa{sv}' hostile another 1 PIDs au 1 {self}" },
        { "bus-driver", ANYWHERE, call, MANAGER " org.cordon.CgroupManager1", "CreateDriver 'sa{sv}' another 0" },
        { "bus-remove", ANYWHERE, call, MANAGER " org.cordon.CgroupManager1", "RemoveDriver sb hostile true" },
        { "bus-kill-sibling", ANYWHERE, call, MANAGER "/driver/hostile/domain/sibling org.cordon.CgroupManager1.Domain",
          "Kill i 9" },
        {},
};
