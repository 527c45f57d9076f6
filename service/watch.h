/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <systemd/sd-event.h>

/*
 * The kernel's notifications about cgroup files: one inotify descriptor for the whole daemon, however many groups it
 * follows, read in the main loop.
 */
typedef struct Watch Watch;

/* `name` is of a child when a directory is watched, else NULL. */
typedef void (*WatchCallback)(uint32_t mask, const char *name, void *userdata);

Watch *watch_new(sd_event *event, GError **error);
void watch_free(Watch *watch);

/*
 * Follows `file` ("." for the directory itself) below the open directory `dir` for `mask` (inotify(7)). Returns an id
 * for watch_remove(), or -1 with KERNEL_REFUSED. The callback may remove any watch.
 */
int watch_add(Watch *watch, int dir, const char *file, uint32_t mask, WatchCallback callback, void *userdata,
              GError **error);
void watch_remove(Watch *watch, int id);
