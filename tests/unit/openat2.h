#pragma once

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "fd.h"

/* Whether the test can run; valgrind of Debian 12 does not know the system call. */
static inline bool has_openat2(void) {
        struct open_how how = { .flags = O_PATH | O_CLOEXEC };
        autoclose int fd = syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

        if (fd < 0 && errno == ENOSYS)
                g_test_skip("openat2 is not there");
        return fd >= 0;
}
