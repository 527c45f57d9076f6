/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include <string.h>
#include <sys/inotify.h>

#include "domain.h"
#include "error.h"
#include "group-limit.h"
#include "group-process.h"
#include "name.h"
#include "waiter.h"

#define KIND "driver"
#define DOMAINS_PER_TURN 16

DriverSpec *driver_spec_new(void) {
        DriverSpec *spec = g_new0(DriverSpec, 1);

        spec->limits = limit_settings_new();
        return spec;
}

void driver_spec_free(DriverSpec *spec) {
        if (!spec)
                return;
        g_free(spec->name);
        g_clear_pointer(&spec->limits, g_array_unref);
        g_clear_pointer(&spec->ceiling, g_ptr_array_unref);
        g_free(spec);
}

static void free_domain(void *domain) {
        domain_free(domain);
}

static Driver *driver_alloc(Tree *tree, const char *name, Group *group) {
        Driver *driver = g_new0(Driver, 1);

        driver->tree = tree;
        driver->name = g_strdup(name);
        driver->group = group;
        driver->events_watch = driver->directory_watch = -1;
        driver->max_domains = DRIVER_DOMAINS_MAX;
        driver->domains_by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
        driver->domains = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_domain);
        return driver;
}

void driver_free(Driver *driver) {
        if (!driver)
                return;
        sd_event_source_disable_unref(driver->removal_source);
        denial_log_free(driver->denials);
        g_hash_table_unref(driver->domains_by_id);
        g_hash_table_unref(driver->domains);
        watch_remove(driver->tree->watch, driver->events_watch);
        watch_remove(driver->tree->watch, driver->directory_watch);
        waiter_finish_all(g_steal_pointer(&driver->removals), NULL);
        device_lists_free(driver->lists);
        seal_free(driver->seal);
        group_free(driver->group);
        g_clear_pointer(&driver->ceiling, g_ptr_array_unref);
        g_free(driver->name);
        g_free(driver);
}

/* ---- following the kernel ---- */

static void finish_removal(Driver *driver, const GError *error) {
        GSList *removals = g_steal_pointer(&driver->removals);
        g_autofree char *name = g_strdup(driver->name);
        Tree *tree = driver->tree;

        driver->removal_source = sd_event_source_disable_unref(driver->removal_source);
        if (!error) {
                g_hash_table_remove(tree->drivers, name);
                tree->listener->driver_removed(name, tree->userdata);
        }
        waiter_finish_all(removals, error);
}

/* A few domains in each turn of the main loop, so that nobody waits for the ten thousand of somebody else. */
static int remove_some(sd_event_source *source, void *userdata) {
        Driver *driver = userdata;
        Domain *domains[DOMAINS_PER_TURN];
        g_autoptr(GError) error = NULL;
        GHashTableIter iter;
        unsigned n = 0;

        g_hash_table_iter_init(&iter, driver->domains);
        while (n < DOMAINS_PER_TURN && g_hash_table_iter_next(&iter, NULL, (void **) &domains[n]))
                n++;
        for (unsigned i = 0; i < n; i++) {
                g_autoptr(Process) stray = NULL;

                if (!group_kill_strays(domains[i]->group, &stray, &error) || !group_remove(domains[i]->group, &error)) {
                        finish_removal(driver, error);
                        return 0;
                }
                domain_forget(domains[i]);
        }
        if (n == 0) {
                group_remove(driver->group, &error);
                finish_removal(driver, error);
        }
        return 0;
}

/* Its processes have ended. */
static void start_removal(Driver *driver) {
        g_autoptr(GError) error = NULL;
        int r;

        if (driver->removal_source)
                return;
        waiter_take_time(driver->removals);
        r = sd_event_add_defer(driver->tree->event, &driver->removal_source, remove_some, driver);
        if (r >= 0)
                r = sd_event_source_set_enabled(driver->removal_source, SD_EVENT_ON);
        if (r < 0) {
                cordon_fail(&error, CORDON_ERROR_KERNEL_REFUSED, "driver \"%s\" cannot be removed: %s", driver->name,
                            g_strerror(-r));
                finish_removal(driver, error);
        }
}

static void on_events(uint32_t mask, const char *name, void *userdata) {
        Driver *driver = userdata;
        bool populated, frozen;

        if (driver->removals && group_read_events(driver->group, &populated, &frozen, NULL) && !populated)
                start_removal(driver);
}

/* A domain's directory is gone: by us, and then it is forgotten already, or by somebody behind our back. */
static void on_directory(uint32_t mask, const char *name, void *userdata) {
        Driver *driver = userdata;
        Domain *domain = name ? g_hash_table_lookup(driver->domains, name) : NULL;
        g_autoptr(Group) group = domain ? group_open(driver->group, name, NULL) : NULL;

        if (!domain || (group && group_id(group) == group_id(domain->group)))
                return;
        g_warning("domain \"%s\" of driver \"%s\" was removed by somebody else", name, driver->name);
        if (!group)
                group_remove(domain->group, NULL); /* what is left of it in other hierarchies */
        domain_forget(domain);
}

static void on_denial(const struct seal_event *event, void *userdata) {
        Driver *driver = userdata;
        Domain *domain = g_hash_table_lookup(driver->domains_by_id, &event->key.domain);

        if (domain)
                driver->tree->listener->domain_denied(domain, event, driver->tree->userdata);
}

void driver_add_domain(Driver *driver, Domain *domain) {
        g_hash_table_insert(driver->domains, domain->name, domain);
        g_hash_table_insert(driver->domains_by_id, &domain->id, domain);
        driver->tree->n_domains++;
}

void driver_drop_domain(Driver *driver, Domain *domain) {
        g_hash_table_remove(driver->domains_by_id, &domain->id);
        g_hash_table_remove(driver->domains, domain->name);
        driver->tree->n_domains--;
}

static bool follow(Driver *driver, GError **error) {
        Watch *watch = driver->tree->watch;
        int fd = group_fd(driver->group);

        driver->events_watch = watch_add(watch, fd, "cgroup.events", IN_MODIFY, on_events, driver, error);
        if (driver->events_watch < 0)
                return false;
        driver->directory_watch = watch_add(watch, fd, ".", IN_DELETE | IN_ONLYDIR, on_directory, driver, error);
        if (driver->directory_watch < 0)
                return false;
        driver->denials = denial_log_new(driver->tree->event, driver->seal, on_denial, driver, error);
        return driver->denials != NULL;
}

/* ---- creating, loading, changing ---- */

static bool write_attributes(Driver *driver, GError **error) {
        g_autofree char *owner = g_strdup_printf("%u", (unsigned) driver->owner);
        g_autofree char *max_domains = g_strdup_printf("%u", driver->max_domains);
        g_autofree char *ceiling = device_list_serialize(driver->ceiling);

        /* The kind comes last: a group without it was never finished. */
        return group_set_attribute(driver->group, "owner", owner, error) &&
               group_set_attribute(driver->group, "max-domains", max_domains, error) &&
               group_set_attribute(driver->group, "ceiling", ceiling, error) &&
               group_set_attribute(driver->group, "kind", KIND, error);
}

static bool set_up(Driver *driver, const DriverSpec *spec, GError **error) {
        driver->seal = seal_new(driver->group, error);
        driver->lists = driver->seal ? device_lists_new(driver->group, true, error) : NULL;
        return driver->lists && tree_guard_driver(driver->tree, driver->group, error) &&
               group_enable_controllers(driver->group, error) &&
               group_init_limits(driver->group, spec->limits, error) && follow(driver, error) &&
               write_attributes(driver, error);
}

Driver *driver_create(Tree *tree, const DriverSpec *spec, uid_t owner, GError **error) {
        Driver *driver;
        Group *group;

        if (g_hash_table_contains(tree->drivers, spec->name)) {
                cordon_fail(error, CORDON_ERROR_ALREADY_EXISTS, "driver \"%s\" exists already", spec->name);
                return NULL;
        }
        group = group_make(tree->group, spec->name, error);
        if (!group)
                return NULL;

        driver = driver_alloc(tree, spec->name, group);
        driver->owner = owner;
        driver->ceiling = spec->ceiling ? g_ptr_array_ref(spec->ceiling) : device_list_everything();
        if (spec->max_domains > 0)
                driver->max_domains = spec->max_domains;
        if (!set_up(driver, spec, error)) {
                g_autoptr(GError) cause = NULL;

                if (!group_remove(group, &cause))
                        g_warning("driver \"%s\" cannot be undone: %s", spec->name, cause->message);
                driver_free(driver);
                return NULL;
        }
        g_hash_table_insert(tree->drivers, driver->name, driver);
        return driver;
}

void driver_announce(Driver *driver) {
        driver->tree->listener->driver_added(driver, driver->tree->userdata);
}

static bool read_attributes(Driver *driver, GError **error) {
        g_autofree char *owner = group_get_attribute(driver->group, "owner", NULL);
        g_autofree char *max_domains = group_get_attribute(driver->group, "max-domains", NULL);
        g_autofree char *ceiling = group_get_attribute(driver->group, "ceiling", NULL);
        guint64 uid, maximum;

        if (!owner || !g_ascii_string_to_unsigned(owner, 10, 0, UINT32_MAX - 1, &uid, NULL) || !max_domains ||
            !g_ascii_string_to_unsigned(max_domains, 10, 1, DRIVER_DOMAINS_MAX, &maximum, NULL) || !ceiling ||
            !(driver->ceiling = device_list_deserialize(ceiling)))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: its attributes are damaged",
                                   group_path(driver->group));
        driver->owner = uid;
        driver->max_domains = maximum;
        return true;
}

/* A driver without its seal denies nothing: a new one that knows no domain closes it, then the domains are read. */
static bool find_seal(Driver *driver, GError **error) {
        g_autoptr(GError) cause = NULL;

        driver->seal = seal_find(driver->group, &cause);
        if (!driver->seal && cause) {
                g_propagate_error(error, g_steal_pointer(&cause));
                return false;
        }
        if (driver->seal)
                return true;
        g_warning("driver \"%s\" had lost its seal; sealing it again", driver->name);
        driver->seal = seal_new(driver->group, error);
        return driver->seal != NULL;
}

/*
 * A domain that went while no daemon looked, or in the midst of its creation, has left its rules behind. One that is
 * left alone is still there.
 */
static void forget_gone(Driver *driver, const GPtrArray *names, GHashTable *rules) {
        g_autoptr(GHashTable) ids = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);

        for (unsigned i = 0; i < names->len; i++) {
                Domain *domain = g_hash_table_lookup(driver->domains, names->pdata[i]);
                g_autoptr(Group) group = domain ? NULL : group_open(driver->group, names->pdata[i], NULL);
                uint64_t id = domain ? (uint64_t) domain->id : group ? group_id(group) : 0;

                g_hash_table_add(ids, g_memdup2(&id, sizeof(id)));
        }
        seal_forget_others(driver->seal, rules, ids);
}

static bool load_domains(Driver *driver, GError **error) {
        g_autoptr(GPtrArray) names = group_children(driver->group, error);
        g_autoptr(GHashTable) rules = names ? seal_read_all(driver->seal, error) : NULL;

        if (!rules)
                return false;
        for (unsigned i = 0; i < names->len; i++) {
                g_autoptr(GError) cause = NULL;

                if (!domain_load(driver, names->pdata[i], rules, &cause) && cause)
                        g_warning("domain \"%s\" of driver \"%s\" is left alone: %s", (char *) names->pdata[i],
                                  driver->name, cause->message);
        }
        forget_gone(driver, names, rules);
        return device_lists_settle(driver->lists, error);
}

Driver *driver_load(Tree *tree, const char *name, GError **error) {
        g_autoptr(Group) group = NULL;
        g_autofree char *kind = NULL;
        Driver *driver;

        if (!name_validate("driver", name, NULL)) /* the keeper's group, or systemd's .control */
                return NULL;
        group = group_open(tree->group, name, error);
        if (!group)
                return NULL;
        kind = group_get_attribute(group, "kind", NULL);
        if (g_strcmp0(kind, KIND) != 0) {
                group_drop_unfinished(group);
                return NULL;
        }

        driver = driver_alloc(tree, name, g_steal_pointer(&group));
        if (!find_seal(driver, error) || !tree_guard_driver(tree, driver->group, error) ||
            !(driver->lists = device_lists_new(driver->group, false, error)) || !read_attributes(driver, error) ||
            !follow(driver, error) || !load_domains(driver, error)) {
                driver_free(driver);
                return NULL;
        }
        g_hash_table_insert(tree->drivers, driver->name, driver);
        return driver;
}

bool driver_check_ceiling(Driver *driver, const GPtrArray *devices, GError **error) {
        g_autofree char *ceiling = NULL;
        const DeviceGrant *excess;
        char access[4];

        if (device_list_covers(driver->ceiling, devices, &excess))
                return true;
        ceiling = device_list_describe(driver->ceiling);
        return cordon_fail(error, CORDON_ERROR_DEVICE_NOT_IN_CEILING,
                           "device \"%s\" with access \"%s\" exceeds the ceiling of driver \"%s\": %s", excess->what,
                           device_access_format(excess->access, access), driver->name,
                           *ceiling ? ceiling : "no device");
}

/* A ceiling may not sink below what is granted. */
static bool check_new_ceiling(Driver *driver, const GPtrArray *ceiling, GError **error) {
        GHashTableIter domains;
        Domain *domain;

        g_hash_table_iter_init(&domains, driver->domains);
        while (g_hash_table_iter_next(&domains, NULL, (void **) &domain)) {
                const DeviceGrant *excess;

                if (!device_list_covers(ceiling, domain->devices, &excess))
                        return cordon_fail(error, CORDON_ERROR_DEVICE_NOT_IN_CEILING,
                                           "domain \"%s\" was granted \"%s\", which is not in the new ceiling: "
                                           "revoke it first", domain->name, excess->what);
        }
        return true;
}

/* Tells of it. */
static void limit_changed(Driver *driver, const Limit *limit) {
        Tree *tree = driver->tree;
        GHashTableIter domains;
        Domain *domain;

        tree->listener->driver_changed(driver, limit->name, tree->userdata);
        if (limit->v2.format != LIMIT_FORMAT_LIST)
                return;
        /* What the driver's set leaves of theirs is another now. */
        g_hash_table_iter_init(&domains, driver->domains);
        while (g_hash_table_iter_next(&domains, NULL, (void **) &domain))
                tree->listener->domain_changed(domain, limit->name, tree->userdata);
}

bool driver_update(Driver *driver, const DriverSpec *spec, GError **error) {
        g_autoptr(GPtrArray) old_ceiling = g_ptr_array_ref(driver->ceiling);
        uint32_t old_max_domains = driver->max_domains;
        Tree *tree = driver->tree;

        if (spec->ceiling && !check_new_ceiling(driver, spec->ceiling, error))
                return false;
        if (spec->ceiling) {
                g_ptr_array_unref(driver->ceiling);
                driver->ceiling = g_ptr_array_ref(spec->ceiling);
        }
        if (spec->max_domains > 0)
                driver->max_domains = spec->max_domains;

        if (!write_attributes(driver, error) || !group_write_limits(driver->group, spec->limits, error)) {
                g_ptr_array_unref(driver->ceiling);
                driver->ceiling = g_steal_pointer(&old_ceiling);
                driver->max_domains = old_max_domains;
                if (!write_attributes(driver, NULL))
                        g_warning("driver \"%s\": its attributes cannot be put back", driver->name);
                return false;
        }

        if (spec->ceiling)
                tree->listener->driver_changed(driver, "DeviceCeiling", tree->userdata);
        if (spec->max_domains > 0)
                tree->listener->driver_changed(driver, "MaxDomains", tree->userdata);
        for (unsigned i = 0; i < spec->limits->len; i++)
                limit_changed(driver, g_array_index(spec->limits, LimitSetting, i).limit);
        return true;
}

/* ---- removing ---- */

void driver_forget(Driver *driver) {
        g_autoptr(GList) domains = g_hash_table_get_values(driver->domains);

        for (GList *each = domains; each; each = each->next) {
                group_remove(((Domain *) each->data)->group, NULL);
                domain_forget(each->data);
        }
        group_remove(driver->group, NULL);
        finish_removal(driver, NULL);
}

void driver_remove(Driver *driver, bool kill, TreeDone done, void *userdata) {
        unsigned n = g_hash_table_size(driver->domains);
        g_autoptr(GError) error = NULL;
        g_autofree char *what = NULL;
        bool populated, frozen;

        if (!kill && n > 0)
                cordon_fail(&error, CORDON_ERROR_BUSY, "driver \"%s\" has %u domains", driver->name, n);
        else if (group_read_events(driver->group, &populated, &frozen, &error) && populated && !kill)
                cordon_fail(&error, CORDON_ERROR_BUSY, "driver \"%s\" holds processes", driver->name);
        else if (!error && populated)
                group_kill(driver->group, &error);
        if (error) {
                done(error, userdata);
                return;
        }
        what = g_strdup_printf("driver \"%s\": the processes in it were killed and have not ended yet", driver->name);
        waiter_add(&driver->removals, driver->tree, what, NULL, driver, done, userdata);
        if (!populated)
                start_removal(driver);
}
