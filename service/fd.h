/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <unistd.h>

static inline void fd_close(int *fd) {
        if (*fd >= 0)
                close(*fd);
        *fd = -1;
}

/* A file descriptor that closes itself when its scope ends; -1 is none. */
#define autoclose __attribute__((cleanup(fd_close)))

static inline int fd_steal(int *fd) {
        int stolen = *fd;

        *fd = -1;
        return stolen;
}
