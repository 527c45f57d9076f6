/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * cordond: puts the parts together, and decides when it is time to go.
 */
#include <errno.h>
#include <getopt.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "authority.h"
#include "bus-error.h"
#include "edge.h"
#include "error.h"
#include "hold.h"
#include "tree.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define IDLE_DEFAULT_SEC 30
#define TREE_DEFAULT "cordon"

#define CONFIGURATION SYSCONFDIR "/cordon/cordon.conf"

typedef struct Options {
        const char *tree;
        const char *unit;    /* that holds the tree, or NULL */
        const char *configuration;
        GuardPolicy guard;
        uint64_t idle_usec; /* UINT64_MAX: never */
} Options;

typedef struct Daemon {
        Options options;
        sd_event *event;
        sd_bus *bus;
        Authority *authority;
        Edge *edge;
        Tree *tree;
        Hold *hold;
        sd_event_source *idle_timer;
        uint64_t last_message_usec;
} Daemon;

/* ---- leaving when idle ---- */

static int on_name_again(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        if (sd_bus_message_is_method_error(message, NULL))
                g_warning("the name is somebody else's by now; finishing what is open");
        return 0;
}

/*
 * The bus daemon has taken the name back: every call it routed here before has been dispatched, and the next one
 * starts a new daemon. One that came in between and is not answered yet keeps this one alive.
 */
static int on_name_released(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Daemon *daemon = userdata;

        if (edge_is_idle(daemon->edge) && tree_is_idle(daemon->tree))
                return sd_event_exit(daemon->event, EXIT_SUCCESS);
        sd_notify(false, "READY=1");
        return sd_bus_request_name_async(daemon->bus, NULL, BUS_NAME, 0, on_name_again, daemon);
}

static int on_idle_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Daemon *daemon = userdata;
        uint64_t due = daemon->last_message_usec + daemon->options.idle_usec, now;
        int r;

        sd_event_now(daemon->event, CLOCK_MONOTONIC, &now);
        if (now >= due) {
                due = now + daemon->options.idle_usec;
                if (edge_is_idle(daemon->edge) && tree_is_idle(daemon->tree)) {
                        /* So that systemd queues a start instead of taking this one for alive. */
                        sd_notify(false, "STOPPING=1");
                        return sd_bus_release_name_async(daemon->bus, NULL, BUS_NAME, on_name_released, daemon);
                }
        }
        r = sd_event_source_set_time(source, due);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Daemon *daemon = userdata;

        sd_event_now(daemon->event, CLOCK_MONOTONIC, &daemon->last_message_usec);
        return 0;
}

static int watch_idle(Daemon *daemon) {
        int r = sd_bus_add_filter(daemon->bus, NULL, on_message, daemon);

        if (r < 0 || daemon->options.idle_usec == UINT64_MAX)
                return r;
        sd_event_now(daemon->event, CLOCK_MONOTONIC, &daemon->last_message_usec);
        return sd_event_add_time(daemon->event, &daemon->idle_timer, CLOCK_MONOTONIC,
                                 daemon->last_message_usec + daemon->options.idle_usec, 0, on_idle_timer, daemon);
}

/* ---- starting ---- */

/* Each group is a descriptor. */
static void raise_descriptor_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
                return;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
                g_warning("cannot raise RLIMIT_NOFILE: %s", g_strerror(errno));
}

static int watch_signals(sd_event *event) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t mask;

        sigemptyset(&mask);
        for (size_t i = 0; i < G_N_ELEMENTS(signals); i++)
                sigaddset(&mask, signals[i]);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
                int r = sd_event_add_signal(event, NULL, signals[i], NULL, NULL); /* exits the loop */

                if (r < 0)
                        return r;
        }
        return 0;
}

static int on_name_acquired(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Daemon *daemon = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(message);
        uint32_t result = 0;

        if (!error)
                sd_bus_message_read(message, "u", &result);
        if (result != 1) { /* DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER */
                g_critical("cannot own %s: %s", BUS_NAME,
                           error ? error->message : "another daemon has it and will not let it go");
                return sd_event_exit(daemon->event, EXIT_FAILURE);
        }
        sd_notify(false, "READY=1");
        return 0;
}

static int start(Daemon *daemon) {
        const char *unit = daemon->options.unit;
        g_autoptr(GError) error = NULL;
        int r = sd_event_default(&daemon->event);

        if (r >= 0)
                r = watch_signals(daemon->event);
        if (r >= 0)
                r = sd_bus_open_system(&daemon->bus);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(daemon->bus, true);
        if (r >= 0)
                r = sd_bus_attach_event(daemon->bus, daemon->event, 0);
        if (r >= 0)
                r = authority_new(&daemon->authority, daemon->bus);
        if (r < 0) {
                g_critical("cannot connect to the system bus: %s", g_strerror(-r));
                return r;
        }
        daemon->edge = edge_new(daemon->bus, daemon->authority);
        /* A group of systemd's is systemd's to make. */
        daemon->tree = tree_new(daemon->event, daemon->options.tree, !strchr(daemon->options.tree, '/'),
                                daemon->options.guard, &edge_listener, daemon->edge, &error);
        if (!daemon->tree && unit && g_error_matches(error, CORDON_ERROR, CORDON_ERROR_NO_SUCH_TREE))
                return hold_restart_unit(daemon->bus, unit);
        if (daemon->tree && unit)
                daemon->hold = hold_new(daemon->bus, daemon->tree, daemon->options.tree, unit, &error);
        if (error) {
                g_critical("%s", error->message);
                return -EIO;
        }
        r = edge_export(daemon->edge, daemon->tree);
        if (r >= 0)
                r = watch_idle(daemon);
        if (r >= 0) /* not queueing: a name that is taken is an error, not something to wait for unseen */
                r = sd_bus_request_name_async(daemon->bus, NULL, BUS_NAME, 0, on_name_acquired, daemon);
        if (r < 0)
                g_critical("cannot serve: %s", g_strerror(-r));
        return r;
}

static void stop(Daemon *daemon) {
        sd_event_source_disable_unref(daemon->idle_timer);
        hold_free(daemon->hold);
        tree_free(daemon->tree);
        authority_free(daemon->authority);
        edge_free(daemon->edge);
        sd_bus_flush_close_unref(daemon->bus);
        sd_event_unref(daemon->event);
}

/* ---- options ---- */

static void print_help(void) {
        printf("Usage: cordond [OPTION…]\n\n"
               "Serves %s on the system bus: sealed driver groups, and domain groups beneath them.\n\n"
               "  --tree PATH      the group that holds the drivers, below the cgroup2 mount (default: %s);\n"
               "                   made if missing and directly below the mount\n"
               "  --unit NAME      the systemd unit that makes and holds that group\n"
               "  --idle SECONDS   exit when idle that long; 0 means never (default: %d)\n"
               "  --config FILE    read this instead of %s\n"
               "  --help           show this\n"
               "  --version        show the version\n\n"
               "See cordond(8).\n", BUS_NAME, TREE_DEFAULT, IDLE_DEFAULT_SEC, CONFIGURATION);
}

static bool parse_seconds(const char *text, uint64_t *ret_usec) {
        g_autoptr(GError) error = NULL;
        guint64 seconds;

        if (!g_ascii_string_to_unsigned(text, 10, 0, 1000000, &seconds, &error)) {
                fprintf(stderr, "cordond: --idle %s: must be seconds, 0 to 1000000\n", text);
                return false;
        }
        *ret_usec = seconds == 0 ? UINT64_MAX : seconds * USEC_PER_SEC;
        return true;
}

/* Returns a positive value to go on, else what main() returns, negative for failure. */
static int parse_options(int argc, char **argv, Options *options) {
        enum { OPTION_TREE = 1000, OPTION_UNIT, OPTION_IDLE, OPTION_CONFIG, OPTION_HELP, OPTION_VERSION };
        static const struct option known[] = {
                { "tree", required_argument, NULL, OPTION_TREE },
                { "unit", required_argument, NULL, OPTION_UNIT },
                { "idle", required_argument, NULL, OPTION_IDLE },
                { "config", required_argument, NULL, OPTION_CONFIG },
                { "help", no_argument, NULL, OPTION_HELP },
                { "version", no_argument, NULL, OPTION_VERSION },
                {},
        };
        int option;

        while ((option = getopt_long(argc, argv, "", known, NULL)) >= 0)
                switch (option) {
                case OPTION_TREE:
                        options->tree = optarg;
                        break;
                case OPTION_UNIT:
                        options->unit = optarg;
                        break;
                case OPTION_IDLE:
                        if (!parse_seconds(optarg, &options->idle_usec))
                                return -1;
                        break;
                case OPTION_CONFIG:
                        options->configuration = optarg;
                        break;
                case OPTION_HELP:
                        print_help();
                        return 0;
                case OPTION_VERSION:
                        printf("cordond %s\n", CORDON_VERSION);
                        return 0;
                default:
                        return -1;
                }
        if (optind < argc) {
                fprintf(stderr, "cordond: unexpected argument \"%s\"\n", argv[optind]);
                return -1;
        }
        return 1;
}

/* A wrong configuration is no reason to guess: the daemon does not start. */
static bool read_configuration(Options *options) {
        const char *path = options->configuration ? options->configuration : CONFIGURATION;
        g_autoptr(GKeyFile) file = g_key_file_new();
        g_autoptr(GError) error = NULL;
        g_autofree char *guard = NULL;

        if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &error)) {
                if (!options->configuration && g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
                        return true;
                g_critical("%s: %s", path, error->message);
                return false;
        }
        guard = g_key_file_get_string(file, "Cordon", "Guard", NULL);
        if (guard && !guard_policy_parse(guard, &options->guard)) {
                g_critical("%s: Guard=%s: must be auto, require or off", path, guard);
                return false;
        }
        return true;
}

int main(int argc, char **argv) {
        Daemon daemon = { .options = { .tree = TREE_DEFAULT, .idle_usec = IDLE_DEFAULT_SEC * USEC_PER_SEC } };
        int r = parse_options(argc, argv, &daemon.options);

        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
        if (!read_configuration(&daemon.options))
                return EXIT_FAILURE;
        raise_descriptor_limit();
        r = start(&daemon);
        if (r >= 0)
                r = sd_event_loop(daemon.event);
        stop(&daemon);
        return r < 0 ? EXIT_FAILURE : r;
}
