/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <systemd/sd-event.h>

#include "seal.h"

/*
 * What a seal has refused, as the kernel tells it: at once for a new (domain, device, access), then at most once a
 * second each, with the count so far. The program thins out what it sends (bpf/seal.h); here the last count of a burst
 * is told too, a second after it was last told.
 */
typedef struct DenialLog DenialLog;

/* `event->pid` is 0 when only the count is new. */
typedef void (*DenialCallback)(const struct seal_event *event, void *userdata);

DenialLog *denial_log_new(sd_event *event, Seal *seal, DenialCallback callback, void *userdata, GError **error);
void denial_log_free(DenialLog *log);
