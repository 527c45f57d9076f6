/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "error.h"

/*
 * The error's code, and words that its message must hold. A message goes over D-Bus, which carries UTF-8 only.
 * Clears the error.
 */
static inline void G_GNUC_NULL_TERMINATED expect_error(GError **error, CordonError code, ...) {
        const char *word;
        va_list words;

        g_assert_error(*error, CORDON_ERROR, (int) code);
        g_assert_true(g_utf8_validate((*error)->message, -1, NULL));
        va_start(words, code);
        while ((word = va_arg(words, const char *)))
                if (!strstr((*error)->message, word))
                        g_error("the message does not say \"%s\": %s", word, (*error)->message);
        va_end(words);
        g_clear_error(error);
}
