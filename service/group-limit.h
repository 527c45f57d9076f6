/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "group.h"
#include "limit.h"
#include "usage.h"

/*
 * The limits and figures of a group, in its kernel files. Which version of cgroups has the controller decides which of a
 * row's files that is.
 */

/* All of `settings` (LimitSetting), or none: what was written before one is refused is put back. */
bool group_write_limits(Group *group, const GArray *settings, GError **error);
/* Of a new group, which is removed when one is refused: nothing is put back. */
bool group_init_limits(Group *group, const GArray *settings, GError **error);

/*
 * A look at a group. Each file is read once, when it is first needed: all properties of a group are one pass over its
 * files. To be made anew for each look. The group stays the caller's.
 */
typedef struct GroupView GroupView;

GroupView *group_view_new(Group *group);
void group_view_free(GroupView *view);
/* CONTROLLER_UNAVAILABLE where the host has no such file. */
bool group_view_limit(GroupView *view, const Limit *limit, LimitValue *ret_value, GError **error);
/* The same, but of a set of processors or memory nodes what the parents leave of it. */
bool group_view_limit_in_force(GroupView *view, const Limit *limit, LimitValue *ret_value, GError **error);
/* False where this host does not have the figure. */
bool group_view_usage(GroupView *view, const Usage *usage, UsageValue *ret_value);
bool group_view_oom_kills(GroupView *view, uint64_t *ret_count);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(GroupView, group_view_free)
