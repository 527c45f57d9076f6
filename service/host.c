/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <stdbool.h>
#include <string.h>

#include "error.h"

/* Fields of a line: 3 is the root, 4 the mount point; behind the field "-" come type, source, super options. */
static void parse_line(const char *line, Host *host, bool *has_v1) {
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        size_t n = g_strv_length(words), dash = 6;

        while (dash < n && strcmp(words[dash], "-") != 0)
                dash++;
        if (dash + 3 >= n)
                return;

        /* The whole hierarchy where it is mounted; a bind mount of a group may stand before it. */
        if (strcmp(words[dash + 1], "cgroup2") == 0 &&
            (!host->mount || (strcmp(host->mount_root, "/") != 0 && strcmp(words[3], "/") == 0))) {
                g_free(host->mount_root);
                g_free(host->mount);
                host->mount_root = g_strcompress(words[3]);
                host->mount = g_strcompress(words[4]);
        }
        /* A named hierarchy (name=systemd) limits nothing and makes no host hybrid. */
        if (strcmp(words[dash + 1], "cgroup") == 0 && !strstr(words[dash + 3], "name="))
                *has_v1 = true;
}

Host *host_parse(const char *mountinfo) {
        g_autoptr(Host) host = g_new0(Host, 1);
        g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);
        bool has_v1 = false;

        for (char **line = lines; *line; line++)
                parse_line(*line, host, &has_v1);
        host->hierarchy = !host->mount ? "legacy" : has_v1 ? "hybrid" : "unified";
        return g_steal_pointer(&host);
}

Host *host_detect(GError **error) {
        g_autofree char *text = NULL;
        g_autoptr(GError) cause = NULL;

        if (!g_file_get_contents("/proc/self/mountinfo", &text, NULL, &cause)) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s", cause->message);
                return NULL;
        }
        return host_parse(text);
}

void host_free(Host *host) {
        if (!host)
                return;
        g_free(host->mount);
        g_free(host->mount_root);
        g_free(host);
}
