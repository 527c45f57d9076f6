/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/stat.h>

#include "fd.h"
#include "system-call.h"

/* Both sections have "loop" and "both"; one major has several names, one name several majors, as real hosts do. */
static const char proc_devices[] =
        "Character devices:\n"
        "  1 mem\n"
        "  4 /dev/vc/0\n"
        "  4 tty\n"
        "  4 ttyS\n"
        "  5 /dev/tty\n"
        " 10 misc\n"
        "136 pts\n"
        "137 pts\n"
        "226 drm\n"
        "240 both\n"
        "511 a-[b]\n"
        "\n"
        "Block devices:\n"
        "  7 loop\n"
        "  8 sd\n"
        " 65 sd\n"
        "241 both\n"
        "259 blkext\n";

static DeviceGrant *resolve(const char *what, const char *access, GError **error) {
        autoclose int dev_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        DeviceHost host = { dev_fd, proc_devices };

        return device_grant_resolve(&host, what, access, error);
}

/* "c:1:3 c:1:5" */
static char *format_rules(const DeviceGrant *grant) {
        GString *text = g_string_new(NULL);

        for (size_t i = 0; i < grant->n_rules; i++) {
                g_autofree char *device = device_format(&grant->rules[i].device);

                g_assert_cmpuint(grant->rules[i].access, ==, grant->access);
                g_string_append_printf(text, "%s%s", i > 0 ? " " : "", device);
        }
        return g_string_free(text, false);
}

/* ---- forms that do not look at /dev ---- */

static const struct {
        const char *what, *rules, *name; /* `name` where the grant is not called what was asked for */
} good[] = {
        { "c:1:3", "c:1:3" }, { "b:8:0", "b:8:0" }, { "c:0:0", "c:0:0" }, { "c:4095:1048575", "c:4095:1048575" },
        { "c:1:*", "c:1:*" }, { "c:*:*", "c:*:*" }, { "b:*:*", "b:*:*" }, { "c:*:5", "c:*:5" },
        /* One spelling, for polkit rules that compare text. */
        { "c:01:003", "c:1:3", "c:1:3" }, { "b:00:*", "b:0:*", "b:0:*" },

        { "@pseudo", "c:1:3 c:1:5 c:1:7 c:1:8 c:1:9 c:5:0 c:5:2 c:136:* c:137:* c:138:* c:139:* c:140:* c:141:* "
                     "c:142:* c:143:*" },
        { "@kvm", "c:10:232" }, { "@dri", "c:226:*" }, { "@input", "c:13:*" }, { "@sound", "c:116:* c:14:*" },
        { "@fuse", "c:10:229" }, { "@tun", "c:10:200" },

        { "char-mem", "c:1:*" }, { "char-pts", "c:136:* c:137:*" }, { "block-sd", "b:8:* b:65:*" },
        { "char-tty", "c:4:*" }, { "char-tty*", "c:4:* c:4:*" }, { "char-tty?", "c:4:*" }, { "char-[dm]*m", "c:1:* c:226:*" },
        { "char-/dev/tty", "c:5:*" }, { "char-*/0", "c:4:*" }, { "char-both", "c:240:*" }, { "block-both", "b:241:*" },
        { "block-*", "b:7:* b:8:* b:65:* b:241:* b:259:*" }, { "char-a-\\[b\\]", "c:511:*" },
};

static void accepts(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
                g_autoptr(GError) error = NULL;
                g_autoptr(DeviceGrant) grant = resolve(good[i].what, "wr", &error);
                g_autofree char *rules = NULL;

                g_assert_no_error(error);
                rules = format_rules(grant);
                g_assert_cmpstr(rules, ==, good[i].rules);
                g_assert_cmpstr(grant->what, ==, good[i].name ? good[i].name : good[i].what);
        }
}

#define NONE_OF "is none of: a path below /dev, char-NAME, block-NAME, c:MAJOR:MINOR"
#define NUMBERS "the type is c or b, the major 0 to 4095 or *, the minor 0 to 1048575 or *"
#define PRESETS "@pseudo, @kvm, @dri, @input, @sound, @fuse, @tun"

static const struct {
        const char *what, *why;
} bad[] = {
        { "c:1", NUMBERS }, { "c:1:2:3", NUMBERS }, { "c:", NUMBERS }, { "c::", NUMBERS }, { "c:1:", NUMBERS },
        { "c::1", NUMBERS }, { "b:1:2:", NUMBERS }, { "c:4096:0", NUMBERS }, { "c:0:1048576", NUMBERS },
        { "c:4294967295:0", NUMBERS }, { "c:4294967296:0", NUMBERS }, { "c:0:18446744073709551617", NUMBERS },
        { "c:-1:0", NUMBERS }, { "c:1:-1", NUMBERS }, { "c:+1:0", NUMBERS }, { "c:1:+3", NUMBERS }, { "c: 1:3", NUMBERS },
        { "c:1 :3", NUMBERS }, { "c:1: 3", NUMBERS }, { "c:1:3 ", NUMBERS }, { "c:0x1:3", NUMBERS }, { "c:a:3", NUMBERS },
        { "c:1:1e3", NUMBERS }, { "c:1:3k", NUMBERS }, { "c:**:3", NUMBERS }, { "c:1*:3", NUMBERS }, { "c:1:?", NUMBERS },
        { "c:1:١", NUMBERS },

        { "", NONE_OF }, { "x:1:2", NONE_OF }, { "a:*:*", NONE_OF }, { "C:1:3", NONE_OF }, { " c:1:3", NONE_OF },
        { "1:3", NONE_OF }, { "c", NONE_OF }, { "*", NONE_OF }, { "null", NONE_OF }, { "dev/null", NONE_OF },
        { "/dev", NONE_OF }, { "/sys/dev/null", NONE_OF }, { "/devices/null", NONE_OF }, { "//dev/null", NONE_OF },
        { "char", NONE_OF }, { "Char-mem", NONE_OF }, { "pseudo", NONE_OF },

        { "@", PRESETS }, { "@Pseudo", PRESETS }, { "@pseudo ", PRESETS }, { "@pseud", PRESETS }, { "@*", PRESETS },
        { "@nvidia", PRESETS },

        { "char-", "/proc/devices names no such character device" },
        { "block-", "/proc/devices names no such block device" },
        { "char-loop", "/proc/devices names no such character device" },
        { "block-mem", "/proc/devices names no such block device" },
        { "char-nvidia*", "/proc/devices names no such character device" },
        { "char-MEM", "/proc/devices names no such character device" },
        { "char-1", "/proc/devices names no such character device" },
        { "char-[mem", "/proc/devices names no such character device" },
        { "block-Block*", "/proc/devices names no such block device" },
        { "char-*devices*", "/proc/devices names no such character device" },
        { "char-1 mem", "no comma and no space" },
        { "char-[m, /dev/kvm rw]em", "no comma and no space" },

        { "c:1:3\n", "control character" }, { "/dev/nu\tll", "control character" }, { "char-mem\x7f", "control character" },
};

static void refuses(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *quoted = g_strdup_printf("\"%s\"", bad[i].what);
                bool shown = !g_str_has_prefix(bad[i].why, "control");
                g_autoptr(GError) error = NULL;

                g_assert_null(resolve(bad[i].what, "rwm", &error));
                expect_error(&error, CORDON_ERROR_INVALID_DEVICE, bad[i].why, shown ? quoted : bad[i].why, NULL);
        }
}

/* The parser of access strings has its own test; here it is that every form asks it, and names both. */
static void refuses_access(void) {
        static const char *const forms[] = { "c:1:3", "@pseudo", "char-mem", "/dev/null", "nonsense" };
        static const char *const accesses[] = { "", "x", "rr", "RW", "r w" };

        for (size_t i = 0; i < G_N_ELEMENTS(forms); i++)
                for (size_t j = 0; j < G_N_ELEMENTS(accesses); j++) {
                        g_autofree char *access = g_strdup_printf("access \"%s\"", accesses[j]);
                        g_autoptr(GError) error = NULL;

                        g_assert_null(resolve(forms[i], accesses[j], &error));
                        expect_error(&error, CORDON_ERROR_INVALID_DEVICE, forms[i], access, "\"rwm\"", NULL);
                }
}

/* Text that is no /proc/devices: no crash, no grant. */
static void reads_damaged_proc_devices(void) {
        static const char *const texts[] = {
                "", "\n", "Character devices:", "Character devices:\n", "1 mem\n", "Block devices:\n  1 mem\n",
                "Character devices:\n1mem\n", "Character devices:\nmem\n", "Character devices:\n 1\n",
                "Character devices:\n  1 mem \n", "Other devices:\n  1 mem\n", "Character devices: \n  1 mem\n",
                "Character devices:\n4096 mem\n", "Character devices:\n4294967297 mem\n", "Character devices:\n-1 mem\n",
        };

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
                DeviceHost host = { -1, texts[i] };
                g_autoptr(GError) error = NULL;

                g_test_message("%s", texts[i]);
                g_assert_null(device_grant_resolve(&host, "char-mem", "r", &error));
                expect_error(&error, CORDON_ERROR_INVALID_DEVICE, "char-mem", NULL);
        }
}

/* ---- paths ---- */

static const struct {
        const char *what, *rules, *name;
} nodes[] = {
        { "/dev/null", "c:1:3", "/dev/null" },
        { "/dev/zero", "c:1:5", "/dev/zero" },
        { "/dev//null", "c:1:3", "/dev/null" },
        { "/dev/./null", "c:1:3", "/dev/null" },
        { "/dev/pts/../zero", "c:1:5", "/dev/zero" },
};

static void resolves_nodes(void) {
        if (!HAS_SYSTEM_CALL(openat2))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(nodes); i++) {
                g_autoptr(GError) error = NULL;
                g_autoptr(DeviceGrant) grant = resolve(nodes[i].what, "rw", &error);
                g_autofree char *rules = NULL;

                g_assert_no_error(error);
                rules = format_rules(grant);
                g_assert_cmpstr(rules, ==, nodes[i].rules);
                g_assert_cmpstr(grant->what, ==, nodes[i].name);
        }
}

/*
 * A /dev of our own. Nodes need root, so a link that is followed shows in that what it leads to "is not a device
 * node", and tests/kernel has the rest.
 */
static const struct {
        const char *link, *target;
} links[] = {
        { "relative", "sub/file" }, { "sub/up", "../file" }, { "chain", "chain2" }, { "chain2", "sub/up" },
        { "directory", "sub" }, { "loop", "loop2" }, { "loop2", "loop" }, { "self", "self" }, { "dangling", "nothing" },
        { "absolute", "/dev/null" }, { "out", "../dev-outside" }, { "sub/out", "../../dev-outside" },
        { "out-chain", "chain-out" }, { "chain-out", "out" }, { "out-and-in", "../dev/file" }, { "magic", "/proc/self/fd" },
};

static const struct {
        const char *what, *why;
} misses[] = {
        { "/dev/file", "is not a device node" }, { "/dev/sub", "is not a device node" }, { "/dev/.", "is not a device node" },
        { "/dev/relative", "is not a device node" }, { "/dev/sub/up", "is not a device node" },
        { "/dev/chain", "is not a device node" }, { "/dev/directory/file", "is not a device node" },
        { "/dev/directory/../file", "is not a device node" }, { "/dev/socket\xc3\xa9", "is not a device node" },

        { "/dev/absolute", "leads out of /dev" }, { "/dev/out", "leads out of /dev" }, { "/dev/sub/out", "leads out of /dev" },
        { "/dev/out-chain", "leads out of /dev" }, { "/dev/out-and-in", "leads out of /dev" },
        { "/dev/magic", "leads out of /dev" }, { "/dev/magic/0", "leads out of /dev" }, { "/dev/..", "leads out of /dev" },
        { "/dev/../dev-outside", "leads out of /dev" }, { "/dev/sub/../../dev/file", "leads out of /dev" },

        { "/dev/", "No such file or directory" }, { "/dev//", "No such file or directory" },
        { "/dev/nothing", "No such file or directory" }, { "/dev/dangling", "No such file or directory" },
        { "/dev/file/", "Not a directory" }, { "/dev/file/x", "Not a directory" }, { "/dev/file*", "No such file or directory" },
        { "/dev/loop", "Too many levels of symbolic links" }, { "/dev/self", "Too many levels of symbolic links" },
};

typedef struct Fixture {
        char *top; /* holds dev/ and dev-outside, which is a link to a real node */
        int dev_fd;
} Fixture;

static void set_up(Fixture *fixture, const void *data) {
        static const char *const files[] = { "file", "sub/file", "socket\xc3\xa9" };
        autoclose int top = -1;

        fixture->top = g_dir_make_tmp("cordon-dev-XXXXXX", NULL);
        top = open(fixture->top, O_PATH | O_DIRECTORY | O_CLOEXEC);
        g_assert_cmpint(mkdirat(top, "dev", 0700), ==, 0);
        g_assert_cmpint(mkdirat(top, "dev/sub", 0700), ==, 0);
        g_assert_cmpint(symlinkat("/dev/null", top, "dev-outside"), ==, 0);
        fixture->dev_fd = openat(top, "dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
                autoclose int fd = openat(fixture->dev_fd, files[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

                g_assert_cmpint(fd, >=, 0);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(links); i++)
                g_assert_cmpint(symlinkat(links[i].target, fixture->dev_fd, links[i].link), ==, 0);
}

/* No link is followed: what is in the directory is removed, then the directory. */
static void remove_tree(const char *path) {
        g_autoptr(GDir) dir = g_file_test(path, G_FILE_TEST_IS_SYMLINK) ? NULL : g_dir_open(path, 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        g_assert_cmpint(g_remove(path), ==, 0);
}

static void tear_down(Fixture *fixture, const void *data) {
        fd_close(&fixture->dev_fd);
        remove_tree(fixture->top);
        g_free(fixture->top);
}

static void follows_links_below_dev(Fixture *fixture, const void *data) {
        DeviceHost host = { fixture->dev_fd, proc_devices };

        if (!HAS_SYSTEM_CALL(openat2))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(misses); i++) {
                g_autofree char *quoted = g_strdup_printf("\"%s\"", misses[i].what);
                g_autoptr(GError) error = NULL;

                g_assert_null(device_grant_resolve(&host, misses[i].what, "r", &error));
                expect_error(&error, CORDON_ERROR_INVALID_DEVICE, quoted, misses[i].why, NULL);
        }
}

static void refuses_long_paths(Fixture *fixture, const void *data) {
        static const size_t lengths[] = { 256, 4096, 1 << 20 };
        DeviceHost host = { fixture->dev_fd, proc_devices };

        if (!HAS_SYSTEM_CALL(openat2))
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(lengths); i++) {
                g_autofree char *name = g_strnfill(lengths[i], 'a'), *what = g_strconcat("/dev/", name, NULL);
                g_autoptr(GError) error = NULL;

                g_assert_null(device_grant_resolve(&host, what, "r", &error));
                expect_error(&error, CORDON_ERROR_INVALID_DEVICE, "more than 255 bytes", NULL);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/device-resolve/accepts", accepts);
        g_test_add_func("/device-resolve/refuses", refuses);
        g_test_add_func("/device-resolve/refuses-access", refuses_access);
        g_test_add_func("/device-resolve/reads-damaged-proc-devices", reads_damaged_proc_devices);
        g_test_add_func("/device-resolve/resolves-nodes", resolves_nodes);
        g_test_add("/device-resolve/follows-links-below-dev", Fixture, NULL, set_up, follows_links_below_dev, tear_down);
        g_test_add("/device-resolve/refuses-long-paths", Fixture, NULL, set_up, refuses_long_paths, tear_down);
        return g_test_run();
}
