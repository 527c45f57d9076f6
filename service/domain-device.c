/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain-device.h"

#include <linux/limits.h>
#include <string.h>

#include "driver.h"
#include "error.h"

/* What is recorded on the group. A list that an attribute cannot hold is refused before anything is in force. */
static bool check_record(const char *record, unsigned n_devices, GError **error) {
        size_t n = strlen(record);

        return n <= XATTR_SIZE_MAX ||
               cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                           "%u devices take %zu bytes to record, at most %d are allowed: name them by wildcards",
                           n_devices, n, XATTR_SIZE_MAX);
}

/* Takes the text, once it is on the group. */
static bool write_record(Domain *domain, char **record, GError **error) {
        if (!group_set_attribute(domain->group, "devices", *record, error))
                return false;
        g_free(domain->record);
        domain->record = g_steal_pointer(record);
        return true;
}

bool domain_record_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autofree char *record = device_list_serialize(devices);

        return check_record(record, devices->len, error) && write_record(domain, &record, error);
}

/* The lists behind the seal have what both give together while the seal, which decides, changes. */
static bool enforce(Domain *domain, const GPtrArray *before, const GPtrArray *after, GError **error) {
        g_autoptr(GArray) old = device_list_rules(before), new = device_list_rules(after);
        DeviceLists *lists = domain->driver->lists;

        if (!device_lists_widen(lists, domain->group, old, new, error))
                return false;
        if (seal_change_rules(domain->driver->seal, group_id(domain->group), old, new, error))
                return device_lists_narrow(lists, domain->group, old, new, error);
        device_lists_narrow(lists, domain->group, new, old, NULL);
        return false;
}

static void devices_changed(Domain *domain) {
        domain_changed(domain, "DeviceAllow");
        domain_changed(domain, "EffectiveDevices");
}

/* The kernel is changed first: after a crash in between the next start keeps what both give. */
static bool replace_devices(Domain *domain, GPtrArray *devices, GError **error) {
        g_autofree char *record = device_list_serialize(devices);

        if (!check_record(record, devices->len, error) || !enforce(domain, domain->devices, devices, error))
                return false;
        if (!write_record(domain, &record, error)) {
                g_autoptr(GError) cause = NULL;

                if (!enforce(domain, devices, domain->devices, &cause))
                        g_warning("domain \"%s\": its devices cannot be put back: %s", domain->name, cause->message);
                return false;
        }
        g_ptr_array_unref(domain->devices);
        domain->devices = g_ptr_array_ref(devices); /* the caller's spec goes with its request */
        devices_changed(domain);
        return true;
}

/*
 * One device of a list comes or goes: of the others nothing is sorted or written anew, so that a long list costs what a
 * short one does. `access` is what the device is to have, `record` what is to be written down.
 */
static bool change_device(Domain *domain, const struct seal_device *key, uint32_t access, char **record, GError **error) {
        uint32_t before = device_list_access(domain->devices, key);
        uint64_t id = group_id(domain->group);
        g_autoptr(GError) cause = NULL;

        if (!seal_set_rule(domain->driver->seal, id, key, access, error))
                return false;
        if (write_record(domain, record, error))
                return true;
        if (!seal_set_rule(domain->driver->seal, id, key, before, &cause))
                g_warning("domain \"%s\": its devices cannot be put back: %s", domain->name, cause->message);
        return false;
}

static bool append_device(Domain *domain, DeviceGrant *grant, GError **error) {
        const struct seal_device *key = &grant->rules[0].device;
        g_autoptr(GPtrArray) alone = device_list_new();
        g_autofree char *line = NULL, *record = NULL;

        device_list_add(alone, device_grant_ref(grant));
        line = device_list_serialize(alone);
        record = g_strconcat(domain->record, line, NULL);
        if (!check_record(record, domain->devices->len + 1, error) ||
            !change_device(domain, key, device_list_access(domain->devices, key) | grant->access, &record, error))
                return false;
        device_list_add(domain->devices, device_grant_ref(grant));
        devices_changed(domain);
        return true;
}

static bool drop_device(Domain *domain, unsigned index, GError **error) {
        DeviceGrant *grant = domain->devices->pdata[index];
        g_autofree char *record = NULL;
        const char *at = domain->record;

        for (unsigned i = 0; i < index; i++)
                at = strchr(at, '\n') + 1; /* a line for each */
        record = g_strdup_printf("%.*s%s", (int) (at - domain->record), domain->record, strchr(at, '\n') + 1);
        if (!change_device(domain, &grant->rules[0].device, 0, &record, error))
                return false;
        g_ptr_array_remove_index(domain->devices, index);
        devices_changed(domain);
        return true;
}

/* The lists behind the seal, where the host has them, take whole lists. */
static bool changes_alone(Domain *domain, const GPtrArray *devices) {
        return devices->len == 1 && !device_lists_exist(domain->driver->lists);
}

bool domain_set_devices(Domain *domain, GPtrArray *devices, GError **error) {
        return driver_check_ceiling(domain->driver, devices, error) && replace_devices(domain, devices, error);
}

bool domain_allow_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autoptr(GPtrArray) sum = NULL;

        if (!driver_check_ceiling(domain->driver, devices, error))
                return false;
        if (changes_alone(domain, devices) && device_list_may_append(domain->devices, devices->pdata[0]))
                return append_device(domain, devices->pdata[0], error);
        sum = device_list_union(domain->devices, devices, error);
        return sum && replace_devices(domain, sum, error);
}

bool domain_revoke_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autoptr(GPtrArray) rest = NULL;
        unsigned index;

        if (changes_alone(domain, devices) && device_list_find_alone(domain->devices, devices->pdata[0], &index))
                return drop_device(domain, index, error);
        rest = device_list_revoke(domain->devices, devices, error);
        return rest && replace_devices(domain, rest, error);
}

/* ---- the beginning and the end ---- */

bool domain_permit_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autoptr(GArray) none = g_array_new(false, false, sizeof(DeviceRule));
        g_autoptr(GArray) rules = device_list_rules(devices);
        DeviceLists *lists = domain->driver->lists;

        if (!device_lists_close(lists, domain->group, error) ||
            !device_lists_widen(lists, domain->group, none, rules, error))
                return false;
        domain->is_listed = true;
        return seal_add_domain(domain->driver->seal, group_id(domain->group), rules, error);
}

void domain_forget_devices(Domain *domain) {
        g_autoptr(GArray) rules = device_list_rules(domain->devices);

        seal_forget_domain(domain->driver->seal, group_id(domain->group), rules);
        if (domain->is_listed)
                device_lists_forget(domain->driver->lists, rules);
}

static bool adopt_lists(Domain *domain, const GArray *rules, GError **error) {
        domain->is_listed = device_lists_adopt(domain->driver->lists, domain->group, rules, error);
        return domain->is_listed;
}

static bool same_rules(const GArray *a, const GArray *b) {
        return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len * sizeof(DeviceRule)) == 0);
}

/*
 * An earlier daemon may have ended between changing the kernel's list and recording it, or the seal was lost with all
 * its lists. What both give stays: the rest of the kernel's was never acknowledged, and what the kernel lacks no start
 * gives back, because the record lies on a group that a tenant may be able to write to.
 */
bool domain_reconcile_devices(Domain *domain, GHashTable *all, GError **error) {
        Seal *seal = domain->driver->seal;
        uint64_t id = group_id(domain->group);
        const GArray *rules = g_hash_table_lookup(all, &id);
        g_autoptr(GArray) none = g_array_new(false, false, sizeof(DeviceRule)), kept = NULL;
        g_autoptr(GPtrArray) common = NULL;

        if (!rules) { /* it has none, or the seal is a new one */
                rules = none;
                if (!seal_add_domain(seal, id, none, error))
                        return false;
        }
        kept = device_list_rules(domain->devices);
        if (same_rules(rules, kept))
                return adopt_lists(domain, rules, error);
        g_warning("domain \"%s\": the devices in force are not those recorded; keeping what both give", domain->name);
        common = device_list_within(domain->devices, rules);
        g_array_unref(kept);
        kept = device_list_rules(common);
        if (!adopt_lists(domain, kept, error) || !seal_change_rules(seal, id, rules, kept, error) ||
            !domain_record_devices(domain, common, error))
                return false;
        g_ptr_array_unref(domain->devices);
        domain->devices = g_steal_pointer(&common);
        return true;
}
