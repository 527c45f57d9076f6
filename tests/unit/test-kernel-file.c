/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expect.h"
#include "kernel-file.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "system-call.h"

#define N_RECORDS 1000

/* A directory with a file, a directory and links: a cgroup directory to these functions. */
typedef struct Fixture {
        char *path;
        int dir;
} Fixture;

static const char *const files[] = { "up", "link", "dir/file", "file", "dir-link", "dir" };

static void set_up(Fixture *fixture, const void *data) {
        g_autofree char *file = NULL, *nested = NULL;

        fixture->path = g_dir_make_tmp("cordon-files-XXXXXX", NULL);
        fixture->dir = open(fixture->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(mkdirat(fixture->dir, "dir", 0700), ==, 0);
        file = g_build_filename(fixture->path, "file", NULL);
        nested = g_build_filename(fixture->path, "dir", "file", NULL);
        g_assert_true(g_file_set_contents(file, "max\n", -1, NULL) && g_file_set_contents(nested, "", -1, NULL));
        g_assert_cmpint(symlinkat("file", fixture->dir, "link"), ==, 0);
        g_assert_cmpint(symlinkat("dir", fixture->dir, "dir-link"), ==, 0);
        g_assert_cmpint(symlinkat("..", fixture->dir, "up"), ==, 0);
}

static void tear_down(Fixture *fixture, const void *data) {
        fd_close(&fixture->dir);
        for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
                g_autofree char *path = g_build_filename(fixture->path, files[i], NULL);

                g_assert_cmpint(g_remove(path), ==, 0);
        }
        g_assert_cmpint(g_rmdir(fixture->path), ==, 0);
        g_free(fixture->path);
}

static void reads_and_writes(Fixture *fixture, const void *data) {
        g_autofree char *before = NULL, *after = NULL, *nested = NULL;

        if (!HAS_SYSTEM_CALL(openat2))
                return;
        g_assert_cmpint(kernel_file_read(fixture->dir, "file", &before), ==, 0);
        g_assert_cmpstr(before, ==, "max\n");
        g_assert_cmpint(kernel_file_write(fixture->dir, "file", "12\n"), ==, 0);
        g_assert_cmpint(kernel_file_read(fixture->dir, "file", &after), ==, 0);
        g_assert_cmpstr(after, ==, "12\n\n"); /* kernel files are written in place, not cut first */
        g_assert_cmpint(kernel_file_read(fixture->dir, "dir/file", &nested), ==, 0);
        g_assert_cmpstr(nested, ==, "");
}

/* Longer than one read. */
static void reads_to_the_end(Fixture *fixture, const void *data) {
        g_autofree char *path = g_build_filename(fixture->path, "file", NULL), *text = g_strnfill(10000, 'x'), *got = NULL;

        if (!HAS_SYSTEM_CALL(openat2))
                return;
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
        g_assert_cmpint(kernel_file_read(fixture->dir, "file", &got), ==, 0);
        g_assert_cmpstr(got, ==, text);
}

/* A file of many records: a read of it ends between two of them. */
static void reads_all_records(void) {
        autoclose int process = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        long page = sysconf(_SC_PAGESIZE);
        g_autofree char *got = NULL;
        unsigned n = 0;
        char *pages;

        if (!HAS_SYSTEM_CALL(openat2))
                return;
        pages = mmap(NULL, N_RECORDS * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        g_assert_true(pages != MAP_FAILED);
        for (unsigned i = 0; i < N_RECORDS; i += 2) /* every second one becomes a mapping of its own */
                g_assert_cmpint(mprotect(pages + i * page, page, PROT_READ), ==, 0);
        g_assert_cmpint(kernel_file_read_list(process, "maps", &got), ==, 0);
        for (const char *line = got; (line = strchr(line, '\n')); line++)
                n++;
        g_assert_cmpuint(n, >=, N_RECORDS);
        g_assert_true(strstr(got, "[stack]") != NULL); /* behind them */
        munmap(pages, N_RECORDS * page);
}

static const struct {
        const char *path;
        int file, directory; /* what opening it as one is answered with */
} places[] = {
        { "file", 0, -ENOTDIR }, { "dir", -EISDIR, 0 }, { ".", -EISDIR, 0 }, { "nothing", -ENOENT, -ENOENT },
        { "", -ENOENT, -ENOENT }, { "link", -ELOOP, -ELOOP }, { "dir-link", -ELOOP, -ELOOP },
        { "dir-link/file", -ELOOP, -ELOOP }, { "up", -ELOOP, -ELOOP }, { "..", -EXDEV, -EXDEV },
        { "dir/../file", 0, -ENOTDIR }, { "dir/../..", -EXDEV, -EXDEV }, { "/", -EXDEV, -EXDEV },
        { "/proc/self/cgroup", -EXDEV, -EXDEV }, { "file/x", -ENOTDIR, -ENOTDIR },
};

static void stays_beneath(Fixture *fixture, const void *data) {
        if (!HAS_SYSTEM_CALL(openat2))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
                autoclose int fd = kernel_file_open_directory(fixture->dir, places[i].path);
                g_autofree char *text = NULL;

                g_test_message("%s", places[i].path);
                g_assert_cmpint(MIN(fd, 0), ==, places[i].directory);
                g_assert_cmpint(kernel_file_write(fixture->dir, places[i].path, "0"), ==, places[i].file);
                /* A directory opens for reading and then cannot be read. */
                g_assert_cmpint(kernel_file_read(fixture->dir, places[i].path, &text), ==, places[i].file);
                g_assert_cmpint(text != NULL, ==, places[i].file == 0);
        }
}

static void names_file_value_and_reason(void) {
        g_autoptr(GError) error = NULL;

        g_assert_false(kernel_file_fail(&error, "/lxc/web1", "memory.max", "1k", -EINVAL));
        expect_error(&error, CORDON_ERROR_KERNEL_REFUSED, "/lxc/web1/memory.max: ", "\"1k\"", "Invalid argument", NULL);
        g_assert_false(kernel_file_fail(&error, "/lxc/web1", "memory.max", NULL, -ENOENT));
        g_assert_cmpstr(error->message, ==, "/lxc/web1/memory.max: No such file or directory");
        g_clear_error(&error);
        g_assert_false(kernel_file_fail(&error, "/lxc/web1", NULL, NULL, -ENOENT));
        g_assert_cmpstr(error->message, ==, "/lxc/web1: No such file or directory");
        g_assert_false(kernel_file_fail(NULL, "/lxc/web1", NULL, NULL, -ENOENT));
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add("/kernel-file/reads-and-writes", Fixture, NULL, set_up, reads_and_writes, tear_down);
        g_test_add("/kernel-file/reads-to-the-end", Fixture, NULL, set_up, reads_to_the_end, tear_down);
        g_test_add_func("/kernel-file/reads-all-records", reads_all_records);
        g_test_add("/kernel-file/stays-beneath", Fixture, NULL, set_up, stays_beneath, tear_down);
        g_test_add_func("/kernel-file/names-file-value-and-reason", names_file_value_and_reason);
        return g_test_run();
}
