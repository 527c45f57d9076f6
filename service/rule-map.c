/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One rule changes in place, by one update of its element. A change of several is prepared first, each element with what
 * is given now and what is given from a later turn on, and comes in force at one moment, when that turn begins. The
 * program decides again when the turn moved on meanwhile.
 *
 * That also covers how the kernel treats elements: one that is replaced or deleted may become another rule's at once,
 * while a program still reads it. So the turn moves on before the next one is made.
 *
 * Changes of elements count the lower half of the turn. A list waits for the next upper half, which they do not reach.
 */
#include "rule-map.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <sys/mman.h>

static void set_turn(RuleMap *map, uint64_t turn) {
        __atomic_store_n(map->turn, turn, __ATOMIC_SEQ_CST);
}

static void move_on(RuleMap *map) {
        set_turn(map, *map->turn + 1);
}

static uint64_t next_list(const RuleMap *map) {
        return (*map->turn | UINT32_MAX) + 1;
}

int rule_map_open(RuleMap *map, int rules_fd, int turn_fd) {
        struct bpf_map_info info = {};
        uint32_t size = sizeof(info);
        void *turn;

        if (bpf_obj_get_info_by_fd(rules_fd, &info, &size) < 0)
                return -errno;
        turn = mmap(NULL, sizeof(*map->turn), PROT_READ | PROT_WRITE, MAP_SHARED, turn_fd, 0);
        if (turn == MAP_FAILED)
                return -errno;
        *map = (RuleMap) { .fd = rules_fd, .room = info.max_entries, .turn = turn };
        return 0;
}

void rule_map_close(RuleMap *map) {
        if (map->turn)
                munmap(map->turn, sizeof(*map->turn));
        *map = (RuleMap) {};
}

/* ---- elements ---- */

typedef struct Elements {
        struct seal_rule_key *keys;
        struct seal_access *access;
        uint32_t n;
} Elements;

static Elements elements_new(uint32_t room) {
        return (Elements) { g_new(struct seal_rule_key, room), g_new(struct seal_access, room), 0 };
}

static void elements_clear(Elements *elements) {
        g_free(elements->keys);
        g_free(elements->access);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Elements, elements_clear)

static struct seal_rule_key key_of(uint64_t domain, const struct seal_device *device) {
        return (struct seal_rule_key) { .domain = domain, .device = *device };
}

static void add(Elements *elements, uint64_t domain, const struct seal_device *device, struct seal_access access) {
        elements->keys[elements->n] = key_of(domain, device);
        elements->access[elements->n++] = access;
}

static int put(RuleMap *map, const struct seal_rule_key *key, struct seal_access access) {
        int r = bpf_map_update_elem(map->fd, key, &access, BPF_ANY);

        move_on(map);
        return r;
}

/* What is not there is no error. */
static int delete(RuleMap *map, const struct seal_rule_key *keys, uint32_t n) {
        uint32_t done = 0, count;
        int r = 0;

        while (r == 0 && done < n) {
                count = n - done;
                r = bpf_map_delete_batch(map->fd, keys + done, &count, NULL);
                done += count;
                if (r == -ENOENT) { /* the next one */
                        done++;
                        r = 0;
                }
        }
        move_on(map);
        return r;
}

/*
 * By as few calls as there can be: ten thousand domains are read at a start. The kernel gives whole buckets, so there
 * is room for one more than the map can hold.
 */
static int read_all(const RuleMap *map, Elements *all) {
        uint32_t position, room = map->room + 64, n;
        void *after = NULL;
        int r;

        *all = elements_new(room);
        do {
                n = room - all->n;
                r = bpf_map_lookup_batch(map->fd, after, &position, all->keys + all->n, all->access + all->n, &n, NULL);
                if (r < 0 && r != -ENOENT) /* ENOENT: that was all */
                        return r;
                all->n += n;
                after = &position;
        } while (r >= 0);
        return 0;
}

/* ---- changes ---- */

/* A rule gives `access` and nothing else is to come; when in doubt it gives nothing. */
static int settle(RuleMap *map, const struct seal_rule_key *key, uint32_t access) {
        int r = access != 0 ? put(map, key, (struct seal_access) { .access = access }) : -ENOENT;

        if (r >= 0)
                return 0;
        if (access != 0)
                g_warning("a device rule cannot be put back and is taken out: %s", g_strerror(-r));
        return delete(map, key, 1);
}

static bool is_prepared(const RuleMap *map, const struct seal_access *access) {
        return access->since > *map->turn;
}

static uint32_t in_force(const RuleMap *map, const struct seal_access *access) {
        return is_prepared(map, access) ? access->before : access->access;
}

/* What was prepared and did not come in force is taken back, before the turn can come for which it waits. */
static int take_back(RuleMap *map) {
        g_auto(Elements) all = {};
        int r = read_all(map, &all);

        for (uint32_t i = 0; r >= 0 && i < all.n; i++)
                if (is_prepared(map, &all.access[i]))
                        r = settle(map, &all.keys[i], all.access[i].before);
        map->is_unfinished = r < 0;
        return r;
}

/* Walks two sorted lists side by side. */
static void compare(uint64_t domain, const GArray *before, const GArray *after, uint64_t since, Elements *new,
                    Elements *changed) {
        for (unsigned i = 0, j = 0; i < before->len || j < after->len;) {
                const DeviceRule *a = i < before->len ? &g_array_index(before, DeviceRule, i) : NULL;
                const DeviceRule *b = j < after->len ? &g_array_index(after, DeviceRule, j) : NULL;
                int order = !a ? 1 : !b ? -1 : device_compare(&a->device, &b->device);
                struct seal_access access = { order <= 0 ? a->access : 0, order >= 0 ? b->access : 0, since };

                if (order > 0)
                        add(new, domain, &b->device, access);
                else if (access.before != access.access)
                        add(changed, domain, &a->device, access);
                i += order <= 0;
                j += order >= 0;
        }
}

static int prepare(RuleMap *map, const Elements *new, const Elements *changed) {
        uint32_t n = new->n;
        int r = n > 0 ? bpf_map_update_batch(map->fd, new->keys, new->access, &n, NULL) : 0;

        for (uint32_t i = 0; r >= 0 && i < changed->n; i++)
                r = put(map, &changed->keys[i], changed->access[i]);
        return r;
}

/* What gives nothing any more needs no element; one that stays does no harm. */
static void delete_empty(RuleMap *map, const Elements *changed) {
        g_autofree struct seal_rule_key *keys = g_new(struct seal_rule_key, changed->n);
        uint32_t n = 0;

        for (uint32_t i = 0; i < changed->n; i++)
                if (changed->access[i].access == 0)
                        keys[n++] = changed->keys[i];
        delete(map, keys, n);
}

int rule_map_change(RuleMap *map, uint64_t domain, const GArray *before, const GArray *after) {
        g_auto(Elements) new = elements_new(after->len), changed = elements_new(before->len);
        uint64_t since = next_list(map);
        int r = map->is_unfinished ? take_back(map) : 0;

        compare(domain, before, after, since, &new, &changed);
        if (r < 0 || new.n + changed.n == 0)
                return r;
        map->is_unfinished = true;
        r = prepare(map, &new, &changed);
        if (r < 0) {
                take_back(map); /* or before the next one */
                return r;
        }
        set_turn(map, since);
        map->is_unfinished = false;
        delete_empty(map, &changed);
        return 0;
}

int rule_map_set(RuleMap *map, uint64_t domain, const struct seal_device *device, uint32_t access) {
        struct seal_rule_key key = key_of(domain, device);

        if (access != 0)
                return put(map, &key, (struct seal_access) { .access = access });
        return delete(map, &key, 1);
}

void rule_map_forget(RuleMap *map, uint64_t domain, const GArray *rules) {
        g_autofree struct seal_rule_key *keys = g_new(struct seal_rule_key, rules->len);

        for (unsigned i = 0; i < rules->len; i++)
                keys[i] = key_of(domain, &g_array_index(rules, DeviceRule, i).device);
        delete(map, keys, rules->len);
}

/* ---- reading ---- */

int rule_map_get(const RuleMap *map, uint64_t domain, const struct seal_device *device, uint32_t *ret_access) {
        struct seal_rule_key key = key_of(domain, device);
        struct seal_access access = {};
        int r = bpf_map_lookup_elem(map->fd, &key, &access);

        if (r < 0 && r != -ENOENT)
                return r;
        *ret_access = in_force(map, &access);
        return 0;
}

int rule_map_copy(const RuleMap *from, RuleMap *to) {
        g_auto(Elements) all = {};
        int r = read_all(from, &all);

        return r < 0 || all.n == 0 ? r : bpf_map_update_batch(to->fd, all.keys, all.access, &all.n, NULL);
}

static GArray *rules_of(GHashTable *all, uint64_t domain) {
        GArray *rules = g_hash_table_lookup(all, &domain);

        if (!rules) {
                rules = g_array_new(false, false, sizeof(DeviceRule));
                g_hash_table_insert(all, g_memdup2(&domain, sizeof(domain)), rules);
        }
        return rules;
}

int rule_map_load(RuleMap *map, GHashTable **ret_all) {
        g_autoptr(GHashTable) lists = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                                            (GDestroyNotify) g_array_unref);
        g_auto(Elements) all = {};
        GHashTableIter iter;
        GArray *rules;
        int r = read_all(map, &all);

        if (r < 0)
                return r;
        for (uint32_t i = 0; r >= 0 && i < all.n; i++) {
                DeviceRule rule = { all.keys[i].device, in_force(map, &all.access[i]) };

                if (is_prepared(map, &all.access[i]) || rule.access == 0)
                        r = settle(map, &all.keys[i], rule.access);
                if (rule.access != 0)
                        g_array_append_val(rules_of(lists, all.keys[i].domain), rule);
        }
        if (r < 0)
                return r;
        g_hash_table_iter_init(&iter, lists);
        while (g_hash_table_iter_next(&iter, NULL, (void **) &rules))
                g_array_sort(rules, (GCompareFunc) device_compare);
        *ret_all = g_steal_pointer(&lists);
        return 0;
}
