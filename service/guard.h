/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "group.h"

/*
 * The guard (DESIGN.md, section 3): LSM programs on the driver groups that keep root inside a domain from going round
 * the seal. One set of programs serves all drivers, for they are on one level of the hierarchy. As with the seal, what
 * is attached stays with the groups; a Guard only holds descriptors.
 */
typedef struct Guard Guard;

/* Configuration key Guard=. */
typedef enum GuardPolicy {
        GUARD_AUTO,    /* where the kernel can */
        GUARD_REQUIRE, /* or no driver is made */
        GUARD_OFF,
} GuardPolicy;

bool guard_policy_parse(const char *text, GuardPolicy *ret_policy);

/* Loads the programs for domains at `domain_level`. Fails with SEAL_FAILED saying what the kernel lacks. */
Guard *guard_load(unsigned domain_level, GError **error);
void guard_free(Guard *guard);
/*
 * Whether exactly this version's programs are attached to a driver already, by the mark that guard_attach() left: so
 * that a daemon that starts anew need not load them (and read the kernel's whole BTF) to compare.
 */
bool guard_is_in_force(Group *driver);
/*
 * Puts it in force for a driver: attaches the programs that are missing, and exchanges those of another version, each
 * in one step. Fails with SEAL_FAILED; what was attached by then stays, for it only refuses.
 */
bool guard_attach(Guard *guard, Group *driver, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guard, guard_free)
