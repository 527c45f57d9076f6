/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hold.h"

#include <stdbool.h>
#include <string.h>
#include <sys/inotify.h>
#include <systemd/sd-event.h>

#include "group-process.h"

#define KEEPER LIBEXECDIR "/cordon-keeper"
#define GROUP "keeper"

struct Hold {
        sd_bus *bus;
        Tree *tree;
        const char *path, *unit;
        Group *group;
        int events_watch, directory_watch;
};

static int on_restarted(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const sd_bus_error *error = sd_bus_message_get_error(message);

        if (!error)
                return 0;
        g_critical("the unit that holds the tree cannot be restarted: %s", error->message);
        return sd_event_exit(sd_bus_get_event(sd_bus_message_get_bus(message)), EXIT_FAILURE);
}

int hold_restart_unit(sd_bus *bus, const char *unit) {
        g_message("the tree is gone; restarting %s", unit);
        return sd_bus_call_method_async(bus, NULL, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                        "org.freedesktop.systemd1.Manager", "RestartUnit", on_restarted, NULL, "ss",
                                        unit, "replace");
}

static void on_keepers(uint32_t mask, const char *name, void *userdata) {
        Hold *hold = userdata;
        char *argv[] = { (char *) KEEPER, (char *) hold->path, NULL };
        g_autoptr(GError) error = NULL;
        bool populated, frozen;

        if (!group_read_events(hold->group, &populated, &frozen, NULL) || populated)
                return;
        g_warning("the keepers of the tree were killed; making others");
        if (!g_spawn_async(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, &error))
                g_warning("%s", error->message);
}

/* systemd removes the groups of a unit without a process from below. */
static void on_directory(uint32_t mask, const char *name, void *userdata) {
        Hold *hold = userdata;

        if (g_strcmp0(name, GROUP) == 0 && hold_restart_unit(hold->bus, hold->unit) < 0)
                sd_event_exit(hold->tree->event, EXIT_FAILURE);
}

/* In the hierarchy that systemd has for itself: on a legacy host it knows nothing of cgroup2's. */
static int systemds_directory(Group *tree) {
        int v1 = group_v1_fd(tree, "name=systemd");

        return v1 >= 0 ? v1 : group_fd(tree);
}

Hold *hold_new(sd_bus *bus, Tree *tree, const char *path, const char *unit, GError **error) {
        Hold *hold = g_new0(Hold, 1);

        *hold = (Hold) { bus, tree, path, unit, group_open(tree->group, GROUP, error), -1, -1 };
        if (hold->group)
                hold->events_watch = watch_add(tree->watch, group_fd(hold->group), "cgroup.events", IN_MODIFY,
                                               on_keepers, hold, error);
        if (hold->events_watch >= 0)
                hold->directory_watch = watch_add(tree->watch, systemds_directory(tree->group), ".",
                                                  IN_DELETE | IN_ONLYDIR, on_directory, hold, error);
        if (hold->directory_watch < 0) {
                hold_free(hold);
                return NULL;
        }
        on_keepers(0, NULL, hold); /* they may have been killed while no daemon was there */
        return hold;
}

void hold_free(Hold *hold) {
        if (!hold)
                return;
        watch_remove(hold->tree->watch, hold->events_watch);
        watch_remove(hold->tree->watch, hold->directory_watch);
        group_free(hold->group);
        g_free(hold);
}
