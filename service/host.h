/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * Where the host mounts its control groups, from /proc/self/mountinfo (proc(5)), and what else is the same for all groups.
 */
/*
 * Where cgroup2 is mounted for Cordon on a host that does not mount it ("legacy"): by run-cordon-cgroup2.mount under
 * systemd. The hierarchy is nobody else's there.
 */
#define HOST_OWN_MOUNT "/run/cordon/cgroup2"

typedef struct HostMount {
        char *path;
        char *root;        /* the group that is at the mount point, "/" for the whole hierarchy */
        GStrv controllers; /* v1's, as the kernel names them, or "name=systemd"; of cgroup2 NULL */
} HostMount;

typedef struct Host {
        HostMount *unified;    /* cgroup2, HOST_OWN_MOUNT only if there is no other; NULL when there is none */
        GPtrArray *v1;         /* of HostMount, each hierarchy once, in the order of the mounts */
        const char *hierarchy; /* unified, hybrid or legacy: systemd's terms */
} Host;

/* Fails with KERNEL_REFUSED. */
Host *host_detect(GError **error);
/* The same from the text of a mountinfo; pure. */
Host *host_parse(const char *mountinfo);
void host_free(Host *host);

/*
 * The sizes of huge pages, as in the names of hugetlb's files: "2MB". The kernel has them from its boot on
 * (Documentation/admin-guide/mm/hugetlbpage.rst), so they are looked at once. NULL-terminated, not given away.
 */
const char *const *host_page_sizes(void);
/* The size of which /sys/kernel/mm/hugepages has this directory, or NULL; pure. */
char *host_page_size_parse(const char *directory);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)
