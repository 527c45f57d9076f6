/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "device.h"
#include "group.h"

/*
 * The lists of cgroup v1's devices controller (cgroup-v1/devices.rst), where the host has it: they stand behind the seal.
 * A driver's group has exactly what its domains have together, a domain's what it was granted. v1 knows no union of two
 * entries, so each entry has the access that wider ones give it, too. Where the host has no such controller there is
 * nothing to do, and everything succeeds.
 */
typedef struct DeviceLists DeviceLists;

/* Takes the driver's group, whose list an earlier daemon may have left. One without domains gets the empty list. */
DeviceLists *device_lists_new(Group *driver, bool is_new, GError **error);
void device_lists_free(DeviceLists *lists);
/* Whether the host has any. */
bool device_lists_exist(const DeviceLists *lists);

/* Empties the list of a new domain, which is its driver's when it is made. */
bool device_lists_close(DeviceLists *lists, Group *domain, GError **error);
/* From `before` to what both give together: nothing, or all of it. Rules are as of device_list_rules(). */
bool device_lists_widen(DeviceLists *lists, Group *domain, const GArray *before, const GArray *after, GError **error);
/* From that to `after`. */
bool device_lists_narrow(DeviceLists *lists, Group *domain, const GArray *before, const GArray *after, GError **error);
/* A domain that an earlier daemon made: its list becomes `rules`, which the seal has in force. */
bool device_lists_adopt(DeviceLists *lists, Group *domain, const GArray *rules, GError **error);
/* After the domains were adopted: what none of them has is taken from the driver's list. */
bool device_lists_settle(DeviceLists *lists, GError **error);
/* The domain is gone. */
void device_lists_forget(DeviceLists *lists, const GArray *rules);
