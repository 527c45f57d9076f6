/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-device.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "kernel-file.h"

#define CONTROLLER "devices"
#define N_ACCESS 3 /* BPF_DEVCG_ACC_MKNOD, _READ, _WRITE are bits 0 to 2 */

/* One entry of the driver's list. */
typedef struct Entry {
        struct seal_device device;
        uint32_t listed;          /* what the kernel has */
        unsigned count[N_ACCESS]; /* how many domains have each access */
} Entry;

struct DeviceLists {
        Group *driver;
        int dir;
        GHashTable *entries; /* of Entry, by its device */
};

/* ---- lists as values ---- */

static unsigned device_hash(const void *key) {
        const struct seal_device *device = key;

        return device->type * 31U + device->major * 1048583U + device->minor;
}

static gboolean device_equal(const void *a, const void *b) {
        return device_compare(a, b) == 0;
}

static int compare_rules(const void *a, const void *b) {
        return device_compare(&((const DeviceRule *) a)->device, &((const DeviceRule *) b)->device);
}

static bool is_wide(const DeviceRule *rule) {
        return rule->device.major == SEAL_ANY || rule->device.minor == SEAL_ANY;
}

/* c:1:* and c:*:3 together say something of c:1:3 that neither entry says. */
static void add_crossings(GArray *rules) {
        unsigned n = rules->len;

        for (unsigned i = 0; i < n; i++)
                for (unsigned j = 0; j < n; j++) {
                        const DeviceRule *a = &g_array_index(rules, DeviceRule, i);
                        const DeviceRule *b = &g_array_index(rules, DeviceRule, j);
                        DeviceRule both = { { a->device.type, a->device.major, b->device.minor }, 0 };

                        if (a->device.type == b->device.type && a->device.major != SEAL_ANY &&
                            a->device.minor == SEAL_ANY && b->device.major == SEAL_ANY && b->device.minor != SEAL_ANY)
                                g_array_append_val(rules, both);
                }
}

/* The entries that say the same to v1, which looks for one that has all of what is asked. Sorted, unique. */
static GArray *to_entries(const GArray *rules) {
        g_autoptr(GArray) wide = g_array_new(false, false, sizeof(DeviceRule));
        GArray *entries = g_array_new(false, false, sizeof(DeviceRule));
        unsigned n = 0;

        for (unsigned i = 0; i < rules->len; i++)
                if (is_wide(&g_array_index(rules, DeviceRule, i)))
                        g_array_append_val(wide, g_array_index(rules, DeviceRule, i));
        g_array_append_vals(entries, rules->data, rules->len);
        if (wide->len > 1) {
                g_autoptr(GArray) crossings = g_array_copy(wide);

                add_crossings(crossings);
                g_array_append_vals(entries, &g_array_index(crossings, DeviceRule, wide->len), crossings->len - wide->len);
                g_array_sort(entries, compare_rules);
        }
        for (unsigned i = 0; i < entries->len; i++) {
                DeviceRule entry = g_array_index(entries, DeviceRule, i);

                if (n > 0 && device_compare(&g_array_index(entries, DeviceRule, n - 1).device, &entry.device) == 0) {
                        g_array_index(entries, DeviceRule, n - 1).access |= entry.access;
                        continue;
                }
                for (unsigned j = 0; j < wide->len; j++)
                        if (device_covers(&g_array_index(wide, DeviceRule, j).device, &entry.device))
                                entry.access |= g_array_index(wide, DeviceRule, j).access;
                g_array_index(entries, DeviceRule, n++) = entry;
        }
        g_array_set_size(entries, n);
        return entries;
}

/* Of each device the access that `b` has and `a` has not. Both sorted. */
static GArray *minus(const GArray *b, const GArray *a) {
        GArray *rest = g_array_new(false, false, sizeof(DeviceRule));

        for (unsigned i = 0, j = 0; i < b->len; i++) {
                DeviceRule rule = g_array_index(b, DeviceRule, i);

                while (j < a->len && device_compare(&g_array_index(a, DeviceRule, j).device, &rule.device) < 0)
                        j++;
                if (j < a->len && device_compare(&g_array_index(a, DeviceRule, j).device, &rule.device) == 0)
                        rule.access &= ~g_array_index(a, DeviceRule, j).access;
                if (rule.access)
                        g_array_append_val(rest, rule);
        }
        return rest;
}

/* ---- the kernel's files ---- */

static char *number(uint32_t value) {
        return value == SEAL_ANY ? g_strdup("*") : g_strdup_printf("%u", value);
}

static bool change(Group *group, const char *file, const struct seal_device *device, uint32_t access, GError **error) {
        g_autofree char *major = number(device->major), *minor = number(device->minor);
        char letters[4];
        g_autofree char *text = g_strdup_printf("%s %s:%s %s", device_type_name(device->type), major, minor,
                                                device_access_format(access, letters));
        int r = kernel_file_write(group_v1_fd(group, CONTROLLER), file, text);

        return r >= 0 || kernel_file_fail(error, group_path(group), file, text, r);
}

static bool change_all(Group *group, const char *file, const GArray *rules, GError **error) {
        for (unsigned i = 0; i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);

                if (!change(group, file, &rule->device, rule->access, error))
                        return false;
        }
        return true;
}

/* All devices; v1 permits it of a group without groups below. */
static bool deny_all(Group *group, GError **error) {
        int r = kernel_file_write(group_v1_fd(group, CONTROLLER), "devices.deny", "a");

        return r >= 0 || kernel_file_fail(error, group_path(group), "devices.deny", "a", r);
}

static bool parse_number(const char *text, uint32_t *ret_number) {
        guint64 value;

        if (g_str_equal(text, "*"))
                *ret_number = SEAL_ANY;
        else if (g_ascii_string_to_unsigned(text, 10, 0, SEAL_ANY - 1, &value, NULL))
                *ret_number = value;
        else
                return false;
        return true;
}

/* "c 1:3 rwm" */
static bool parse_line(const char *line, DeviceRule *ret_rule) {
        g_auto(GStrv) words = g_strsplit_set(line, " :", -1);

        if (g_strv_length(words) != 4 || strlen(words[0]) != 1 || !strchr("bc", words[0][0]))
                return false;
        ret_rule->device.type = words[0][0] == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR;
        return parse_number(words[1], &ret_rule->device.major) && parse_number(words[2], &ret_rule->device.minor) &&
               device_access_parse(words[3], &ret_rule->access);
}

/* Sorted; *ret_open says that nothing is denied ("a *:* rwm"). NULL on failure. */
static GArray *read_list(Group *group, bool *ret_open, GError **error) {
        g_autoptr(GArray) rules = g_array_new(false, false, sizeof(DeviceRule));
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;
        int r = kernel_file_read(group_v1_fd(group, CONTROLLER), "devices.list", &text);

        if (r < 0) {
                kernel_file_fail(error, group_path(group), "devices.list", NULL, r);
                return NULL;
        }
        *ret_open = *text == 'a';
        lines = g_strsplit(text, "\n", -1);
        for (char **line = lines; *line; line++) {
                DeviceRule rule;

                if (parse_line(*line, &rule))
                        g_array_append_val(rules, rule);
        }
        g_array_sort(rules, compare_rules);
        return g_steal_pointer(&rules);
}

/* ---- the driver's list ---- */

static Entry *find_entry(DeviceLists *lists, const struct seal_device *device) {
        Entry *entry = g_hash_table_lookup(lists->entries, device);

        if (!entry) {
                entry = g_new0(Entry, 1);
                entry->device = *device;
                g_hash_table_insert(lists->entries, &entry->device, entry);
        }
        return entry;
}

/* Counts one domain more for each; what no domain had is allowed. */
static bool driver_add(DeviceLists *lists, const GArray *rules, GError **error) {
        bool ok = true;

        for (unsigned i = 0; i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);
                Entry *entry = find_entry(lists, &rule->device);
                uint32_t missing = rule->access & ~entry->listed;

                for (unsigned bit = 0; bit < N_ACCESS; bit++)
                        entry->count[bit] += rule->access >> bit & 1;
                if (!ok || !missing)
                        continue;
                ok = change(lists->driver, "devices.allow", &entry->device, missing, error);
                if (ok)
                        entry->listed |= missing;
        }
        return ok;
}

/* Takes out of the list what no domain has; false when the entry is still needed. */
static bool drop_unused(DeviceLists *lists, Entry *entry, bool *ok, GError **error) {
        uint32_t used = 0, unused;

        for (unsigned bit = 0; bit < N_ACCESS; bit++)
                used |= (entry->count[bit] > 0) << bit;
        unused = entry->listed & ~used;
        if (unused && *ok) {
                *ok = change(lists->driver, "devices.deny", &entry->device, unused, error);
                if (*ok)
                        entry->listed &= used;
        }
        return !entry->listed && !used;
}

static bool driver_take(DeviceLists *lists, const GArray *rules, GError **error) {
        bool ok = true;

        for (unsigned i = 0; i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);
                Entry *entry = find_entry(lists, &rule->device);

                for (unsigned bit = 0; bit < N_ACCESS; bit++)
                        entry->count[bit] -= rule->access >> bit & 1;
                if (drop_unused(lists, entry, &ok, error))
                        g_hash_table_remove(lists->entries, &rule->device);
        }
        return ok;
}

bool device_lists_settle(DeviceLists *lists, GError **error) {
        GHashTableIter iter;
        bool ok = true;
        Entry *entry;

        if (lists->dir < 0)
                return true;
        g_hash_table_iter_init(&iter, lists->entries);
        while (g_hash_table_iter_next(&iter, NULL, (void **) &entry))
                if (drop_unused(lists, entry, &ok, error))
                        g_hash_table_iter_remove(&iter);
        return ok;
}

DeviceLists *device_lists_new(Group *driver, bool is_new, GError **error) {
        DeviceLists *lists = g_new0(DeviceLists, 1);
        g_autoptr(GArray) rules = NULL;
        bool open = is_new;

        lists->driver = driver;
        lists->dir = group_v1_fd(driver, CONTROLLER);
        lists->entries = g_hash_table_new_full(device_hash, device_equal, NULL, g_free);
        if (lists->dir < 0)
                return lists;
        if (!is_new)
                rules = read_list(driver, &open, error);
        if ((!is_new && !rules) || (open && !deny_all(driver, error))) {
                device_lists_free(lists);
                return NULL;
        }
        for (unsigned i = 0; rules && i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);

                find_entry(lists, &rule->device)->listed = rule->access;
        }
        return lists;
}

void device_lists_free(DeviceLists *lists) {
        if (!lists)
                return;
        g_hash_table_unref(lists->entries);
        g_free(lists);
}

bool device_lists_exist(const DeviceLists *lists) {
        return lists->dir >= 0;
}

/* ---- domains ---- */

bool device_lists_close(DeviceLists *lists, Group *domain, GError **error) {
        return lists->dir < 0 || deny_all(domain, error);
}

/* A parent's list must have what its child's is to have (verify_new_ex(), security/device_cgroup.c). */
bool device_lists_widen(DeviceLists *lists, Group *domain, const GArray *before, const GArray *after, GError **error) {
        g_autoptr(GArray) old = NULL, new = NULL, more = NULL;

        if (lists->dir < 0)
                return true;
        old = to_entries(before);
        new = to_entries(after);
        more = minus(new, old);
        if (driver_add(lists, more, error) && change_all(domain, "devices.allow", more, error))
                return true;
        change_all(domain, "devices.deny", more, NULL);
        driver_take(lists, more, NULL);
        return false;
}

bool device_lists_narrow(DeviceLists *lists, Group *domain, const GArray *before, const GArray *after, GError **error) {
        g_autoptr(GArray) old = NULL, new = NULL, less = NULL;
        bool ok;

        if (lists->dir < 0)
                return true;
        old = to_entries(before);
        new = to_entries(after);
        less = minus(old, new);
        ok = change_all(domain, "devices.deny", less, error);
        return driver_take(lists, less, ok ? error : NULL) && ok;
}

bool device_lists_adopt(DeviceLists *lists, Group *domain, const GArray *rules, GError **error) {
        g_autoptr(GArray) entries = NULL, listed = NULL, less = NULL, more = NULL;
        bool open;

        if (lists->dir < 0)
                return true;
        entries = to_entries(rules);
        listed = read_list(domain, &open, error);
        if (!listed)
                return false;
        less = minus(listed, entries);
        more = minus(entries, listed);
        /* The seal decides meanwhile, and nothing that it permits may fail: so what is missing comes first. */
        return (!open || deny_all(domain, error)) && driver_add(lists, entries, error) &&
               change_all(domain, "devices.allow", more, error) && change_all(domain, "devices.deny", less, error);
}

void device_lists_forget(DeviceLists *lists, const GArray *rules) {
        g_autoptr(GArray) entries = lists->dir < 0 ? NULL : to_entries(rules);
        g_autoptr(GError) cause = NULL;

        if (entries && !driver_take(lists, entries, &cause))
                g_warning("%s", cause->message);
}
