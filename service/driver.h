/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "denial.h"
#include "group-device.h"
#include "tree.h"

#define DRIVER_DOMAINS_MAX SEAL_DOMAINS_MAX

struct Driver {
        Tree *tree;
        char *name;
        Group *group;
        Seal *seal;
        DenialLog *denials;
        uid_t owner;
        GPtrArray *ceiling; /* list of devices */
        uint32_t max_domains;
        GHashTable *domains;       /* name -> Domain */
        GHashTable *domains_by_id; /* id of the group -> Domain */
        DeviceLists *lists;        /* of v1, behind the seal */
        int events_watch, directory_watch;
        GSList *removals; /* waiting for its end */
        sd_event_source *removal_source;
};

/* What CreateDriver or a driver's SetProperties asks for. */
typedef struct DriverSpec {
        char *name;
        GArray *limits;       /* of LimitSetting */
        GPtrArray *ceiling;   /* NULL: as it was, at first everything */
        uint32_t max_domains; /* 0: as it was, at first DRIVER_DOMAINS_MAX */
} DriverSpec;

DriverSpec *driver_spec_new(void);
void driver_spec_free(DriverSpec *spec);

/* Makes the group, seals it, then sets its limits and publishes it: all of it, or nothing. */
Driver *driver_create(Tree *tree, const DriverSpec *spec, uid_t owner, GError **error);
/* Tells the listener of a new one, when who asked for it has been answered. */
void driver_announce(Driver *driver);
/* Takes over a driver group found in the tree; NULL without an error when it is none. */
Driver *driver_load(Tree *tree, const char *name, GError **error);
bool driver_update(Driver *driver, const DriverSpec *spec, GError **error);
/* BUSY when it has domains and `kill` is false; else kills what is in them and removes them all. */
void driver_remove(Driver *driver, bool kill, TreeDone done, void *userdata);
/* Its group is gone, and with it those of its domains: what is left of them in other hierarchies goes, too. */
void driver_forget(Driver *driver);
void driver_free(Driver *driver);

/* Puts a whole domain into the model, and takes it out. */
void driver_add_domain(Driver *driver, Domain *domain);
void driver_drop_domain(Driver *driver, Domain *domain);

/* Fails with DEVICE_NOT_IN_CEILING naming the device. */
bool driver_check_ceiling(Driver *driver, const GPtrArray *devices, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(DriverSpec, driver_spec_free)
