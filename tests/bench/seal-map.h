/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the kernel is asked for when rules are changed, without a daemon in between. */

/* The map of rules of the seal attached to a driver's directory. */
int seal_map_open(int driver);
/* Puts n rules in force for the domain with this directory: numbers from c:200:0 on. */
void seal_map_set(int map, int domain, unsigned n);
void seal_map_forget(int map, int domain, unsigned n);
