/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "domain-device.h"
#include "driver.h"
#include "error.h"
#include "fd.h"
#include "group-limit.h"
#include "group-process.h"
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
        domain->events_watch = -1;
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
        oom_watch_free(domain->oom);
        sd_event_source_disable_unref(domain->stray);
        waiter_finish_all(g_steal_pointer(&domain->removals), NULL);
        fail_waiters(domain);
        group_free(domain->group);
        g_clear_pointer(&domain->devices, g_ptr_array_unref);
        g_free(domain->record);
        g_free(domain->name);
        g_free(domain);
}

void domain_changed(Domain *domain, const char *property) {
        Tree *tree = domain->driver->tree;

        if (g_hash_table_lookup(domain->driver->domains, domain->name) == domain)
                tree->listener->domain_changed(domain, property, tree->userdata);
}

void domain_forget(Domain *domain) {
        Driver *driver = domain->driver;
        Tree *tree = driver->tree;
        g_autofree char *name = g_strdup(domain->name);

        domain_forget_devices(domain);
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
                domain_changed(domain, "State");
        return domain->state;
}

static int on_stray_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata);

/* Its processes have ended, but for strays. */
static void finish_removal(Domain *domain) {
        sd_event *event = domain->driver->tree->event;
        g_autoptr(Process) stray = NULL;
        g_autoptr(GError) error = NULL;
        GSList *removals;

        domain->stray = sd_event_source_disable_unref(domain->stray);
        if (group_kill_strays(domain->group, &stray, &error) && stray &&
            sd_event_add_io(event, &domain->stray, stray->fd, EPOLLIN, on_stray_ended, domain) >= 0) {
                sd_event_source_set_io_fd_own(domain->stray, true);
                fd_steal(&stray->fd);
                return;
        }
        removals = g_steal_pointer(&domain->removals);
        if (!error && group_remove(domain->group, &error))
                domain_forget(domain);
        waiter_finish_all(removals, error);
}

static int on_stray_ended(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        finish_removal(userdata);
        return 0;
}

static void on_events(uint32_t mask, const char *name, void *userdata) {
        Domain *domain = userdata;
        bool populated, frozen;

        domain_refresh_state(domain);
        if (!group_read_events(domain->group, &populated, &frozen, NULL))
                return;
        waiter_finish_all(frozen ? g_steal_pointer(&domain->freezes) : g_steal_pointer(&domain->thaws), NULL);
        if (domain->removals && !populated)
                finish_removal(domain);
}

static void on_oom_kill(uint64_t kills, void *userdata) {
        domain_changed(userdata, "OOMKills");
}

static bool follow(Domain *domain, GError **error) {
        Tree *tree = domain->driver->tree;
        g_autoptr(GError) cause = NULL;

        domain->events_watch = watch_add(tree->watch, group_fd(domain->group), "cgroup.events", IN_MODIFY, on_events,
                                         domain, error);
        if (domain->events_watch < 0)
                return false;
        domain->oom = oom_watch_new(tree->event, tree->watch, domain->group, on_oom_kill, domain, &cause);
        if (!cause)
                return true;
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
}

/* ---- creating ---- */

static bool attach(Domain *domain, const GPtrArray *processes, GError **error);

static bool write_attributes(Domain *domain, GError **error) {
        g_autofree char *owner = g_strdup_printf("%u", (unsigned) domain->owner);

        /* The kind comes last: a group without it was never finished. */
        return group_set_attribute(domain->group, "owner", owner, error) &&
               domain_record_devices(domain, domain->devices, error) &&
               group_set_attribute(domain->group, "kind", KIND, error);
}

static bool set_up(Domain *domain, const DomainSpec *spec, GError **error) {
        return group_init_limits(domain->group, spec->limits, error) &&
               domain_permit_devices(domain, spec->devices, error) &&
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

                /* One that stays, for a process that could not go back, is no domain to the next start either. */
                if (!group_remove(group, &cause)) {
                        g_warning("domain \"%s\" cannot be undone: %s", spec->name, cause->message);
                        group_set_attribute(group, "kind", "", NULL);
                }
                domain_forget_devices(domain);
                domain_free(domain);
                return NULL;
        }
        if (spec->processes->len > 0) /* if they have ended since, the watch tells */
                domain->state = DOMAIN_RUNNING;
        driver_add_domain(driver, domain);
        return domain;
}

void domain_announce(Domain *domain, const GArray *limits_set) {
        Tree *tree = domain->driver->tree;

        tree->listener->domain_added(domain, limits_set, tree->userdata);
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

/*
 * A group that lacked a part has lost limits with it. An empty one goes, as systemd would have cleared it whole on a
 * unified host; one with processes stays, and they are in all its parts again.
 */
static bool mend(Group *group, bool *ret_gone, GError **error) {
        g_autoptr(GArray) processes = group_processes(group, error);

        if (!processes)
                return false;
        *ret_gone = processes->len == 0;
        if (*ret_gone)
                return group_remove(group, error);
        for (unsigned i = 0; i < processes->len; i++) {
                const GroupProcess *process = &g_array_index(processes, GroupProcess, i);

                /* Where it is deeper in cgroup2, it stays there: v1 has no such group of the tenant's. */
                if (g_str_equal(process->group, "/") && !group_attach(group, process->pid, error))
                        return false;
        }
        return true;
}

Domain *domain_load(Driver *driver, const char *name, GHashTable *rules, GError **error) {
        g_autoptr(Group) group = group_open(driver->group, name, error);
        g_autofree char *kind = NULL;
        bool gone = false;
        Domain *domain;

        if (!group)
                return NULL;
        kind = group_get_attribute(group, "kind", NULL);
        if (g_strcmp0(kind, KIND) != 0) {
                group_drop_unfinished(group);
                return NULL;
        }
        if (group_is_mended(group) && (!mend(group, &gone, error) || gone))
                return NULL;

        domain = domain_alloc(driver, name, g_steal_pointer(&group));
        if (!read_attributes(domain, error) || !domain_reconcile_devices(domain, rules, error) ||
            !follow(domain, error)) {
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
                domain_changed(domain, g_array_index(settings, LimitSetting, i).limit->name);
        return true;
}

/* Where the process is now; refused when it cannot be confined or is another domain's. */
static bool check_process(Domain *domain, const Process *process, char **ret_place, GError **error) {
        g_autofree char *place = NULL, *group = process_group(process, &place, error);
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
        *ret_place = g_steal_pointer(&place);
        return true;
}

/*
 * The kernel moves by number. The pidfd was opened before and is alive after: so the number meant this process all
 * along. Of a process whose main thread has ended the kernel moves the other threads only, and then looks for it where
 * the main thread was: cgroup.procs, cgroup.kill, and /proc/PID/cgroup, by which callers inside are known.
 */
static bool move(Domain *domain, const Process *process, GError **error) {
        g_autofree char *now = NULL;

        if (!group_attach(domain->group, process->pid, error))
                return false;
        now = process_group(process, NULL, error);
        if (!now)
                return false;
        return group_contains(domain->group, now) ||
               cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                           "process %d cannot be confined: its main thread has ended in %s", (int) process->pid, now);
}

/* Adds to the error what could not be undone. */
static void add_left(GError **error, const Process *process, const GError *cause) {
        g_autofree char *reason = NULL;

        if (!error)
                return;
        reason = (*error)->message;
        (*error)->message = g_strdup_printf("%s; process %d stays in the domain: %s", reason, (int) process->pid,
                                            cause->message);
}

/* The first `n`, the last one first; of a process that was named twice only once. */
static void put_back(Domain *domain, const GPtrArray *processes, const GPtrArray *places, unsigned n, GError **error) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

        while (n-- > 0) {
                const Process *process = processes->pdata[n];
                g_autoptr(GError) cause = NULL;

                if (!g_hash_table_add(seen, GINT_TO_POINTER(process->pid)) ||
                    group_return(domain->group, process->pid, places->pdata[n], &cause) || !process_is_alive(process))
                        continue;
                g_warning("process %d stays in domain \"%s\": %s", (int) process->pid, domain->name, cause->message);
                add_left(error, process, cause);
        }
}

static bool attach(Domain *domain, const GPtrArray *processes, GError **error) {
        g_autoptr(GPtrArray) places = g_ptr_array_new_with_free_func(g_free);
        unsigned n = 0;

        if (domain->removals || domain->driver->removals)
                return cordon_fail(error, CORDON_ERROR_BUSY, "domain \"%s\" is being removed", domain->name);
        for (unsigned i = 0; i < processes->len; i++) {
                char *place = NULL;

                if (!check_process(domain, processes->pdata[i], &place, error))
                        return false;
                g_ptr_array_add(places, place);
        }
        while (n < processes->len && move(domain, processes->pdata[n], error))
                n++;
        if (n == processes->len)
                return true;
        put_back(domain, processes, places, n + 1, error); /* the last of them may have been moved in part */
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
                group = process ? process_group(process, NULL, NULL) : NULL;
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
        g_autofree char *what = g_strdup_printf("domain \"%s\" of driver \"%s\": the processes in it were killed and have "
                                                "not ended yet", domain->name, domain->driver->name);
        g_autoptr(GError) error = NULL;
        bool populated, frozen;

        if (group_read_events(domain->group, &populated, &frozen, &error) && populated && !kill)
                cordon_fail(&error, CORDON_ERROR_BUSY, "domain \"%s\" of driver \"%s\" holds processes", domain->name,
                            domain->driver->name);
        else if (!error && populated)
                group_kill(domain->group, &error);
        else if (!error && !kill && group_remove(domain->group, &error))
                domain_forget(domain);
        if (error || !kill) {
                done(error, userdata);
                return;
        }
        waiter_add(&domain->removals, domain->driver->tree, what, NULL, domain, done, userdata);
        if (!populated)
                finish_removal(domain);
}
