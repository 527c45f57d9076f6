/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tree.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>

#include "domain.h"
#include "driver.h"
#include "error.h"
#include "group-process.h"

/* Two daemons must not write one tree: a new one waits here while the old one finishes what was asked of it. */
static bool lock(Group *group, GError **error) {
        if (flock(group_fd(group), LOCK_EX | LOCK_NB) == 0)
                return true;
        if (errno == EWOULDBLOCK) {
                g_message("%s: waiting for another daemon to end", group_path(group));
                if (flock(group_fd(group), LOCK_EX) == 0)
                        return true;
        }
        return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: cannot lock: %s", group_path(group),
                           g_strerror(errno));
}

static bool load(Tree *tree, GError **error) {
        g_autoptr(GPtrArray) names = group_children(tree->group, error);

        if (!names)
                return false;
        for (unsigned i = 0; i < names->len; i++) {
                g_autoptr(GError) cause = NULL;

                /* One driver that cannot be taken over stays as it is, sealed; the others go on. */
                if (!driver_load(tree, names->pdata[i], &cause) && cause)
                        g_warning("driver \"%s\" is left alone: %s", (char *) names->pdata[i], cause->message);
        }
        return true;
}

/* A driver's directory is gone: by us, and then it is forgotten already, or by somebody behind our back. */
static void on_directory(uint32_t mask, const char *name, void *userdata) {
        Tree *tree = userdata;
        Driver *driver = name ? g_hash_table_lookup(tree->drivers, name) : NULL;
        g_autoptr(Group) group = driver ? group_open(tree->group, name, NULL) : NULL;

        if (!driver || (group && group_id(group) == group_id(driver->group)))
                return;
        g_warning("driver \"%s\" was removed by somebody else", name);
        driver_forget(driver);
}

static void free_driver(void *driver) {
        driver_free(driver);
}

/* Our errors say what failed; the verifier's log is for G_MESSAGES_DEBUG=cordon. */
G_GNUC_PRINTF(2, 0)
static int log_libbpf(enum libbpf_print_level level, const char *format, va_list arguments) {
        if (level != LIBBPF_DEBUG)
                g_logv(G_LOG_DOMAIN, G_LOG_LEVEL_DEBUG, format, arguments);
        return 0;
}

Tree *tree_new(sd_event *event, const char *path, bool create, GuardPolicy guard, const TreeListener *listener,
               void *userdata, GError **error) {
        g_autoptr(Tree) tree = g_new0(Tree, 1);

        libbpf_set_print(log_libbpf);
        tree->event = sd_event_ref(event);
        tree->guard_policy = guard;
        if (guard == GUARD_OFF)
                tree->guard_problem = g_strdup("the configuration says Guard=off");
        tree->listener = listener;
        tree->userdata = userdata;
        tree->drivers = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_driver);
        tree->group = group_open_root(path, create, error);
        if (!tree->group || !lock(tree->group, error) || !group_enable_controllers(tree->group, error))
                return NULL;
        tree->watch = watch_new(event, error);
        if (!tree->watch || watch_add(tree->watch, group_fd(tree->group), ".", IN_DELETE | IN_ONLYDIR, on_directory, tree,
                                      error) < 0 || !load(tree, error))
                return NULL;
        return g_steal_pointer(&tree);
}

void tree_free(Tree *tree) {
        if (!tree)
                return;
        g_hash_table_unref(tree->drivers);
        watch_free(tree->watch);
        guard_free(tree->guard);
        g_free(tree->guard_problem);
        group_free(tree->group);
        sd_event_unref(tree->event);
        g_free(tree);
}

static void load_guard(Tree *tree) {
        g_autoptr(GError) error = NULL;

        if (tree->guard || tree->guard_problem)
                return;
        tree->guard = guard_load(group_level(tree->group) + 2, &error);
        if (!tree->guard)
                tree->guard_problem = g_strdup(error->message);
}

bool tree_seal_is_guarded(Tree *tree, const char **ret_problem) {
        if (!tree->guard_found)
                load_guard(tree);
        if (ret_problem)
                *ret_problem = tree->guard_problem;
        return !tree->guard_problem;
}

bool tree_guard_driver(Tree *tree, Group *driver, GError **error) {
        g_autoptr(GError) cause = NULL;

        if (tree->guard_policy != GUARD_OFF && guard_is_in_force(driver)) {
                tree->guard_found = true;
                return true;
        }
        load_guard(tree);
        if (tree->guard && guard_attach(tree->guard, driver, &cause))
                return true;
        if (tree->guard_policy == GUARD_REQUIRE)
                return cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "%s cannot be guarded, and Guard=require: %s",
                                   group_path(driver), cause ? cause->message : tree->guard_problem);
        if (cause) {
                g_warning("%s", cause->message);
                g_free(tree->guard_problem);
                tree->guard_problem = g_strdup(cause->message);
                tree->listener->seal_changed(tree->userdata);
        }
        return true;
}

Driver *tree_find_driver(Tree *tree, const char *name, GError **error) {
        Driver *driver = g_hash_table_lookup(tree->drivers, name);

        if (!driver)
                cordon_fail(error, CORDON_ERROR_NO_SUCH_DRIVER, "there is no driver \"%s\"", name);
        return driver;
}

Domain *tree_find_domain(Tree *tree, const char *driver_name, const char *name, GError **error) {
        Driver *driver = tree_find_driver(tree, driver_name, error);
        Domain *domain = driver ? g_hash_table_lookup(driver->domains, name) : NULL;

        if (driver && !domain)
                cordon_fail(error, CORDON_ERROR_NO_SUCH_DOMAIN, "driver \"%s\" has no domain \"%s\"", driver_name, name);
        return domain;
}

bool tree_contains_path(Tree *tree, const char *path) {
        return group_contains(tree->group, path);
}

Domain *tree_find_domain_by_path(Tree *tree, const char *path) {
        g_auto(GStrv) words = NULL;

        if (!tree_contains_path(tree, path))
                return NULL;
        words = g_strsplit(path + strlen(group_path(tree->group)), "/", 4); /* "", driver, domain, rest */
        if (g_strv_length(words) < 3)
                return NULL;
        return tree_find_domain(tree, words[1], words[2], NULL);
}

bool tree_is_idle(Tree *tree) {
        GHashTableIter drivers;
        Driver *driver;

        if (tree->n_waiters > 0)
                return false;
        g_hash_table_iter_init(&drivers, tree->drivers);
        while (g_hash_table_iter_next(&drivers, NULL, (void **) &driver)) {
                bool populated, frozen;

                if (!group_read_events(driver->group, &populated, &frozen, NULL) || populated)
                        return false;
        }
        return true;
}
