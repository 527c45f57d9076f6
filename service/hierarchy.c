/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hierarchy.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "host.h"

#define SYSTEMD "name=systemd"

static void hierarchy_free(void *data) {
        Hierarchy *hierarchy = data;

        fd_close(&hierarchy->fd);
        g_free(hierarchy->mount);
        g_free(hierarchy->root);
        g_free(hierarchy->name);
        g_strfreev(hierarchy->controllers);
        g_free(hierarchy);
}

static bool is_used(const HostMount *mount) {
        static const char *const used[] = { "blkio", "cpu", "cpuacct", "cpuset", "devices", "hugetlb", "memory", "pids",
                                            SYSTEMD, NULL };

        for (char **each = mount->controllers; *each; each++)
                if (g_strv_contains(used, *each))
                        return true;
        return false;
}

static bool add_mount(GPtrArray *hierarchies, const HostMount *mount, bool systemds, GError **error) {
        Hierarchy *hierarchy = g_new0(Hierarchy, 1);
        char *none[] = { NULL };

        hierarchy->fd = open(mount->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        hierarchy->mount = g_strdup(mount->path);
        hierarchy->root = g_strdup(mount->root);
        hierarchy->controllers = g_strdupv(mount->controllers ? mount->controllers : none);
        hierarchy->name = g_strjoinv(",", hierarchy->controllers);
        hierarchy->systemds = systemds;
        g_ptr_array_add(hierarchies, hierarchy);
        return hierarchy->fd >= 0 ||
               cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: %s", mount->path, g_strerror(errno));
}

GPtrArray *hierarchies_open(GError **error) {
        g_autoptr(GPtrArray) hierarchies = g_ptr_array_new_with_free_func(hierarchy_free);
        g_autoptr(Host) host = host_detect(error);

        if (!host)
                return NULL;
        if (!host->unified) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "no cgroup2 file system is mounted: mount one at %s",
                            HOST_OWN_MOUNT);
                return NULL;
        }
        if (!add_mount(hierarchies, host->unified, strcmp(host->unified->path, HOST_OWN_MOUNT) != 0, error))
                return NULL;
        for (unsigned i = 0; i < host->v1->len; i++) {
                const HostMount *mount = host->v1->pdata[i];
                bool systemds = g_strv_contains((const char *const *) mount->controllers, SYSTEMD);

                if (is_used(mount) && !add_mount(hierarchies, mount, systemds, error))
                        return NULL;
        }
        return g_steal_pointer(&hierarchies);
}
