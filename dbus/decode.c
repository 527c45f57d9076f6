/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "decode.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "block.h"
#include "error.h"
#include "fd.h"

#define PROCESSES_MAX 256
#define LIMIT_ENTRIES_MAX 1024

/* sd-bus has checked the whole message's signature, so this is a broken message and not a user's mistake. */
static bool message_fail(GError **error, int r) {
        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "the message cannot be read: %s", g_strerror(-r));
}

/* ---- devices ---- */

GPtrArray *decode_devices(sd_bus_message *message, GError **error) {
        g_auto(DeviceHost) host = { -1, NULL };
        g_autoptr(GPtrArray) devices = device_list_new();
        int r = sd_bus_message_enter_container(message, 'a', "(ss)");

        for (;;) {
                const char *what, *access;
                DeviceGrant *grant;

                if (r >= 0)
                        r = sd_bus_message_read(message, "(ss)", &what, &access);
                if (r < 0) {
                        message_fail(error, r);
                        return NULL;
                }
                if (r == 0)
                        break;
                grant = device_grant_resolve(&host, what, access, error);
                if (!grant)
                        return NULL;
                device_list_add(devices, grant);
                if (devices->len > DEVICE_GRANTS_MAX)
                        break;
        }
        if (!device_list_check_size(devices, error))
                return NULL;
        r = sd_bus_message_exit_container(message);
        if (r < 0) {
                message_fail(error, r);
                return NULL;
        }
        device_list_merge(devices);
        return g_steal_pointer(&devices);
}

/* ---- processes ---- */

static int read_process(sd_bus_message *message, const char *signature, Process **ret_process, GError **error) {
        uint32_t pid;
        int fd, r;

        if (strcmp(signature, "ah") == 0) {
                r = sd_bus_message_read(message, "h", &fd);
                if (r > 0)
                        *ret_process = process_open_pidfd(fd, error);
        } else {
                r = sd_bus_message_read(message, "u", &pid);
                if (r > 0)
                        *ret_process = process_open(pid <= INT32_MAX ? (pid_t) pid : 0, error);
        }
        return r;
}

bool decode_processes(sd_bus_message *message, const char *signature, GPtrArray *processes, GError **error) {
        int r = sd_bus_message_enter_container(message, 'a', signature + 1);

        for (;;) {
                Process *process = NULL;

                if (r >= 0)
                        r = read_process(message, signature, &process, error);
                if (r < 0)
                        return message_fail(error, r);
                if (r == 0)
                        break;
                if (!process)
                        return false;
                g_ptr_array_add(processes, process);
                if (processes->len > PROCESSES_MAX)
                        return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED, "more than %d processes in one call",
                                           PROCESSES_MAX);
        }
        r = sd_bus_message_exit_container(message);
        return r >= 0 || message_fail(error, r);
}

/* ---- properties ---- */

/* a(st): devices, which are resolved here and now, or page sizes. */
static bool decode_entries(sd_bus_message *message, const Limit *limit, LimitValue *value, GError **error) {
        int r = sd_bus_message_enter_container(message, 'a', "(st)");

        value->entries = limit_entries_new();
        for (;;) {
                g_autofree char *device = NULL;
                const char *key;
                uint64_t number;

                if (r >= 0)
                        r = sd_bus_message_read(message, "(st)", &key, &number);
                if (r < 0)
                        return message_fail(error, r);
                if (r == 0)
                        break;
                if (limit->v2.format != LIMIT_FORMAT_PAGES) {
                        key = device = block_resolve(limit->name, key, error);
                        if (!device)
                                return false;
                }
                if (value->entries->len >= LIMIT_ENTRIES_MAX)
                        return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED, "%s has more than %d entries", limit->name,
                                           LIMIT_ENTRIES_MAX);
                if (!limit_entries_add(value->entries, key, number))
                        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s names %s twice", limit->name, key);
        }
        r = sd_bus_message_exit_container(message);
        return r >= 0 || message_fail(error, r);
}

static bool decode_limit_value(sd_bus_message *message, const Limit *limit, LimitValue *value, GError **error) {
        const char *text;
        int r, flag;

        if (strcmp(limit->signature, "a(st)") == 0)
                return decode_entries(message, limit, value, error);
        if (strcmp(limit->signature, "s") == 0) {
                r = sd_bus_message_read(message, "s", &text);
                if (r >= 0)
                        value->text = g_strdup(text);
        } else if (strcmp(limit->signature, "b") == 0) {
                r = sd_bus_message_read(message, "b", &flag);
                if (r >= 0)
                        value->number = flag;
        } else
                r = sd_bus_message_read(message, "t", &value->number);
        return r >= 0 || message_fail(error, r);
}

static bool decode_limit(sd_bus_message *message, const Limit *limit, GArray *settings, GError **error) {
        LimitValue value = {};
        bool ok = decode_limit_value(message, limit, &value, error);

        ok = ok && limit_validate(limit, &value, error) && limit_settings_add(settings, limit, &value, error);
        limit_value_clear(&value);
        return ok;
}

static bool decode_device_list(sd_bus_message *message, GPtrArray **list, GError **error) {
        GPtrArray *devices = decode_devices(message, error);

        if (!devices)
                return false;
        g_clear_pointer(list, g_ptr_array_unref);
        *list = devices;
        return true;
}

static bool decode_ceiling(sd_bus_message *message, void *spec, GError **error) {
        return decode_device_list(message, &((DriverSpec *) spec)->ceiling, error);
}

static bool decode_max_domains(sd_bus_message *message, void *spec, GError **error) {
        uint32_t number;
        int r = sd_bus_message_read(message, "u", &number);

        if (r < 0)
                return message_fail(error, r);
        if (number < 1 || number > DRIVER_DOMAINS_MAX)
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "MaxDomains=%u is out of range: 1 to %d",
                                   number, DRIVER_DOMAINS_MAX);
        ((DriverSpec *) spec)->max_domains = number;
        return true;
}

static bool decode_device_allow(sd_bus_message *message, void *spec, GError **error) {
        return decode_device_list(message, &((DomainSpec *) spec)->devices, error);
}

static bool decode_pids(sd_bus_message *message, void *spec, GError **error) {
        return decode_processes(message, "au", ((DomainSpec *) spec)->processes, error);
}

static bool decode_pidfds(sd_bus_message *message, void *spec, GError **error) {
        return decode_processes(message, "ah", ((DomainSpec *) spec)->processes, error);
}

static bool decode_delegate_user(sd_bus_message *message, void *userdata, GError **error) {
        DomainSpec *spec = userdata;
        uint32_t uid;
        int r = sd_bus_message_read(message, "u", &uid);

        if (r < 0)
                return message_fail(error, r);
        if (uid == UINT32_MAX) /* (uid_t) -1 is nobody: credentials(7) */
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "DelegateUser=%u is no user", uid);
        spec->delegate = true;
        spec->delegate_user = uid;
        return true;
}

/* Properties that are no limits. */
typedef struct Property {
        const char *name, *signature;
        bool (*decode)(sd_bus_message *message, void *spec, GError **error);
} Property;

static const Property driver_properties[] = {
        { "DeviceCeiling", "a(ss)", decode_ceiling },
        { "MaxDomains", "u", decode_max_domains },
        {},
};

static const Property domain_properties[] = {
        { "DeviceAllow", "a(ss)", decode_device_allow },
        { "PIDs", "au", decode_pids },
        { "PIDFDs", "ah", decode_pidfds },
        { "DelegateUser", "u", decode_delegate_user },
        {},
};

static const Property no_properties[] = { {} };

static bool unknown_property(const char *name, const Property *properties, GError **error) {
        g_autoptr(GString) known = g_string_new(NULL);

        for (size_t i = 0; i < n_limits; i++)
                g_string_append_printf(known, "%s%s", i > 0 ? " " : "", limits[i].name);
        for (; properties->name; properties++)
                g_string_append_printf(known, " %s", properties->name);
        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "property \"%s\" cannot be set here; allowed: %s", name,
                           known->str);
}

static bool decode_value(sd_bus_message *message, const char *name, const Property *properties, void *spec,
                         GArray *settings, GError **error) {
        const Limit *limit = limit_find(name);
        const Property *property = properties;
        const char *expected, *contents;
        bool ok;
        int r;

        while (property->name && strcmp(property->name, name) != 0)
                property++;
        if (!limit && !property->name)
                return unknown_property(name, properties, error);
        expected = limit ? limit->signature : property->signature;

        r = sd_bus_message_peek_type(message, NULL, &contents);
        if (r < 0)
                return message_fail(error, r);
        if (strcmp(contents, expected) != 0)
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s has type \"%s\", not \"%s\"", name, expected,
                                   contents);
        r = sd_bus_message_enter_container(message, 'v', contents);
        if (r < 0)
                return message_fail(error, r);
        ok = limit ? decode_limit(message, limit, settings, error) : property->decode(message, spec, error);
        if (!ok)
                return false;
        r = sd_bus_message_exit_container(message);
        return r >= 0 || message_fail(error, r);
}

static bool decode_properties(sd_bus_message *message, const Property *properties, void *spec, GArray *settings,
                              GError **error) {
        g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
        int r = sd_bus_message_enter_container(message, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                const char *name;

                r = sd_bus_message_read(message, "s", &name);
                if (r < 0)
                        break;
                if (!g_hash_table_add(seen, (void *) name))
                        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s is given twice", name);
                if (!decode_value(message, name, properties, spec, settings, error))
                        return false;
                r = sd_bus_message_exit_container(message);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(message);
        return r >= 0 || message_fail(error, r);
}

bool decode_driver_properties(sd_bus_message *message, DriverSpec *spec, GError **error) {
        return decode_properties(message, driver_properties, spec, spec->limits, error);
}

bool decode_domain_properties(sd_bus_message *message, DomainSpec *spec, GError **error) {
        return decode_properties(message, domain_properties, spec, spec->limits, error);
}

bool decode_limits(sd_bus_message *message, GArray *settings, GError **error) {
        return decode_properties(message, no_properties, NULL, settings, error);
}
