/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "seal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "rule-map.h"
#include "seal.skel.h"

#define PROGRAM_NAME "cordon_seal"
#define PROGRAMS_MAX 64 /* per group: BPF_CGROUP_MAX_PROGS, kernel/bpf/cgroup.c */

typedef enum SealMap { MAP_RULES, MAP_TURN, MAP_REFUSALS, MAP_DENIALS, MAP_EVENTS, N_MAPS } SealMap;

static const struct {
        const char *name;
        uint32_t type, key_size, value_size;
} layout[N_MAPS] = {
        [MAP_RULES] = { "rules", BPF_MAP_TYPE_HASH, sizeof(struct seal_rule_key), sizeof(struct seal_access) },
        [MAP_TURN] = { "turn", BPF_MAP_TYPE_ARRAY, sizeof(__u32), sizeof(__u64) },
        [MAP_REFUSALS] = { "refusals", BPF_MAP_TYPE_HASH, sizeof(__u64), sizeof(struct seal_refusals) },
        [MAP_DENIALS] = { "denials", BPF_MAP_TYPE_LRU_HASH, sizeof(struct seal_denial_key), sizeof(struct seal_denial) },
        [MAP_EVENTS] = { "events", BPF_MAP_TYPE_RINGBUF, 0, 0 },
};

struct Seal {
        Group *driver;
        uint32_t program_id;
        uint8_t tag[BPF_TAG_SIZE];
        int program;
        int maps[N_MAPS];
        RuleMap rules; /* the first two of the maps */
};

static bool seal_fail(GError **error, Group *driver, const char *what, int negative_errno) {
        return cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "%s cannot be sealed: %s: %s", group_path(driver), what,
                           g_strerror(-negative_errno));
}

static Seal *seal_alloc(Group *driver) {
        Seal *seal = g_new0(Seal, 1);

        seal->driver = driver;
        seal->program = -1;
        for (int i = 0; i < N_MAPS; i++)
                seal->maps[i] = -1;
        return seal;
}

void seal_free(Seal *seal) {
        if (!seal)
                return;
        rule_map_close(&seal->rules);
        fd_close(&seal->program);
        for (int i = 0; i < N_MAPS; i++)
                fd_close(&seal->maps[i]);
        g_free(seal);
}

/* ---- loading ---- */

/* Of the skeleton's maps, which is which. */
static void list_maps(const struct seal_bpf *skeleton, struct bpf_map *ret_maps[static N_MAPS]) {
        ret_maps[MAP_RULES] = skeleton->maps.rules;
        ret_maps[MAP_TURN] = skeleton->maps.turn;
        ret_maps[MAP_REFUSALS] = skeleton->maps.refusals;
        ret_maps[MAP_DENIALS] = skeleton->maps.denials;
        ret_maps[MAP_EVENTS] = skeleton->maps.events;
}

/* All, but that a map of rules with more room is a new one. */
static int reuse_maps(struct bpf_map *maps[static N_MAPS], const Seal *old, uint32_t room) {
        int r = 0;

        for (int i = 0; r == 0 && i < N_MAPS; i++)
                if (i != MAP_RULES || room == old->rules.room)
                        r = bpf_map__reuse_fd(maps[i], old->maps[i]);
        return r;
}

static int duplicate(int fd) {
        return fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* What has to be known of the program and the maps. */
static int describe(Seal *seal) {
        struct bpf_prog_info info = {};
        uint32_t size = sizeof(info);

        if (bpf_obj_get_info_by_fd(seal->program, &info, &size) < 0)
                return -errno;
        seal->program_id = info.id;
        memcpy(seal->tag, info.tag, sizeof(seal->tag));
        return rule_map_open(&seal->rules, seal->maps[MAP_RULES], seal->maps[MAP_TURN]);
}

/* Loads the program for a driver, with the maps of `old` when there is one. It is not attached yet. */
static Seal *load(Group *driver, const Seal *old, uint32_t room, GError **error) {
        g_autoptr(Seal) seal = seal_alloc(driver);
        struct seal_bpf *skeleton = seal_bpf__open();
        struct bpf_map *maps[N_MAPS];
        int r = -errno;

        if (skeleton) {
                list_maps(skeleton, maps);
                skeleton->rodata->domain_level = group_level(driver) + 1;
                r = bpf_map__set_max_entries(maps[MAP_RULES], room);
                if (r == 0 && old)
                        r = reuse_maps(maps, old, room);
                if (r == 0)
                        r = seal_bpf__load(skeleton);
        }
        if (r == 0) {
                seal->program = duplicate(bpf_program__fd(skeleton->progs.cordon_seal));
                for (int i = 0; i < N_MAPS; i++)
                        seal->maps[i] = duplicate(bpf_map__fd(maps[i]));
                r = describe(seal);
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
        g_autoptr(Seal) seal = load(driver, NULL, SEAL_RULES_FIRST, error);

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
        seal = load(driver, old, old->rules.room, error);
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
                g_autoptr(Seal) seal = seal_alloc(driver);

                if (!adopt_program(seal, ids[i]))
                        continue;
                if (!is_whole(seal)) {
                        seal_fail(error, driver, "its program decides by maps of another layout", -EUCLEAN);
                        return NULL;
                }
                r = describe(seal);
                if (r < 0) {
                        seal_fail(error, driver, "its program cannot be read", r);
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

/* Exchanges the map of rules for one of twice the room, and the program with it. */
static bool grow(Seal *seal, GError **error) {
        g_autoptr(Seal) larger = NULL;
        Seal old = *seal;
        int r;

        if (seal->rules.room >= SEAL_RULES_MAX)
                return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                                   "the domains of %s have %d device rules together, more are not allowed",
                                   group_path(seal->driver), SEAL_RULES_MAX);
        larger = load(seal->driver, seal, 2 * seal->rules.room, error);
        if (!larger)
                return false;
        r = rule_map_copy(&seal->rules, &larger->rules);
        if (r < 0)
                return rules_fail(error, "cannot make room for more", r);
        if (!attach(seal->driver, larger, seal, error))
                return false;
        *seal = *larger;
        *larger = old;
        return true;
}

bool seal_change_rules(Seal *seal, uint64_t domain, const GArray *before, const GArray *after, GError **error) {
        int r;

        while ((r = rule_map_change(&seal->rules, domain, before, after)) == -E2BIG)
                if (!grow(seal, error))
                        return false;
        return r >= 0 || rules_fail(error, "cannot change the list", r);
}

bool seal_set_rule(Seal *seal, uint64_t domain, const struct seal_device *device, uint32_t access, GError **error) {
        int r;

        while ((r = rule_map_set(&seal->rules, domain, device, access)) == -E2BIG)
                if (!grow(seal, error))
                        return false;
        return r >= 0 || rules_fail(error, "cannot change one", r);
}

bool seal_add_domain(Seal *seal, uint64_t domain, const GArray *rules, GError **error) {
        g_autoptr(GArray) none = g_array_new(false, false, sizeof(DeviceRule));
        struct seal_refusals refusals = {};
        int r = bpf_map_update_elem(seal->maps[MAP_REFUSALS], &domain, &refusals, BPF_NOEXIST);

        if (r < 0 && r != -EEXIST)
                return rules_fail(error, "cannot count refusals", r);
        return seal_change_rules(seal, domain, none, rules, error);
}

GArray *seal_read_rules(Seal *seal, uint64_t domain, const GArray *rules, GError **error) {
        g_autoptr(GArray) found = g_array_sized_new(false, false, sizeof(DeviceRule), rules->len);

        for (unsigned i = 0; i < rules->len; i++) {
                DeviceRule rule = g_array_index(rules, DeviceRule, i);
                int r = rule_map_get(&seal->rules, domain, &rule.device, &rule.access);

                if (r < 0) {
                        rules_fail(error, "cannot read the list", r);
                        return NULL;
                }
                if (rule.access != 0)
                        g_array_append_val(found, rule);
        }
        return g_steal_pointer(&found);
}

GHashTable *seal_read_all(Seal *seal, GError **error) {
        GHashTable *all;
        int r = rule_map_load(&seal->rules, &all);

        if (r >= 0)
                return all;
        rules_fail(error, "cannot read the lists", r);
        return NULL;
}

void seal_forget_domain(Seal *seal, uint64_t domain, const GArray *rules) {
        rule_map_forget(&seal->rules, domain, rules);
        bpf_map_delete_elem(seal->maps[MAP_REFUSALS], &domain);
}

/* A domain's count of refusals comes before its rules and goes after them. */
void seal_forget_others(Seal *seal, GHashTable *all, GHashTable *domains) {
        g_autoptr(GArray) gone = g_array_new(false, false, sizeof(uint64_t));
        g_autoptr(GArray) none = g_array_new(false, false, sizeof(DeviceRule));
        uint64_t key, next, *after = NULL;

        while (bpf_map_get_next_key(seal->maps[MAP_REFUSALS], after, &next) == 0) {
                if (!g_hash_table_contains(domains, &next))
                        g_array_append_val(gone, next);
                key = next;
                after = &key;
        }
        for (unsigned i = 0; i < gone->len; i++) {
                uint64_t domain = g_array_index(gone, uint64_t, i);
                const GArray *rules = g_hash_table_lookup(all, &domain);

                seal_forget_domain(seal, domain, rules ? rules : none);
        }
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
