#include "block.h"

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "error.h"

static bool find_device(const char *what, dev_t *ret_device) {
        unsigned major_number, minor_number;
        struct stat st;
        int end = 0;

        if (g_str_has_prefix(what, "/dev/")) {
                if (stat(what, &st) < 0 || !S_ISBLK(st.st_mode))
                        return false;
                *ret_device = st.st_rdev;
                return true;
        }
        if (!g_ascii_isdigit(what[0]) || sscanf(what, "%u:%u%n", &major_number, &minor_number, &end) != 2 ||
            what[end] != '\0')
                return false;
        *ret_device = makedev(major_number, minor_number);
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
