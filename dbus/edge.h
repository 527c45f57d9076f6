/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "authority.h"
#include "caller.h"
#include "domain.h"
#include "driver.h"
#include "group-limit.h"
#include "tree.h"

/*
 * The service's face on the bus: objects, properties, signals, and the state that requests share.
 */
#define EDGE_ROOT "/org/cordon/CgroupManager1"
#define EDGE_DRIVER_PREFIX EDGE_ROOT "/driver"
#define EDGE_MANAGER_INTERFACE "org.cordon.CgroupManager1"
#define EDGE_DRIVER_INTERFACE EDGE_MANAGER_INTERFACE ".Driver"
#define EDGE_DOMAIN_INTERFACE EDGE_MANAGER_INTERFACE ".Domain"

typedef struct Edge {
        sd_bus *bus;
        Tree *tree;
        Authority *authority;
        CallerCache *callers;
        GHashTable *requests;   /* under way */
        GHashTable *per_user;   /* uid -> how many of them */
        GStrv controllers;
        LimitValue *defaults;      /* of each limit, in a new domain; with has_default */
        bool *has_default;
        GroupView *view;           /* of the group looked at in this turn of the main loop */
        Group *viewed;
        uint64_t view_turn;
        sd_event_source *counts;   /* NDomains has changed and was not told yet */
        GHashTable *counts_of;     /* of these drivers, by name */
        sd_bus_slot *slots[5];
        sd_bus_vtable *vtables[3];
} Edge;

/* What tree_new() is to be given, with the Edge as userdata. */
extern const TreeListener edge_listener;

Edge *edge_new(sd_bus *bus, Authority *authority);
/* Exports the objects. Negative errno. */
int edge_export(Edge *edge, Tree *tree);
void edge_free(Edge *edge);
/* Whether no request is under way. */
bool edge_is_idle(Edge *edge);

char *edge_driver_path(const char *driver);
char *edge_domain_path(const char *driver, const char *domain);
/* Names in the path of a driver's or a domain's object; `ret_domain` stays NULL for a driver's. False for others. */
bool edge_parse_path(const char *path, char **ret_driver, char **ret_domain);
