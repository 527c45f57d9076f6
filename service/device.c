/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "device.h"

#include <linux/bpf.h>
#include <string.h>

#include "error.h"

/* ---- access, numbers ---- */

static const struct {
        char letter;
        uint32_t bit;
} access_letters[] = {
        { 'r', BPF_DEVCG_ACC_READ },
        { 'w', BPF_DEVCG_ACC_WRITE },
        { 'm', BPF_DEVCG_ACC_MKNOD },
};

bool device_access_parse(const char *text, uint32_t *ret_access) {
        uint32_t access = 0;

        for (; *text; text++) {
                uint32_t bit = 0;

                for (size_t i = 0; i < G_N_ELEMENTS(access_letters); i++)
                        if (*text == access_letters[i].letter)
                                bit = access_letters[i].bit;
                if (bit == 0 || (access & bit))
                        return false;
                access |= bit;
        }
        if (access == 0)
                return false;
        *ret_access = access;
        return true;
}

const char *device_access_format(uint32_t access, char buffer[static 4]) {
        size_t n = 0;

        for (size_t i = 0; i < G_N_ELEMENTS(access_letters); i++)
                if (access & access_letters[i].bit)
                        buffer[n++] = access_letters[i].letter;
        buffer[n] = '\0';
        return buffer;
}

static char *format_number(uint32_t number) {
        return number == SEAL_ANY ? g_strdup("*") : g_strdup_printf("%u", number);
}

const char *device_type_name(uint32_t type) {
        return type == BPF_DEVCG_DEV_BLOCK ? "b" : "c";
}

char *device_format(const struct seal_device *device) {
        g_autofree char *major = format_number(device->major), *minor = format_number(device->minor);

        return g_strdup_printf("%s:%s:%s", device_type_name(device->type), major, minor);
}

int device_compare(const struct seal_device *a, const struct seal_device *b) {
        if (a->type != b->type)
                return a->type < b->type ? -1 : 1;
        if (a->major != b->major)
                return a->major < b->major ? -1 : 1;
        if (a->minor != b->minor)
                return a->minor < b->minor ? -1 : 1;
        return 0;
}

bool device_covers(const struct seal_device *wide, const struct seal_device *narrow) {
        return wide->type == narrow->type &&
               (wide->major == SEAL_ANY || wide->major == narrow->major) &&
               (wide->minor == SEAL_ANY || wide->minor == narrow->minor);
}

/* Whether some device is both: c:1:* and c:*:3 have c:1:3, though neither covers the other. */
static bool devices_overlap(const struct seal_device *a, const struct seal_device *b) {
        return a->type == b->type &&
               (a->major == SEAL_ANY || b->major == SEAL_ANY || a->major == b->major) &&
               (a->minor == SEAL_ANY || b->minor == SEAL_ANY || a->minor == b->minor);
}

/* ---- grants ---- */

static bool same_devices(const DeviceGrant *a, const DeviceGrant *b) {
        if (a->n_rules != b->n_rules)
                return false;
        for (size_t i = 0; i < a->n_rules; i++)
                if (device_compare(&a->rules[i].device, &b->rules[i].device) != 0)
                        return false;
        return true;
}

/*
 * Every grant there is, as a set: ten thousand domains have few different ones, and share them. A grant leaves the set
 * with its last reference.
 */
static GHashTable *grants;

static unsigned grant_hash(const void *data) {
        const DeviceGrant *grant = data;

        return g_str_hash(grant->what) ^ grant->access;
}

static gboolean grant_equal(const void *a, const void *b) {
        const DeviceGrant *x = a, *y = b;

        return x->access == y->access && strcmp(x->what, y->what) == 0 && same_devices(x, y);
}

DeviceGrant *device_grant_new(const char *what, uint32_t access, const DeviceRule *rules, size_t n_rules) {
        const DeviceGrant wanted = { (char *) what, access, (DeviceRule *) rules, n_rules };
        DeviceGrant *grant;

        if (!grants)
                grants = g_hash_table_new(grant_hash, grant_equal);
        grant = g_hash_table_lookup(grants, &wanted);
        if (grant)
                return device_grant_ref(grant);

        grant = g_rc_box_new0(DeviceGrant);
        grant->what = g_strdup(what);
        grant->access = access;
        grant->rules = g_memdup2(rules, n_rules * sizeof(*rules));
        grant->n_rules = n_rules;
        for (size_t i = 0; i < n_rules; i++)
                grant->rules[i].access = access;
        g_hash_table_add(grants, grant);
        return grant;
}

static void grant_clear(void *data) {
        DeviceGrant *grant = data;

        g_hash_table_remove(grants, grant);
        g_free(grant->what);
        g_free(grant->rules);
}

DeviceGrant *device_grant_ref(DeviceGrant *grant) {
        return g_rc_box_acquire(grant);
}

void device_grant_unref(DeviceGrant *grant) {
        if (grant)
                g_rc_box_release_full(grant, grant_clear);
}

static void unref_element(void *grant) {
        device_grant_unref(grant);
}

/* ---- lists ---- */

GPtrArray *device_list_new(void) {
        return g_ptr_array_new_with_free_func(unref_element);
}

void device_list_add(GPtrArray *list, DeviceGrant *grant) {
        g_ptr_array_add(list, grant);
}

/* Each device that has access left, under its number. */
static void add_by_number(GPtrArray *list, const DeviceRule *rules, size_t n_rules) {
        for (size_t i = 0; i < n_rules; i++) {
                g_autofree char *what = device_format(&rules[i].device);

                if (rules[i].access != 0)
                        device_list_add(list, device_grant_new(what, rules[i].access, &rules[i], 1));
        }
}

void device_list_merge(GPtrArray *list) {
        g_autoptr(GHashTable) places = g_hash_table_new(g_str_hash, g_str_equal);
        unsigned n = 0;

        for (unsigned i = 0; i < list->len; i++) {
                DeviceGrant *grant = g_steal_pointer(&list->pdata[i]), *old;
                uint32_t access = grant->access;
                void *place;

                if (!g_hash_table_lookup_extended(places, grant->what, NULL, &place)) {
                        g_hash_table_insert(places, grant->what, GUINT_TO_POINTER(n));
                        list->pdata[n++] = grant;
                        continue;
                }
                old = list->pdata[GPOINTER_TO_UINT(place)];
                if (same_devices(old, grant))
                        access |= old->access;
                else
                        add_by_number(list, old->rules, old->n_rules);
                list->pdata[GPOINTER_TO_UINT(place)] =
                        device_grant_new(grant->what, access, grant->rules, grant->n_rules);
                g_hash_table_replace(places, ((DeviceGrant *) list->pdata[GPOINTER_TO_UINT(place)])->what, place);
                device_grant_unref(old);
                device_grant_unref(grant);
        }
        g_ptr_array_set_size(list, n);
}

GPtrArray *device_list_everything(void) {
        static const DeviceRule all[] = {
                { { BPF_DEVCG_DEV_BLOCK, SEAL_ANY, SEAL_ANY }, 0 },
                { { BPF_DEVCG_DEV_CHAR, SEAL_ANY, SEAL_ANY }, 0 },
        };
        uint32_t access = BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD;
        GPtrArray *list = device_list_new();

        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
                g_autofree char *what = device_format(&all[i].device);

                device_list_add(list, device_grant_new(what, access, &all[i], 1));
        }
        return list;
}

bool device_list_check_size(const GPtrArray *list, GError **error) {
        size_t n_rules = 0;

        for (unsigned i = 0; i < list->len; i++)
                n_rules += ((const DeviceGrant *) list->pdata[i])->n_rules;
        if (list->len > DEVICE_GRANTS_MAX || n_rules > DEVICE_RULES_MAX)
                return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                                   "%u devices with %zu rules are too many: at most %d with %d in one list", list->len,
                                   n_rules, DEVICE_GRANTS_MAX, DEVICE_RULES_MAX);
        return true;
}

GPtrArray *device_list_union(const GPtrArray *list, const GPtrArray *more, GError **error) {
        g_autoptr(GPtrArray) sum = device_list_new();

        for (unsigned i = 0; i < list->len; i++)
                device_list_add(sum, device_grant_ref(list->pdata[i]));
        for (unsigned i = 0; i < more->len; i++)
                device_list_add(sum, device_grant_ref(more->pdata[i]));
        device_list_merge(sum);
        if (!device_list_check_size(sum, error))
                return NULL;
        return g_steal_pointer(&sum);
}

bool device_list_may_append(const GPtrArray *list, const DeviceGrant *grant) {
        size_t n_rules = 1;

        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *other = list->pdata[i];

                if (strcmp(other->what, grant->what) == 0)
                        return false;
                n_rules += other->n_rules;
        }
        return grant->n_rules == 1 && list->len < DEVICE_GRANTS_MAX && n_rules <= DEVICE_RULES_MAX;
}

static bool rule_refuse(const DeviceRule *rule, const DeviceGrant *from, const DeviceGrant *grant, GError **error) {
        g_autofree char *wide = device_format(&rule->device);

        return cordon_fail(error, CORDON_ERROR_INVALID_DEVICE,
                           "device \"%s\" is granted through \"%s\" (%s) and cannot be revoked alone: revoke that, "
                           "or set the whole list", grant->what, from->what, wide);
}

/*
 * What is left of a rule's access; a rule that reaches beyond what is revoked from it cannot be cut. What takes the
 * rule whole is applied first, so that the order of `revoked` does not matter.
 */
static bool rule_revoke(DeviceRule *rule, const DeviceGrant *from, const GPtrArray *revoked, GError **error) {
        for (unsigned i = 0; i < revoked->len; i++) {
                const DeviceGrant *grant = revoked->pdata[i];

                for (size_t j = 0; j < grant->n_rules; j++)
                        if (device_covers(&grant->rules[j].device, &rule->device))
                                rule->access &= ~grant->access;
        }
        for (unsigned i = 0; i < revoked->len; i++) {
                const DeviceGrant *grant = revoked->pdata[i];

                for (size_t j = 0; j < grant->n_rules && (rule->access & grant->access); j++)
                        if (devices_overlap(&grant->rules[j].device, &rule->device))
                                return rule_refuse(rule, from, grant, error);
        }
        return true;
}

static bool same_access(const DeviceRule *rules, size_t n) {
        for (size_t i = 1; i < n; i++)
                if (rules[i].access != rules[0].access)
                        return false;
        return true;
}

/* Adds what is left of a grant to `rest`. */
static bool grant_revoke(DeviceGrant *grant, const GPtrArray *revoked, GPtrArray *rest, GError **error) {
        g_autofree DeviceRule *left = g_memdup2(grant->rules, grant->n_rules * sizeof(*left));

        for (size_t i = 0; i < grant->n_rules; i++)
                if (!rule_revoke(&left[i], grant, revoked, error))
                        return false;

        if (same_access(left, grant->n_rules)) {
                uint32_t access = grant->n_rules > 0 ? left[0].access : 0;

                if (access == grant->access)
                        device_list_add(rest, device_grant_ref(grant));
                else if (access != 0)
                        device_list_add(rest, device_grant_new(grant->what, access, left, grant->n_rules));
                return true;
        }

        add_by_number(rest, left, grant->n_rules);
        return true;
}

GPtrArray *device_list_revoke(const GPtrArray *list, const GPtrArray *revoked, GError **error) {
        g_autoptr(GPtrArray) rest = device_list_new();

        for (unsigned i = 0; i < list->len; i++)
                if (!grant_revoke(list->pdata[i], revoked, rest, error))
                        return NULL;
        device_list_merge(rest);
        return g_steal_pointer(&rest);
}

bool device_list_find_alone(const GPtrArray *list, const DeviceGrant *revoked, unsigned *ret_index) {
        const DeviceGrant *only;
        unsigned n = 0;

        if (revoked->n_rules != 1)
                return false;
        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *grant = list->pdata[i];

                for (size_t j = 0; j < grant->n_rules; j++)
                        if (devices_overlap(&grant->rules[j].device, &revoked->rules[0].device)) {
                                *ret_index = i;
                                n++;
                        }
        }
        if (n != 1)
                return false;
        only = list->pdata[*ret_index];
        return only->n_rules == 1 && (only->access & ~revoked->access) == 0 &&
               device_covers(&revoked->rules[0].device, &only->rules[0].device);
}

static uint32_t access_covering(const GPtrArray *outer, const struct seal_device *device) {
        uint32_t access = 0;

        for (unsigned i = 0; i < outer->len; i++) {
                const DeviceGrant *grant = outer->pdata[i];

                for (size_t j = 0; j < grant->n_rules; j++)
                        if (device_covers(&grant->rules[j].device, device))
                                access |= grant->access;
        }
        return access;
}

static bool list_covers_grant(const GPtrArray *outer, const DeviceGrant *grant) {
        for (size_t i = 0; i < grant->n_rules; i++)
                if (grant->access & ~access_covering(outer, &grant->rules[i].device))
                        return false;
        return true;
}

bool device_list_covers(const GPtrArray *outer, const GPtrArray *inner, const DeviceGrant **ret_excess) {
        for (unsigned i = 0; i < inner->len; i++)
                if (!list_covers_grant(outer, inner->pdata[i])) {
                        if (ret_excess)
                                *ret_excess = inner->pdata[i];
                        return false;
                }
        return true;
}

/* Of two rules of which one covers the other, the narrower with the access of both. */
static void add_common(GPtrArray *common, const DeviceGrant *grant, const DeviceRule *rule) {
        for (size_t i = 0; i < grant->n_rules; i++) {
                const struct seal_device *device = &grant->rules[i].device;
                DeviceRule both = { *device, grant->access & rule->access };

                if (device_covers(device, &rule->device))
                        both.device = rule->device;
                else if (!device_covers(&rule->device, device))
                        continue;
                add_by_number(common, &both, 1);
        }
}

GPtrArray *device_list_within(const GPtrArray *list, const GArray *rules) {
        g_autoptr(GPtrArray) outer = device_list_new(), common = device_list_new();

        add_by_number(outer, (const DeviceRule *) rules->data, rules->len);
        for (unsigned i = 0; i < list->len; i++) {
                DeviceGrant *grant = list->pdata[i];

                if (list_covers_grant(outer, grant)) {
                        device_list_add(common, device_grant_ref(grant));
                        continue;
                }
                for (unsigned j = 0; j < rules->len; j++)
                        add_common(common, grant, &g_array_index(rules, DeviceRule, j));
        }
        device_list_merge(common);
        return g_steal_pointer(&common);
}

uint32_t device_list_access(const GPtrArray *list, const struct seal_device *key) {
        uint32_t access = 0;

        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *grant = list->pdata[i];

                for (size_t j = 0; j < grant->n_rules; j++)
                        if (device_compare(&grant->rules[j].device, key) == 0)
                                access |= grant->access;
        }
        return access;
}

static int compare_rules(const void *a, const void *b) {
        return device_compare(&((const DeviceRule *) a)->device, &((const DeviceRule *) b)->device);
}

GArray *device_list_rules(const GPtrArray *list) {
        GArray *rules = g_array_new(false, false, sizeof(DeviceRule));
        unsigned n = 0;

        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *grant = list->pdata[i];

                g_array_append_vals(rules, grant->rules, grant->n_rules);
        }
        g_array_sort(rules, compare_rules);

        for (unsigned i = 0; i < rules->len; i++) {
                DeviceRule *rule = &g_array_index(rules, DeviceRule, i);
                DeviceRule *last = n > 0 ? &g_array_index(rules, DeviceRule, n - 1) : NULL;

                if (last && device_compare(&last->device, &rule->device) == 0)
                        last->access |= rule->access;
                else
                        g_array_index(rules, DeviceRule, n++) = *rule;
        }
        g_array_set_size(rules, n);
        return rules;
}

/* ---- text ---- */

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

char *device_list_describe(const GPtrArray *list) {
        g_autoptr(GPtrArray) words = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *grant = list->pdata[i];
                char access[4];

                g_ptr_array_add(words, g_strdup_printf("%s %s", grant->what, device_access_format(grant->access, access)));
        }
        g_ptr_array_sort(words, compare_strings);
        g_ptr_array_add(words, NULL);
        return g_strjoinv(", ", (char **) words->pdata);
}

char *device_list_serialize(const GPtrArray *list) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < list->len; i++) {
                const DeviceGrant *grant = list->pdata[i];
                char access[4];

                g_string_append_printf(text, "%s\t%s", grant->what, device_access_format(grant->access, access));
                for (size_t j = 0; j < grant->n_rules; j++) {
                        g_autofree char *rule = device_format(&grant->rules[j].device);

                        g_string_append_printf(text, "\t%s", rule);
                }
                g_string_append_c(text, '\n');
        }
        return g_string_free(text, false);
}

static bool parse_number(const char *text, uint32_t max, uint32_t *ret_number) {
        guint64 number;

        if (strcmp(text, "*") == 0) {
                *ret_number = SEAL_ANY;
                return true;
        }
        if (!g_ascii_string_to_unsigned(text, 10, 0, max, &number, NULL))
                return false;
        *ret_number = number;
        return true;
}

bool device_numbers_parse(const char *text, struct seal_device *ret_device) {
        g_auto(GStrv) words = g_strsplit(text, ":", 4);
        struct seal_device device;

        if (g_strv_length(words) != 3)
                return false;
        if (strcmp(words[0], "c") == 0)
                device.type = BPF_DEVCG_DEV_CHAR;
        else if (strcmp(words[0], "b") == 0)
                device.type = BPF_DEVCG_DEV_BLOCK;
        else
                return false;
        if (!parse_number(words[1], DEVICE_MAJOR_MAX, &device.major) ||
            !parse_number(words[2], DEVICE_MINOR_MAX, &device.minor))
                return false;
        *ret_device = device;
        return true;
}

static DeviceGrant *deserialize_grant(const char *line) {
        g_auto(GStrv) words = g_strsplit(line, "\t", -1);
        size_t n_words = g_strv_length(words);
        g_autofree DeviceRule *rules = NULL;
        uint32_t access;

        if (n_words < 3 || *words[0] == '\0' || !device_access_parse(words[1], &access))
                return NULL;
        rules = g_new0(DeviceRule, n_words - 2);
        for (size_t i = 2; i < n_words; i++)
                if (!device_numbers_parse(words[i], &rules[i - 2].device))
                        return NULL;
        return device_grant_new(words[0], access, rules, n_words - 2);
}

GPtrArray *device_list_deserialize(const char *text) {
        g_autoptr(GPtrArray) list = device_list_new();
        g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

        /* Every line is ended, so the last piece is empty: a text that was cut ("c:1:3" of "c:1:35") is none of ours. */
        for (char **line = lines; *line && (line[1] || **line); line++) {
                DeviceGrant *grant = line[1] ? deserialize_grant(*line) : NULL;

                if (!grant)
                        return NULL;
                g_ptr_array_add(list, grant); /* unique already, by how it was written */
        }
        return g_steal_pointer(&list);
}
