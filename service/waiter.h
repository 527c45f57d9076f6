/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tree.h"

/*
 * Somebody waiting for the kernel to finish what was asked of it (a killed group to be empty, a frozen one to stand
 * still): told when the group's owner sees it in cgroup.events, or that it takes too long.
 */
typedef struct Waiter Waiter;

/* Called instead of the outcome being awaited any longer; may set things right before `done` hears of it. */
typedef void (*WaiterTimeout)(void *owner);

/*
 * Adds one to `list`, which `owner` keeps. `what` is said when it takes too long: "…: its processes have not ended
 * yet".
 */
void waiter_add(GSList **list, Tree *tree, const char *what, WaiterTimeout timeout, void *owner, TreeDone done,
                void *userdata);
/* The kernel has done its part: no more hurry. */
void waiter_take_time(GSList *list);
/* Tells all of them the outcome. Takes the list, for its owner may be gone already. */
void waiter_finish_all(GSList *list, const GError *error);
