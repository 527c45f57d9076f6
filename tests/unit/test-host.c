/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host.h"

#include <stdbool.h>
#include <string.h>

/* Other lines of the host's, before and behind, with and without optional fields. */
#define ROOT "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
#define PROC "23 22 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw\n"
#define SYSTEMD "27 26 0:25 / /sys/fs/cgroup/systemd rw,nosuid shared:6 - cgroup cgroup rw,xattr,name=systemd\n"
#define MEMORY "29 26 0:27 / /sys/fs/cgroup/memory rw,nosuid,nodev shared:8 - cgroup cgroup rw,memory\n"
#define UNIFIED "26 24 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define BESIDE_V1 "28 26 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:7 - cgroup2 cgroup2 rw,nsdelegate\n"
#define OWN "95 22 0:23 / /run/cordon/cgroup2 rw - cgroup2 cgroup2 rw,nsdelegate\n"
#define BIND "90 22 0:23 /lxc/web1 /srv/web1/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"

static const struct {
        const char *label, *text, *hierarchy, *mount, *mount_root;
} cases[] = {
        { "unified", ROOT PROC UNIFIED, "unified", "/sys/fs/cgroup", "/" },
        { "unified-with-named", UNIFIED SYSTEMD, "unified", "/sys/fs/cgroup", "/" },
        { "hybrid", ROOT SYSTEMD BESIDE_V1 MEMORY PROC, "hybrid", "/sys/fs/cgroup/unified", "/" },
        { "hybrid-v1-first", MEMORY BESIDE_V1, "hybrid", "/sys/fs/cgroup/unified", "/" },
        { "legacy", ROOT PROC SYSTEMD MEMORY, "legacy", NULL, NULL },
        { "legacy-own", SYSTEMD MEMORY OWN, "legacy", "/run/cordon/cgroup2", "/" },
        { "own-beside-hosts", OWN BESIDE_V1 MEMORY, "hybrid", "/sys/fs/cgroup/unified", "/" },
        { "own-behind-hosts", BESIDE_V1 MEMORY OWN, "hybrid", "/sys/fs/cgroup/unified", "/" },
        { "none", ROOT PROC, "legacy", NULL, NULL },
        { "empty", "", "legacy", NULL, NULL },
        { "bind-mount-behind", UNIFIED BIND, "unified", "/sys/fs/cgroup", "/" },
        { "bind-mount-before", BIND UNIFIED, "unified", "/sys/fs/cgroup", "/" },
        { "bind-mount-only", ROOT BIND, "unified", "/srv/web1/cgroup", "/lxc/web1" },
        { "two-bind-mounts", BIND "91 22 0:23 /b /b rw - cgroup2 none rw\n", "unified", "/srv/web1/cgroup", "/lxc/web1" },
        { "mounted-twice", UNIFIED "91 22 0:23 / /mnt rw - cgroup2 none rw\n", "unified", "/sys/fs/cgroup", "/" },
        { "escaped", "26 24 0:23 /a\\040b\\134c /mnt/my\\040cgroup\\011x rw - cgroup2 cgroup2 rw\n", "unified",
          "/mnt/my cgroup\tx", "/a b\\c" },
        { "no-optional-fields", "26 24 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "unified", "/sys/fs/cgroup", "/" },
        { "many-optional-fields", "26 24 0:23 / /cg rw shared:4 master:2 propagate_from:1 unbindable - cgroup2 x rw\n",
          "unified", "/cg", "/" },
        /* Neither the mount point nor the source decides what a file system is. */
        { "named-cgroup2-elsewhere", "26 24 0:23 / /cgroup2 rw - tmpfs cgroup2 rw\n", "legacy", NULL, NULL },
        { "cut-line", "26 24 0:23 / /sys/fs/cgroup rw - cgroup2 cgroup2", "legacy", NULL, NULL },
        { "cut-line-and-whole", "26 24 0:23 / /sys/fs/cgroup rw shared:4\n" UNIFIED, "unified", "/sys/fs/cgroup", "/" },
        { "blank-lines", "\n\n" UNIFIED "\n", "unified", "/sys/fs/cgroup", "/" },
        { "garbage", "- - - - - -\n    \n- cgroup2 cgroup2 rw\n", "legacy", NULL, NULL },
};

static void parses(const void *data) {
        size_t i = GPOINTER_TO_SIZE(data);
        g_autoptr(Host) host = host_parse(cases[i].text);

        g_assert_cmpstr(host->hierarchy, ==, cases[i].hierarchy);
        g_assert_cmpstr(host->unified ? host->unified->path : NULL, ==, cases[i].mount);
        g_assert_cmpstr(host->unified ? host->unified->root : NULL, ==, cases[i].mount_root);
}

/* "CONTROLLERS at PATH of ROOT", a line each. */
static char *describe_v1(const Host *host) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (unsigned i = 0; i < host->v1->len; i++) {
                const HostMount *mount = host->v1->pdata[i];
                g_autofree char *controllers = g_strjoinv(",", mount->controllers);

                g_string_append_printf(text, "%s at %s of %s\n", controllers, mount->path, mount->root);
        }
        return g_string_free(g_steal_pointer(&text), false);
}

#define CPU "30 26 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define CPU_BIND "91 22 0:28 /a /srv/a rw - cgroup cgroup rw,cpu,cpuacct\n"

static const struct {
        const char *text, *expected;
} v1_cases[] = {
        { UNIFIED, "" },
        { SYSTEMD MEMORY, "name=systemd at /sys/fs/cgroup/systemd of /\nmemory at /sys/fs/cgroup/memory of /\n" },
        { CPU BESIDE_V1, "cpu,cpuacct at /sys/fs/cgroup/cpu,cpuacct of /\n" },
        /* once, and by the mount of the whole */
        { CPU CPU_BIND, "cpu,cpuacct at /sys/fs/cgroup/cpu,cpuacct of /\n" },
        { CPU_BIND CPU, "cpu,cpuacct at /sys/fs/cgroup/cpu,cpuacct of /\n" },
        { "1 2 0:9 / /x rw - cgroup none rw,xattr,clone_children,release_agent=/cpu,name=mine\n", "name=mine at /x of /\n" },
};

static void finds_v1(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(v1_cases); i++) {
                g_autoptr(Host) host = host_parse(v1_cases[i].text);
                g_autofree char *text = describe_v1(host);

                g_assert_cmpstr(text, ==, v1_cases[i].expected);
        }
}

static void detects_this_host(void) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Host) host = host_detect(&error);

        g_assert_no_error(error);
        g_assert_true(host->unified || strcmp(host->hierarchy, "legacy") == 0);
        host_free(NULL);
}

static const struct {
        const char *directory, *size;
} page_sizes[] = {
        { "hugepages-64kB", "64KB" }, { "hugepages-2048kB", "2MB" }, { "hugepages-524288kB", "512MB" },
        { "hugepages-1048576kB", "1GB" }, { "hugepages-16777216kB", "16GB" }, { "hugepages-0kB", NULL },
        { "hugepages-kB", NULL }, { "hugepages-2048", NULL }, { "hugepages-2048kBs", NULL }, { "2048kB", NULL }, { "", NULL },
};

static void names_page_sizes(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(page_sizes); i++) {
                g_autofree char *size = host_page_size_parse(page_sizes[i].directory);

                g_assert_cmpstr(size, ==, page_sizes[i].size);
        }
}

static void knows_this_kernels_page_sizes(void) {
        const char *const *sizes = host_page_sizes();
        g_autoptr(GDir) directory = g_dir_open("/sys/kernel/mm/hugepages", 0, NULL);
        const char *name;
        size_t n = 0;

        while (directory && (name = g_dir_read_name(directory)))
                n++;
        g_assert_cmpuint(g_strv_length((char **) sizes), ==, n);
        g_assert_true(host_page_sizes() == sizes);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = g_strconcat("/host/parses/", cases[i].label, NULL);

                g_test_add_data_func(path, GSIZE_TO_POINTER(i), parses);
        }
        g_test_add_func("/host/finds-v1", finds_v1);
        g_test_add_func("/host/detects-this-host", detects_this_host);
        g_test_add_func("/host/names-page-sizes", names_page_sizes);
        g_test_add_func("/host/knows-this-kernels-page-sizes", knows_this_kernels_page_sizes);
        return g_test_run();
}
