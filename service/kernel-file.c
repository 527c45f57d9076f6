/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kernel-file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

#include "error.h"
#include "fd.h"

#define READ_SIZE 4096

static int open_beneath(int dir, const char *path, int flags) {
        struct open_how how = {
                .flags = flags | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
        };
        int fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

        return fd < 0 ? -errno : fd;
}

int kernel_file_open_directory(int dir, const char *path) {
        return open_beneath(dir, path, O_RDONLY | O_DIRECTORY);
}

/* Reads until one read gives less than `enough`, which is then the last. */
static int read_until(int dir, const char *name, ssize_t enough, char **ret_text) {
        autoclose int fd = open_beneath(dir, name, O_RDONLY);
        g_autoptr(GString) text = NULL;
        char buffer[READ_SIZE];
        ssize_t n;

        if (fd < 0)
                return fd;
        text = g_string_new(NULL);
        do {
                n = read(fd, buffer, sizeof(buffer));
                if (n < 0)
                        return -errno;
                g_string_append_len(text, buffer, n);
        } while (n >= enough);
        *ret_text = g_string_free(g_steal_pointer(&text), false);
        return 0;
}

int kernel_file_read(int dir, const char *name, char **ret_text) {
        return read_until(dir, name, READ_SIZE, ret_text);
}

int kernel_file_read_list(int dir, const char *name, char **ret_text) {
        return read_until(dir, name, 1, ret_text);
}

int kernel_file_write(int dir, const char *name, const char *text) {
        autoclose int fd = open_beneath(dir, name, O_WRONLY);

        if (fd < 0)
                return fd;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int kernel_file_list_directories(int dir, GPtrArray *names, bool first_only) {
        autoclose int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *entry;
        DIR *stream;

        if (fd < 0)
                return -errno;
        stream = fdopendir(fd);
        if (!stream)
                return -errno;
        fd_steal(&fd);
        for (;;) {
                errno = 0;
                entry = readdir(stream);
                if (!entry)
                        break;
                if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                g_ptr_array_add(names, g_strdup(entry->d_name));
                if (first_only)
                        break;
        }
        int r = -errno;
        closedir(stream);
        return r;
}

bool kernel_file_fail(GError **error, const char *group, const char *name, const char *value, int negative_errno) {
        const char *separator = name ? "/" : "";

        if (!value)
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s%s%s: %s", group, separator,
                                   name ? name : "", g_strerror(-negative_errno));
        return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s%s%s: the kernel refused \"%s\": %s", group,
                           separator, name ? name : "", value, g_strerror(-negative_errno));
}
