/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "error.h"

G_DEFINE_QUARK(cordon-error-quark, cordon_error)

bool cordon_fail(GError **error, CordonError code, const char *format, ...) {
        va_list args;

        va_start(args, format);
        if (error)
                *error = g_error_new_valist(CORDON_ERROR, code, format, args);
        va_end(args);
        return false;
}
