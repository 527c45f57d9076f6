/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "group.h"
#include "watch.h"

/*
 * Tells when the kernel has killed processes of a group for want of memory: by memory.events on cgroup2, by the eventfd of
 * memory.oom_control on v1 (cgroup-v1/memory.rst, "OOM Control").
 */
typedef struct OomWatch OomWatch;

/* There were more kills; `kills` counts all since the group was made. */
typedef void (*OomCallback)(uint64_t kills, void *userdata);

/* NULL without an error where the group has no memory controller. */
OomWatch *oom_watch_new(sd_event *event, Watch *watch, Group *group, OomCallback callback, void *userdata,
                        GError **error);
/* As last heard; UINT64_MAX of no watch. */
uint64_t oom_watch_kills(const OomWatch *oom);
void oom_watch_free(OomWatch *oom);
