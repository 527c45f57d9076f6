/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "group.h"
#include "process.h"

/*
 * The processes of a group.
 */
typedef struct GroupProcess {
        pid_t pid;
        char *group; /* path relative to the group listed, "/" itself */
} GroupProcess;

bool group_read_events(Group *group, bool *ret_populated, bool *ret_frozen, GError **error);
/* Moves it in, in every hierarchy. When that fails it may have been moved in some: group_return() undoes it. */
bool group_attach(Group *group, pid_t pid, GError **error);
/* Puts a process back where it was, `place` being what /proc/PID/cgroup held; `group` is any of the tree. */
bool group_return(Group *group, pid_t pid, const char *place, GError **error);
/* SIGKILL to everything in the group and beneath, new forks included. */
bool group_kill(Group *group, GError **error);
/*
 * SIGKILL to the processes in its v1 groups, where no cgroup.kill is. After group_kill() only those are left that are not
 * in the cgroup2 group: forked outside while their parent was moved in, or put there by somebody. *ret_stray is one of
 * them, or NULL when there was none: group_remove() does not succeed before they have ended.
 */
bool group_kill_strays(Group *group, Process **ret_stray, GError **error);
/* Asks for it; cgroup.events tells when it is so. */
bool group_freeze(Group *group, bool freeze, GError **error);
/* Hands the group, not its limits, to a user, as systemd's Delegate= does. */
bool group_delegate(Group *group, uid_t uid, GError **error);
/* GArray of GroupProcess, of the group and all beneath it. */
GArray *group_processes(Group *group, GError **error);
