/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-error.h"

#include "error.h"

#define OWN(name) BUS_NAME ".Error." name

static const char *const names[] = {
        [CORDON_ERROR_NO_SUCH_TREE] = SD_BUS_ERROR_FAILED,
        [CORDON_ERROR_NO_SUCH_DRIVER] = OWN("NoSuchDriver"),
        [CORDON_ERROR_NO_SUCH_DOMAIN] = OWN("NoSuchDomain"),
        [CORDON_ERROR_ALREADY_EXISTS] = OWN("AlreadyExists"),
        [CORDON_ERROR_INVALID_NAME] = OWN("InvalidName"),
        [CORDON_ERROR_INVALID_PROPERTY] = OWN("InvalidProperty"),
        [CORDON_ERROR_INVALID_DEVICE] = OWN("InvalidDevice"),
        [CORDON_ERROR_DEVICE_NOT_IN_CEILING] = OWN("DeviceNotInCeiling"),
        [CORDON_ERROR_NO_SUCH_PROCESS] = OWN("NoSuchProcess"),
        [CORDON_ERROR_CONTROLLER_UNAVAILABLE] = OWN("ControllerUnavailable"),
        [CORDON_ERROR_BUSY] = OWN("Busy"),
        [CORDON_ERROR_QUOTA_EXCEEDED] = OWN("QuotaExceeded"),
        [CORDON_ERROR_SEAL_FAILED] = OWN("SealFailed"),
        [CORDON_ERROR_KERNEL_REFUSED] = OWN("KernelRefused"),
        [CORDON_ERROR_ACCESS_DENIED] = SD_BUS_ERROR_ACCESS_DENIED,
        [CORDON_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED] = SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
        [CORDON_ERROR_LIMITS_EXCEEDED] = SD_BUS_ERROR_LIMITS_EXCEEDED,
};

const char *bus_error_name(const GError *error) {
        if (error->domain == CORDON_ERROR && (size_t) error->code < G_N_ELEMENTS(names))
                return names[error->code];
        return SD_BUS_ERROR_FAILED;
}

int bus_error_reply(sd_bus_message *call, const GError *error) {
        /* A message quotes what the caller sent, which may have been cut within a character. */
        g_autofree char *text = g_utf8_make_valid(error->message, -1);

        return sd_bus_reply_method_errorf(call, bus_error_name(error), "%s", text);
}
