/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "edge.h"

#include <errno.h>
#include <string.h>

#include "journal.h"
#include "property.h"

/* ---- paths ---- */

char *edge_driver_path(const char *driver) {
        char *path = NULL;

        if (sd_bus_path_encode_many(&path, EDGE_DRIVER_PREFIX "/%", driver) < 0)
                g_error("out of memory");
        return path;
}

char *edge_domain_path(const char *driver, const char *domain) {
        char *path = NULL;

        if (sd_bus_path_encode_many(&path, EDGE_DRIVER_PREFIX "/%/domain/%", driver, domain) < 0)
                g_error("out of memory");
        return path;
}

bool edge_parse_path(const char *path, char **ret_driver, char **ret_domain) {
        return sd_bus_path_decode_many(path, EDGE_DRIVER_PREFIX "/%/domain/%", ret_driver, ret_domain) > 0 ||
               sd_bus_path_decode_many(path, EDGE_DRIVER_PREFIX "/%", ret_driver) > 0;
}

/* ---- objects ---- */

static int find_driver(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *ret_error) {
        Edge *edge = userdata;
        g_autofree char *driver = NULL, *domain = NULL;

        if (!edge_parse_path(path, &driver, &domain) || domain)
                return 0;
        *ret_found = tree_find_driver(edge->tree, driver, NULL);
        return *ret_found != NULL;
}

static int find_domain(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                       sd_bus_error *ret_error) {
        Edge *edge = userdata;
        g_autofree char *driver = NULL, *domain = NULL;

        if (!edge_parse_path(path, &driver, &domain) || !domain)
                return 0;
        *ret_found = tree_find_domain(edge->tree, driver, domain, NULL);
        return *ret_found != NULL;
}

/* The strings are sd-bus's to free, with free(3), which is what GLib's allocator is. */
static int enumerate(sd_bus *bus, const char *prefix, void *userdata, char ***ret_paths, sd_bus_error *ret_error) {
        Edge *edge = userdata;
        GPtrArray *paths = g_ptr_array_new();
        GHashTableIter drivers, domains;
        Driver *driver;
        Domain *domain;

        g_hash_table_iter_init(&drivers, edge->tree->drivers);
        while (g_hash_table_iter_next(&drivers, NULL, (void **) &driver)) {
                g_ptr_array_add(paths, edge_driver_path(driver->name));
                g_hash_table_iter_init(&domains, driver->domains);
                while (g_hash_table_iter_next(&domains, NULL, (void **) &domain))
                        g_ptr_array_add(paths, edge_domain_path(driver->name, domain->name));
        }
        g_ptr_array_add(paths, NULL);
        *ret_paths = (char **) g_ptr_array_free(paths, false);
        return 0;
}

/* ---- signals ---- */

static void check_sent(const char *path, int r) {
        if (r < 0)
                g_warning("%s: cannot send a signal: %s", path, g_strerror(-r));
}

static void emit_changed(Edge *edge, const char *path, const char *interface, const char *property) {
        check_sent(path, sd_bus_emit_properties_changed(edge->bus, path, interface, property, NULL));
}

/* All that InterfacesAdded named: sd-bus adds the standard ones, and a client keeps an object that has any left. */
static void emit_removed(Edge *edge, const char *path, const char *interface) {
        check_sent(path, sd_bus_emit_interfaces_removed(edge->bus, path, "org.freedesktop.DBus.Peer",
                                                        "org.freedesktop.DBus.Introspectable",
                                                        "org.freedesktop.DBus.Properties", interface, NULL));
}

static void on_driver_added(Driver *driver, void *userdata) {
        Edge *edge = userdata;
        g_autofree char *path = edge_driver_path(driver->name);

        check_sent(path, sd_bus_emit_object_added(edge->bus, path));
        emit_changed(edge, EDGE_ROOT, EDGE_MANAGER_INTERFACE, "NDrivers");
}

static void on_driver_changed(Driver *driver, const char *property, void *userdata) {
        g_autofree char *path = edge_driver_path(driver->name);

        emit_changed(userdata, path, EDGE_DRIVER_INTERFACE, property);
}

static void on_driver_removed(const char *name, void *userdata) {
        Edge *edge = userdata;
        g_autofree char *path = edge_driver_path(name);

        emit_removed(edge, path, EDGE_DRIVER_INTERFACE);
        emit_changed(edge, EDGE_ROOT, EDGE_MANAGER_INTERFACE, "NDrivers");
}

static int emit_counts(sd_event_source *source, void *userdata) {
        Edge *edge = userdata;
        GHashTableIter iter;
        const char *driver;

        g_hash_table_iter_init(&iter, edge->counts_of);
        while (g_hash_table_iter_next(&iter, (void **) &driver, NULL)) {
                g_autofree char *path = edge_driver_path(driver);

                if (tree_find_driver(edge->tree, driver, NULL))
                        emit_changed(edge, path, EDGE_DRIVER_INTERFACE, "NDomains");
        }
        g_hash_table_remove_all(edge->counts_of);
        emit_changed(edge, EDGE_ROOT, EDGE_MANAGER_INTERFACE, "NDomains");
        return 0;
}

/* Told at the end of the turn, behind the answer that the caller waits for. */
static void count_changed(Edge *edge, const char *driver) {
        g_hash_table_add(edge->counts_of, g_strdup(driver));
        if (!edge->counts && sd_event_add_defer(sd_bus_get_event(edge->bus), &edge->counts, emit_counts, edge) < 0)
                g_warning("NDomains cannot be told");
        sd_event_source_set_enabled(edge->counts, SD_EVENT_ONESHOT);
}

/* As sd_bus_emit_object_added() does it, but without reading every file of a group that is new. */
static int emit_domain_added(Edge *edge, const char *path, Domain *domain, const GArray *limits_set) {
        static const char *const standard[] = { "org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable",
                                                "org.freedesktop.DBus.Properties" };
        sd_bus_message *signal = NULL;
        int r = sd_bus_message_new_signal(edge->bus, &signal, EDGE_ROOT, "org.freedesktop.DBus.ObjectManager",
                                          "InterfacesAdded");

        if (r >= 0)
                r = sd_bus_message_append(signal, "o", path);
        if (r >= 0)
                r = sd_bus_message_open_container(signal, 'a', "{sa{sv}}");
        for (size_t i = 0; r >= 0 && i < G_N_ELEMENTS(standard); i++)
                r = sd_bus_message_append(signal, "{sa{sv}}", standard[i], 0);
        if (r >= 0)
                r = property_append_new_domain(signal, edge, path, domain, limits_set);
        if (r >= 0)
                r = sd_bus_message_close_container(signal);
        if (r >= 0)
                r = sd_bus_send(edge->bus, signal, NULL);
        sd_bus_message_unref(signal);
        return r;
}

static void on_domain_added(Domain *domain, const GArray *limits_set, void *userdata) {
        Edge *edge = userdata;
        g_autofree char *path = edge_domain_path(domain->driver->name, domain->name);

        check_sent(path, emit_domain_added(edge, path, domain, limits_set));
        count_changed(edge, domain->driver->name);
}

static void on_domain_changed(Domain *domain, const char *property, void *userdata) {
        g_autofree char *path = edge_domain_path(domain->driver->name, domain->name);

        emit_changed(userdata, path, EDGE_DOMAIN_INTERFACE, property);
}

static void on_domain_removed(const char *driver, const char *name, void *userdata) {
        Edge *edge = userdata;
        g_autofree char *path = edge_domain_path(driver, name);

        emit_removed(edge, path, EDGE_DOMAIN_INTERFACE);
        count_changed(edge, driver);
}

static void on_seal_changed(void *userdata) {
        Edge *edge = userdata;

        if (!edge->tree) /* nothing is exported yet */
                return;
        emit_changed(edge, EDGE_ROOT, EDGE_MANAGER_INTERFACE, "SealStrength");
        emit_changed(edge, EDGE_ROOT, EDGE_MANAGER_INTERFACE, "SealNotes");
}

/* The pid and command go to the journal only, not to everybody who listens. */
static void on_domain_denied(Domain *domain, const struct seal_event *event, void *userdata) {
        Edge *edge = userdata;
        const struct seal_device *device = &event->key.device;
        g_autofree char *path = edge_domain_path(domain->driver->name, domain->name);
        char access[4];

        check_sent(path, sd_bus_emit_signal(edge->bus, path, EDGE_DOMAIN_INTERFACE, "DeviceDenied", "suust",
                                            device_type_name(device->type), device->major, device->minor,
                                            device_access_format(event->key.access, access), event->count));
        if (event->pid != 0)
                journal_denial(domain, event);
}

const TreeListener edge_listener = {
        .domain_denied = on_domain_denied,
        .seal_changed = on_seal_changed,
        .driver_added = on_driver_added,
        .driver_changed = on_driver_changed,
        .driver_removed = on_driver_removed,
        .domain_added = on_domain_added,
        .domain_changed = on_domain_changed,
        .domain_removed = on_domain_removed,
};

/* ---- life ---- */

Edge *edge_new(sd_bus *bus, Authority *authority) {
        Edge *edge = g_new0(Edge, 1);

        edge->bus = sd_bus_ref(bus);
        edge->authority = authority;
        edge->callers = caller_cache_new(bus);
        edge->requests = g_hash_table_new(NULL, NULL);
        edge->per_user = g_hash_table_new(NULL, NULL);
        edge->counts_of = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        edge->defaults = g_new0(LimitValue, n_limits);
        edge->has_default = g_new0(bool, n_limits);
        for (ObjectKind kind = OBJECT_MANAGER; kind <= OBJECT_DOMAIN; kind++)
                edge->vtables[kind] = property_make_vtable(kind);
        return edge;
}

int edge_export(Edge *edge, Tree *tree) {
        int r;

        edge->tree = tree;
        edge->controllers = group_controllers(tree->group, NULL);
        r = sd_bus_add_object_vtable(edge->bus, &edge->slots[0], EDGE_ROOT, EDGE_MANAGER_INTERFACE,
                                     edge->vtables[OBJECT_MANAGER], edge);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(edge->bus, &edge->slots[1], EDGE_DRIVER_PREFIX, EDGE_DRIVER_INTERFACE,
                                               edge->vtables[OBJECT_DRIVER], find_driver, edge);
        if (r >= 0)
                r = sd_bus_add_fallback_vtable(edge->bus, &edge->slots[2], EDGE_DRIVER_PREFIX, EDGE_DOMAIN_INTERFACE,
                                               edge->vtables[OBJECT_DOMAIN], find_domain, edge);
        if (r >= 0)
                r = sd_bus_add_node_enumerator(edge->bus, &edge->slots[3], EDGE_DRIVER_PREFIX, enumerate, edge);
        if (r >= 0)
                r = sd_bus_add_object_manager(edge->bus, &edge->slots[4], EDGE_ROOT);
        return r;
}

void edge_free(Edge *edge) {
        GHashTableIter requests;
        Request *request;

        if (!edge)
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(edge->slots); i++)
                sd_bus_slot_unref(edge->slots[i]);
        g_hash_table_iter_init(&requests, edge->requests);
        while (g_hash_table_iter_next(&requests, (void **) &request, NULL)) {
                request_free(request);
                g_hash_table_iter_init(&requests, edge->requests);
        }
        g_hash_table_unref(edge->requests);
        g_hash_table_unref(edge->per_user);
        sd_event_source_disable_unref(edge->counts);
        g_hash_table_unref(edge->counts_of);
        for (size_t i = 0; i < n_limits; i++)
                limit_value_clear(&edge->defaults[i]);
        g_free(edge->defaults);
        g_free(edge->has_default);
        caller_cache_free(edge->callers);
        for (size_t i = 0; i < G_N_ELEMENTS(edge->vtables); i++)
                g_free(edge->vtables[i]);
        group_view_free(edge->view);
        g_strfreev(edge->controllers);
        sd_bus_unref(edge->bus);
        g_free(edge);
}

bool edge_is_idle(Edge *edge) {
        return g_hash_table_size(edge->requests) == 0;
}
