/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

/*
 * Many clients at once, each a process of an unprivileged user. In a round of the first kind each calls a method for
 * which Cordon asks polkit; in one of the second it sends a Ping and asks polkit itself, about itself.
 */
#define ACTION CORDON ".set-limits"

static void call_cordon(sd_bus *bus, const char *object) {
        sd_bus_message *message = bench_message(bus, object, CORDON ".Domain", "SetProperties");

        must(sd_bus_message_append(message, "a{sv}", 1, "MaxDepth", "t", UINT64_C(8)));
        bench_call(bus, message);
}

static void call_polkit(sd_bus *bus) {
        sd_bus_message *message = NULL;
        const char *name;

        bench_ping(bus);
        must(sd_bus_get_unique_name(bus, &name));
        must(sd_bus_message_new_method_call(bus, &message, "org.freedesktop.PolicyKit1",
                                            "/org/freedesktop/PolicyKit1/Authority",
                                            "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization"));
        must(sd_bus_message_append(message, "(sa{sv})sa{ss}us", "system-bus-name", 1, "name", "s", name, ACTION, 0, 0,
                                   ""));
        bench_call(bus, message);
}

G_NORETURN static void serve(int orders, int done, const char *object, int calls, uid_t uid) {
        sd_bus *bus;
        char kind;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        must(setresgid(uid, uid, uid));
        must(setresuid(uid, uid, uid));
        bus = bench_connect();
        bench_ping(bus);
        must(write(done, "", 1));
        while (read(orders, &kind, 1) == 1) {
                for (int i = 0; i < calls; i++)
                        if (kind == 'c')
                                call_cordon(bus, object);
                        else
                                call_polkit(bus);
                must(write(done, "", 1));
        }
        exit(EXIT_SUCCESS);
}

static void wait_for(int done, int n) {
        char byte;

        while (n-- > 0)
                if (must(read(done, &byte, 1)) == 0)
                        bench_fail(__FILE__, __LINE__, "a client ended", -ECONNRESET);
}

int bench_gated(int argc, char **argv) {
        int clients = atoi(argv[1]), calls = atoi(argv[2]), rounds = atoi(argv[3]), done[2];
        int *orders = g_new(int, clients);

        must(pipe(done));
        for (int i = 0; i < clients; i++) {
                int order[2];

                must(pipe(order));
                if (must(fork()) == 0) {
                        close(order[1]);
                        serve(order[0], done[1], argv[0], calls, atoi(argv[4]));
                }
                close(order[0]);
                orders[i] = order[1];
        }
        close(done[1]);
        wait_for(done[0], clients);
        for (int round = 0; round < 2 * rounds; round++) {
                uint64_t start = bench_now();

                for (int i = 0; i < clients; i++)
                        must(write(orders[i], round % 2 ? "p" : "c", 1));
                wait_for(done[0], clients);
                bench_sample(round % 2 ? "polkit" : "cordon", (bench_now() - start) / (clients * calls));
        }
        for (int i = 0; i < clients; i++)
                close(orders[i]);
        while (wait(NULL) > 0)
                ;
        g_free(orders);
        return EXIT_SUCCESS;
}
