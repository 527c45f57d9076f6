/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "process.h"

/*
 * Who sends a message, as the bus daemon knows it. Asked for without waiting, and remembered: a unique name is never
 * used again, and its user never changes.
 */
typedef struct Caller {
        uid_t uid;
        Process *process; /* NULL when it had ended before it could be held */
} Caller;

typedef struct CallerCache CallerCache;

/* `caller` is NULL when the bus daemon does not know the sender (any more). Valid during the callback and as long as
 * a reference is held. */
typedef void (*CallerCallback)(Caller *caller, void *userdata);

CallerCache *caller_cache_new(sd_bus *bus);
void caller_cache_free(CallerCache *cache);
/* Calls back, at once for a sender seen lately. Negative errno when the question cannot be sent. */
int caller_find(CallerCache *cache, const char *sender, CallerCallback callback, void *userdata);

Caller *caller_ref(Caller *caller);
void caller_unref(Caller *caller);
