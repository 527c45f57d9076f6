/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "denial.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "error.h"

#define INTERVAL_USEC (SEAL_EVENT_INTERVAL_NS / 1000)

struct DenialLog {
        sd_event *event;
        Seal *seal;
        struct ring_buffer *ring;
        sd_event_source *readable, *timer;
        GHashTable *told; /* struct seal_denial_key -> Told: told within the last second */
        DenialCallback callback;
        void *userdata;
};

typedef struct Told {
        struct seal_event event;
        uint64_t usec;
} Told;

static unsigned key_hash(const void *data) {
        const struct seal_denial_key *key = data;

        return g_int64_hash(&key->domain) ^ (key->device.major << 20) ^ key->device.minor ^ (key->access << 28);
}

static gboolean key_equal(const void *a, const void *b) {
        return memcmp(a, b, sizeof(struct seal_denial_key)) == 0;
}

static void arm(DenialLog *log, uint64_t usec) {
        if (sd_event_source_set_time(log->timer, usec) < 0 ||
            sd_event_source_set_enabled(log->timer, SD_EVENT_ONESHOT) < 0)
                g_warning("no timer for the counts of denials");
}

static void tell(DenialLog *log, const struct seal_event *event, uint64_t now) {
        Told *told = g_new(Told, 1);

        *told = (Told) { *event, now };
        if (g_hash_table_size(log->told) == 0)
                arm(log, now + INTERVAL_USEC);
        g_hash_table_replace(log->told, &told->event.key, told);
        log->callback(event, log->userdata);
}

/* What was told a second ago is told again if it went on since, or forgotten. */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        DenialLog *log = userdata;
        uint64_t now, next = UINT64_MAX;
        GHashTableIter iter;
        Told *told;

        sd_event_now(log->event, CLOCK_MONOTONIC, &now);
        g_hash_table_iter_init(&iter, log->told);
        while (g_hash_table_iter_next(&iter, NULL, (void **) &told)) {
                if (now >= told->usec + INTERVAL_USEC) {
                        uint64_t count = seal_read_denials(log->seal, &told->event.key);

                        if (count <= told->event.count) {
                                g_hash_table_iter_remove(&iter);
                                continue;
                        }
                        told->event.count = count;
                        told->event.pid = 0;
                        told->usec = now;
                        log->callback(&told->event, log->userdata);
                }
                next = MIN(next, told->usec + INTERVAL_USEC);
        }
        if (next != UINT64_MAX)
                arm(log, next);
        return 0;
}

static int on_event(void *userdata, void *data, size_t size) {
        DenialLog *log = userdata;
        const struct seal_event *event = data;
        uint64_t now;

        if (size < sizeof(*event))
                return 0;
        sd_event_now(log->event, CLOCK_MONOTONIC, &now);
        if (!g_hash_table_contains(log->told, &event->key)) /* else the timer tells the count soon */
                tell(log, event, now);
        return 0;
}

static int on_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        DenialLog *log = userdata;

        ring_buffer__consume(log->ring);
        return 0;
}

DenialLog *denial_log_new(sd_event *event, Seal *seal, DenialCallback callback, void *userdata, GError **error) {
        DenialLog *log = g_new0(DenialLog, 1);
        int r;

        log->event = event;
        log->seal = seal;
        log->callback = callback;
        log->userdata = userdata;
        log->told = g_hash_table_new_full(key_hash, key_equal, NULL, g_free);
        log->ring = ring_buffer__new(seal_events_fd(seal), on_event, log, NULL);
        r = log->ring ? sd_event_add_io(event, &log->readable, ring_buffer__epoll_fd(log->ring), EPOLLIN, on_readable, log)
                      : -errno;
        if (r >= 0)
                r = sd_event_add_time(event, &log->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, log);
        if (r >= 0)
                return log;
        cordon_fail(error, CORDON_ERROR_SEAL_FAILED, "its denials cannot be read: %s", g_strerror(-r));
        denial_log_free(log);
        return NULL;
}

void denial_log_free(DenialLog *log) {
        if (!log)
                return;
        sd_event_source_disable_unref(log->readable);
        sd_event_source_disable_unref(log->timer);
        ring_buffer__free(log->ring);
        g_hash_table_unref(log->told);
        g_free(log);
}
