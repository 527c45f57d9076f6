/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "limit.h"

/*
 * How kernel files spell limits, in both versions of cgroups. Pure.
 */

/* One write(2). */
typedef struct LimitWrite {
        const char *file;
        char *text;
} LimitWrite;

/* Whether what is written depends on what the files hold: they hold more than the value. */
bool limit_format_keeps(LimitFormat format);
/*
 * What to write for `value`, in order: GArray of LimitWrite. `contents` is what the file holds now, `other` what the
 * other file does (NULL: there is none), of a format that keeps some of it: a quota keeps its period, and devices that are
 * not in `value` lose their limit.
 * At no point between two writes is more allowed than by the stricter or the wider of the old and the new value.
 * Not for LIMIT_FORMAT_PAGES, whose files hold numbers.
 */
GArray *limit_format(const LimitFile *file, const LimitValue *value, const char *contents, const char *other);
/* "N", or what means infinity. */
char *limit_format_number(const LimitFile *file, uint64_t number);
/* The value that the contents mean; false when they cannot be understood. The value is to be cleared. */
bool limit_parse(const LimitFile *file, const char *contents, const char *other, LimitValue *ret_value);
