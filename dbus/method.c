/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every method: what it reads, which rights it needs, what it does. See request.h for the road.
 */
#include <signal.h>

#include "decode.h"
#include "error.h"
#include "group-process.h"
#include "name.h"
#include "request.h"

/* ---- decode ---- */

static bool message_fail(GError **error, int r) {
        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "the message cannot be read: %s", g_strerror(-r));
}

static bool target_driver(Request *request, const char *name, GError **error) {
        Driver *driver = tree_find_driver(request->edge->tree, name, error);

        if (!driver)
                return false;
        request->driver = g_strdup(name);
        request->target = group_id(driver->group);
        return true;
}

static bool target_domain(Request *request, const char *driver, const char *name, GError **error) {
        Domain *domain = tree_find_domain(request->edge->tree, driver, name, error);

        if (!domain)
                return false;
        request->driver = g_strdup(driver);
        request->domain = g_strdup(name);
        request->target = group_id(domain->group);
        return true;
}

static bool decode_nothing(Request *request, sd_bus_message *message, GError **error) {
        return true;
}

static bool decode_create_driver(Request *request, sd_bus_message *message, GError **error) {
        DriverSpec *spec = request->driver_spec = driver_spec_new();
        const char *name;
        int r = sd_bus_message_read(message, "s", &name);

        if (r < 0)
                return message_fail(error, r);
        if (!name_validate("driver", name, error))
                return false;
        spec->name = g_strdup(name);
        request->driver = g_strdup(name);
        return decode_driver_properties(message, spec, error);
}

static bool decode_create_domain(Request *request, sd_bus_message *message, GError **error) {
        DomainSpec *spec = request->domain_spec = domain_spec_new();
        const char *driver, *name;
        int r = sd_bus_message_read(message, "ss", &driver, &name);

        if (r < 0)
                return message_fail(error, r);
        if (!target_driver(request, driver, error) || !name_validate("domain", name, error))
                return false;
        spec->driver = g_strdup(driver);
        spec->name = g_strdup(name);
        request->domain = g_strdup(name);
        return decode_domain_properties(message, spec, error);
}

static bool decode_driver_name(Request *request, sd_bus_message *message, GError **error) {
        const char *name;
        int r = sd_bus_message_read(message, "s", &name);

        return r < 0 ? message_fail(error, r) : target_driver(request, name, error);
}

static bool decode_domain_name(Request *request, sd_bus_message *message, GError **error) {
        const char *driver, *name;
        int r = sd_bus_message_read(message, "ss", &driver, &name);

        return r < 0 ? message_fail(error, r) : target_domain(request, driver, name, error);
}

/* "" is all drivers. */
static bool decode_driver_filter(Request *request, sd_bus_message *message, GError **error) {
        const char *name;
        int r = sd_bus_message_read(message, "s", &name);

        if (r < 0)
                return message_fail(error, r);
        return *name == '\0' || target_driver(request, name, error);
}

static bool decode_pid(Request *request, sd_bus_message *message, GError **error) {
        uint32_t pid;
        int r = sd_bus_message_read(message, "u", &pid);

        if (r < 0)
                return message_fail(error, r);
        if (pid == 0)
                return true; /* the caller, who is not known yet */
        request->process = process_open(pid <= INT32_MAX ? (pid_t) pid : 0, error);
        return request->process != NULL;
}

static bool decode_pidfd(Request *request, sd_bus_message *message, GError **error) {
        int fd, r = sd_bus_message_read(message, "h", &fd);

        if (r < 0)
                return message_fail(error, r);
        request->process = process_open_pidfd(fd, error);
        return request->process != NULL;
}

static bool decode_flag(Request *request, sd_bus_message *message, GError **error) {
        int r = sd_bus_message_read(message, "b", &request->number);

        return r >= 0 || message_fail(error, r);
}

static bool decode_remove_driver(Request *request, sd_bus_message *message, GError **error) {
        return decode_driver_name(request, message, error) && decode_flag(request, message, error);
}

static bool decode_remove_domain(Request *request, sd_bus_message *message, GError **error) {
        return decode_domain_name(request, message, error) && decode_flag(request, message, error);
}

static bool decode_driver_changes(Request *request, sd_bus_message *message, GError **error) {
        request->driver_spec = driver_spec_new();
        return decode_driver_properties(message, request->driver_spec, error);
}

static bool decode_domain_changes(Request *request, sd_bus_message *message, GError **error) {
        request->limits = limit_settings_new();
        return decode_limits(message, request->limits, error);
}

static bool decode_device_list(Request *request, sd_bus_message *message, GError **error) {
        request->devices = decode_devices(message, error);
        return request->devices != NULL;
}

static bool decode_process_list(Request *request, sd_bus_message *message, GError **error) {
        request->processes = g_ptr_array_new_with_free_func((GDestroyNotify) process_free);
        return decode_processes(message, request->method->in, request->processes, error);
}

static bool decode_signal(Request *request, sd_bus_message *message, GError **error) {
        int r = sd_bus_message_read(message, "i", &request->number);

        if (r < 0)
                return message_fail(error, r);
        if (request->number < 1 || request->number >= NSIG)
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "signal=%d is out of range: 1 to %d",
                                   request->number, NSIG - 1);
        return true;
}

/* ---- actions ---- */

static bool needs_manage_drivers(Request *request, unsigned *ret_actions, GError **error) {
        *ret_actions = ACTION_MANAGE_DRIVERS;
        return true;
}

/* Whether the caller owns all the processes; one that is gone is an error. */
static bool owns_processes(Request *request, const GPtrArray *processes, bool *ret_owns, GError **error) {
        *ret_owns = true;
        for (unsigned i = 0; i < processes->len; i++) {
                g_autoptr(GError) cause = NULL;

                if (process_is_owned_by(processes->pdata[i], request->caller->uid, &cause))
                        continue;
                if (!g_error_matches(cause, CORDON_ERROR, CORDON_ERROR_ACCESS_DENIED)) {
                        g_propagate_error(error, g_steal_pointer(&cause));
                        return false;
                }
                *ret_owns = false;
        }
        return true;
}

static bool needs_create_domain(Request *request, unsigned *ret_actions, GError **error) {
        const DomainSpec *spec = request->domain_spec;
        bool owns;

        if (spec->delegate && spec->delegate_user != request->caller->uid)
                return cordon_fail(error, CORDON_ERROR_ACCESS_DENIED,
                                   "user %u may delegate a domain to itself, not to user %u",
                                   (unsigned) request->caller->uid, (unsigned) spec->delegate_user);
        if (!owns_processes(request, spec->processes, &owns, error))
                return false;
        *ret_actions = ACTION_CREATE_DOMAIN | (owns ? 0 : ACTION_ATTACH_PROCESS);
        return true;
}

static bool needs_set_limits(Request *request, unsigned *ret_actions, GError **error) {
        *ret_actions = ACTION_SET_LIMITS;
        return true;
}

static Domain *find_domain(Request *request, GError **error) {
        return tree_find_domain(request->edge->tree, request->driver, request->domain, error);
}

/* What an owner may do unasked. */
static bool needs_control_domain(Request *request, unsigned *ret_actions, GError **error) {
        Domain *domain = find_domain(request, error);

        if (!domain)
                return false;
        *ret_actions = domain->owner == request->caller->uid ? 0 : ACTION_CONTROL_DOMAIN;
        return true;
}

static bool needs_grant_devices(Request *request, unsigned *ret_actions, GError **error) {
        *ret_actions = ACTION_GRANT_DEVICES;
        return true;
}

/* A list within the old one narrows. */
static bool needs_set_devices(Request *request, unsigned *ret_actions, GError **error) {
        Domain *domain = find_domain(request, error);

        if (!domain)
                return false;
        if (device_list_covers(domain->devices, request->devices, NULL))
                return needs_control_domain(request, ret_actions, error);
        return needs_grant_devices(request, ret_actions, error);
}

static bool needs_attach(Request *request, unsigned *ret_actions, GError **error) {
        Domain *domain = find_domain(request, error);
        bool owns;

        if (!domain || !owns_processes(request, request->processes, &owns, error))
                return false;
        *ret_actions = owns && domain->owner == request->caller->uid ? 0 : ACTION_ATTACH_PROCESS;
        return true;
}

/* ---- act: the manager ---- */

static void succeed_with_path(Request *request, char *path) {
        request_succeed(request, "o", path);
        g_free(path);
}

/* What is new is announced after the answer: putting that together takes as long as some of the limits. */
static void create_driver(Request *request) {
        g_autoptr(GError) error = NULL;
        Driver *driver = driver_create(request->edge->tree, request->driver_spec, request->caller->uid, &error);

        if (!driver) {
                request_fail(request, error);
                return;
        }
        succeed_with_path(request, edge_driver_path(request->driver));
        driver_announce(driver);
}

static void create_domain(Request *request) {
        g_autoptr(GArray) limits_set = g_array_ref(request->domain_spec->limits);
        g_autoptr(GError) error = NULL;
        Domain *domain = domain_create(request->edge->tree, request->domain_spec, request->caller->uid, &error);

        if (!domain) {
                request_fail(request, error);
                return;
        }
        succeed_with_path(request, edge_domain_path(request->driver, request->domain));
        domain_announce(domain, limits_set);
}

static void get_driver(Request *request) {
        succeed_with_path(request, edge_driver_path(request->driver));
}

static void get_domain(Request *request) {
        succeed_with_path(request, edge_domain_path(request->driver, request->domain));
}

static void get_domain_by_process(Request *request) {
        const Process *process = request->process ? request->process : request->caller->process;
        g_autoptr(GError) error = NULL;
        g_autofree char *group = NULL;
        Domain *domain;

        if (!process)
                cordon_fail(&error, CORDON_ERROR_NO_SUCH_PROCESS, "the caller's process is gone");
        else
                group = process_group(process, NULL, &error);
        if (!group) {
                request_fail(request, error);
                return;
        }
        domain = tree_find_domain_by_path(request->edge->tree, group);
        if (domain) {
                succeed_with_path(request, edge_domain_path(domain->driver->name, domain->name));
                return;
        }
        cordon_fail(&error, CORDON_ERROR_NO_SUCH_DOMAIN, "process %d is in no domain: its group is %s",
                    (int) process->pid, group);
        request_fail(request, error);
}

static int append_driver(sd_bus_message *reply, Driver *driver) {
        g_autofree char *path = edge_driver_path(driver->name);

        return sd_bus_message_append(reply, "(so)", driver->name, path);
}

static int append_domains(sd_bus_message *reply, Driver *driver) {
        GHashTableIter iter;
        Domain *domain;
        int r = 0;

        g_hash_table_iter_init(&iter, driver->domains);
        while (r >= 0 && g_hash_table_iter_next(&iter, NULL, (void **) &domain)) {
                g_autofree char *path = edge_domain_path(driver->name, domain->name);

                r = sd_bus_message_append(reply, "(sssuo)", driver->name, domain->name,
                                          domain_state_name(domain->state), (uint32_t) domain->owner, path);
        }
        return r;
}

/* An array with one element, or a run of them, for each driver. */
static void list(Request *request, const char *element, int (*append)(sd_bus_message *reply, Driver *driver)) {
        sd_bus_message *reply = NULL;
        GHashTableIter iter;
        Driver *driver;
        int r = sd_bus_message_new_method_return(request->message, &reply);

        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', element);
        g_hash_table_iter_init(&iter, request->edge->tree->drivers);
        while (r >= 0 && g_hash_table_iter_next(&iter, NULL, (void **) &driver))
                if (!request->driver || g_str_equal(request->driver, driver->name))
                        r = append(reply, driver);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0)
                request_succeed_with(request, reply);
        else {
                g_autoptr(GError) error = NULL;

                cordon_fail(&error, CORDON_ERROR_KERNEL_REFUSED, "the answer cannot be made: %s", g_strerror(-r));
                request_fail(request, error);
        }
        sd_bus_message_unref(reply);
}

static void list_drivers(Request *request) {
        list(request, "(so)", append_driver);
}

static void list_domains(Request *request) {
        list(request, "(sssuo)", append_domains);
}

/* Answers with the outcome; no error is success. */
static void finish(Request *request, const GError *error) {
        if (error)
                request_fail(request, error);
        else
                request_succeed(request, NULL);
}

static void on_done(const GError *error, void *userdata) {
        finish(userdata, error);
}

static void remove_driver(Request *request) {
        g_autoptr(GError) error = NULL;
        Driver *driver = tree_find_driver(request->edge->tree, request->driver, &error);

        if (driver)
                driver_remove(driver, request->number, on_done, request);
        else
                request_fail(request, error);
}

static void remove_domain(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_remove(domain, request->number, on_done, request);
        else
                request_fail(request, error);
}

/* ---- act: a driver, a domain ---- */

static void set_driver_properties(Request *request) {
        g_autoptr(GError) error = NULL;
        Driver *driver = tree_find_driver(request->edge->tree, request->driver, &error);

        if (driver)
                driver_update(driver, request->driver_spec, &error);
        finish(request, error);
}

static void set_domain_properties(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_set_limits(domain, request->limits, &error);
        finish(request, error);
}

static void set_devices(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_set_devices(domain, request->devices, &error);
        finish(request, error);
}

static void allow_devices(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_allow_devices(domain, request->devices, &error);
        finish(request, error);
}

static void revoke_devices(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_revoke_devices(domain, request->devices, &error);
        finish(request, error);
}

static void attach_processes(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_attach(domain, request->processes, &error);
        finish(request, error);
}

static void kill_domain(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_kill(domain, request->number, &error);
        finish(request, error);
}

static void freeze_or_thaw(Request *request, bool freeze) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);

        if (domain)
                domain_freeze(domain, freeze, on_done, request);
        else
                request_fail(request, error);
}

static void freeze(Request *request) {
        freeze_or_thaw(request, true);
}

static void thaw(Request *request) {
        freeze_or_thaw(request, false);
}

static int append_processes(sd_bus_message *reply, const GArray *processes) {
        int r = sd_bus_message_open_container(reply, 'a', "(us)");

        for (unsigned i = 0; r >= 0 && i < processes->len; i++) {
                const GroupProcess *process = &g_array_index(processes, GroupProcess, i);

                r = sd_bus_message_append(reply, "(us)", (uint32_t) process->pid, process->group);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void list_processes(Request *request) {
        g_autoptr(GError) error = NULL;
        Domain *domain = find_domain(request, &error);
        g_autoptr(GArray) processes = domain ? group_processes(domain->group, &error) : NULL;
        sd_bus_message *reply = NULL;

        if (!processes)
                request_fail(request, error);
        else if (sd_bus_message_new_method_return(request->message, &reply) >= 0 &&
                 append_processes(reply, processes) >= 0)
                request_succeed_with(request, reply);
        else {
                cordon_fail(&error, CORDON_ERROR_KERNEL_REFUSED, "the answer cannot be made");
                request_fail(request, error);
        }
        sd_bus_message_unref(reply);
}

/* ---- the table ---- */

#define P(name) SD_BUS_PARAM(name)

const Method methods[] = {
        { OBJECT_MANAGER, "CreateDriver", "sa{sv}", "o", P(name) P(properties) P(driver),
          ACCESS_CHANGE, decode_create_driver, needs_manage_drivers, create_driver },
        { OBJECT_MANAGER, "CreateDomain", "ssa{sv}", "o", P(driver) P(name) P(properties) P(domain),
          ACCESS_CHANGE, decode_create_domain, needs_create_domain, create_domain },
        { OBJECT_MANAGER, "GetDriver", "s", "o", P(name) P(driver),
          ACCESS_READ, decode_driver_name, NULL, get_driver },
        { OBJECT_MANAGER, "GetDomain", "ss", "o", P(driver) P(name) P(domain),
          ACCESS_READ, decode_domain_name, NULL, get_domain },
        { OBJECT_MANAGER, "GetDomainByPID", "u", "o", P(pid) P(domain),
          ACCESS_READ_CALLER, decode_pid, NULL, get_domain_by_process },
        { OBJECT_MANAGER, "GetDomainByPIDFD", "h", "o", P(pidfd) P(domain),
          ACCESS_READ, decode_pidfd, NULL, get_domain_by_process },
        { OBJECT_MANAGER, "ListDrivers", "", "a(so)", P(drivers),
          ACCESS_READ, decode_nothing, NULL, list_drivers },
        { OBJECT_MANAGER, "ListDomains", "s", "a(sssuo)", P(driver) P(domains),
          ACCESS_READ, decode_driver_filter, NULL, list_domains },
        { OBJECT_MANAGER, "RemoveDriver", "sb", "", P(name) P(kill),
          ACCESS_CHANGE, decode_remove_driver, needs_manage_drivers, remove_driver },
        { OBJECT_MANAGER, "RemoveDomain", "ssb", "", P(driver) P(name) P(kill),
          ACCESS_CHANGE, decode_remove_domain, needs_control_domain, remove_domain },

        { OBJECT_DRIVER, "SetProperties", "a{sv}", "", P(properties),
          ACCESS_CHANGE, decode_driver_changes, needs_manage_drivers, set_driver_properties },
        { OBJECT_DRIVER, "Remove", "b", "", P(kill),
          ACCESS_CHANGE, decode_flag, needs_manage_drivers, remove_driver },

        { OBJECT_DOMAIN, "SetProperties", "a{sv}", "", P(properties),
          ACCESS_CHANGE, decode_domain_changes, needs_set_limits, set_domain_properties },
        { OBJECT_DOMAIN, "SetDevices", "a(ss)", "", P(devices),
          ACCESS_CHANGE, decode_device_list, needs_set_devices, set_devices },
        { OBJECT_DOMAIN, "AllowDevices", "a(ss)", "", P(devices),
          ACCESS_CHANGE, decode_device_list, needs_grant_devices, allow_devices },
        { OBJECT_DOMAIN, "RevokeDevices", "a(ss)", "", P(devices),
          ACCESS_CHANGE, decode_device_list, needs_control_domain, revoke_devices },
        { OBJECT_DOMAIN, "AttachProcesses", "au", "", P(pids),
          ACCESS_CHANGE, decode_process_list, needs_attach, attach_processes },
        { OBJECT_DOMAIN, "AttachPIDFDs", "ah", "", P(pidfds),
          ACCESS_CHANGE, decode_process_list, needs_attach, attach_processes },
        { OBJECT_DOMAIN, "Freeze", "", "", "",
          ACCESS_CHANGE, decode_nothing, needs_control_domain, freeze },
        { OBJECT_DOMAIN, "Thaw", "", "", "",
          ACCESS_CHANGE, decode_nothing, needs_control_domain, thaw },
        { OBJECT_DOMAIN, "Kill", "i", "", P(signal),
          ACCESS_CHANGE, decode_signal, needs_control_domain, kill_domain },
        { OBJECT_DOMAIN, "Remove", "b", "", P(kill),
          ACCESS_CHANGE, decode_flag, needs_control_domain, remove_domain },
        { OBJECT_DOMAIN, "ListProcesses", "", "a(us)", P(processes),
          ACCESS_READ, decode_nothing, NULL, list_processes },
};
const size_t n_methods = G_N_ELEMENTS(methods);
