/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "oom.h"
#include "process.h"
#include "tree.h"

typedef enum DomainState { DOMAIN_EMPTY, DOMAIN_RUNNING, DOMAIN_FROZEN } DomainState;

struct Domain {
        Driver *driver;
        char *name;
        Group *group;
        gint64 id; /* the group's */
        uid_t owner;
        GPtrArray *devices; /* as granted */
        bool is_listed;     /* in v1's lists, behind the seal */
        char *record;       /* the same, as it is written down on the group */
        DomainState state;  /* as last heard from the kernel */
        OomWatch *oom;      /* NULL where the host has no memory controller */
        int events_watch;
        GSList *removals;   /* waiting for its processes to end */
        sd_event_source *stray; /* the end of one that is in a v1 group alone */
        GSList *freezes, *thaws;
};

/* What CreateDomain asks for. */
typedef struct DomainSpec {
        char *driver, *name;
        GArray *limits;       /* of LimitSetting */
        GPtrArray *devices;   /* list of devices, never NULL */
        GPtrArray *processes; /* of Process, never NULL */
        bool delegate;
        uid_t delegate_user;
} DomainSpec;

DomainSpec *domain_spec_new(void);
void domain_spec_free(DomainSpec *spec);

/*
 * Makes the group, sets its limits, gives it its devices, publishes it, moves the processes in: all of it, or nothing.
 */
Domain *domain_create(Tree *tree, const DomainSpec *spec, uid_t owner, GError **error);
/* Tells the listener of a new one and the limits it was given, when who asked for it has been answered. */
void domain_announce(Domain *domain, const GArray *limits_set);
/* Takes over a domain group found below a driver, with the rules of seal_read_all(); NULL without an error: it is none. */
Domain *domain_load(Driver *driver, const char *name, GHashTable *rules, GError **error);
void domain_free(Domain *domain);
/* Takes it out of the model after the group is gone. */
void domain_forget(Domain *domain);

bool domain_set_limits(Domain *domain, const GArray *settings, GError **error);
/* Replaces the whole list in one step. */
bool domain_set_devices(Domain *domain, GPtrArray *devices, GError **error);
bool domain_allow_devices(Domain *domain, const GPtrArray *devices, GError **error);
bool domain_revoke_devices(Domain *domain, const GPtrArray *devices, GError **error);
/* Moves all of them (Process) in, or puts back those that were moved. */
bool domain_attach(Domain *domain, const GPtrArray *processes, GError **error);
/* Every process in the domain and beneath, new forks included. */
bool domain_kill(Domain *domain, int signal, GError **error);
/* BUSY, and no longer asked for, when the kernel cannot do it in time. */
void domain_freeze(Domain *domain, bool freeze, TreeDone done, void *userdata);
/* BUSY when it holds processes and `kill` is false. Groups that a tenant made in it go with it. */
void domain_remove(Domain *domain, bool kill, TreeDone done, void *userdata);
/* Reads the state from the kernel, and tells the listener if it changed. */
DomainState domain_refresh_state(Domain *domain);
/* Tells the listener, unless the domain is still being made and nobody knows of it. */
void domain_changed(Domain *domain, const char *property);
const char *domain_state_name(DomainState state);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainSpec, domain_spec_free)
