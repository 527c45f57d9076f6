/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oom.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "error.h"
#include "fd.h"
#include "group-limit.h"
#include "kernel-file.h"

/* v1 tells that a victim is looked for, before it counts it: looked at again, this often and ever later. */
#define LOOKS_MAX 6
#define FIRST_LOOK_USEC 2000
#define LATER 4

struct OomWatch {
        Watch *watch;
        Group *group;
        OomCallback callback;
        void *userdata;
        uint64_t kills;
        int id; /* in `watch`; -1 on v1 */
        sd_event_source *told, *timer;
        int eventfd;
        unsigned looks;
};

/* Tells of new kills; false when there are none. */
static bool look(OomWatch *oom) {
        g_autoptr(GroupView) view = group_view_new(oom->group);
        uint64_t kills;

        if (!group_view_oom_kills(view, &kills) || kills == oom->kills)
                return false;
        oom->kills = kills;
        oom->callback(kills, oom->userdata);
        return true;
}

static void on_memory_events(uint32_t mask, const char *name, void *userdata) {
        look(userdata);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        OomWatch *oom = userdata;
        uint64_t delay = FIRST_LOOK_USEC;

        if (look(oom) || ++oom->looks >= LOOKS_MAX)
                return 0;
        for (unsigned i = 0; i < oom->looks; i++)
                delay *= LATER;
        sd_event_source_set_time_relative(source, delay);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_eventfd(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        OomWatch *oom = userdata;
        eventfd_t count;

        if (eventfd_read(fd, &count) < 0)
                return 0;
        oom->looks = 0;
        sd_event_source_set_time_relative(oom->timer, 0);
        return sd_event_source_set_enabled(oom->timer, SD_EVENT_ONESHOT);
}

static int follow_v1(OomWatch *oom, sd_event *event, int dir) {
        autoclose int control = openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
        g_autofree char *line = NULL;
        int r;

        oom->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (control < 0 || oom->eventfd < 0)
                return -errno;
        line = g_strdup_printf("%d %d", oom->eventfd, control);
        r = kernel_file_write(dir, "cgroup.event_control", line);
        if (r >= 0)
                r = sd_event_add_io(event, &oom->told, oom->eventfd, EPOLLIN, on_eventfd, oom);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &oom->timer, CLOCK_MONOTONIC, 0, 1000, on_timer, oom);
        return r < 0 ? r : sd_event_source_set_enabled(oom->timer, SD_EVENT_OFF);
}

OomWatch *oom_watch_new(sd_event *event, Watch *watch, Group *group, OomCallback callback, void *userdata,
                        GError **error) {
        g_autoptr(GroupView) view = group_view_new(group);
        int v1 = group_v1_fd(group, "memory"), r;
        OomWatch *oom;
        uint64_t kills;

        if (!group_view_oom_kills(view, &kills))
                return NULL;
        oom = g_new(OomWatch, 1);
        *oom = (OomWatch) { watch, group, callback, userdata, .kills = kills, .id = -1, .eventfd = -1 };
        if (v1 < 0) {
                oom->id = watch_add(watch, group_fd(group), "memory.events", IN_MODIFY, on_memory_events, oom, error);
                if (oom->id >= 0)
                        return oom;
        } else {
                r = follow_v1(oom, event, v1);
                if (r >= 0)
                        return oom;
                kernel_file_fail(error, group_path(group), "memory.oom_control", NULL, r);
        }
        oom_watch_free(oom);
        return NULL;
}

uint64_t oom_watch_kills(const OomWatch *oom) {
        return oom ? oom->kills : UINT64_MAX;
}

void oom_watch_free(OomWatch *oom) {
        if (!oom)
                return;
        watch_remove(oom->watch, oom->id);
        sd_event_source_disable_unref(oom->told);
        sd_event_source_disable_unref(oom->timer);
        fd_close(&oom->eventfd);
        g_free(oom);
}
