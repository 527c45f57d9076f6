/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "host.h"

/* GLib warns of a backslash at the end of a word, which the kernel never writes. */
static void ignore(const char *domain, GLogLevelFlags level, const char *message, void *data) {
}

/* A mountinfo. Non-UTF-8 is left in: a mount point may be anything. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);
        g_autoptr(Host) host = NULL;

        g_log_set_default_handler(ignore, NULL);
        host = host_parse(text);
        g_assert_true(host->unified || strcmp(host->hierarchy, "legacy") == 0);
        return 0;
}
