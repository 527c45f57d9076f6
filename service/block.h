/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/*
 * The disk that a limit on a block device is about, as the kernel names it: "8:0". `what` is the path of a block
 * device below /dev, or MAJOR:MINOR; a partition stands for its disk, as in systemd.resource-control(5), because the
 * kernel limits whole disks. Fails with INVALID_PROPERTY, which names `limit`.
 */
char *block_resolve(const char *limit, const char *what, GError **error);
