/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * The hierarchies of control groups in which Cordon makes its groups. The first is always cgroup2: it has the seal, the
 * guard, freezing, killing and the events. Those of cgroup v1 follow, each with the controllers that are bound to it.
 */
typedef struct Hierarchy {
        int fd;            /* of its mount */
        char *mount;       /* where, for messages */
        char *root;        /* the group at the mount point */
        char *name;        /* as in /proc/PID/cgroup: "cpu,cpuacct"; "" for cgroup2 */
        GStrv controllers; /* bound to it; of cgroup2 none: each group says which it has */
        bool systemds;     /* systemd makes the groups of its units there, on every host that has it */
} Hierarchy;

/* GPtrArray of Hierarchy. Fails with KERNEL_REFUSED, so where there is no cgroup2. */
GPtrArray *hierarchies_open(GError **error);
