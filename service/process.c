/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "error.h"
#include "fd.h"
#include "kernel-file.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

static Process *process_new(pid_t pid, int fd) {
        Process *process = g_new0(Process, 1);

        process->pid = pid;
        process->fd = fd;
        return process;
}

Process *process_open(pid_t pid, GError **error) {
        int fd = pid > 0 ? syscall(SYS_pidfd_open, pid, 0) : -1;

        if (fd >= 0)
                return process_new(pid, fd);
        if (pid > 0 && (errno == EINVAL || errno == ENOENT)) /* ENOENT since Linux 6.16: fs/pidfs.c, pidfd_prepare */
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "%d is a thread; name its process", (int) pid);
        else
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "there is no process %d", (int) pid);
        return NULL;
}

Process *process_open_pidfd(int pidfd, GError **error) {
        g_autofree char *path = g_strdup_printf("/proc/self/fdinfo/%d", pidfd);
        g_autofree char *text = NULL;
        char *line;
        int pid, fd;

        if (!g_file_get_contents(path, &text, NULL, NULL) || !(line = strstr(text, "\nPid:")) ||
            sscanf(line, "\nPid: %d", &pid) != 1) {
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "the descriptor is no pidfd");
                return NULL;
        }
        if (pid <= 0) {
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "the process of the pidfd is %s",
                            pid == 0 ? "in another pid namespace" : "gone");
                return NULL;
        }
        fd = fcntl(pidfd, F_DUPFD_CLOEXEC, 3);
        if (fd < 0) {
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "pidfd of process %d: %s", pid, g_strerror(errno));
                return NULL;
        }
        return process_new(pid, fd);
}

void process_free(Process *process) {
        if (!process)
                return;
        fd_close(&process->fd);
        g_free(process);
}

/* A pidfd polls readable when its process has exited (pidfd_open(2)). */
bool process_is_alive(const Process *process) {
        struct pollfd poll_fd = { .fd = process->fd, .events = POLLIN };

        return poll(&poll_fd, 1, 0) == 0;
}

static char *read_file(const Process *process, const char *file, GError **error) {
        static int proc = -1;
        g_autofree char *name = g_strdup_printf("%d/%s", (int) process->pid, file), *text = NULL;

        if (proc < 0)
                proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (kernel_file_read(proc, name, &text) >= 0 && process_is_alive(process))
                return g_steal_pointer(&text);
        cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "process %d is gone", (int) process->pid);
        return NULL;
}

char *process_place(const Process *process, GError **error) {
        return read_file(process, "cgroup", error);
}

char *process_group(const Process *process, char **ret_place, GError **error) {
        g_autofree char *place = process_place(process, error);
        const char *line;
        char *group;

        if (!place)
                return NULL;
        line = g_str_has_prefix(place, "0::") ? place : strstr(place, "\n0::");
        if (!line) {
                cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "process %d is in no cgroup v2 group",
                            (int) process->pid);
                return NULL;
        }
        line = strstr(line, "0::") + strlen("0::");
        group = g_strndup(line, strcspn(line, "\n"));
        if (ret_place)
                *ret_place = g_steal_pointer(&place);
        return group;
}

bool process_is_owned_by(const Process *process, uid_t uid, GError **error) {
        g_autofree char *text = read_file(process, "status", error);
        unsigned real, effective, saved;
        char *line;

        if (!text)
                return false;
        line = strstr(text, "\nUid:");
        if (line && sscanf(line, "\nUid: %u %u %u", &real, &effective, &saved) == 3 &&
            real == uid && effective == uid && saved == uid)
                return true;
        return cordon_fail(error, CORDON_ERROR_ACCESS_DENIED, "process %d does not belong to user %u",
                           (int) process->pid, (unsigned) uid);
}

bool process_is_kernel_thread(const Process *process, GError **error) {
        g_autofree char *text = read_file(process, "stat", error);
        unsigned flags;
        char *rest;

        /* "PID (COMMAND) STATE PPID PGRP SESSION TTY TPGID FLAGS", and the command may hold anything (proc(5)). */
        if (!text || !(rest = strrchr(text, ')')))
                return false;
        return sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && (flags & PF_KTHREAD);
}
