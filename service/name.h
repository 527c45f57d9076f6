/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#define NAME_LENGTH_MAX 64

/*
 * Checks the name of a driver or a domain (`kind` says which, for the message): `[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}`,
 * not a file of the kernel's in a cgroup directory (`cgroup.*`, `memory.*`, `tasks`, …), whose names the group would
 * collide with, and not `keeper`. Fails with INVALID_NAME. Pure.
 */
bool name_validate(const char *kind, const char *name, GError **error);
