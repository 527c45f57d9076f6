/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "fuzz.h"
#include "limit-file.h"

/* What is written reads back as nearly that: a quota, a weight of BFQ's and swap are rounded (tests/unit/test-limit.c). */
static bool is_exact(const LimitFile *file) {
        return file->format != LIMIT_FORMAT_QUOTA && file->format != LIMIT_FORMAT_PERIOD &&
               file->format != LIMIT_FORMAT_CFS_QUOTA && file->format != LIMIT_FORMAT_CFS_PERIOD &&
               file->format != LIMIT_FORMAT_BFQ && file->format != LIMIT_FORMAT_SWAP && g_strcmp0(file->none, "-1") != 0;
}

/* What a valid value is written as is understood, and means that. */
static void round_trip(const LimitFile *file, const LimitValue *value, const char *old, const char *other) {
        g_autoptr(GArray) writes = limit_format(file, value, old, other);
        LimitValue again = {};

        if (!writes || value->entries) /* the lines change the file, they are not what it holds */
                return;
        g_assert_cmpuint(writes->len, >, 0);
        for (unsigned i = 0; i < writes->len; i++) {
                const LimitWrite *write = &g_array_index(writes, LimitWrite, i);

                if (!is_exact(file) || strcmp(write->file, file->file) != 0)
                        continue;
                g_assert_true(limit_parse(file, write->text, other, &again));
                g_assert_cmpstr(again.text, ==, value->text);
                g_assert_cmpuint(again.number, ==, value->number);
                limit_value_clear(&again);
        }
}

/* The text as what a file and the other one hold, and as the list that somebody asks for. */
static void try_file(const Limit *limit, const LimitFile *file, const char *text) {
        LimitValue value = {}, list = { .text = (char *) text };
        uint64_t numbers[] = { limit->min, limit->max, LIMIT_INFINITY };

        if (!file->file)
                return;
        if (file->format == LIMIT_FORMAT_LIST && limit_validate(limit, &list, NULL))
                round_trip(file, &list, "", NULL);
        if (limit_parse(file, text, text, &value) && limit_validate(limit, &value, NULL))
                round_trip(file, &value, text, text);
        limit_value_clear(&value);
        for (size_t i = 0; strlen(limit->signature) == 1 && *limit->signature != 's' && i < G_N_ELEMENTS(numbers); i++) {
                value.number = numbers[i];
                if (limit_validate(limit, &value, NULL))
                        round_trip(file, &value, text, text);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = g_strndup((const char *) data, size);

        for (size_t i = 0; i < n_limits; i++) {
                try_file(&limits[i], &limits[i].v2, text);
                try_file(&limits[i], &limits[i].v1, text);
        }
        return 0;
}
