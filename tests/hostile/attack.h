/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The hostile suite's tenant: a table of ways out of a domain. Each runs in a process of its own, with mounts of its
 * own, and returns 0 when it got what it wanted, or a negative errno: what the kernel answered. Whether anything was
 * gained is for an observer outside to say (hostile.py).
 */

/* Where it may be tried. Each includes the next. */
enum scope {
        VM,       /* only in a virtual machine: where it succeeds, it does harm */
        USER,     /* on any machine by an unprivileged user, who is refused without any guard */
        ANYWHERE, /* by root on any machine: the seal alone refuses it, and success would do no harm */
};

struct attempt {
        const char *name;
        enum scope scope;
        int (*run)(const char *a, const char *b);
        const char *a, *b; /* expanded: see expand() */
};

extern const struct attempt group_attempts[], bpf_attempts[], device_attempts[], uring_attempts[], task_attempts[];

/* Where a tenant's process mounts: its mounts are its own. */
#define MNT "/mnt"

/*
 * What the program was told about its surroundings, as KEY=VALUE arguments: root (the cgroup2 mount), tree, driver,
 * domain, sibling (groups' directories), v1-memory and its like (the domain's group in the hierarchy of a controller that
 * is on cgroup v1, else /none), victim (a process outside, with the forbidden device as its descriptor 0),
 * neighbour (one in the sibling), device (the forbidden one), program, map, link (ids of the seal's), pin (its map,
 * pinned), disk, rootdisk (block devices), module, kernel (files).
 */
const char *value_of(const char *key);
int number_of(const char *key);

/* Notes what is being done, for the line that is printed. */
void at(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* 0, or what the last call's errno says. */
int answer_of(long result);
/* Opens a file by a flag, notes that, and returns the descriptor or a negative errno. */
int open_at(const char *path, int flags);
/* Opens and closes it. */
int try_open(const char *path, int flags);
int try_write(const char *path, const char *text);
int try_mount(const char *source, const char *type, const char *options);

/* Leaves for a user namespace, as root of it, and for more namespaces by CLONE_NEW… flags. */
int enter_user_namespace(int flags);

/* For the table: a is a path. */
int read_file(const char *path, const char *unused);
int open_for_writing(const char *path, const char *unused);
int write_file(const char *path, const char *text);

/* A ring made before the program joined the domain; -1 where there is no io_uring. */
void uring_prepare(void);
