/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the forms of the manual to numbers. Rules of naming: `char-NAME` and `block-NAME` are systemd's
 * (systemd.resource-control(5), DeviceAllow=); numbers of the presets are fixed by the kernel's
 * Documentation/admin-guide/devices.txt, so that a preset means the same on every host.
 */
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/bpf.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "error.h"
#include "fd.h"

#define CHAR_DEVICE(major, minor) { { BPF_DEVCG_DEV_CHAR, (major), (minor) }, 0 }

static const DeviceRule pseudo[] = {
        CHAR_DEVICE(1, 3),          /* null */
        CHAR_DEVICE(1, 5),          /* zero */
        CHAR_DEVICE(1, 7),          /* full */
        CHAR_DEVICE(1, 8),          /* random */
        CHAR_DEVICE(1, 9),          /* urandom */
        CHAR_DEVICE(5, 0),          /* tty */
        CHAR_DEVICE(5, 2),          /* ptmx */
        CHAR_DEVICE(136, SEAL_ANY), /* the pts range, 136 to 143 */
        CHAR_DEVICE(137, SEAL_ANY),
        CHAR_DEVICE(138, SEAL_ANY),
        CHAR_DEVICE(139, SEAL_ANY),
        CHAR_DEVICE(140, SEAL_ANY),
        CHAR_DEVICE(141, SEAL_ANY),
        CHAR_DEVICE(142, SEAL_ANY),
        CHAR_DEVICE(143, SEAL_ANY),
};
static const DeviceRule kvm[] = { CHAR_DEVICE(10, 232) };
static const DeviceRule dri[] = { CHAR_DEVICE(226, SEAL_ANY) };
static const DeviceRule input[] = { CHAR_DEVICE(13, SEAL_ANY) };
static const DeviceRule sound[] = { CHAR_DEVICE(116, SEAL_ANY), CHAR_DEVICE(14, SEAL_ANY) };
static const DeviceRule fuse[] = { CHAR_DEVICE(10, 229) };
static const DeviceRule tun[] = { CHAR_DEVICE(10, 200) };

static const struct {
        const char *name;
        const DeviceRule *rules;
        size_t n_rules;
} presets[] = {
        { "@pseudo", pseudo, G_N_ELEMENTS(pseudo) },
        { "@kvm", kvm, G_N_ELEMENTS(kvm) },
        { "@dri", dri, G_N_ELEMENTS(dri) },
        { "@input", input, G_N_ELEMENTS(input) },
        { "@sound", sound, G_N_ELEMENTS(sound) },
        { "@fuse", fuse, G_N_ELEMENTS(fuse) },
        { "@tun", tun, G_N_ELEMENTS(tun) },
};

/* ---- the host ---- */

static bool host_open(DeviceHost *host, GError **error) {
        if (host->dev_fd < 0)
                host->dev_fd = open("/dev", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return host->dev_fd >= 0 || cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "/dev: %s", g_strerror(errno));
}

static bool host_read(DeviceHost *host, GError **error) {
        g_autoptr(GError) cause = NULL;
        char *text;

        if (host->proc_devices)
                return true;
        if (!g_file_get_contents("/proc/devices", &text, NULL, &cause))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s", cause->message);
        host->proc_devices = text;
        return true;
}

void device_host_clear(DeviceHost *host) {
        fd_close(&host->dev_fd);
        g_clear_pointer((char **) &host->proc_devices, g_free);
}

/* ---- presets, numbers, classes ---- */

static DeviceGrant *resolve_preset(const char *what, uint32_t access, GError **error) {
        for (size_t i = 0; i < G_N_ELEMENTS(presets); i++)
                if (strcmp(what, presets[i].name) == 0)
                        return device_grant_new(what, access, presets[i].rules, presets[i].n_rules);
        cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                    "device \"%s\" is no preset: there are @pseudo, @kvm, @dri, @input, @sound, @fuse, @tun", what);
        return NULL;
}

static DeviceGrant *resolve_numbers(const char *what, uint32_t access, GError **error) {
        g_autofree char *canonical = NULL;
        DeviceRule rule = {};

        if (!device_numbers_parse(what, &rule.device)) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                            "device \"%s\" is not TYPE:MAJOR:MINOR: the type is c or b, the major 0 to 4095 or *, "
                            "the minor 0 to 1048575 or *", what);
                return NULL;
        }
        canonical = device_format(&rule.device); /* polkit rules compare the text: c:01:3 is c:1:3 */
        return device_grant_new(canonical, access, &rule, 1);
}

#define CLASS_NAME_MAX 63 /* fs/char_dev.c, block/genhd.c: at most 63 characters are kept of a name */
#define STRINGIFY_(x) #x
#define STRINGIFY(x) STRINGIFY_(x)

/* The sections of /proc/devices are "Character devices:" and "Block devices:", their lines "MAJOR NAME". */
static DeviceGrant *resolve_class(DeviceHost *host, const char *what, uint32_t access, GError **error) {
        bool block = g_str_has_prefix(what, "block-"), in_section = false;
        const char *glob = what + (block ? strlen("block-") : strlen("char-"));
        const char *section = block ? "Block devices:" : "Character devices:";
        g_autoptr(GArray) rules = g_array_new(false, true, sizeof(DeviceRule));

        /* In polkit's details ", " separates devices, and a glob such as char-[m, /dev/kvm rw]em would forge one. */
        if (strpbrk(glob, ", ")) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                            "device \"%s\": a name or glob of /proc/devices holds no comma and no space", what);
                return NULL;
        }
        if (!host_read(host, error))
                return NULL;
        for (const char *line = host->proc_devices, *end; *line; line = *end ? end + 1 : end) {
                DeviceRule rule = { { block ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0, SEAL_ANY }, 0 };
                char name[CLASS_NAME_MAX + 1] = "";
                unsigned major_number;

                end = line + strcspn(line, "\n");
                if (end > line && end[-1] == ':')
                        in_section = strncmp(line, section, end - line) == 0;
                else if (in_section && sscanf(line, "%4u%*1[ ]%" STRINGIFY(CLASS_NAME_MAX) "[^\n]", &major_number, name) == 2 &&
                         major_number <= DEVICE_MAJOR_MAX && fnmatch(glob, name, 0) == 0) {
                        rule.device.major = major_number;
                        g_array_append_val(rules, rule);
                }
        }

        if (*glob == '\0' || rules->len == 0) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                            "device \"%s\": /proc/devices names no such %s device now", what,
                            block ? "block" : "character");
                return NULL;
        }
        return device_grant_new(what, access, &g_array_index(rules, DeviceRule, 0), rules->len);
}

/* ---- paths ---- */

/* The path of an open node, as below /dev. */
static char *node_path(int dev_fd, int node_fd) {
        g_autofree char *dev_link = g_strdup_printf("/proc/self/fd/%d", dev_fd);
        g_autofree char *node_link = g_strdup_printf("/proc/self/fd/%d", node_fd);
        g_autofree char *dev = g_file_read_link(dev_link, NULL), *node = g_file_read_link(node_link, NULL);

        if (!dev || !node || !g_str_has_prefix(node, dev) || node[strlen(dev)] != '/')
                return NULL;
        return g_strconcat("/dev", node + strlen(dev), NULL);
}

static bool is_printable(const char *text) {
        for (; *text; text++)
                if (g_ascii_iscntrl(*text))
                        return false;
        return true;
}

static int open_node(int dev_fd, const char *what) {
        struct open_how how = {
                .flags = O_PATH | O_CLOEXEC,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        const char *below = what + strlen("/dev/");
        int fd, tries = 32;

        below += strspn(below, "/");
        /* EAGAIN: something was renamed anywhere while a ".." was followed (openat2(2)). */
        do
                fd = syscall(SYS_openat2, dev_fd, below, &how, sizeof(how));
        while (fd < 0 && errno == EAGAIN && --tries > 0);
        return fd;
}

/* Most names are those of a node right in /dev: there is nothing to follow, and one look is enough. */
static bool stat_directly(int dev_fd, const char *what, struct stat *ret_st) {
        const char *name = what + strlen("/dev/");

        return !strchr(name, '/') && fstatat(dev_fd, name, ret_st, AT_SYMLINK_NOFOLLOW) == 0 &&
               (S_ISCHR(ret_st->st_mode) || S_ISBLK(ret_st->st_mode));
}

static bool stat_node(DeviceHost *host, const char *what, char **ret_path, struct stat *ret_st, GError **error) {
        autoclose int node = -1;

        if (!host_open(host, error))
                return false;
        if (stat_directly(host->dev_fd, what, ret_st)) {
                *ret_path = g_strdup(what);
                return true;
        }
        node = open_node(host->dev_fd, what);
        if (node < 0 || fstat(node, ret_st) < 0)
                return cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "device \"%s\": %s", what,
                                   errno == EXDEV ? "leads out of /dev" : g_strerror(errno));
        if (!S_ISCHR(ret_st->st_mode) && !S_ISBLK(ret_st->st_mode))
                return cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "device \"%s\" is not a device node", what);
        *ret_path = node_path(host->dev_fd, node);
        return true;
}

static DeviceGrant *resolve_path(DeviceHost *host, const char *what, uint32_t access, GError **error) {
        g_autofree char *path = NULL;
        DeviceRule rule = {};
        struct stat st;

        if (!stat_node(host, what, &path, &st, error))
                return NULL;
        if (!path || !is_printable(path) || !g_utf8_validate(path, -1, NULL)) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "device \"%s\" has no path below /dev", what);
                return NULL;
        }
        /* In the place of a device that a unit's service is not to reach, systemd puts a node of 0:0. */
        if (st.st_rdev == 0 && strcmp(path, "/dev/kmsg") == 0) /* ProtectKernelLogs=; the number is fixed: devices.txt */
                st.st_rdev = makedev(1, 11);
        if (st.st_rdev == 0) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "device \"%s\" is hidden from this service", what);
                return NULL;
        }

        rule.device.type = S_ISCHR(st.st_mode) ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK;
        rule.device.major = major(st.st_rdev);
        rule.device.minor = minor(st.st_rdev);
        return device_grant_new(path, access, &rule, 1);
}

DeviceGrant *device_grant_resolve(DeviceHost *host, const char *what, const char *access, GError **error) {
        uint32_t bits;

        if (!device_access_parse(access, &bits)) {
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                            "device \"%s\": access \"%s\" is not a non-empty subset of \"rwm\"", what, access);
                return NULL;
        }
        if (strlen(what) > DEVICE_NAME_MAX)
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "a device's name has more than %d bytes", DEVICE_NAME_MAX);
        else if (!is_printable(what))
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE, "a device's name holds a control character");
        else if (g_str_has_prefix(what, "/dev/"))
                return resolve_path(host, what, bits, error);
        else if (g_str_has_prefix(what, "char-") || g_str_has_prefix(what, "block-"))
                return resolve_class(host, what, bits, error);
        else if (g_str_has_prefix(what, "c:") || g_str_has_prefix(what, "b:"))
                return resolve_numbers(what, bits, error);
        else if (what[0] == '@')
                return resolve_preset(what, bits, error);
        else
                cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                            "device \"%s\" is none of: a path below /dev, char-NAME, block-NAME, c:MAJOR:MINOR, "
                            "b:MAJOR:MINOR, a preset such as @pseudo", what);
        return NULL;
}
