/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <systemd/sd-bus.h>

#include "tree.h"

/*
 * Under systemd a unit holds the tree (data/cordon-tree.service.in), and its two keepers hold each other. Should both be
 * killed at once, this daemon, which stays while a domain runs, has others made. Where nothing ran, systemd has pruned
 * the unit's groups: then the unit is started anew, and this daemon with it.
 */
typedef struct Hold Hold;

/* `path` is the tree's, as for tree_new(); `unit` is the unit's name. All outlive the hold. */
Hold *hold_new(sd_bus *bus, Tree *tree, const char *path, const char *unit, GError **error);
void hold_free(Hold *hold);

/* Asks for a restart of the unit, which stops this daemon. Returns a negative errno. */
int hold_restart_unit(sd_bus *bus, const char *unit);
