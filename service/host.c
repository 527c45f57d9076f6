/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "error.h"

#define PAGE_SIZES "/sys/kernel/mm/hugepages"
#define PAGE_SIZE_PREFIX "hugepages-"
#define PAGE_SIZE_SUFFIX "kB"

static void mount_free(void *data) {
        HostMount *mount = data;

        if (!mount)
                return;
        g_free(mount->path);
        g_free(mount->root);
        g_strfreev(mount->controllers);
        g_free(mount);
}

static HostMount *mount_new(char **words, GStrv controllers) {
        HostMount *mount = g_new0(HostMount, 1);

        mount->root = g_strcompress(words[3]);
        mount->path = g_strcompress(words[4]);
        mount->controllers = controllers;
        return mount;
}

/* Those of the super options that are controllers, and the name of a hierarchy without any (cgroup1_show_options()). */
static GStrv parse_controllers(const char *options) {
        static const char *const known[] = { "blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb",
                                             "memory", "misc", "net_cls", "net_prio", "perf_event", "pids", "rdma", NULL };
        g_auto(GStrv) words = g_strsplit(options, ",", -1);
        g_autoptr(GStrvBuilder) controllers = g_strv_builder_new();

        for (char **word = words; *word; word++)
                if (g_strv_contains(known, *word) || g_str_has_prefix(*word, "name="))
                        g_strv_builder_add(controllers, *word);
        return g_strv_builder_end(controllers);
}

static bool is_whole(const HostMount *mount) {
        return strcmp(mount->root, "/") == 0;
}

/* A hierarchy counts once, by the mount that shows it whole: a bind mount of one group may stand before that. */
static void add_v1(Host *host, HostMount *mount) {
        for (unsigned i = 0; i < host->v1->len; i++) {
                HostMount *other = host->v1->pdata[i];

                if (!g_strv_equal((const char *const *) other->controllers, (const char *const *) mount->controllers))
                        continue;
                if (!is_whole(other) && is_whole(mount)) {
                        mount_free(other);
                        host->v1->pdata[i] = mount;
                } else
                        mount_free(mount);
                return;
        }
        g_ptr_array_add(host->v1, mount);
}

static bool is_own(const HostMount *mount) {
        return strcmp(mount->path, HOST_OWN_MOUNT) == 0;
}

static bool is_better(const HostMount *mount, const HostMount *old) {
        return is_own(mount) != is_own(old) ? is_own(old) : is_whole(mount) && !is_whole(old);
}

static void add_unified(Host *host, HostMount *mount) {
        if (host->unified && !is_better(mount, host->unified)) {
                mount_free(mount);
                return;
        }
        mount_free(host->unified);
        host->unified = mount;
}

/* Fields of a line: 3 is the root, 4 the mount point; behind the field "-" come type, source, super options. */
static void parse_line(const char *line, Host *host) {
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        size_t n = g_strv_length(words), dash = 6;

        while (dash < n && strcmp(words[dash], "-") != 0)
                dash++;
        if (dash + 3 >= n)
                return;
        if (strcmp(words[dash + 1], "cgroup2") == 0)
                add_unified(host, mount_new(words, NULL));
        else if (strcmp(words[dash + 1], "cgroup") == 0)
                add_v1(host, mount_new(words, parse_controllers(words[dash + 3])));
}

/* A named hierarchy (name=systemd) limits nothing and makes no host hybrid. */
static bool has_controllers(const Host *host) {
        for (unsigned i = 0; i < host->v1->len; i++)
                for (char **each = ((HostMount *) host->v1->pdata[i])->controllers; *each; each++)
                        if (!g_str_has_prefix(*each, "name="))
                                return true;
        return false;
}

Host *host_parse(const char *mountinfo) {
        g_autoptr(Host) host = g_new0(Host, 1);
        g_auto(GStrv) lines = g_strsplit(mountinfo, "\n", -1);

        host->v1 = g_ptr_array_new_with_free_func(mount_free);
        for (char **line = lines; *line; line++)
                parse_line(*line, host);
        host->hierarchy = !host->unified || is_own(host->unified) ? "legacy" : has_controllers(host) ? "hybrid" : "unified";
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
        mount_free(host->unified);
        g_ptr_array_unref(host->v1);
        g_free(host);
}

/* ---- huge pages ---- */

/* mm/hugetlb_cgroup.c: mem_fmt() */
char *host_page_size_parse(const char *directory) {
        uint64_t size;
        char *end;

        if (!g_str_has_prefix(directory, PAGE_SIZE_PREFIX))
                return NULL;
        size = g_ascii_strtoull(directory + strlen(PAGE_SIZE_PREFIX), &end, 10);
        if (size == 0 || strcmp(end, PAGE_SIZE_SUFFIX) != 0)
                return NULL;
        if (size >= 1 << 20)
                return g_strdup_printf("%" PRIu64 "GB", size >> 20);
        if (size >= 1 << 10)
                return g_strdup_printf("%" PRIu64 "MB", size >> 10);
        return g_strdup_printf("%" PRIu64 "KB", size);
}

const char *const *host_page_sizes(void) {
        static GPtrArray *sizes;
        GDir *directory;
        const char *name;

        if (sizes)
                return (const char *const *) sizes->pdata;
        sizes = g_ptr_array_new();
        directory = g_dir_open(PAGE_SIZES, 0, NULL);
        while (directory && (name = g_dir_read_name(directory))) {
                char *size = host_page_size_parse(name);

                if (size)
                        g_ptr_array_add(sizes, size);
        }
        g_ptr_array_add(sizes, NULL);
        g_clear_pointer(&directory, g_dir_close);
        return (const char *const *) sizes->pdata;
}
