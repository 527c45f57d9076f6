/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "limit.h"

/* What a valid value is written as is understood, and means nearly that: a quota is rounded (tests/unit/test-limit.c). */
static void round_trip(const Limit *limit, const LimitValue *value, const char *old) {
        g_auto(GStrv) lines = limit_format(limit, value, old);
        g_autofree char *text = g_strjoinv("\n", lines);
        LimitValue again = {};

        if (value->entries) /* the lines change the file, they are not what it holds */
                return;
        g_assert_true(limit_parse(limit, text, &again));
        g_assert_cmpstr(again.text, ==, value->text);
        if (limit->format == LIMIT_FORMAT_PERIOD) /* a small quota takes a longer one */
                g_assert_cmpuint(again.number, >=, value->number);
        else if (limit->format != LIMIT_FORMAT_QUOTA)
                g_assert_cmpuint(again.number, ==, value->number);
        else
                g_assert_cmpint(again.number == LIMIT_INFINITY, ==, value->number == LIMIT_INFINITY);
        limit_value_clear(&again);
}

/* The text as what a file holds, and as the list that somebody asks for. */
static void try_limit(const Limit *limit, const char *text) {
        LimitValue value = {}, list = { .text = (char *) text };
        uint64_t numbers[] = { limit->min, limit->max, LIMIT_INFINITY };

        if (limit->format == LIMIT_FORMAT_LIST && limit_validate(limit, &list, NULL))
                round_trip(limit, &list, "");
        if (limit_parse(limit, text, &value) && limit_validate(limit, &value, NULL))
                round_trip(limit, &value, text);
        limit_value_clear(&value);
        for (size_t i = 0; strlen(limit->signature) == 1 && *limit->signature != 's' && i < G_N_ELEMENTS(numbers); i++) {
                value.number = numbers[i];
                if (limit_validate(limit, &value, NULL))
                        round_trip(limit, &value, text);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);

        for (size_t i = 0; i < n_limits; i++)
                try_limit(&limits[i], text);
        return 0;
}
