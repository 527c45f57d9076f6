/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "name.h"

#include <string.h>

#include "error.h"

/* Prefixes of cgroup interface files, v1 and v2: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/. */
static const char *const kernel_prefixes[] = {
        "blkio", "cgroup",   "cpu",      "cpuacct",    "cpuset", "debug", "devices", "dmem", "freezer",
        "hugetlb", "io",     "irq",      "memory",     "misc",   "net_cls", "net_prio", "perf_event", "pids", "rdma",
};

/* Interface files without a prefix, and the group of the process that keeps the tree alive. */
static const char *const reserved_names[] = { "keeper", "tasks", "notify_on_release", "release_agent" };

static bool is_kernel_file(const char *name) {
        for (size_t i = 0; i < G_N_ELEMENTS(kernel_prefixes); i++) {
                size_t n = strlen(kernel_prefixes[i]);

                if (strncmp(name, kernel_prefixes[i], n) == 0 && name[n] == '.')
                        return true;
        }
        return false;
}

/* The first characters of a name that may be of any length, whole: a D-Bus error with half a character is not sent. */
static char *shorten(const char *name) {
        g_autofree char *text = g_strndup(name, NAME_LENGTH_MAX);

        return g_utf8_make_valid(text, -1);
}

bool name_validate(const char *kind, const char *name, GError **error) {
        g_autofree char *start = NULL;
        size_t n = strlen(name);

        if (n == 0 || n > NAME_LENGTH_MAX || !(g_ascii_isalnum(name[0]) || name[0] == '_'))
                goto malformed;
        for (size_t i = 1; i < n; i++)
                if (!g_ascii_isalnum(name[i]) && !strchr("_.@-", name[i]))
                        goto malformed;

        for (size_t i = 0; i < G_N_ELEMENTS(reserved_names); i++)
                if (strcmp(name, reserved_names[i]) == 0)
                        return cordon_fail(error, CORDON_ERROR_INVALID_NAME, "%s name \"%s\" is reserved", kind, name);
        if (is_kernel_file(name))
                return cordon_fail(error, CORDON_ERROR_INVALID_NAME,
                                   "%s name \"%s\" is the name of a kernel interface file; "
                                   "a name must not begin with a controller and a dot", kind, name);
        return true;

malformed:
        start = shorten(name);
        return cordon_fail(error, CORDON_ERROR_INVALID_NAME,
                           "%s name \"%s%s\" is not valid: 1 to %d characters of A-Z a-z 0-9 _ . @ -, "
                           "the first a letter, a digit or _", kind, start,
                           n > NAME_LENGTH_MAX ? "…" : "", NAME_LENGTH_MAX);
}
