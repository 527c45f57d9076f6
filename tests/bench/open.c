/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/*
 * One process opens one file again and again, and is moved from group to group between the rounds: what differs is the
 * group, not the process, its memory or its processor.
 */
typedef struct Opener {
        pid_t pid;
        int orders, results;
} Opener;

G_NORETURN static void serve(int orders, int results, const char *file, int opens) {
        char byte;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (read(orders, &byte, 1) == 1) {
                uint64_t start = bench_now(), ns;

                for (int i = 0; i < opens; i++) {
                        int fd = open(file, O_RDWR | O_CLOEXEC);

                        if (fd < 0)
                                bench_fail(file, 0, "open", -1);
                        close(fd);
                }
                ns = bench_now() - start;
                must(write(results, &ns, sizeof(ns)));
        }
        exit(EXIT_SUCCESS);
}

static Opener start(const char *file, int opens) {
        Opener opener;
        int orders[2], results[2];

        must(pipe(orders));
        must(pipe(results));
        opener = (Opener) { must(fork()), orders[1], results[0] };
        if (opener.pid == 0) {
                close(orders[1]);
                close(results[0]);
                serve(orders[0], results[1], file, opens);
        }
        close(orders[0]);
        close(results[1]);
        return opener;
}

static uint64_t measure(const Opener *opener, const char *directory) {
        g_autofree char *file = g_strconcat(directory, "/cgroup.procs", NULL);
        g_autofree char *pid = g_strdup_printf("%d", (int) opener->pid);
        uint64_t ns = 0;

        bench_write(AT_FDCWD, file, pid);
        must(write(opener->orders, "", 1));
        if (must(read(opener->results, &ns, sizeof(ns))) != sizeof(ns))
                bench_fail(directory, 0, "the opener ended", -1);
        return ns;
}

int bench_open(int argc, char **argv) {
        int rounds = atoi(argv[1]), opens = atoi(argv[2]);
        Opener opener = start(argv[0], opens);

        for (int round = 0; round < rounds; round++)
                for (int i = 3; i < argc; i++) {
                        g_auto(GStrv) words = g_strsplit(argv[i], "=", 2);

                        bench_sample(words[0], measure(&opener, words[1]) * 1000 / opens); /* picoseconds */
                }
        bench_end(opener.pid);
        return EXIT_SUCCESS;
}
