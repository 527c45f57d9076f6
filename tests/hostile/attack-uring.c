/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways out through io_uring, whose workers might not be where their owner is. */
#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
        int fd;
        unsigned flags;
        unsigned *tail, *mask, *array, *wake, *completed_head, *completed_tail, *completed_mask;
        struct io_uring_sqe *entries;
        struct io_uring_cqe *completed;
};

static struct ring early = { .fd = -1 };
static char *early_path; /* its thread reads the memory of the process that made it, not that of the attempt's */

static int ring_open(struct ring *ring, unsigned flags) {
        struct io_uring_params params = { .flags = flags, .sq_thread_idle = 1000 };
        char *memory;

        at("set a ring up with flags %u", flags);
        ring->fd = (int) syscall(SYS_io_uring_setup, 4, &params);
        if (ring->fd < 0)
                return -errno;
        ring->flags = flags;
        memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
        ring->entries = mmap(NULL, 4 * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd,
                             IORING_OFF_SQES);
        if (memory == MAP_FAILED) {
                size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);

                memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, IORING_OFF_SQ_RING);
        }
        if (memory == MAP_FAILED || ring->entries == MAP_FAILED)
                return -errno;
        ring->tail = (unsigned *) (memory + params.sq_off.tail);
        ring->mask = (unsigned *) (memory + params.sq_off.ring_mask);
        ring->array = (unsigned *) (memory + params.sq_off.array);
        ring->wake = (unsigned *) (memory + params.sq_off.flags);
        ring->completed_head = (unsigned *) (memory + params.cq_off.head);
        ring->completed_tail = (unsigned *) (memory + params.cq_off.tail);
        ring->completed_mask = (unsigned *) (memory + params.cq_off.ring_mask);
        ring->completed = (struct io_uring_cqe *) (memory + params.cq_off.cqes);
        return 0;
}

/* Submits one entry and waits for what becomes of it. */
static int ring_submit(struct ring *ring, const struct io_uring_sqe *entry) {
        unsigned tail = *ring->tail, index = tail & *ring->mask, flags = IORING_ENTER_GETEVENTS, head;
        int r;

        ring->entries[index] = *entry;
        ring->array[index] = index;
        __atomic_store_n(ring->tail, tail + 1, __ATOMIC_RELEASE);
        if (ring->flags & IORING_SETUP_SQPOLL)
                flags |= IORING_ENTER_SQ_WAKEUP;
        if (syscall(SYS_io_uring_enter, ring->fd, 1, 1, flags, NULL, 0) < 0)
                return -errno;
        head = *ring->completed_head;
        if (head == __atomic_load_n(ring->completed_tail, __ATOMIC_ACQUIRE))
                return -EAGAIN;
        r = ring->completed[head & *ring->completed_mask].res;
        __atomic_store_n(ring->completed_head, head + 1, __ATOMIC_RELEASE);
        return r < 0 ? r : 0;
}

static int ring_open_file(struct ring *ring, const char *path, unsigned open_flags, unsigned entry_flags) {
        struct io_uring_sqe entry = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long) path,
                                      .open_flags = open_flags, .flags = (unsigned char) entry_flags };

        at("open %s by io_uring, ring flags %u, entry flags %u", path, ring->flags, entry_flags);
        return ring_submit(ring, &entry);
}

void uring_prepare(void) {
        if (ring_open(&early, IORING_SETUP_SQPOLL) < 0)
                early.fd = -1;
        early_path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* ---- attempts ---- */

static int direct(const char *path, const char *flags) {
        struct ring ring;
        int r = ring_open(&ring, 0);

        return r < 0 ? r : ring_open_file(&ring, path, (unsigned) atoi(flags), 0);
}

static int asynchronous(const char *path, const char *flags) {
        struct ring ring;
        int r = ring_open(&ring, 0);

        return r < 0 ? r : ring_open_file(&ring, path, (unsigned) atoi(flags), IOSQE_ASYNC);
}

static int polled(const char *path, const char *flags) {
        struct ring ring;
        int r = ring_open(&ring, IORING_SETUP_SQPOLL);

        return r < 0 ? r : ring_open_file(&ring, path, (unsigned) atoi(flags), 0);
}

/* The kernel's thread for it began outside of the domain. */
static int from_before(const char *path, const char *flags) {
        if (early.fd < 0)
                return -ENOSYS;
        strcpy(early_path, path);
        return ring_open_file(&early, early_path, (unsigned) atoi(flags), 0);
}

/* Into the ring's own table, where no descriptor is seen. */
static int into_table(const char *path, const char *flags) {
        struct io_uring_sqe entry = { .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long) path,
                                      .open_flags = (unsigned) atoi(flags), .file_index = 1 };
        struct ring ring;
        int none = -1, r = ring_open(&ring, 0);

        if (r < 0)
                return r;
        at("open %s into a ring's table", path);
        if (syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_FILES, &none, 1) < 0)
                return -errno;
        return ring_submit(&ring, &entry);
}

const struct attempt uring_attempts[] = {
        { "uring-device", ANYWHERE, direct, "{device}", "2" },
        { "uring-device-async", ANYWHERE, asynchronous, "{device}", "2" },
        { "uring-device-polled", ANYWHERE, polled, "{device}", "2" },
        { "uring-device-from-before", ANYWHERE, from_before, "{device}", "2" },
        { "uring-device-table", ANYWHERE, into_table, "{device}", "2" },
        { "uring-group", VM, direct, "{root}/cgroup.procs", "1" },
        { "uring-group-async", VM, asynchronous, "{root}/cgroup.procs", "1" },
        { "uring-group-polled", VM, polled, "{root}/cgroup.procs", "1" },
        { "uring-group-from-before", VM, from_before, "{driver}/cgroup.procs", "1" },
        {},
};
