/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Where the host mounts its control groups, from /proc/self/mountinfo (proc(5)).
 */
typedef struct Host {
        char *mount;           /* of cgroup2; NULL when there is none */
        char *mount_root;      /* the group that is at the mount point, "/" for the whole hierarchy */
        const char *hierarchy; /* unified, hybrid or legacy: systemd's terms */
} Host;

/* Fails with KERNEL_REFUSED. */
Host *host_detect(GError **error);
/* The same from the text of a mountinfo; pure. */
Host *host_parse(const char *mountinfo);
void host_free(Host *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)
