/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

#define DOMAIN_INTERFACE CORDON ".Domain"
#define PROPERTIES "org.freedesktop.DBus.Properties"

/* ---- one device more in lists of different lengths ---- */

static uint64_t change_device(sd_bus *bus, const char *object, const char *member) {
        sd_bus_message *message = bench_message(bus, object, DOMAIN_INTERFACE, member);

        must(sd_bus_message_append(message, "a(ss)", 1, "c:10:200", "rw"));
        return bench_call(bus, message);
}

int bench_allow(int argc, char **argv) {
        sd_bus *bus = bench_connect();

        for (int round = 0; round < atoi(argv[0]); round++) {
                bench_sample("ping", bench_ping(bus));
                for (int i = 1; i < argc; i++) {
                        g_auto(GStrv) words = g_strsplit(argv[i], "=", 2);
                        g_autofree char *revoke = g_strconcat("revoke-", words[0], NULL);

                        bench_sample(words[0], change_device(bus, words[1], "AllowDevices"));
                        bench_sample(revoke, change_device(bus, words[1], "RevokeDevices"));
                }
        }
        return EXIT_SUCCESS;
}

/* ---- reading ---- */

/* What a domain's properties come from. Those that are not there are not read. */
static const char *const files[] = {
        "cgroup.events", "memory.events", "cpu.weight", "cpu.max", "cpu.max.burst", "cpuset.cpus", "cpuset.mems",
        "memory.min", "memory.low", "memory.high", "memory.max", "memory.swap.max", "memory.zswap.max",
        "memory.oom.group", "pids.max", "io.weight", "io.bfq.weight", "io.max", "io.latency", "hugetlb.2MB.max",
        "hugetlb.1GB.max", "cgroup.max.descendants", "cgroup.max.depth", "memory.current", "memory.peak",
        "memory.swap.current", "cpu.stat", "pids.current", "io.stat", "cpu.pressure", "memory.pressure", "io.pressure",
};

static uint64_t read_files(int dir, const bool *present) {
        uint64_t start = bench_now();
        char buffer[4096];

        for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
                int fd;

                if (!present[i])
                        continue;
                fd = must(openat(dir, files[i], O_RDONLY | O_CLOEXEC));
                while (must(read(fd, buffer, sizeof(buffer))) > 0)
                        ;
                close(fd);
        }
        return bench_now() - start;
}

int bench_get_all(int argc, char **argv) {
        int dir = must(open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)), n = 0;
        bool present[G_N_ELEMENTS(files)];
        sd_bus *bus = bench_connect();

        for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
                n += present[i] = faccessat(dir, files[i], R_OK, 0) == 0;
        for (int round = 0; round < atoi(argv[2]); round++) {
                sd_bus_message *message = bench_message(bus, argv[0], PROPERTIES, "GetAll");

                must(sd_bus_message_append(message, "s", DOMAIN_INTERFACE));
                bench_sample("get-all", bench_call(bus, message));
                bench_sample("ping", bench_ping(bus));
                bench_sample("files", read_files(dir, present));
        }
        printf("n-files %d 0 1\n", n);
        return EXIT_SUCCESS;
}

/* ---- the first reply, of a service that the bus has to start ---- */

int bench_first(int argc, char **argv) {
        sd_bus *bus = bench_connect();
        sd_bus_message *message = NULL;

        must(sd_bus_message_new_method_call(bus, &message, argv[0], argv[1], PROPERTIES, "Get"));
        must(sd_bus_message_append(message, "ss", argv[2], argv[3]));
        bench_sample("first", bench_call(bus, message));
        return EXIT_SUCCESS;
}
