/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "device.h"
#include "error.h"
#include "fuzz.h"

/* What holds of every list: it comes back from its text, covers itself, and nothing is left of it without itself. */
static void check_list(const GPtrArray *list) {
        g_autofree char *text = device_list_serialize(list), *again = NULL, *description = device_list_describe(list);
        g_autoptr(GPtrArray) copy = device_list_deserialize(text), rest = NULL, sum = NULL;
        g_autoptr(GArray) rules = device_list_rules(list);

        g_assert_nonnull(copy);
        again = device_list_serialize(copy);
        g_assert_cmpstr(again, ==, text);
        g_assert_true(device_list_covers(list, copy, NULL) && device_list_covers(copy, list, NULL));
        g_assert_nonnull(description);

        rest = device_list_revoke(list, copy, NULL);
        g_assert_nonnull(rest);
        g_assert_cmpuint(rest->len, ==, 0);
        sum = device_list_union(list, copy, NULL);
        g_assert_true(!sum || device_list_covers(sum, list, NULL));

        for (unsigned i = 0; i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);

                g_assert_true(i == 0 || device_compare(&rule[-1].device, &rule->device) < 0);
                g_assert_cmpuint(rule->access, ==, device_list_access(list, &rule->device));
        }
}

/* The first line is a device, the second its access, the rest a /proc/devices; /dev is this machine's. */
static void try_request(const char *text) {
        static int dev_fd = -1;
        g_auto(GStrv) parts = g_strsplit(text, "\n", 3);
        unsigned n = g_strv_length(parts);
        DeviceHost host = { dev_fd, n > 2 ? parts[2] : "" };
        g_autoptr(GPtrArray) list = device_list_new();
        g_autoptr(GError) error = NULL;
        DeviceGrant *grant;

        if (dev_fd < 0)
                host.dev_fd = dev_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (n < 2)
                return;
        grant = device_grant_resolve(&host, parts[0], parts[1], &error);
        if (!grant) {
                g_assert_error(error, CORDON_ERROR, CORDON_ERROR_INVALID_DEVICE);
                return;
        }
        g_assert_cmpuint(grant->n_rules, >, 0);
        device_list_add(list, grant);
        check_list(list);
}

/* What somebody wrote where the daemon keeps a list. */
static void try_stored(const char *text) {
        g_autoptr(GPtrArray) list = device_list_deserialize(text);

        if (list)
                check_list(list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);

        try_request(text);
        try_stored(text);
        return 0;
}
