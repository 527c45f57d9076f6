/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/seal.h"

/*
 * Device whitelists as values. A *rule* is numbers and access bits as the kernel checks them. A *grant* is what was
 * asked for ("/dev/fuse", "@pseudo", "char-pts") with the rules it stood for when it was granted. A *list* is the
 * grants of a domain or the ceiling of a driver: a GPtrArray of DeviceGrant, unique by `what`, never changed once
 * made, but that a domain's own may grow at its end. All of it is pure; only device_grant_resolve() looks at the host.
 */
#define DEVICE_GRANTS_MAX 2048
#define DEVICE_RULES_MAX 4096 /* of all grants of a list together */
#define DEVICE_NAME_MAX 255    /* bytes of a grant's name */

/* The kernel's dev_t has 12 bits of major and 20 of minor (include/linux/kdev_t.h). */
#define DEVICE_MAJOR_MAX ((1U << 12) - 1)
#define DEVICE_MINOR_MAX ((1U << 20) - 1)

typedef struct DeviceRule {
        struct seal_device device; /* type is BPF_DEVCG_DEV_BLOCK or _CHAR */
        uint32_t access;           /* BPF_DEVCG_ACC_* bits */
} DeviceRule;

typedef struct DeviceGrant {
        char *what;
        uint32_t access;
        DeviceRule *rules;
        size_t n_rules;
} DeviceGrant;

/* Where names of devices are looked up. What is not given is opened or read when the first name needs it. */
typedef struct DeviceHost {
        int dev_fd;                /* of /dev, or -1 */
        const char *proc_devices;  /* contents of /proc/devices, or NULL */
} DeviceHost;

/* "rwm" in any order, each once, at least one. */
bool device_access_parse(const char *text, uint32_t *ret_access);
/* Writes at most "rwm" and the final zero. */
const char *device_access_format(uint32_t access, char buffer[static 4]);

const char *device_type_name(uint32_t type); /* "c" or "b" */
/* "c:10:*" of a device, and back. */
bool device_numbers_parse(const char *text, struct seal_device *ret_device);
char *device_format(const struct seal_device *device);

/*
 * Makes a grant of one of the forms of the manual: a path below /dev, char-NAME or block-NAME (a glob), c:MAJOR:MINOR
 * or b:MAJOR:MINOR (each a number or *), a preset. A path is resolved here and now, and `what` becomes the path of
 * the node after symbolic links, so that nothing decided on the name can come to mean another device. Fails with
 * INVALID_DEVICE.
 */
DeviceGrant *device_grant_resolve(DeviceHost *host, const char *what, const char *access, GError **error);
/* Lets go of what was opened and read. */
void device_host_clear(DeviceHost *host);
/* One that is equal to another is the other. */
DeviceGrant *device_grant_new(const char *what, uint32_t access, const DeviceRule *rules, size_t n_rules);
DeviceGrant *device_grant_ref(DeviceGrant *grant);
void device_grant_unref(DeviceGrant *grant);

GPtrArray *device_list_new(void);
/* Adds to a list under construction, which device_list_merge() finishes; takes the reference. */
void device_list_add(GPtrArray *list, DeviceGrant *grant);
/*
 * Entries of the same name become one, with the union of their access. Where a name has come to mean other devices
 * (a driver was loaded, a disk replugged), what it meant before stays granted by number: nothing gets an access that
 * was not asked for it.
 */
void device_list_merge(GPtrArray *list);
/* The ceiling of a driver for which none was given: every device. */
GPtrArray *device_list_everything(void);

/* Fails with QUOTA_EXCEEDED past DEVICE_GRANTS_MAX or DEVICE_RULES_MAX. */
bool device_list_check_size(const GPtrArray *list, GError **error);
/* `list` and `more` together, in a new list of the allowed size. */
GPtrArray *device_list_union(const GPtrArray *list, const GPtrArray *more, GError **error);
/* Whether the union of both is the list with the grant, of one device, behind it. */
bool device_list_may_append(const GPtrArray *list, const DeviceGrant *grant);
/*
 * `list` without what `revoked` names, in a new list. A grant of several devices that loses some is replaced by its
 * remaining devices by number. What was not granted is no error; a device that a grant covers together with others
 * (c:1:3, or c:*:3, under c:1:*) cannot be taken out alone and fails with INVALID_DEVICE.
 */
GPtrArray *device_list_revoke(const GPtrArray *list, const GPtrArray *revoked, GError **error);
/*
 * Where the grant is whose end is all that it takes to revoke `revoked`, which is one device: no other has to do with
 * that device. False when it is not as simple.
 */
bool device_list_find_alone(const GPtrArray *list, const DeviceGrant *revoked, unsigned *ret_index);

/* Whether everything in `inner` is allowed by `outer`; if not, *ret_excess (not owned) is a grant that is not. */
bool device_list_covers(const GPtrArray *outer, const GPtrArray *inner, const DeviceGrant **ret_excess);
/*
 * What of `list` the rules give, too, in a new list: a grant that they give whole stays, of another its common part by
 * number, where one covers the other; of c:1:* and c:*:3 nothing is left.
 */
GPtrArray *device_list_within(const GPtrArray *list, const GArray *rules);
/* Access that the list gives under exactly this key, wildcards being keys of their own. */
uint32_t device_list_access(const GPtrArray *list, const struct seal_device *key);
/* The merged rules of a list: GArray of DeviceRule, unique by device, sorted. */
GArray *device_list_rules(const GPtrArray *list);
int device_compare(const struct seal_device *a, const struct seal_device *b);
/* Whether every device that is `narrow` is `wide`, too. */
bool device_covers(const struct seal_device *wide, const struct seal_device *narrow);

/* "/dev/kvm rw, @pseudo rw", sorted: for people and polkit rules. */
char *device_list_describe(const GPtrArray *list);
/* Lines "WHAT ACCESS RULES" for an extended attribute, and back; NULL when the text is not of that form. */
char *device_list_serialize(const GPtrArray *list);
GPtrArray *device_list_deserialize(const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DeviceGrant, device_grant_unref)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(DeviceHost, device_host_clear)
