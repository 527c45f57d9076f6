/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#include "domain.h"
#include "driver.h"

/*
 * From messages to values. Each function reads its part of the message and checks it; what comes out is valid and is
 * never changed again. Failures are errors of the model: INVALID_PROPERTY, INVALID_DEVICE, NO_SUCH_PROCESS.
 */

/* a(ss) */
GPtrArray *decode_devices(sd_bus_message *message, GError **error);
/* au or ah, by the message's signature at this place: an array of Process. */
bool decode_processes(sd_bus_message *message, const char *signature, GPtrArray *processes, GError **error);
/* a{sv} */
bool decode_driver_properties(sd_bus_message *message, DriverSpec *spec, GError **error);
bool decode_domain_properties(sd_bus_message *message, DomainSpec *spec, GError **error);
bool decode_limits(sd_bus_message *message, GArray *limits, GError **error);
