/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>


/*
 * One control group: the only module that touches cgroup files. Every access goes beneath the directory descriptor of
 * the group. Today a group is a cgroup v2 directory; nothing outside this file knows.
 */
typedef struct Group Group;

typedef struct GroupProcess {
        pid_t pid;
        char *group; /* path relative to the group listed, "/" itself */
} GroupProcess;

/*
 * Opens the group that holds all the drivers, `path` relative to the cgroup2 mount ("system.slice/cordon-tree.service"),
 * and makes it when it is missing and `create` says so. Fails with KERNEL_REFUSED, or NO_SUCH_TREE where it is missing.
 */
Group *group_open_root(const char *path, bool create, GError **error);
/* Makes a group; one that exists fails with ALREADY_EXISTS. */
Group *group_make(Group *parent, const char *name, GError **error);
Group *group_open(Group *parent, const char *name, GError **error);
/* Lets the object go; the group stays. */
void group_free(Group *group);
/* Removes the group and the empty groups beneath it. BUSY when one holds a process. */
bool group_remove(Group *group, GError **error);
/* Removes, if it can, a group that a daemon made and did not finish: nobody was told of it. */
void group_drop_unfinished(Group *group);
/* Names of the groups directly below. */
GPtrArray *group_children(Group *group, GError **error);

const char *group_path(Group *group); /* as in /proc/PID/cgroup: "/system.slice/cordon-tree.service/lxc" */
uint64_t group_id(Group *group);      /* what BPF helpers call its id */
unsigned group_level(Group *group);   /* 0 is the root of the whole hierarchy */
int group_fd(Group *group);           /* of its directory on cgroup2, not given away */
const char *group_hierarchy(void);    /* unified, hybrid or legacy, from the mounts */

/* The controllers that the parent of the tree hands over. */
GStrv group_controllers(Group *group, GError **error);
/* Hands all of them over to the groups below. */
bool group_enable_controllers(Group *group, GError **error);

bool group_read_events(Group *group, bool *ret_populated, bool *ret_frozen, GError **error);
bool group_attach(Group *group, pid_t pid, GError **error);
/* Puts a process back where it was, `path` as in /proc/PID/cgroup. */
bool group_return(pid_t pid, const char *path, GError **error);
/* SIGKILL to everything in the group and beneath, new forks included. */
bool group_kill(Group *group, GError **error);
/* Asks for it; cgroup.events tells when it is so. */
bool group_freeze(Group *group, bool freeze, GError **error);
/* Hands the group, not its limits, to a user, as systemd's Delegate= does. */
bool group_delegate(Group *group, uid_t uid, GError **error);
/* GArray of GroupProcess, of the group and all beneath it. */
GArray *group_processes(Group *group, GError **error);

/*
 * Extended attributes `trusted.cordon.NAME`: what a restarted daemon must know of a group. Reading one that is not
 * there gives NULL without an error.
 */
bool group_set_attribute(Group *group, const char *name, const char *value, GError **error);
char *group_get_attribute(Group *group, const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)
