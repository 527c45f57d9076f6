/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cordon-keeper: holds the tree of cordon-tree.service. systemd prunes the empty groups of a unit once the unit has no
 * process (FACTS.md), so two processes sleep in a group beside the drivers'. When one of them ends, the other makes
 * another: the unit is never without, not even for the moment in which something killed is started again.
 */
#include <errno.h>
#include <glib.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "group.h"
#include "group-process.h"

#define NAME "keeper"
#define RETRY_MSEC 1000

static Group *open_or_make(Group *root, GError **error) {
        g_autoptr(GError) cause = NULL;
        Group *keeper = group_make(root, NAME, &cause);

        if (!keeper && g_error_matches(cause, CORDON_ERROR, CORDON_ERROR_ALREADY_EXISTS))
                return group_open(root, NAME, error);
        if (cause)
                g_propagate_error(error, g_steal_pointer(&cause));
        return keeper;
}

/* The older process waits for the younger's end and makes another; the younger for the older's, and then is the older. */
static void keep(void) {
        for (;;) {
                autoclose int self = syscall(SYS_pidfd_open, getpid(), 0);
                struct pollfd older = { .fd = self, .events = POLLIN };
                pid_t younger = self < 0 ? -1 : fork();

                if (younger > 0)
                        waitpid(younger, NULL, 0);
                else if (younger == 0)
                        poll(&older, 1, -1); /* readable when the process has ended: pidfd_open(2) */
                else
                        poll(NULL, 0, RETRY_MSEC); /* no memory, or no process to be had */
        }
}

/* Leaves the two running, unless there are some already. */
static bool begin(const char *tree, GError **error) {
        g_autoptr(Group) root = group_open_root(tree, false, error);
        g_autoptr(Group) keeper = root ? open_or_make(root, error) : NULL;
        bool populated, frozen;

        if (!keeper || !group_read_events(keeper, &populated, &frozen, error))
                return false;
        if (populated)
                return true;
        if (!group_attach(keeper, getpid(), error))
                return false;
        if (daemon(false, false) < 0)
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "cannot fork: %s", g_strerror(errno));
        keep();
        return true;
}

/* Both at once, so that neither makes another. Where the group is gone there is nothing to end. */
static bool end(const char *tree, GError **error) {
        g_autoptr(Group) root = group_open_root(tree, false, error);
        g_autoptr(Group) keeper = root ? group_open(root, NAME, NULL) : NULL;

        return root && (!keeper || group_kill(keeper, error));
}

int main(int argc, char **argv) {
        bool ends = argc == 3 && strcmp(argv[1], "--end") == 0;
        g_autoptr(GError) error = NULL;

        if (!ends && (argc != 2 || argv[1][0] == '-')) {
                fprintf(stderr, "Usage: cordon-keeper [--end] TREE\n\n"
                                "Leaves two processes in TREE/keeper, a group below the cgroup2 mount, or ends them.\n"
                                "For cordon-tree.service.\n");
                return EXIT_FAILURE;
        }
        if (ends ? end(argv[2], &error) : begin(argv[1], &error))
                return EXIT_SUCCESS;
        fprintf(stderr, "cordon-keeper: %s\n", error->message);
        return EXIT_FAILURE;
}
