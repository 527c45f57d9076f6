/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expect.h"
#include "name.h"

static const char *const good[] = {
        "a", "Z", "0", "_", "web1", "a.b", "a@b", "a-b", "a_", "0-", "a..", "A.B@c-d_9",
        /* Near misses of what is reserved. */
        "memory", "cgroup", "cpu", "memoryx.y", "memory-max", "memory@max", "Memory.max", "xmemory.max", "cpusets.x",
        "pid.max", "CGROUP.procs", "keeper1", "Keeper", "keeper.", "task", "tasks2", "tasks.", "notify_on_release2",
        "release-agent",
};

static const char *const malformed[] = {
        "", ".", "..", ".a", "@a", "-a", "/", "a/b", "/a", "a/", "../a", "a b", " a", "a ", "a\n", "a\t", "a:b", "a+b",
        "a\\b", "a%b", "a%sb", "a*b", "a\"b", "a\x7f", "é", "web\xc3\xa9", "日本",
};

static const char *const kernel_files[] = {
        "cgroup.procs", "cgroup.type", "cgroup.subtree_control", "cgroup.clone_children", "cgroup.", "memory.max",
        "memory.swap.max", "memory.kmem.limit_in_bytes", "memory.pressure", "cpu.max", "cpu.stat", "cpu.cfs_quota_us",
        "cpuacct.usage", "cpuset.cpus", "cpuset.cpus.partition", "io.max", "io.bfq.weight", "irq.pressure", "pids.max",
        "hugetlb.2MB.max", "rdma.max", "misc.max", "dmem.max", "devices.allow", "freezer.state", "net_cls.classid",
        "net_prio.ifpriomap", "perf_event.x", "blkio.throttle.read_bps_device", "debug.taskcount",
};

static const char *const reserved[] = { "keeper", "tasks", "notify_on_release", "release_agent" };

static void accepts(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
                g_autoptr(GError) error = NULL;

                name_validate("domain", good[i], &error);
                g_assert_no_error(error);
        }
}

static void refuses(const char *const *names, size_t n, const char *why) {
        for (size_t i = 0; i < n; i++) {
                g_autofree char *quoted = g_strdup_printf("\"%s\"", names[i]);
                g_autoptr(GError) error = NULL;

                g_assert_false(name_validate("domain", names[i], &error));
                expect_error(&error, CORDON_ERROR_INVALID_NAME, "domain name", quoted, why, NULL);
                g_assert_false(name_validate("driver", names[i], &error));
                expect_error(&error, CORDON_ERROR_INVALID_NAME, "driver name", quoted, why, NULL);
                g_assert_false(name_validate("driver", names[i], NULL));
        }
}

static void refuses_malformed(void) {
        refuses(malformed, G_N_ELEMENTS(malformed), "1 to 64 characters of A-Z a-z 0-9 _ . @ -");
}

static void refuses_kernel_files(void) {
        refuses(kernel_files, G_N_ELEMENTS(kernel_files), "kernel interface file");
}

static void refuses_reserved(void) {
        refuses(reserved, G_N_ELEMENTS(reserved), "reserved");
}

/* Every byte, at the start and further on, against the rule spelled out anew. */
static void decides_by_character(void) {
        static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";

        for (int c = 1; c < 256; c++) {
                char first[] = { c, 'x', '\0' }, later[] = { 'x', c, '\0' };
                bool letter = strchr(letters, c);

                g_assert_cmpint(name_validate("domain", first, NULL), ==, letter);
                g_assert_cmpint(name_validate("domain", later, NULL), ==, letter || strchr(".@-", c));
        }
}

static void counts_characters(void) {
        static const struct {
                size_t length;
                bool good;
        } cases[] = { { 0, false }, { 1, true }, { 63, true }, { 64, true }, { 65, false }, { 1 << 20, false } };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *name = g_strnfill(cases[i].length, 'a');
                g_autoptr(GError) error = NULL;

                g_assert_cmpint(name_validate("domain", name, &error), ==, cases[i].good);
                if (!cases[i].good)
                        g_assert_cmpuint(strlen(error->message), <, 512);
        }
}

/* The message shows the beginning of a long name, and a character that the cut would halve must not break it. */
static void cuts_long_names_between_characters(void) {
        for (size_t before = 60; before <= NAME_LENGTH_MAX; before++) {
                g_autofree char *start = g_strnfill(before, 'a');
                g_autofree char *name = g_strconcat(start, "日本日本", NULL);
                g_autoptr(GError) error = NULL;

                g_assert_false(name_validate("domain", name, &error));
                expect_error(&error, CORDON_ERROR_INVALID_NAME, start, "…\"", NULL);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/name/accepts", accepts);
        g_test_add_func("/name/refuses/malformed", refuses_malformed);
        g_test_add_func("/name/refuses/kernel-files", refuses_kernel_files);
        g_test_add_func("/name/refuses/reserved", refuses_reserved);
        g_test_add_func("/name/decides-by-character", decides_by_character);
        g_test_add_func("/name/counts-characters", counts_characters);
        g_test_add_func("/name/cuts-long-names-between-characters", cuts_long_names_between_characters);
        return g_test_run();
}
