/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct Samples {
        char *name;
        GArray *ns;
} Samples;

static GArray *all; /* of Samples, in the order in which they first came */

void bench_fail(const char *file, int line, const char *what, int result) {
        fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, g_strerror(result == -1 ? errno : -result));
        exit(EXIT_FAILURE);
}

uint64_t bench_now(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * UINT64_C(1000000000) + now.tv_nsec;
}

void bench_sample(const char *name, uint64_t ns) {
        Samples fresh;

        if (!all)
                all = g_array_new(false, false, sizeof(Samples));
        for (unsigned i = 0; i < all->len; i++)
                if (strcmp(g_array_index(all, Samples, i).name, name) == 0) {
                        g_array_append_val(g_array_index(all, Samples, i).ns, ns);
                        return;
                }
        fresh = (Samples) { g_strdup(name), g_array_new(false, false, sizeof(uint64_t)) };
        g_array_append_val(fresh.ns, ns);
        g_array_append_val(all, fresh);
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

void bench_report(void) {
        for (unsigned i = 0; all && i < all->len; i++) {
                Samples *samples = &g_array_index(all, Samples, i);
                const uint64_t *ns = (const uint64_t *) samples->ns->data;
                unsigned n = samples->ns->len;

                g_array_sort(samples->ns, compare);
                printf("%s %" PRIu64 " %" PRIu64 " %u\n", samples->name, ns[n / 2], ns[n * 99 / 100], n);
        }
}

/* ---- processes, files ---- */

void bench_pause(void) {
        usleep(50 * 1000);
}

pid_t bench_spawn_sleeper(void) {
        pid_t pid = must(fork());

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
                pause();
}

void bench_end(pid_t pid) {
        kill(pid, SIGKILL);
        must(waitpid(pid, NULL, 0));
}

void bench_write(int dir, const char *file, const char *text) {
        int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                bench_fail(file, 0, text, -1);
        close(fd);
}

/* ---- the bus ---- */

sd_bus *bench_connect(void) {
        sd_bus *bus = NULL;

        must(sd_bus_open_system(&bus));
        return bus;
}

sd_bus_message *bench_message(sd_bus *bus, const char *path, const char *interface, const char *member) {
        sd_bus_message *message = NULL;

        must(sd_bus_message_new_method_call(bus, &message, CORDON, path, interface, member));
        return message;
}

uint64_t bench_call(sd_bus *bus, sd_bus_message *message) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        uint64_t start = bench_now(), end;
        sd_bus_message *reply = NULL;
        int r = sd_bus_call(bus, message, 0, &error, &reply);

        end = bench_now();
        if (r < 0)
                bench_fail(sd_bus_message_get_member(message), 0, error.message ? error.message : "no answer", r);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(message);
        return end - start;
}

uint64_t bench_ping(sd_bus *bus) {
        return bench_call(bus, bench_message(bus, CORDON_PATH, "org.freedesktop.DBus.Peer", "Ping"));
}

/* ---- commands ---- */

static const struct {
        const char *name, *arguments;
        int n_arguments; /* at least */
        int (*run)(int argc, char **argv);
} commands[] = {
        { "create", "DRIVER DIRECTORY ROUNDS [scope] [crun BUNDLE] [cgroup-tools]", 3, bench_create },
        { "fill", "DRIVER FIRST LAST", 3, bench_fill },
        { "allow", "ROUNDS NAME=OBJECT…", 2, bench_allow },
        { "get-all", "OBJECT DIRECTORY ROUNDS", 3, bench_get_all },
        { "gated", "OBJECT CLIENTS CALLS ROUNDS UID", 5, bench_gated },
        { "first", "SERVICE OBJECT INTERFACE PROPERTY", 4, bench_first },
        { "open", "FILE ROUNDS OPENS NAME=DIRECTORY…", 4, bench_open },
        { "rules", "DRIVER-DIRECTORY DOMAIN-DIRECTORY RULES", 3, bench_rules },
        { "empty", "DIRECTORY", 1, bench_empty },
};

int main(int argc, char **argv) {
        for (size_t i = 0; argc > 1 && i < G_N_ELEMENTS(commands); i++)
                if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].n_arguments) {
                        int status = commands[i].run(argc - 2, argv + 2);

                        bench_report();
                        return status;
                }
        fprintf(stderr, "Usage: bench COMMAND ARGUMENT…\n\n");
        for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
                fprintf(stderr, "  %s %s\n", commands[i].name, commands[i].arguments);
        return 2;
}
