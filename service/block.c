/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device.h"
#include "error.h"

static bool find_device(const char *what, dev_t *ret_device) {
        g_autofree char *text = g_strconcat("b:", what, NULL);
        struct seal_device device;
        struct stat st;

        if (g_str_has_prefix(what, "/dev/")) {
                if (stat(what, &st) < 0 || !S_ISBLK(st.st_mode))
                        return false;
                *ret_device = st.st_rdev;
                return true;
        }
        if (!device_numbers_parse(text, &device) || device.major == SEAL_ANY || device.minor == SEAL_ANY)
                return false;
        *ret_device = makedev(device.major, device.minor);
        return true;
}

char *block_resolve(const char *limit, const char *what, GError **error) {
        g_autofree char *directory = NULL, *partition = NULL, *disk = NULL, *text = NULL;
        dev_t device;

        if (!find_device(what, &device)) {
                cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                            "%s: \"%s\" is neither the path of a block device below /dev nor MAJOR:MINOR", limit, what);
                return NULL;
        }
        /* Documentation/admin-guide/sysfs-rules.rst: a partition is a directory of its disk's. */
        directory = g_strdup_printf("/sys/dev/block/%u:%u", major(device), minor(device));
        partition = g_build_filename(directory, "partition", NULL);
        disk = g_build_filename(directory, g_file_test(partition, G_FILE_TEST_EXISTS) ? ".." : ".", "dev", NULL);
        if (!g_file_get_contents(disk, &text, NULL, NULL)) {
                cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s: there is no block device %s", limit, what);
                return NULL;
        }
        return g_strdup(g_strchomp(text));
}
