/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "group.h"
#include "limit.h"
#include "usage.h"

/*
 * The limits and figures of a group, in its kernel files.
 */

/* CONTROLLER_UNAVAILABLE where the host has no such file. */
bool group_read_limit(Group *group, const Limit *limit, LimitValue *ret_value, GError **error);
/* The same, but of a set of processors or memory nodes what the parents leave of it. */
bool group_read_limit_in_force(Group *group, const Limit *limit, LimitValue *ret_value, GError **error);
/* All of `settings` (LimitSetting), or none: what was written before one is refused is put back. */
bool group_write_limits(Group *group, const GArray *settings, GError **error);

/* False where this host does not have the figure. */
bool group_read_usage(Group *group, const Usage *usage, UsageValue *ret_value);
bool group_read_oom_kills(Group *group, uint64_t *ret_count);
