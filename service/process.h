/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * A living process, held by a pidfd so that its number cannot come to mean another one. What is read from /proc by
 * number holds for this process if it is still alive afterwards, and every function here checks that.
 */
typedef struct Process {
        int fd; /* pidfd */
        pid_t pid;
} Process;

/* NO_SUCH_PROCESS when there is none, or `pid` is a thread that is not its process's first. */
Process *process_open(pid_t pid, GError **error);
/* From somebody's pidfd, which stays the caller's. */
Process *process_open_pidfd(int pidfd, GError **error);
void process_free(Process *process);

bool process_is_alive(const Process *process);
/* Where it is in each hierarchy: /proc/PID/cgroup. */
char *process_place(const Process *process, GError **error);
/* The group's path in the unified hierarchy, and if wanted all of the above from the same look. */
char *process_group(const Process *process, char **ret_place, GError **error);
/* Whether real, effective and saved user are all `uid`, so that it is no set-user-ID program of another's. */
bool process_is_owned_by(const Process *process, uid_t uid, GError **error);
bool process_is_kernel_thread(const Process *process, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Process, process_free)
