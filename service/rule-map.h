/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "device.h"

/*
 * The map by which a driver's seal decides: the rules of all its domains, and the turn (struct seal_access in
 * bpf/seal.h). It belongs to the kernel; the descriptors stay the caller's. What fails returns a negative errno.
 */
typedef struct RuleMap {
        int fd;
        uint32_t room; /* how many rules it can hold */
        uint64_t *turn;
        bool is_unfinished; /* what a change that failed had prepared is still there */
} RuleMap;

int rule_map_open(RuleMap *map, int rules_fd, int turn_fd);
void rule_map_close(RuleMap *map);

/*
 * What the domain is given from `before` to `after` (each a GArray of DeviceRule, unique by device, sorted), all of it at
 * one moment. On failure nothing is changed; E2BIG: there is no room.
 */
int rule_map_change(RuleMap *map, uint64_t domain, const GArray *before, const GArray *after);
/* One rule; access 0 takes it out. */
int rule_map_set(RuleMap *map, uint64_t domain, const struct seal_device *device, uint32_t access);
/* The access of one rule, 0 if there is none. */
int rule_map_get(const RuleMap *map, uint64_t domain, const struct seal_device *device, uint32_t *ret_access);
/*
 * The rules of every domain: a GHashTable of GArray of DeviceRule, sorted, by the domain's id (pointer to uint64_t). A
 * change that an earlier daemon did not bring to its end is undone.
 */
int rule_map_load(RuleMap *map, GHashTable **ret_all);
void rule_map_forget(RuleMap *map, uint64_t domain, const GArray *rules);
/* All that is in one map into an empty one, of the same turn. */
int rule_map_copy(const RuleMap *from, RuleMap *to);
