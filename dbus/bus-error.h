/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <systemd/sd-bus.h>

#define BUS_NAME "org.cordon.CgroupManager1"

/* The D-Bus name of an error of the model; anything else is org.freedesktop.DBus.Error.Failed. */
const char *bus_error_name(const GError *error);
/* Answers `call` with it. */
int bus_error_reply(sd_bus_message *call, const GError *error);
