/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

/*
 * The clients whose calls are timed. In C, so that the client is not what is measured; A and B of a comparison in turns,
 * so that what disturbs the machine disturbs both. What comes out is "NAME MEDIAN P99 N", times in nanoseconds.
 */
#define CORDON "org.cordon.CgroupManager1"
#define CORDON_PATH "/org/cordon/CgroupManager1"

#define must(expression)                                                                  \
        ({                                                                                \
                int must_r = (expression);                                                \
                if (must_r < 0)                                                           \
                        bench_fail(__FILE__, __LINE__, #expression, must_r);              \
                must_r;                                                                   \
        })

G_NORETURN void bench_fail(const char *file, int line, const char *what, int result);

uint64_t bench_now(void); /* CLOCK_MONOTONIC */
/* One more measurement of what has this name. */
void bench_sample(const char *name, uint64_t ns);
void bench_report(void);

/* A connection to the system bus. */
sd_bus *bench_connect(void);
/* Each returns the time from before the message was made until its answer was there. */
uint64_t bench_call(sd_bus *bus, sd_bus_message *message);
uint64_t bench_ping(sd_bus *bus);
sd_bus_message *bench_message(sd_bus *bus, const char *path, const char *interface, const char *member);

/*
 * Until what was done before does not make the next thing cheaper: for some milliseconds after a process was moved, the
 * kernel moves another without waiting for a grace period of RCU (cgroup_threadgroup_rwsem; kernel/rcu/sync.c).
 */
void bench_pause(void);

/* A process that waits to be killed. */
pid_t bench_spawn_sleeper(void);
void bench_end(pid_t pid);
void bench_write(int dir, const char *file, const char *text);

int bench_create(int argc, char **argv);
int bench_fill(int argc, char **argv);
int bench_allow(int argc, char **argv);
int bench_get_all(int argc, char **argv);
int bench_gated(int argc, char **argv);
int bench_first(int argc, char **argv);
int bench_open(int argc, char **argv);
int bench_rules(int argc, char **argv);
int bench_empty(int argc, char **argv);
