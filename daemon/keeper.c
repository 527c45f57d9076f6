/*
 * cordon-keeper: the one process of cordon-tree.service. systemd prunes the empty groups of a unit whose processes are
 * all gone (FACTS.md), so this one moves to a group of its own beside the drivers, and sleeps.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "error.h"
#include "fd.h"
#include "group.h"

#define NAME "keeper"

/* Moves this process to the group `keeper` below the tree's. */
static bool move(const char *tree, GError **error) {
        g_autoptr(Group) root = group_open_root(tree, false, error);
        g_autoptr(Group) keeper = NULL;

        if (!root)
                return false;
        keeper = group_make(root, NAME, error);
        if (!keeper && g_error_matches(*error, CORDON_ERROR, CORDON_ERROR_ALREADY_EXISTS)) {
                g_clear_error(error);
                keeper = group_open(root, NAME, error);
        }
        return keeper && group_attach(keeper, getpid(), error);
}

int main(int argc, char **argv) {
        g_autoptr(GError) error = NULL;

        if (argc != 2 || argv[1][0] == '-') {
                fprintf(stderr, "Usage: cordon-keeper TREE\n\n"
                                "Sleeps in TREE/keeper, a group below the cgroup2 mount. For cordon-tree.service.\n");
                return EXIT_FAILURE;
        }
        if (!move(argv[1], &error)) {
                fprintf(stderr, "cordon-keeper: %s\n", error->message);
                return EXIT_FAILURE;
        }
        sd_notify(false, "READY=1");
        for (;;)
                pause(); /* SIGTERM ends it */
}
