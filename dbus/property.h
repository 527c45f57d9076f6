/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "request.h"

/*
 * Appends "{sa{sv}}" for a domain just made, with the limits that were set (LimitSetting): what can be told without
 * reading its files. Left out are what PropertiesChanged never carries, so no client keeps it: figures, and
 * EffectiveDevices.
 */
int property_append_new_domain(sd_bus_message *message, Edge *edge, const char *path, Domain *domain,
                               const GArray *limits_set);

/* The vtable of one kind of object, made of the tables of methods, properties and limits. Freed with g_free(). */
sd_bus_vtable *property_make_vtable(ObjectKind object);
