/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "device.h"
#include "group.h"
#include "guard.h"
#include "limit.h"
#include "seal.h"
#include "watch.h"

/*
 * The model: a tree of drivers, each with its domains. The kernel is the database: what these objects say was read
 * from the kernel at start or written to it since, and a daemon that starts anew finds the same. Everything is looked
 * up by name, for an object may go between two turns of the main loop.
 */
typedef struct Tree Tree;
typedef struct Driver Driver;
typedef struct Domain Domain;

/* Called when something has come, changed or gone; `property` is the D-Bus name of what changed. */
typedef struct TreeListener {
        void (*driver_added)(Driver *driver, void *userdata);
        void (*driver_changed)(Driver *driver, const char *property, void *userdata);
        void (*driver_removed)(const char *name, void *userdata);
        void (*domain_added)(Domain *domain, const GArray *limits, void *userdata); /* those that were set */
        void (*domain_changed)(Domain *domain, const char *property, void *userdata);
        void (*domain_denied)(Domain *domain, const struct seal_event *event, void *userdata);
        void (*seal_changed)(void *userdata); /* what tree_seal_is_guarded() says */
        void (*domain_removed)(const char *driver, const char *name, void *userdata);
} TreeListener;

/* The end of something that takes time; `error` is NULL on success and stays the callee's. */
typedef void (*TreeDone)(const GError *error, void *userdata);

struct Tree {
        sd_event *event;
        Watch *watch;
        Group *group;
        GuardPolicy guard_policy;
        Guard *guard;        /* NULL: not needed yet, or guard_problem says why not */
        bool guard_found;    /* in force for a driver of an earlier daemon's */
        char *guard_problem;
        GHashTable *drivers; /* name -> Driver */
        unsigned n_domains;
        unsigned n_waiters; /* for the kernel to finish something */
        const TreeListener *listener;
        void *userdata;
};

/*
 * Opens the tree at `path` below the cgroup2 mount and takes it for this process alone (waiting for an earlier daemon
 * to end), then reads what is there. `path` is made when it is missing and `create` says so.
 */
Tree *tree_new(sd_event *event, const char *path, bool create, GuardPolicy guard, const TreeListener *listener,
               void *userdata, GError **error);
void tree_free(Tree *tree);

/* NO_SUCH_DRIVER, NO_SUCH_DOMAIN. */
Driver *tree_find_driver(Tree *tree, const char *name, GError **error);
Domain *tree_find_domain(Tree *tree, const char *driver, const char *name, GError **error);
/* The domain to which the group `path` (as in /proc/PID/cgroup) belongs, or NULL. */
Domain *tree_find_domain_by_path(Tree *tree, const char *path);
/* Whether a group is in the tree at all. */
bool tree_contains_path(Tree *tree, const char *path);
/* Whether drivers get the guard; if not, *ret_problem (may be NULL; the tree's) says why. Loads it the first time. */
bool tree_seal_is_guarded(Tree *tree, const char **ret_problem);
/* Puts the guard in force for a driver, as the policy asks. SEAL_FAILED where it is required and cannot be. */
bool tree_guard_driver(Tree *tree, Group *driver, GError **error);
/* Nothing is under way, and no domain holds a process. */
bool tree_is_idle(Tree *tree);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tree, tree_free)
