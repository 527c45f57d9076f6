/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>

/*
 * The errors of the model. Each is one D-Bus error name (dbus/bus-error.c has the table); the message
 * names the thing at fault, the value given and what is allowed.
 */
typedef enum CordonError {
        CORDON_ERROR_NO_SUCH_TREE, /* before anything is served */
        CORDON_ERROR_NO_SUCH_DRIVER,
        CORDON_ERROR_NO_SUCH_DOMAIN,
        CORDON_ERROR_ALREADY_EXISTS,
        CORDON_ERROR_INVALID_NAME,
        CORDON_ERROR_INVALID_PROPERTY,
        CORDON_ERROR_INVALID_DEVICE,
        CORDON_ERROR_DEVICE_NOT_IN_CEILING,
        CORDON_ERROR_NO_SUCH_PROCESS,
        CORDON_ERROR_CONTROLLER_UNAVAILABLE,
        CORDON_ERROR_BUSY,
        CORDON_ERROR_QUOTA_EXCEEDED,
        CORDON_ERROR_SEAL_FAILED,
        CORDON_ERROR_KERNEL_REFUSED,
        CORDON_ERROR_ACCESS_DENIED,
        CORDON_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
        CORDON_ERROR_LIMITS_EXCEEDED,
} CordonError;

#define CORDON_ERROR (cordon_error_quark())
GQuark cordon_error_quark(void);

/* Sets `error` and returns false, so that a function can `return cordon_fail(…)`. */
bool cordon_fail(GError **error, CordonError code, const char *format, ...) G_GNUC_PRINTF(3, 4);
