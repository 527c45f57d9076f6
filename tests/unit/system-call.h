/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Whether the test can run: valgrind of Debian 12 knows neither openat2 nor pidfd_open. The arguments do nothing. */
#define HAS_SYSTEM_CALL(name) has_system_call(SYS_##name, #name)

static inline bool has_system_call(long number, const char *name) {
        g_autofree char *why = g_strconcat(name, " is not there", NULL);

        if (syscall(number, -1, NULL, NULL, 0) >= 0 || errno != ENOSYS)
                return true;
        g_test_skip(why);
        return false;
}
