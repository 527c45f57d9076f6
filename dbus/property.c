/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "property.h"

#include <string.h>

#include "error.h"
#include "group-limit.h"

/*
 * Getters. userdata is the Edge for the manager, else the Driver or Domain that edge.c found for the path. What the
 * kernel can change by itself is read from it when asked.
 */

/* ---- shared ---- */

static int append_devices(sd_bus_message *reply, const GPtrArray *devices) {
        int r = sd_bus_message_open_container(reply, 'a', "(ss)");

        for (unsigned i = 0; r >= 0 && i < devices->len; i++) {
                const DeviceGrant *grant = devices->pdata[i];
                char access[4];

                r = sd_bus_message_append(reply, "(ss)", grant->what, device_access_format(grant->access, access));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_entries(sd_bus_message *reply, const GArray *entries) {
        int r = sd_bus_message_open_container(reply, 'a', "(st)");

        for (unsigned i = 0; r >= 0 && entries && i < entries->len; i++) {
                const LimitEntry *entry = &g_array_index(entries, LimitEntry, i);

                r = sd_bus_message_append(reply, "(st)", entry->key, entry->number);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/*
 * One look at a group for all properties that are asked for in one turn of the main loop, which has one message: GetAll
 * reads each file once.
 */
static GroupView *look_at(Tree *tree, Group *group) {
        Edge *edge = tree->userdata;
        uint64_t turn = 0;

        sd_event_get_iteration(tree->event, &turn);
        if (!edge->view || edge->viewed != group || edge->view_turn != turn) {
                group_view_free(edge->view);
                edge->view = group_view_new(group);
                edge->viewed = group;
                edge->view_turn = turn;
        }
        return edge->view;
}

/* A figure that this host does not have is shown as unavailable. */
static int append_usage(sd_bus_message *reply, GroupView *view, const Usage *usage) {
        UsageValue value = {
                .number = USAGE_UNAVAILABLE,
                .some.total = USAGE_UNAVAILABLE,
                .full.total = USAGE_UNAVAILABLE,
        };

        group_view_usage(view, usage, &value);
        if (strcmp(usage->signature, "t") == 0)
                return sd_bus_message_append(reply, "t", value.number);
        return sd_bus_message_append(reply, usage->signature, value.some.average[0], value.some.average[1],
                                     value.some.average[2], value.some.total, value.full.average[0],
                                     value.full.average[1], value.full.average[2], value.full.total);
}

static int append_limit_value(sd_bus_message *reply, const Limit *limit, const LimitValue *value) {
        if (strcmp(limit->signature, "a(st)") == 0)
                return append_entries(reply, value->entries);
        if (strcmp(limit->signature, "s") == 0)
                return sd_bus_message_append(reply, "s", value->text ? value->text : "");
        if (strcmp(limit->signature, "b") == 0)
                return sd_bus_message_append(reply, "b", value->number == 1);
        return sd_bus_message_append(reply, "t", value->number);
}

/* A limit that this host does not have is shown as none. */
static bool read_limit(GroupView *view, const Limit *limit, LimitValue *ret_value) {
        *ret_value = (LimitValue) { .number = LIMIT_INFINITY };
        return group_view_limit_in_force(view, limit, ret_value, NULL);
}

static int append_limit(sd_bus_message *reply, GroupView *view, const Limit *limit) {
        LimitValue value;
        int r;

        read_limit(view, limit, &value);
        r = append_limit_value(reply, limit, &value);
        limit_value_clear(&value);
        return r;
}

/* ---- the manager ---- */

static int get_version(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", CORDON_VERSION);
}

static int get_hierarchy(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", group_hierarchy());
}

static int get_controllers(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;

        return sd_bus_message_append_strv(reply, edge->controllers);
}

static int get_tree_group(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;

        return sd_bus_message_append(reply, "s", group_path(edge->tree->group));
}

static int get_seal_strength(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;

        return sd_bus_message_append(reply, "s", tree_seal_is_guarded(edge->tree, NULL) ? "guarded" : "devices");
}

static int get_seal_notes(sd_bus *bus, const char *path, const char *interface, const char *property,
                          sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;
        g_autofree char *note = NULL;
        const char *problem;

        if (tree_seal_is_guarded(edge->tree, &problem))
                return sd_bus_message_append(reply, "as", 0);
        note = g_strdup_printf("No guard: root inside a domain can move itself out of it (%s).", problem);
        return sd_bus_message_append(reply, "as", 1, note);
}

static int get_n_drivers(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;

        return sd_bus_message_append(reply, "u", (uint32_t) g_hash_table_size(edge->tree->drivers));
}

static int get_n_domains(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Edge *edge = userdata;

        return sd_bus_message_append(reply, "u", (uint32_t) edge->tree->n_domains);
}

/* ---- a driver ---- */

static int get_driver_name(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", ((Driver *) userdata)->name);
}

static int get_driver_group(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", group_path(((Driver *) userdata)->group));
}

static int get_driver_owner(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", (uint32_t) ((Driver *) userdata)->owner);
}

static int get_sealed(sd_bus *bus, const char *path, const char *interface, const char *property,
                      sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Driver *driver = userdata;

        return sd_bus_message_append(reply, "b", seal_is_attached(driver->seal, driver->group));
}

static int get_ceiling(sd_bus *bus, const char *path, const char *interface, const char *property,
                       sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return append_devices(reply, ((Driver *) userdata)->ceiling);
}

static int get_max_domains(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", ((Driver *) userdata)->max_domains);
}

static int get_driver_n_domains(sd_bus *bus, const char *path, const char *interface, const char *property,
                                sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", (uint32_t) g_hash_table_size(((Driver *) userdata)->domains));
}

static int get_driver_limit(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Driver *driver = userdata;

        return append_limit(reply, look_at(driver->tree, driver->group), limit_find(property));
}

static int get_driver_usage(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Driver *driver = userdata;

        return append_usage(reply, look_at(driver->tree, driver->group), usage_find(property));
}

/* ---- a domain ---- */

static int get_domain_name(sd_bus *bus, const char *path, const char *interface, const char *property,
                           sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", ((Domain *) userdata)->name);
}

static int get_domain_driver(sd_bus *bus, const char *path, const char *interface, const char *property,
                             sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        g_autofree char *driver = edge_driver_path(((Domain *) userdata)->driver->name);

        return sd_bus_message_append(reply, "o", driver);
}

static int get_domain_owner(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "u", (uint32_t) ((Domain *) userdata)->owner);
}

static int get_domain_group(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", group_path(((Domain *) userdata)->group));
}

static int get_state(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return sd_bus_message_append(reply, "s", domain_state_name(domain_refresh_state(userdata)));
}

static int get_device_allow(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        return append_devices(reply, ((Domain *) userdata)->devices);
}

static int get_effective_devices(sd_bus *bus, const char *path, const char *interface, const char *property,
                                 sd_bus_message *reply, void *userdata, sd_bus_error *ret_error) {
        Domain *domain = userdata;
        g_autoptr(GError) error = NULL;
        g_autoptr(GArray) given = device_list_rules(domain->devices);
        g_autoptr(GArray) rules = seal_read_rules(domain->driver->seal, group_id(domain->group), given, &error);
        int r;

        if (!rules)
                return sd_bus_error_setf(ret_error, SD_BUS_ERROR_FAILED, "%s", error->message);
        r = sd_bus_message_open_container(reply, 'a', "(suus)");
        for (unsigned i = 0; r >= 0 && i < rules->len; i++) {
                const DeviceRule *rule = &g_array_index(rules, DeviceRule, i);
                char access[4];

                r = sd_bus_message_append(reply, "(suus)", device_type_name(rule->device.type), rule->device.major,
                                          rule->device.minor, device_access_format(rule->access, access));
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int get_domain_limit(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Domain *domain = userdata;

        return append_limit(reply, look_at(domain->driver->tree, domain->group), limit_find(property));
}

static int get_domain_usage(sd_bus *bus, const char *path, const char *interface, const char *property,
                            sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Domain *domain = userdata;

        return append_usage(reply, look_at(domain->driver->tree, domain->group), usage_find(property));
}

static int get_oom_kills(sd_bus *bus, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Domain *domain = userdata;
        uint64_t kills = USAGE_UNAVAILABLE;

        group_view_oom_kills(look_at(domain->driver->tree, domain->group), &kills);
        return sd_bus_message_append(reply, "t", kills);
}

static int get_denied_devices(sd_bus *bus, const char *path, const char *interface, const char *property,
                              sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        Domain *domain = userdata;

        return sd_bus_message_append(reply, "t", seal_read_refusals(domain->driver->seal, group_id(domain->group)));
}

/* ---- tables ---- */

typedef struct Property {
        const char *name, *signature;
        sd_bus_property_get_t get;
        uint64_t flags;
} Property;

#define CONST SD_BUS_VTABLE_PROPERTY_CONST
#define CHANGES SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE
#define INVALIDATES SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION /* of any length, so the signal does not carry it */

static const Property manager_properties[] = {
        { "Version", "s", get_version, CONST },
        { "Hierarchy", "s", get_hierarchy, CONST },
        { "Controllers", "as", get_controllers, CONST },
        { "ControlGroup", "s", get_tree_group, CONST },
        { "SealStrength", "s", get_seal_strength, CHANGES },
        { "SealNotes", "as", get_seal_notes, CHANGES },
        { "NDrivers", "u", get_n_drivers, CHANGES },
        { "NDomains", "u", get_n_domains, CHANGES },
        {},
};

static const Property driver_properties[] = {
        { "Name", "s", get_driver_name, CONST },
        { "ControlGroup", "s", get_driver_group, CONST },
        { "Owner", "u", get_driver_owner, CONST },
        { "Sealed", "b", get_sealed, 0 },
        { "DeviceCeiling", "a(ss)", get_ceiling, CHANGES },
        { "MaxDomains", "u", get_max_domains, CHANGES },
        { "NDomains", "u", get_driver_n_domains, CHANGES },
        {},
};

static const Property domain_properties[] = {
        { "Name", "s", get_domain_name, CONST },
        { "Driver", "o", get_domain_driver, CONST },
        { "Owner", "u", get_domain_owner, CONST },
        { "ControlGroup", "s", get_domain_group, CONST },
        { "State", "s", get_state, CHANGES },
        { "DeviceAllow", "a(ss)", get_device_allow, INVALIDATES },
        { "EffectiveDevices", "a(suus)", get_effective_devices, INVALIDATES },
        { "DeniedDevices", "t", get_denied_devices, 0 },
        { "OOMKills", "t", get_oom_kills, CHANGES },
        {},
};

static const struct {
        const Property *properties;
        sd_bus_property_get_t get_limit, get_usage; /* NULL: it has none */
} tables[] = {
        [OBJECT_MANAGER] = { manager_properties, NULL, NULL },
        [OBJECT_DRIVER] = { driver_properties, get_driver_limit, get_driver_usage },
        [OBJECT_DOMAIN] = { domain_properties, get_domain_limit, get_domain_usage },
};

/* ---- a new domain ---- */

/* What follows the kernel's files was read a moment ago, when the watches were set and the processes moved in. */
static int append_known(sd_bus_message *message, Edge *edge, const char *path, const Property *property,
                        Domain *domain) {
        if (property->get == get_state)
                return sd_bus_message_append(message, "s", domain_state_name(domain->state));
        if (property->get == get_oom_kills)
                return sd_bus_message_append(message, "t", oom_watch_kills(domain->oom));
        return property->get(edge->bus, path, EDGE_DOMAIN_INTERFACE, property->name, message, domain, NULL);
}

static int append_property(sd_bus_message *message, Edge *edge, const char *path, const Property *property,
                           Domain *domain) {
        int r = sd_bus_message_open_container(message, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(message, "s", property->name);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', property->signature);
        if (r >= 0)
                r = append_known(message, edge, path, property, domain);
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* A limit may move another in the same file: a small quota takes a longer period. */
static bool is_set(const GArray *limits_set, const Limit *limit) {
        for (unsigned i = 0; i < limits_set->len; i++)
                if (strcmp(g_array_index(limits_set, LimitSetting, i).limit->v2.file, limit->v2.file) == 0)
                        return true;
        return false;
}

/*
 * What every new group has is read once, and looked for again while it is not there: a module may bring it. On cgroup v1 a
 * set of processors is the parent's, so it may be another.
 */
static const LimitValue *find_default(Edge *edge, GroupView *view, const Limit *limit) {
        size_t i = limit - limits;
        LimitValue *value = &edge->defaults[i];

        if (!edge->has_default[i] || (value->text && *value->text)) {
                limit_value_clear(value);
                edge->has_default[i] = read_limit(view, limit, value);
        }
        return value;
}

/* What was set is read back. */
static int append_new_limit(sd_bus_message *message, Edge *edge, GroupView *view, const Limit *limit, bool set) {
        int r = sd_bus_message_open_container(message, 'e', "sv");

        if (r >= 0)
                r = sd_bus_message_append(message, "s", limit->name);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'v', limit->signature);
        if (r >= 0)
                r = set ? append_limit(message, view, limit)
                        : append_limit_value(message, limit, find_default(edge, view, limit));
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

int property_append_new_domain(sd_bus_message *message, Edge *edge, const char *path, Domain *domain,
                               const GArray *limits_set) {
        int r = sd_bus_message_open_container(message, 'e', "sa{sv}");

        if (r >= 0)
                r = sd_bus_message_append(message, "s", EDGE_DOMAIN_INTERFACE);
        if (r >= 0)
                r = sd_bus_message_open_container(message, 'a', "{sv}");
        for (const Property *property = domain_properties; r >= 0 && property->name; property++)
                if (property->flags & (CONST | CHANGES) || property->get == get_device_allow)
                        r = append_property(message, edge, path, property, domain);
        for (size_t i = 0; r >= 0 && i < n_limits; i++)
                r = append_new_limit(message, edge, look_at(edge->tree, domain->group), &limits[i],
                                     is_set(limits_set, &limits[i]));
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

/* ---- vtables ---- */

static void add(GArray *vtable, sd_bus_vtable entry) {
        g_array_append_val(vtable, entry);
}

sd_bus_vtable *property_make_vtable(ObjectKind object) {
        GArray *vtable = g_array_new(false, false, sizeof(sd_bus_vtable));

        add(vtable, (sd_bus_vtable) SD_BUS_VTABLE_START(0));
        for (size_t i = 0; i < n_methods; i++)
                if (methods[i].object == object)
                        add(vtable, (sd_bus_vtable) SD_BUS_METHOD_WITH_NAMES(
                                            methods[i].member, methods[i].in, methods[i].names, methods[i].out,
                                            /* the names of the results are in there, too */, request_start,
                                            SD_BUS_VTABLE_UNPRIVILEGED));
        for (const Property *property = tables[object].properties; property->name; property++)
                add(vtable, (sd_bus_vtable) SD_BUS_PROPERTY(property->name, property->signature, property->get, 0,
                                                            property->flags));
        for (size_t i = 0; tables[object].get_limit && i < n_limits; i++)
                add(vtable, (sd_bus_vtable) SD_BUS_PROPERTY(limits[i].name, limits[i].signature,
                                                            tables[object].get_limit, 0, CHANGES));
        for (size_t i = 0; tables[object].get_usage && i < n_usages; i++)
                add(vtable, (sd_bus_vtable) SD_BUS_PROPERTY(usages[i].name, usages[i].signature,
                                                            tables[object].get_usage, 0, 0));
        if (object == OBJECT_DOMAIN)
                add(vtable, (sd_bus_vtable) SD_BUS_SIGNAL_WITH_NAMES("DeviceDenied", "suust",
                                                                     SD_BUS_PARAM(type) SD_BUS_PARAM(major)
                                                                     SD_BUS_PARAM(minor) SD_BUS_PARAM(access)
                                                                     SD_BUS_PARAM(count), 0));
        add(vtable, (sd_bus_vtable) SD_BUS_VTABLE_END);
        return (sd_bus_vtable *) g_array_free(vtable, false);
}
