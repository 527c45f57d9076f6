/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "error.h"
#include "fuzz.h"
#include "name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *name = g_strndup((const char *) data, size);
        g_autoptr(GError) error = NULL;

        if (name_validate("domain", name, &error)) {
                g_assert_no_error(error);
                g_assert_true(*name && strlen(name) <= NAME_LENGTH_MAX && *name != '.' && !strchr(name, '/'));
                g_assert_true(g_str_is_ascii(name));
        } else {
                g_assert_error(error, CORDON_ERROR, CORDON_ERROR_INVALID_NAME);
                g_assert_true(g_utf8_validate(error->message, -1, NULL) || !g_utf8_validate(name, -1, NULL));
        }
        return 0;
}
