/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include <errno.h>
#include <linux/limits.h>
#include <signal.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver.h"
#include "error.h"
#include "group-limit.h"
#include "waiter.h"

#define KIND "domain"
#define SIGNAL_ROUNDS_MAX 64

DomainSpec *domain_spec_new(void) {
        DomainSpec *spec = g_new0(DomainSpec, 1);

        spec->limits = limit_settings_new();
        spec->devices = device_list_new();
        spec->processes = g_ptr_array_new_with_free_func((GDestroyNotify) process_free);
        return spec;
}

void domain_spec_free(DomainSpec *spec) {
        if (!spec)
                return;
        g_free(spec->driver);
        g_free(spec->name);
        g_clear_pointer(&spec->limits, g_array_unref);
        g_clear_pointer(&spec->devices, g_ptr_array_unref);
        g_clear_pointer(&spec->processes, g_ptr_array_unref);
        g_free(spec);
}

static Domain *domain_alloc(Driver *driver, const char *name, Group *group) {
        Domain *domain = g_new0(Domain, 1);

        domain->driver = driver;
        domain->name = g_strdup(name);
        domain->group = group;
        domain->id = group_id(group);
        domain->events_watch = domain->memory_watch = -1;
        return domain;
}

/* Whoever waits for a domain that goes is told so. */
static void fail_waiters(Domain *domain) {
        g_autoptr(GError) error = NULL;

        cordon_fail(&error, CORDON_ERROR_NO_SUCH_DOMAIN, "domain \"%s\" of driver \"%s\" was removed meanwhile",
                    domain->name, domain->driver->name);
        waiter_finish_all(g_steal_pointer(&domain->freezes), error);
        waiter_finish_all(g_steal_pointer(&domain->thaws), error);
}

void domain_free(Domain *domain) {
        if (!domain)
                return;
        watch_remove(domain->driver->tree->watch, domain->events_watch);
        watch_remove(domain->driver->tree->watch, domain->memory_watch);
        waiter_finish_all(g_steal_pointer(&domain->removals), NULL);
        fail_waiters(domain);
        group_free(domain->group);
        g_clear_pointer(&domain->devices, g_ptr_array_unref);
        g_free(domain->record);
        g_free(domain->name);
        g_free(domain);
}

/* Nobody knows yet of a domain that is still being made. */
static void changed(Domain *domain, const char *property) {
        Tree *tree = domain->driver->tree;

        if (g_hash_table_lookup(domain->driver->domains, domain->name) == domain)
                tree->listener->domain_changed(domain, property, tree->userdata);
}

void domain_forget(Domain *domain) {
        Driver *driver = domain->driver;
        Tree *tree = driver->tree;
        g_autofree char *name = g_strdup(domain->name);

        seal_forget_domain(driver->seal, group_id(domain->group));
        driver_drop_domain(driver, domain);
        tree->listener->domain_removed(driver->name, name, tree->userdata);
}

/* ---- state ---- */

const char *domain_state_name(DomainState state) {
        static const char *const names[] = { "empty", "running", "frozen" };

        return names[state];
}

DomainState domain_refresh_state(Domain *domain) {
        DomainState old = domain->state;
        bool populated, frozen;

        if (!group_read_events(domain->group, &populated, &frozen, NULL))
                return old;
        domain->state = frozen ? DOMAIN_FROZEN : populated ? DOMAIN_RUNNING : DOMAIN_EMPTY;
        if (domain->state != old)
                changed(domain, "State");
        return domain->state;
}

static void on_events(uint32_t mask, const char *name, void *userdata) {
        Domain *domain = userdata;
        g_autoptr(GError) error = NULL;
        bool populated, frozen;
        GSList *removals;

        domain_refresh_state(domain);
        if (!group_read_events(domain->group, &populated, &frozen, NULL))
                return;
        waiter_finish_all(frozen ? g_steal_pointer(&domain->freezes) : g_steal_pointer(&domain->thaws), NULL);
        if (!domain->removals || populated)
                return;
        removals = g_steal_pointer(&domain->removals);
        if (group_remove(domain->group, &error))
                domain_forget(domain);
        waiter_finish_all(removals, error);
}

static void on_memory_events(uint32_t mask, const char *name, void *userdata) {
        Domain *domain = userdata;
        uint64_t kills;

        if (!group_read_oom_kills(domain->group, &kills) || kills == domain->oom_kills)
                return;
        domain->oom_kills = kills;
        changed(domain, "OOMKills");
}

static bool follow(Domain *domain, GError **error) {
        Watch *watch = domain->driver->tree->watch;
        int fd = group_fd(domain->group);

        domain->events_watch = watch_add(watch, fd, "cgroup.events", IN_MODIFY, on_events, domain, error);
        if (domain->events_watch < 0)
                return false;
        if (!group_read_oom_kills(domain->group, &domain->oom_kills)) /* no memory controller here */
                return true;
        domain->memory_watch = watch_add(watch, fd, "memory.events", IN_MODIFY, on_memory_events, domain, error);
        return domain->memory_watch >= 0;
}

/* ---- devices ---- */

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

static bool write_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autofree char *record = device_list_serialize(devices);

        return check_record(record, devices->len, error) && write_record(domain, &record, error);
}

/* The keys whose access differs between two lists, with the new access. */
static GArray *difference(const GPtrArray *before, const GPtrArray *after) {
        g_autoptr(GArray) old = device_list_rules(before), new = device_list_rules(after);
        GArray *changes = g_array_new(false, false, sizeof(DeviceRule));
        unsigned i = 0, j = 0;

        while (i < old->len || j < new->len) {
                const DeviceRule *a = i < old->len ? &g_array_index(old, DeviceRule, i) : NULL;
                const DeviceRule *b = j < new->len ? &g_array_index(new, DeviceRule, j) : NULL;
                int order = !a ? 1 : !b ? -1 : device_compare(&a->device, &b->device);
                DeviceRule change = { order > 0 ? b->device : a->device, order >= 0 ? b->access : 0 };

                if (order != 0 || a->access != b->access)
                        g_array_append_val(changes, change);
                i += order <= 0;
                j += order >= 0;
        }
        return changes;
}

/* One key changes in place; several change in one step by a new list. */
static bool enforce(Domain *domain, const GPtrArray *before, const GPtrArray *after, GError **error) {
        g_autoptr(GArray) changes = difference(before, after), rules = NULL;
        uint64_t id = group_id(domain->group);

        if (changes->len == 0)
                return true;
        if (changes->len == 1) {
                const DeviceRule *change = &g_array_index(changes, DeviceRule, 0);

                return seal_set_rule(domain->driver->seal, id, &change->device, change->access, error);
        }
        rules = device_list_rules(after);
        return seal_set_rules(domain->driver->seal, id, rules, error);
}

static void devices_changed(Domain *domain) {
        changed(domain, "DeviceAllow");
        changed(domain, "EffectiveDevices");
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

bool domain_set_devices(Domain *domain, GPtrArray *devices, GError **error) {
        return driver_check_ceiling(domain->driver, devices, error) && replace_devices(domain, devices, error);
}

bool domain_allow_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autoptr(GPtrArray) sum = NULL;

        if (!driver_check_ceiling(domain->driver, devices, error))
                return false;
        if (devices->len == 1 && device_list_may_append(domain->devices, devices->pdata[0]))
                return append_device(domain, devices->pdata[0], error);
        sum = device_list_union(domain->devices, devices, error);
        return sum && replace_devices(domain, sum, error);
}

bool domain_revoke_devices(Domain *domain, const GPtrArray *devices, GError **error) {
        g_autoptr(GPtrArray) rest = NULL;
        unsigned index;

        if (devices->len == 1 && device_list_find_alone(domain->devices, devices->pdata[0], &index))
                return drop_device(domain, index, error);
        rest = device_list_revoke(domain->devices, devices, error);
        return rest && replace_devices(domain, rest, error);
}

/* ---- creating ---- */

static bool attach(Domain *domain, const GPtrArray *processes, GError **error);

static bool write_attributes(Domain *domain, GError **error) {
        g_autofree char *owner = g_strdup_printf("%u", (unsigned) domain->owner);

        /* The kind comes last: a group without it was never finished. */
        return group_set_attribute(domain->group, "owner", owner, error) &&
               write_devices(domain, domain->devices, error) &&
               group_set_attribute(domain->group, "kind", KIND, error);
}

static bool set_up(Domain *domain, const DomainSpec *spec, GError **error) {
        g_autoptr(GArray) rules = device_list_rules(spec->devices);

        return group_write_limits(domain->group, spec->limits, error) &&
               seal_set_rules(domain->driver->seal, group_id(domain->group), rules, error) &&
               (!spec->delegate || group_delegate(domain->group, spec->delegate_user, error)) &&
               follow(domain, error) && write_attributes(domain, error) &&
               attach(domain, spec->processes, error);
}

static bool check_new(Driver *driver, const DomainSpec *spec, GError **error) {
        if (g_hash_table_contains(driver->domains, spec->name))
                return cordon_fail(error, CORDON_ERROR_ALREADY_EXISTS, "domain \"%s\" of driver \"%s\" exists already",
                                   spec->name, spec->driver);
        if (driver->removals)
                return cordon_fail(error, CORDON_ERROR_BUSY, "driver \"%s\" is being removed", spec->driver);
        if (g_hash_table_size(driver->domains) >= driver->max_domains)
                return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                                   "driver \"%s\" has %u domains, and MaxDomains=%u allows no more", spec->driver,
                                   g_hash_table_size(driver->domains), driver->max_domains);
        return driver_check_ceiling(driver, spec->devices, error);
}

Domain *domain_create(Tree *tree, const DomainSpec *spec, uid_t owner, GError **error) {
        Driver *driver = tree_find_driver(tree, spec->driver, error);
        Domain *domain;
        Group *group;

        if (!driver || !check_new(driver, spec, error))
                return NULL;
        group = group_make(driver->group, spec->name, error);
        if (!group)
                return NULL;

        domain = domain_alloc(driver, spec->name, group);
        domain->owner = owner;
        domain->devices = g_ptr_array_ref(spec->devices);
        if (!set_up(domain, spec, error)) {
                g_autoptr(GError) cause = NULL;

                if (!group_remove(group, &cause))
                        g_warning("domain \"%s\" cannot be undone: %s", spec->name, cause->message);
                seal_forget_domain(driver->seal, group_id(group));
                domain_free(domain);
                return NULL;
        }
        if (spec->processes->len > 0) /* if they have ended since, the watch tells */
                domain->state = DOMAIN_RUNNING;
        driver_add_domain(driver, domain);
        tree->listener->domain_added(domain, spec->limits, tree->userdata);
        return domain;
}

/* ---- loading ---- */

static bool read_attributes(Domain *domain, GError **error) {
        g_autofree char *owner = group_get_attribute(domain->group, "owner", NULL);
        g_autofree char *devices = group_get_attribute(domain->group, "devices", NULL);
        guint64 uid;

        if (!owner || !g_ascii_string_to_unsigned(owner, 10, 0, UINT32_MAX - 1, &uid, NULL) || !devices ||
            !(domain->devices = device_list_deserialize(devices)))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: its attributes are damaged",
                                   group_path(domain->group));
        domain->record = g_steal_pointer(&devices);
        domain->owner = uid;
        return true;
}

static bool same_rules(const GArray *a, const GArray *b) {
        return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len * sizeof(DeviceRule)) == 0);
}

/*
 * An earlier daemon may have ended between changing the kernel's list and recording it, or the seal was lost with all
 * its lists. What both give stays: the rest of the kernel's was never acknowledged, and what the kernel lacks no start
 * gives back, because the record lies on a group that a tenant may be able to write to.
 */
static bool reconcile(Domain *domain, GError **error) {
        Seal *seal = domain->driver->seal;
        uint64_t id = group_id(domain->group);
        g_autoptr(GArray) rules = seal_read_rules(seal, id, error), recorded = device_list_rules(domain->devices);
        g_autoptr(GPtrArray) common = NULL;

        if (!rules)
                return false;
        if (same_rules(rules, recorded))
                return true;
        g_warning("domain \"%s\": the devices in force are not those recorded; keeping what both give", domain->name);
        common = device_list_within(domain->devices, rules);
        g_array_unref(rules);
        rules = device_list_rules(common);
        if (!seal_set_rules(seal, id, rules, error) || !write_devices(domain, common, error))
                return false;
        g_ptr_array_unref(domain->devices);
        domain->devices = g_steal_pointer(&common);
        return true;
}

Domain *domain_load(Driver *driver, const char *name, GError **error) {
        g_autoptr(Group) group = group_open(driver->group, name, error);
        g_autofree char *kind = NULL;
        Domain *domain;

        if (!group)
                return NULL;
        kind = group_get_attribute(group, "kind", NULL);
        if (g_strcmp0(kind, KIND) != 0) {
                group_drop_unfinished(group);
                return NULL;
        }

        domain = domain_alloc(driver, name, g_steal_pointer(&group));
        if (!read_attributes(domain, error) || !reconcile(domain, error) || !follow(domain, error)) {
                domain_free(domain);
                return NULL;
        }
        domain_refresh_state(domain);
        driver_add_domain(driver, domain);
        return domain;
}

/* ---- limits, processes ---- */

bool domain_set_limits(Domain *domain, const GArray *settings, GError **error) {
        if (!group_write_limits(domain->group, settings, error))
                return false;
        for (unsigned i = 0; i < settings->len; i++)
                changed(domain, g_array_index(settings, LimitSetting, i).limit->name);
        return true;
}

/* Where the process is now; refused when it cannot be confined or is another domain's. */
static bool check_process(Domain *domain, const Process *process, char **ret_group, GError **error) {
        g_autofree char *group = process_group(process, error);
        Tree *tree = domain->driver->tree;
        Domain *other;

        if (!group)
                return false;
        if (process->pid == 1 || process->pid == getpid() || process_is_kernel_thread(process, NULL))
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "process %d cannot be confined: it is %s",
                                   (int) process->pid,
                                   process->pid == 1          ? "the first process of the system" :
                                   process->pid == getpid() ? "Cordon itself" : "a kernel thread");
        other = tree_find_domain_by_path(tree, group);
        if (other && other != domain)
                return cordon_fail(error, CORDON_ERROR_BUSY, "process %d is in domain \"%s\" of driver \"%s\" already",
                                   (int) process->pid, other->name, other->driver->name);
        *ret_group = g_steal_pointer(&group);
        return true;
}

/*
 * The kernel moves by number. The pidfd was opened before and is alive after: so the number meant this process all
 * along.
 */
static bool move(Domain *domain, const Process *process, GError **error) {
        if (!group_attach(domain->group, process->pid, error))
                return false;
        if (!process_is_alive(process))
                return cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "process %d ended while it was moved",
                                   (int) process->pid);
        return true;
}

static bool attach(Domain *domain, const GPtrArray *processes, GError **error) {
        g_autoptr(GPtrArray) groups = g_ptr_array_new_with_free_func(g_free);
        unsigned n = 0;

        if (domain->removals || domain->driver->removals)
                return cordon_fail(error, CORDON_ERROR_BUSY, "domain \"%s\" is being removed", domain->name);
        for (unsigned i = 0; i < processes->len; i++) {
                char *group = NULL;

                if (!check_process(domain, processes->pdata[i], &group, error))
                        return false;
                g_ptr_array_add(groups, group);
        }
        while (n < processes->len && move(domain, processes->pdata[n], error))
                n++;
        if (n == processes->len)
                return true;
        while (n-- > 0) {
                const Process *process = processes->pdata[n];
                g_autoptr(GError) cause = NULL;

                if (!group_return(process->pid, groups->pdata[n], &cause) && process_is_alive(process))
                        g_warning("process %d stays in domain \"%s\": %s", (int) process->pid, domain->name,
                                  cause->message);
        }
        return false;
}

bool domain_attach(Domain *domain, const GPtrArray *processes, GError **error) {
        if (!attach(domain, processes, error))
                return false;
        if (processes->len > 0)
                domain_refresh_state(domain);
        return true;
}

/* Signals everything that is there now and was not signalled yet; *ret_new counts. */
static bool signal_round(Domain *domain, int signal, GHashTable *seen, unsigned *ret_new, GError **error) {
        g_autoptr(GArray) processes = group_processes(domain->group, error);

        *ret_new = 0;
        if (!processes)
                return false;
        for (unsigned i = 0; i < processes->len; i++) {
                pid_t pid = g_array_index(processes, GroupProcess, i).pid;
                g_autoptr(Process) process = NULL;
                g_autofree char *group = NULL;

                if (!g_hash_table_add(seen, GINT_TO_POINTER(pid)))
                        continue;
                (*ret_new)++;
                process = process_open(pid, NULL);
                group = process ? process_group(process, NULL) : NULL;
                /* Gone, or its number is somebody else's by now. */
                if (!group || tree_find_domain_by_path(domain->driver->tree, group) != domain)
                        continue;
                if (syscall(SYS_pidfd_send_signal, process->fd, signal, NULL, 0) < 0 && errno != ESRCH)
                        return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "process %d: signal %d: %s", (int) pid,
                                           signal, g_strerror(errno));
        }
        return true;
}

bool domain_kill(Domain *domain, int signal, GError **error) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        unsigned new = 1;

        if (signal == SIGKILL)
                return group_kill(domain->group, error);
        for (unsigned round = 0; new > 0; round++) {
                if (round == SIGNAL_ROUNDS_MAX)
                        return cordon_fail(error, CORDON_ERROR_BUSY,
                                           "domain \"%s\" forks faster than it can be signalled: %u processes got "
                                           "signal %d, some did not", domain->name, g_hash_table_size(seen), signal);
                if (!signal_round(domain, signal, seen, &new, error))
                        return false;
        }
        return true;
}

/* ---- freezing ---- */

static void give_up_freezing(void *owner) {
        Domain *domain = owner;
        g_autoptr(GError) cause = NULL;

        if (!group_freeze(domain->group, false, &cause))
                g_warning("domain \"%s\" stays half frozen: %s", domain->name, cause->message);
}

void domain_freeze(Domain *domain, bool freeze, TreeDone done, void *userdata) {
        g_autofree char *what = g_strdup_printf("domain \"%s\" of driver \"%s\" did not %s in time: "
                                                "a process in it is held by the kernel", domain->name,
                                                domain->driver->name, freeze ? "freeze" : "thaw");
        g_autoptr(GError) error = NULL;
        bool populated, frozen;

        if (!group_freeze(domain->group, freeze, &error) ||
            !group_read_events(domain->group, &populated, &frozen, &error) || frozen == freeze) {
                if (!error)
                        domain_refresh_state(domain);
                done(error, userdata);
                return;
        }
        waiter_add(freeze ? &domain->freezes : &domain->thaws, domain->driver->tree, what,
                   freeze ? give_up_freezing : NULL, domain, done, userdata);
}

/* ---- removing ---- */

void domain_remove(Domain *domain, bool kill, TreeDone done, void *userdata) {
        g_autoptr(GError) error = NULL;
        bool populated, frozen;

        if (!group_read_events(domain->group, &populated, &frozen, &error))
                ;
        else if (!populated) {
                if (group_remove(domain->group, &error))
                        domain_forget(domain);
        } else if (!kill)
                cordon_fail(&error, CORDON_ERROR_BUSY, "domain \"%s\" of driver \"%s\" holds processes", domain->name,
                            domain->driver->name);
        else if (group_kill(domain->group, &error)) {
                g_autofree char *what = g_strdup_printf("domain \"%s\" of driver \"%s\": the processes in it were "
                                                        "killed and have not ended yet", domain->name,
                                                        domain->driver->name);

                waiter_add(&domain->removals, domain->driver->tree, what, NULL, domain, done, userdata);
                return;
        }
        done(error, userdata);
}
