/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "seal.skel.h"

#define PROGRAM_NAME "cordon_seal"
#define PROGRAMS_MAX 64 /* per group: BPF_CGROUP_MAX_PROGS, kernel/bpf/cgroup.c */

typedef enum SealMap { MAP_DOMAINS, MAP_REFUSALS, MAP_DENIALS, MAP_EVENTS, N_MAPS } SealMap;

static const struct {
        const char *name;
        uint32_t type, key_size, value_size;
} layout[N_MAPS] = {
        [MAP_DOMAINS] = { "domains", BPF_MAP_TYPE_HASH_OF_MAPS, sizeof(__u64), sizeof(__u32) },
        [MAP_REFUSALS] = { "refusals", BPF_MAP_TYPE_HASH, sizeof(__u64), sizeof(struct seal_refusals) },
        [MAP_DENIALS] = { "denials", BPF_MAP_TYPE_LRU_HASH, sizeof(struct seal_denial_key), sizeof(struct seal_denial) },
        [MAP_EVENTS] = { "events", BPF_MAP_TYPE_RINGBUF, 0, 0 },
};

struct Seal {
        uint32_t program_id;
        uint8_t tag[BPF_TAG_SIZE];
        int program;
        int maps[N_MAPS];
};

static bool seal_fail(GError **error, Group *driver, const char *what, int negative_errno) {
        return cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "%s cannot be sealed: %s: %s", group_path(driver), what,
                           g_strerror(-negative_errno));
}

static Seal *seal_alloc(void) {
        Seal *seal = g_new0(Seal, 1);

        seal->program = -1;
        for (int i = 0; i < N_MAPS; i++)
                seal->maps[i] = -1;
        return seal;
}

void seal_free(Seal *seal) {
        if (!seal)
                return;
        fd_close(&seal->program);
        for (int i = 0; i < N_MAPS; i++)
                fd_close(&seal->maps[i]);
        g_free(seal);
}

/* ---- loading ---- */

static bool reuse_maps(struct seal_bpf *skeleton, const Seal *old) {
        struct bpf_map *maps[N_MAPS] = {
                [MAP_DOMAINS] = skeleton->maps.domains,
                [MAP_REFUSALS] = skeleton->maps.refusals,
                [MAP_DENIALS] = skeleton->maps.denials,
                [MAP_EVENTS] = skeleton->maps.events,
        };

        for (int i = 0; i < N_MAPS; i++)
                if (bpf_map__reuse_fd(maps[i], old->maps[i]) < 0)
                        return false;
        return true;
}

static int duplicate(int fd) {
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

static bool describe(Seal *seal) {
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(seal->program, &info, &size) < 0)
                return false;
        seal->program_id = info.id;
        memcpy(seal->tag, info.tag, sizeof(seal->tag));
        return true;
}

/* Loads the program for a driver, with the maps of `old` when there is one. It is not attached yet. */
static Seal *load(Group *driver, const Seal *old, GError **error) {
        g_autoptr(Seal) seal = seal_alloc();
        struct seal_bpf *skeleton = seal_bpf__open();
        int r = -errno;

        if (skeleton) {
                skeleton->rodata->domain_level = group_level(driver) + 1;
                r = old && !reuse_maps(skeleton, old) ? -errno : seal_bpf__load(skeleton);
        }
        if (r == 0) {
                seal->program = duplicate(bpf_program__fd(skeleton->progs.cordon_seal));
                seal->maps[MAP_DOMAINS] = duplicate(bpf_map__fd(skeleton->maps.domains));
                seal->maps[MAP_REFUSALS] = duplicate(bpf_map__fd(skeleton->maps.refusals));
                seal->maps[MAP_DENIALS] = duplicate(bpf_map__fd(skeleton->maps.denials));
                seal->maps[MAP_EVENTS] = duplicate(bpf_map__fd(skeleton->maps.events));
                if (!describe(seal))
                        r = -errno;
        }
        seal_bpf__destroy(skeleton);
        if (r < 0) {
                seal_fail(error, driver, "the device program does not load", r);
                return NULL;
        }
        return g_steal_pointer(&seal);
}

/*
 * BPF_F_ALLOW_MULTI only: a program attached without it can be detached by anybody who can open the directory, and a
 * link would go with this process (FACTS.md). With `old`, its program is exchanged in one step.
 */
static bool attach(Group *driver, Seal *seal, const Seal *old, GError **error) {
        LIBBPF_OPTS(bpf_prog_attach_opts, options, .flags = BPF_F_ALLOW_MULTI);
        int r;

        if (old) {
                options.flags |= BPF_F_REPLACE;
                options.replace_prog_fd = old->program;
        }
        r = bpf_prog_attach_opts(seal->program, group_fd(driver), BPF_CGROUP_DEVICE, &options);
        return r >= 0 || seal_fail(error, driver, "the device program cannot be attached", r);
}

Seal *seal_new(Group *driver, GError **error) {
        g_autoptr(Seal) seal = load(driver, NULL, error);

        if (!seal || !attach(driver, seal, NULL, error))
                return NULL;
        return g_steal_pointer(&seal);
}

/* ---- finding again ---- */

/* Ids of the programs attached to the group itself. */
static int query(Group *driver, uint32_t ids[static PROGRAMS_MAX], uint32_t *ret_n) {
        *ret_n = PROGRAMS_MAX;
        return bpf_prog_query(group_fd(driver), BPF_CGROUP_DEVICE, 0, NULL, ids, ret_n);
}

static bool adopt_map(Seal *seal, uint32_t id) {
        autoclose int fd = bpf_map_get_fd_by_id(id);
        struct bpf_map_info info = {};
        uint32_t size = sizeof(info);

        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0)
                return false;
        for (int i = 0; i < N_MAPS; i++)
                if (strcmp(info.name, layout[i].name) == 0 && info.type == layout[i].type &&
                    info.key_size == layout[i].key_size && info.value_size == layout[i].value_size)
                        seal->maps[i] = fd_steal(&fd);
        return true;
}

/* Takes the program for the seal if it is one of ours; false leaves `seal` as it was. */
static bool adopt_program(Seal *seal, uint32_t id) {
        autoclose int fd = bpf_prog_get_fd_by_id(id);
        uint32_t maps[N_MAPS + 4] = {}; /* and the constants' */
        struct bpf_prog_info info = { .nr_map_ids = G_N_ELEMENTS(maps), .map_ids = (uintptr_t) maps };
        uint32_t size = sizeof(info);

        if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 || strcmp(info.name, PROGRAM_NAME) != 0)
                return false;
        for (uint32_t i = 0; i < MIN(info.nr_map_ids, G_N_ELEMENTS(maps)); i++)
                if (!adopt_map(seal, maps[i]))
                        return false;
        seal->program = fd_steal(&fd);
        seal->program_id = info.id;
        memcpy(seal->tag, info.tag, sizeof(seal->tag));
        return true;
}

static bool is_whole(const Seal *seal) {
        for (int i = 0; i < N_MAPS; i++)
                if (seal->maps[i] < 0)
                        return false;
        return true;
}

/* Exchanges a program of another version for this one's, which decides by the same maps. */
static Seal *upgrade(Group *driver, Seal *old, GError **error) {
        static uint8_t tag[BPF_TAG_SIZE]; /* of this version's program; the same for every driver */
        static bool has_tag;
        g_autoptr(Seal) seal = NULL;

        if (has_tag && memcmp(tag, old->tag, sizeof(tag)) == 0)
                return old;
        seal = load(driver, old, error);
        if (seal) {
                memcpy(tag, seal->tag, sizeof(tag));
                has_tag = true;
                if (memcmp(tag, old->tag, sizeof(tag)) == 0)
                        return old;
                g_message("%s: exchanging the device program of another version", group_path(driver));
                if (!attach(driver, seal, old, error))
                        g_clear_pointer(&seal, seal_free);
        }
        seal_free(old);
        return g_steal_pointer(&seal);
}

Seal *seal_find(Group *driver, GError **error) {
        uint32_t ids[PROGRAMS_MAX], n;
        int r = query(driver, ids, &n);

        if (r < 0) {
                seal_fail(error, driver, "its programs cannot be read", r);
                return NULL;
        }
        for (uint32_t i = 0; i < n; i++) {
                g_autoptr(Seal) seal = seal_alloc();

                if (!adopt_program(seal, ids[i]))
                        continue;
                if (!is_whole(seal)) {
                        seal_fail(error, driver, "its program decides by maps of another layout", -EUCLEAN);
                        return NULL;
                }
                return upgrade(driver, g_steal_pointer(&seal), error);
        }
        return NULL;
}

bool seal_is_attached(Seal *seal, Group *driver) {
        uint32_t ids[PROGRAMS_MAX], n;

        if (query(driver, ids, &n) < 0)
                return false;
        for (uint32_t i = 0; i < n; i++)
                if (ids[i] == seal->program_id)
                        return true;
        return false;
}

/* ---- rules ---- */

static bool rules_fail(GError **error, const char *what, int negative_errno) {
        return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "the device rules: %s: %s", what,
                           g_strerror(-negative_errno));
}

/* The inner map of a domain, or a negative errno. */
static int open_rules(Seal *seal, uint64_t domain) {
        uint32_t id;

        if (bpf_map_lookup_elem(seal->maps[MAP_DOMAINS], &domain, &id) < 0)
                return -errno;
        return bpf_map_get_fd_by_id(id);
}

/* Room to grow by single updates, a power of two because the kernel rounds the buckets up anyway. */
static uint32_t rules_size(uint32_t n) {
        uint32_t size = 64;

        while (size < 2 * n)
                size *= 2;
        return size;
}

static int make_rules(const GArray *rules) {
        LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
        autoclose int fd = bpf_map_create(BPF_MAP_TYPE_HASH, "cordon_rules", sizeof(struct seal_device),
                                          sizeof(uint32_t), rules_size(rules->len), &options);
        g_autofree struct seal_device *devices = g_new(struct seal_device, rules->len);
        g_autofree uint32_t *access = g_new(uint32_t, rules->len);
        uint32_t n = rules->len;
        int r;

        if (fd < 0)
                return fd;
        for (uint32_t i = 0; i < n; i++) {
                devices[i] = g_array_index(rules, DeviceRule, i).device;
                access[i] = g_array_index(rules, DeviceRule, i).access;
        }
        r = n > 0 ? bpf_map_update_batch(fd, devices, access, &n, NULL) : 0;
        return r < 0 ? r : fd_steal(&fd);
}

bool seal_set_rules(Seal *seal, uint64_t domain, const GArray *rules, GError **error) {
        autoclose int inner = make_rules(rules);
        struct seal_refusals none = {};
        int r;

        if (inner < 0)
                return rules_fail(error, "cannot make the list", inner);
        r = bpf_map_update_elem(seal->maps[MAP_REFUSALS], &domain, &none, BPF_NOEXIST);
        if (r < 0 && r != -EEXIST)
                return rules_fail(error, "cannot count refusals", r);
        r = bpf_map_update_elem(seal->maps[MAP_DOMAINS], &domain, &inner, BPF_ANY);
        return r >= 0 || rules_fail(error, "cannot put the list in force", r);
}

/*
 * Reads a whole map by as few calls as there can be: ten thousand domains are read at a start. The kernel wants room
 * for all that is in one bucket, so the room grows until it has it.
 */
static int read_map(int map, GArray *rules) {
        uint32_t position, room = 64, n = room;
        g_autofree struct seal_device *devices = g_new(struct seal_device, room);
        g_autofree uint32_t *access = g_new(uint32_t, room);
        void *after = NULL;
        int r;

        do {
                r = bpf_map_lookup_batch(map, after, &position, devices, access, &n, NULL);
                if (r == -ENOSPC) {
                        room *= 2;
                        devices = g_renew(struct seal_device, devices, room);
                        access = g_renew(uint32_t, access, room);
                        n = room;
                        continue;
                }
                if (r < 0 && r != -ENOENT) /* ENOENT: that was all */
                        return r;
                for (uint32_t i = 0; i < n; i++)
                        g_array_append_vals(rules, &(DeviceRule) { devices[i], access[i] }, 1);
                after = &position;
                n = room;
        } while (r != -ENOENT);
        return 0;
}

GArray *seal_read_rules(Seal *seal, uint64_t domain, GError **error) {
        g_autoptr(GArray) rules = g_array_new(false, true, sizeof(DeviceRule));
        autoclose int inner = open_rules(seal, domain);
        int r = inner == -ENOENT ? 0 : inner < 0 ? inner : read_map(inner, rules);

        if (r < 0) {
                rules_fail(error, "cannot read the list", r);
                return NULL;
        }
        g_array_sort(rules, (GCompareFunc) device_compare);
        return g_steal_pointer(&rules);
}

/* The list is full: the same with one more rule, in a larger map. */
static bool grow(Seal *seal, uint64_t domain, const DeviceRule *rule, GError **error) {
        g_autoptr(GArray) rules = seal_read_rules(seal, domain, error);

        if (!rules)
                return false;
        g_array_append_val(rules, *rule);
        return seal_set_rules(seal, domain, rules, error);
}

bool seal_set_rule(Seal *seal, uint64_t domain, const struct seal_device *device, uint32_t access, GError **error) {
        autoclose int inner = open_rules(seal, domain);
        int r = inner;

        if (r >= 0 && access != 0)
                r = bpf_map_update_elem(inner, device, &access, BPF_ANY);
        else if (r >= 0)
                r = bpf_map_delete_elem(inner, device);
        if ((r == -E2BIG || r == -ENOENT) && access != 0) /* full, or a domain that a new seal does not know */
                return grow(seal, domain, &(DeviceRule) { *device, access }, error);
        if (r == -ENOENT && access == 0)
                return true;
        return r >= 0 || rules_fail(error, "cannot change one", r);
}

void seal_forget_domain(Seal *seal, uint64_t domain) {
        bpf_map_delete_elem(seal->maps[MAP_DOMAINS], &domain);
        bpf_map_delete_elem(seal->maps[MAP_REFUSALS], &domain);
}

/* A domain's count of refusals comes before its rules and goes after them. */
void seal_forget_others(Seal *seal, GHashTable *domains) {
        g_autoptr(GArray) gone = g_array_new(false, false, sizeof(uint64_t));
        uint64_t key, next, *after = NULL;

        while (bpf_map_get_next_key(seal->maps[MAP_REFUSALS], after, &next) == 0) {
                if (!g_hash_table_contains(domains, &next))
                        g_array_append_val(gone, next);
                key = next;
                after = &key;
        }
        for (unsigned i = 0; i < gone->len; i++)
                seal_forget_domain(seal, g_array_index(gone, uint64_t, i));
}

uint64_t seal_read_refusals(Seal *seal, uint64_t domain) {
        struct seal_refusals refusals = {};

        bpf_map_lookup_elem(seal->maps[MAP_REFUSALS], &domain, &refusals);
        return refusals.count;
}

uint64_t seal_read_denials(Seal *seal, const struct seal_denial_key *key) {
        struct seal_denial denial = {};

        bpf_map_lookup_elem(seal->maps[MAP_DENIALS], key, &denial);
        return denial.count;
}

int seal_events_fd(Seal *seal) {
        return seal->maps[MAP_EVENTS];
}
