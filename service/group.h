/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "hierarchy.h"

/*
 * One control group, whatever the hierarchies of the host: a directory of the same path in each of them (hierarchy.h),
 * made in all of them or in none. These are the only modules that touch cgroup files: this one, group-process.h,
 * group-limit.h and group-device.h. Every access goes beneath a directory descriptor of the group. Nothing outside knows
 * on which version of cgroups a controller is.
 */
typedef struct Group Group;

/*
 * Opens the group that holds all the drivers, `path` relative to the mounts ("system.slice/cordon-tree.service"), and
 * makes it when it is missing and `create` says so. Without that, it is made only in hierarchies in which systemd makes
 * no groups. Fails with KERNEL_REFUSED, or NO_SUCH_TREE where it is missing.
 */
Group *group_open_root(const char *path, bool create, GError **error);
/* Makes a group; one that exists fails with ALREADY_EXISTS. */
Group *group_make(Group *parent, const char *name, GError **error);
/* Where a hierarchy lacks the group (systemd cleared its unit, or somebody removed it there), it is made again. */
Group *group_open(Group *parent, const char *name, GError **error);
/* Whether group_open() had to, so that limits were lost. */
bool group_is_mended(Group *group);
/* Lets the object go; the group stays. */
void group_free(Group *group);
/* Removes the group and the empty groups beneath it. BUSY when one holds a process, and then nothing is removed. */
bool group_remove(Group *group, GError **error);
/* Removes, if it can, a group that a daemon made and did not finish: nobody was told of it. */
void group_drop_unfinished(Group *group);
/* Names of the groups directly below. */
GPtrArray *group_children(Group *group, GError **error);

Group *group_parent(Group *group);    /* NULL for the root of the tree */
const char *group_path(Group *group); /* as in /proc/PID/cgroup: "/system.slice/cordon-tree.service/lxc" */
/* Whether a path as in /proc/PID/cgroup is the group's, or of one beneath it. */
bool group_contains(Group *group, const char *path);
uint64_t group_id(Group *group);      /* what BPF helpers call its id */
unsigned group_level(Group *group);   /* 0 is the root of the whole hierarchy */
int group_fd(Group *group);           /* of its directory on cgroup2, not given away */
const char *group_hierarchy(void);    /* unified, hybrid or legacy, from the mounts */

/* The controllers that the parent of the tree hands over. */
GStrv group_controllers(Group *group, GError **error);
/* Hands all of them over to the groups below. */
bool group_enable_controllers(Group *group, GError **error);

unsigned group_n_hierarchies(Group *group);
const Hierarchy *group_hierarchy_at(Group *group, unsigned i); /* 0 is cgroup2 */
/* Of the group's directory in that hierarchy, not given away. */
int group_fd_at(Group *group, unsigned i);
/* The same in the cgroup v1 hierarchy to which the controller is bound; -1 where there is none. */
int group_v1_fd(Group *group, const char *controller);

/*
 * Extended attributes `trusted.cordon.NAME`: what a restarted daemon must know of a group. Reading one that is not
 * there gives NULL without an error.
 */
bool group_set_attribute(Group *group, const char *name, const char *value, GError **error);
char *group_get_attribute(Group *group, const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Group, group_free)
