/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"

struct Watch {
        int fd;
        sd_event_source *source;
        GHashTable *followers; /* id -> Follower */
};

typedef struct Follower {
        WatchCallback callback;
        void *userdata;
} Follower;

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Watch *watch = userdata;
        char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
        ssize_t n = read(fd, buffer, sizeof(buffer));

        for (ssize_t offset = 0; offset < n;) {
                const struct inotify_event *event = (const void *) (buffer + offset);
                Follower *follower = g_hash_table_lookup(watch->followers, GINT_TO_POINTER(event->wd));

                if (follower)
                        follower->callback(event->mask, event->len > 0 ? event->name : NULL, follower->userdata);
                offset += sizeof(*event) + event->len;
        }
        return 0;
}

Watch *watch_new(sd_event *event, GError **error) {
        Watch *watch = g_new0(Watch, 1);
        int r;

        watch->followers = g_hash_table_new_full(NULL, NULL, NULL, g_free);
        watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        r = watch->fd < 0 ? -errno : sd_event_add_io(event, &watch->source, watch->fd, EPOLLIN, on_readable, watch);
        if (r < 0) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "inotify: %s", g_strerror(-r));
                watch_free(watch);
                return NULL;
        }
        return watch;
}

void watch_free(Watch *watch) {
        if (!watch)
                return;
        sd_event_source_disable_unref(watch->source);
        fd_close(&watch->fd);
        g_hash_table_unref(watch->followers);
        g_free(watch);
}

int watch_add(Watch *watch, int dir, const char *file, uint32_t mask, WatchCallback callback, void *userdata,
              GError **error) {
        char path[sizeof("/proc/self/fd/") + 11 + NAME_MAX];
        Follower *follower;
        int id;

        g_snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, file);
        id = inotify_add_watch(watch->fd, path, mask);
        if (id < 0) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "cannot follow %s: %s%s", file, g_strerror(errno),
                            errno == ENOSPC ? " (fs.inotify.max_user_watches)" : "");
                return -1;
        }
        follower = g_new(Follower, 1);
        *follower = (Follower) { callback, userdata };
        g_hash_table_replace(watch->followers, GINT_TO_POINTER(id), follower);
        return id;
}

void watch_remove(Watch *watch, int id) {
        if (id >= 0 && g_hash_table_remove(watch->followers, GINT_TO_POINTER(id)))
                inotify_rm_watch(watch->fd, id);
}
