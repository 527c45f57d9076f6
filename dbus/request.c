/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "request.h"

#include <stdarg.h>
#include <string.h>

#include "bus-error.h"
#include "error.h"

/* Of one user, not counting root: what may be open at a time, so that nobody fills the daemon. */
#define REQUESTS_PER_USER_MAX 512

static const struct {
        Action action;
        const char *name;
} actions[] = {
        { ACTION_MANAGE_DRIVERS, "org.cordon.CgroupManager1.manage-drivers" },
        { ACTION_CREATE_DOMAIN, "org.cordon.CgroupManager1.create-domain" },
        { ACTION_SET_LIMITS, "org.cordon.CgroupManager1.set-limits" },
        { ACTION_GRANT_DEVICES, "org.cordon.CgroupManager1.grant-devices" },
        { ACTION_ATTACH_PROCESS, "org.cordon.CgroupManager1.attach-process" },
        { ACTION_CONTROL_DOMAIN, "org.cordon.CgroupManager1.control-domain" },
};

/* ---- life ---- */

static void count_user(Request *request, int difference) {
        void *key = GUINT_TO_POINTER(request->caller->uid);
        int n = GPOINTER_TO_INT(g_hash_table_lookup(request->edge->per_user, key)) + difference;

        if (n > 0)
                g_hash_table_insert(request->edge->per_user, key, GINT_TO_POINTER(n));
        else
                g_hash_table_remove(request->edge->per_user, key);
}

void request_free(Request *request) {
        g_hash_table_remove(request->edge->requests, request);
        if (request->caller)
                count_user(request, -1);
        caller_unref(request->caller);
        sd_bus_message_unref(request->message);
        g_free(request->driver);
        g_free(request->domain);
        driver_spec_free(request->driver_spec);
        domain_spec_free(request->domain_spec);
        g_clear_pointer(&request->limits, g_array_unref);
        g_clear_pointer(&request->devices, g_ptr_array_unref);
        g_clear_pointer(&request->processes, g_ptr_array_unref);
        process_free(request->process);
        g_free(request);
}

void request_succeed_with(Request *request, sd_bus_message *reply) {
        int r = sd_bus_send(NULL, reply, NULL);

        if (r < 0)
                g_warning("cannot answer %s: %s", sd_bus_message_get_member(request->message), g_strerror(-r));
        request_free(request);
}

void request_succeed(Request *request, const char *signature, ...) {
        sd_bus_message *reply = NULL;
        va_list values;
        int r = sd_bus_message_new_method_return(request->message, &reply);

        va_start(values, signature);
        if (r >= 0 && signature)
                r = sd_bus_message_appendv(reply, signature, values);
        va_end(values);
        if (r >= 0)
                request_succeed_with(request, reply);
        else {
                g_autoptr(GError) error = NULL;

                cordon_fail(&error, CORDON_ERROR_KERNEL_REFUSED, "the answer cannot be made: %s", g_strerror(-r));
                request_fail(request, error);
        }
        sd_bus_message_unref(reply);
}

void request_fail(Request *request, const GError *error) {
        int r = bus_error_reply(request->message, error);

        if (r < 0)
                g_warning("cannot answer %s: %s", sd_bus_message_get_member(request->message), g_strerror(-r));
        request_free(request);
}

/* ---- authorize ---- */

static void authorize(Request *request);

static const char *deny_reason(Verdict verdict, const char *reason) {
        return reason ? reason : verdict == VERDICT_GONE ? "the caller has left" : "polkit says no";
}

static void on_verdict(Verdict verdict, const char *reason, void *userdata) {
        Request *request = userdata;
        g_autoptr(GError) error = NULL;
        const char *name = NULL;
        bool interactive;

        if (verdict == VERDICT_GONE) {
                request_free(request);
                return;
        }
        if (verdict == VERDICT_YES) {
                request->allowed |= request->asking;
                authorize(request);
                return;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(actions); i++)
                if (actions[i].action == request->asking)
                        name = actions[i].name;
        interactive = sd_bus_message_get_allow_interactive_authorization(request->message) > 0;
        cordon_fail(&error,
                    verdict == VERDICT_CHALLENGE && !interactive ? CORDON_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED
                                                                 : CORDON_ERROR_ACCESS_DENIED,
                    "%s needs %s: %s", request->method->member, name, deny_reason(verdict, reason));
        request_fail(request, error);
}

/* What polkit's rules and messages see: these keys only, and no text of the caller's that was not checked. */
static int ask(Request *request, const char *action) {
        const DomainSpec *domain = request->domain_spec;
        const DriverSpec *driver = request->driver_spec;
        const GPtrArray *devices = domain ? domain->devices : driver ? driver->ceiling : request->devices;
        const GArray *settings = domain ? domain->limits : driver ? driver->limits : request->limits;
        g_autofree char *device_text = devices ? device_list_describe(devices) : g_strdup("");
        g_autofree char *limit_text = settings ? limit_settings_describe(settings) : g_strdup("");
        Domain *existing = request->domain && !domain ? tree_find_domain(request->edge->tree, request->driver,
                                                                         request->domain, NULL) : NULL;
        g_autofree char *owner = g_strdup_printf("%u", (unsigned) (existing ? existing->owner : request->caller->uid));
        const char *details[] = {
                "operation", request->method->member,
                "driver", request->driver,
                "domain", request->domain ? request->domain : "",
                "devices", device_text,
                "limits", limit_text,
                "owner", owner,
                NULL,
        };

        return authority_ask(request->edge->authority, sd_bus_message_get_sender(request->message), action, details,
                             sd_bus_message_get_allow_interactive_authorization(request->message) > 0, on_verdict,
                             request);
}

/* Whatever was looked up while decoding must still be the same group. */
static bool check_target(Request *request, GError **error) {
        Tree *tree = request->edge->tree;
        Driver *driver;
        Domain *domain;

        if (request->target == 0)
                return true;
        if (!request->domain || request->domain_spec) { /* a new domain's target is its driver */
                driver = tree_find_driver(tree, request->driver, error);
                return driver && (group_id(driver->group) == request->target ||
                                  cordon_fail(error, CORDON_ERROR_NO_SUCH_DRIVER, "driver \"%s\" was replaced meanwhile",
                                              request->driver));
        }
        domain = tree_find_domain(tree, request->driver, request->domain, error);
        return domain && (group_id(domain->group) == request->target ||
                          cordon_fail(error, CORDON_ERROR_NO_SUCH_DOMAIN, "domain \"%s\" was replaced meanwhile",
                                      request->domain));
}

/*
 * Asks for the first action that is needed and not allowed yet, or acts when there is none. What is needed is worked
 * out anew each time, so that the last look comes after the last answer and right before the act.
 */
static void authorize(Request *request) {
        g_autoptr(GError) error = NULL;
        unsigned needed = 0;

        if (!check_target(request, &error)) {
                request_fail(request, error);
                return;
        }
        if (request->caller->uid != 0 && !request->method->actions(request, &needed, &error)) {
                request_fail(request, error);
                return;
        }
        needed &= ~request->allowed;
        for (size_t i = 0; i < G_N_ELEMENTS(actions); i++) {
                int r;

                if (!(needed & actions[i].action))
                        continue;
                request->asking = actions[i].action;
                r = ask(request, actions[i].name);
                if (r < 0) {
                        cordon_fail(&error, CORDON_ERROR_ACCESS_DENIED, "%s needs %s: polkit cannot be asked: %s",
                                    request->method->member, actions[i].name, g_strerror(-r));
                        request_fail(request, error);
                }
                return;
        }
        request->method->act(request);
}

/* A tenant changes nothing, root or not. Whose process cannot be found is taken for one. */
static bool check_outside(Request *request, GError **error) {
        const Process *process = request->caller->process;
        g_autofree char *group = process ? process_group(process, NULL, NULL) : NULL;

        if (!group)
                return cordon_fail(error, CORDON_ERROR_ACCESS_DENIED,
                                   "the process that connected to the bus is gone, so where it ran cannot be known");
        if (tree_contains_path(request->edge->tree, group))
                return cordon_fail(error, CORDON_ERROR_ACCESS_DENIED, "callers inside the tree (%s) may change nothing",
                                   group);
        return true;
}

static void on_caller(Caller *caller, void *userdata) {
        Request *request = userdata;
        g_autoptr(GError) error = NULL;

        if (!caller) { /* it has left the bus */
                request_free(request);
                return;
        }
        request->caller = caller_ref(caller);
        count_user(request, 1);
        if (caller->uid != 0 && GPOINTER_TO_INT(g_hash_table_lookup(request->edge->per_user,
                                                                    GUINT_TO_POINTER(caller->uid))) > REQUESTS_PER_USER_MAX)
                cordon_fail(&error, CORDON_ERROR_LIMITS_EXCEEDED, "user %u has more than %d requests open",
                            (unsigned) caller->uid, REQUESTS_PER_USER_MAX);
        else if (request->method->access != ACCESS_CHANGE) {
                request->method->act(request);
                return;
        } else if (check_outside(request, &error)) {
                authorize(request);
                return;
        }
        request_fail(request, error);
}

/* ---- start ---- */

static const Method *find_method(sd_bus_message *message, ObjectKind object) {
        const char *member = sd_bus_message_get_member(message);

        for (size_t i = 0; i < n_methods; i++)
                if (methods[i].object == object && strcmp(methods[i].member, member) == 0)
                        return &methods[i];
        return NULL;
}

/* Finds what the message is about; a path names what exists now. */
static bool find_target(Request *request, const char *path, GError **error) {
        Tree *tree = request->edge->tree;
        Driver *driver;
        Domain *domain;

        if (!edge_parse_path(path, &request->driver, &request->domain))
                return true; /* the manager */
        if (request->domain) {
                domain = tree_find_domain(tree, request->driver, request->domain, error);
                if (domain)
                        request->target = group_id(domain->group);
                return domain != NULL;
        }
        driver = tree_find_driver(tree, request->driver, error);
        if (driver)
                request->target = group_id(driver->group);
        return driver != NULL;
}

int request_start(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Request *request = g_new0(Request, 1);
        g_autoptr(GError) error = NULL;
        int r;

        request->edge = sd_bus_slot_get_userdata(sd_bus_get_current_slot(sd_bus_message_get_bus(message)));
        request->message = sd_bus_message_ref(message);
        g_hash_table_add(request->edge->requests, request);
        if (!find_target(request, sd_bus_message_get_path(message), &error)) {
                request_fail(request, error);
                return 1;
        }
        request->method = find_method(message, request->domain ? OBJECT_DOMAIN :
                                               request->driver ? OBJECT_DRIVER : OBJECT_MANAGER);
        if (!request->method->decode(request, message, &error)) {
                request_fail(request, error);
                return 1;
        }
        if (request->method->access == ACCESS_READ) {
                request->method->act(request);
                return 1;
        }
        r = caller_find(request->edge->callers, sd_bus_message_get_sender(message), on_caller, request);
        if (r < 0) {
                cordon_fail(&error, CORDON_ERROR_ACCESS_DENIED, "the bus daemon cannot be asked who calls: %s",
                            g_strerror(-r));
                request_fail(request, error);
        }
        return 1;
}
