#pragma once

#include "request.h"

/* The vtable of one kind of object, made of the tables of methods, properties and limits. Freed with g_free(). */
sd_bus_vtable *property_make_vtable(ObjectKind object);
