/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "device.h"
#include "group.h"

/*
 * The seal of one driver group (DESIGN.md, section 3): the program attached to it and the maps it decides by. Both
 * belong to the kernel as long as the group exists; a Seal only holds descriptors, and letting it go changes nothing
 * that is enforced.
 */
typedef struct Seal Seal;

/*
 * Loads the program and attaches it to the driver's group, which outlives the seal. The group must hold no domain yet.
 * Fails with SEAL_FAILED.
 */
Seal *seal_new(Group *driver, GError **error);
/*
 * Finds the seal of a driver made by an earlier daemon. A program of another version is replaced in one step and goes
 * on with the old one's maps. NULL without an error when the driver has none.
 */
Seal *seal_find(Group *driver, GError **error);
void seal_free(Seal *seal);

/* Asks the kernel whether the program is attached to the driver group now. */
bool seal_is_attached(Seal *seal, Group *driver);

/* Of a new domain, or of one that the seal does not know: counts its refusals, and gives it the rules. */
bool seal_add_domain(Seal *seal, uint64_t domain, const GArray *rules, GError **error);
/*
 * Changes what a domain is given from `before` to `after` (each a GArray of DeviceRule, unique by device, sorted), all
 * of it at one moment. Fails with QUOTA_EXCEEDED past SEAL_RULES_MAX.
 */
bool seal_change_rules(Seal *seal, uint64_t domain, const GArray *before, const GArray *after, GError **error);
/* One rule of a domain; access 0 takes it out. */
bool seal_set_rule(Seal *seal, uint64_t domain, const struct seal_device *device, uint32_t access, GError **error);
/* What the kernel has now of these rules (GArray of DeviceRule), in a new array: each with the access in force, if any. */
GArray *seal_read_rules(Seal *seal, uint64_t domain, const GArray *rules, GError **error);
/*
 * For a start: the rules of every domain as the kernel has them, a GHashTable of GArray of DeviceRule, sorted, by the
 * domain's id (pointer to uint64_t). A change that an earlier daemon did not bring to its end is undone.
 */
GHashTable *seal_read_all(Seal *seal, GError **error);
void seal_forget_domain(Seal *seal, uint64_t domain, const GArray *rules);
/* Forgets every domain whose id (pointer to uint64_t) is not in the set; `all` is from seal_read_all(). */
void seal_forget_others(Seal *seal, GHashTable *all, GHashTable *domains);

/* How often the domain was refused a device. */
uint64_t seal_read_refusals(Seal *seal, uint64_t domain);

/* How often this access to this device was refused to this domain; an old count may have been dropped. */
uint64_t seal_read_denials(Seal *seal, const struct seal_denial_key *key);
/* Of the ring buffer with struct seal_event, not given away. */
int seal_events_fd(Seal *seal);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Seal, seal_free)
