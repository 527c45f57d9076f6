/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "seal-map.h"

#define N_LIMITS 5
#define SYSTEMD "org.freedesktop.systemd1"
#define SYSTEMD_PATH "/org/freedesktop/systemd1"
#define SYSTEMD_MANAGER SYSTEMD ".Manager"

static const struct {
        const char *property;
        uint64_t value;
        const char *file, *text;
} limits[] = {
        { "CPUWeight", 50, "cpu.weight", "50" },
        { "CPUQuotaPerSecUSec", 500000, "cpu.max", "50000 100000" },
        { "MemoryHigh", 1 << 28, "memory.high", "268435456" },
        { "MemoryMax", 1 << 29, "memory.max", "536870912" },
        { "TasksMax", 512, "pids.max", "512" },
        { "MaxDepth", 8, "cgroup.max.depth", "8" },
        { "MaxDescendants", 64, "cgroup.max.descendants", "64" },
};

static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                       "/dev/urandom", "/dev/tty", "/dev/ptmx" };

/* The first five for which there is a file: where cgroup2 has few controllers, there are fewer. */
static unsigned choose_limits(int dir, size_t ret_chosen[static N_LIMITS]) {
        unsigned n = 0;

        for (size_t i = 0; i < G_N_ELEMENTS(limits) && n < N_LIMITS; i++)
                if (faccessat(dir, limits[i].file, W_OK, 0) == 0)
                        ret_chosen[n++] = i;
        return n;
}

typedef struct Setting {
        sd_bus *bus;
        const char *driver;
        int dir, map; /* of the driver */
        size_t limits[N_LIMITS];
        unsigned n_limits;
        char *bundle;
} Setting;

/* ---- Cordon ---- */

static void append_limits(sd_bus_message *message, const Setting *setting) {
        for (unsigned i = 0; i < setting->n_limits; i++)
                must(sd_bus_message_append(message, "(sv)", limits[setting->limits[i]].property, "t",
                                           limits[setting->limits[i]].value));
}

static sd_bus_message *create_message(const Setting *setting, const char *name, pid_t pid) {
        sd_bus_message *message = bench_message(setting->bus, CORDON_PATH, CORDON, "CreateDomain");

        must(sd_bus_message_append(message, "ss", setting->driver, name));
        must(sd_bus_message_open_container(message, 'a', "{sv}"));
        for (unsigned i = 0; i < setting->n_limits; i++)
                must(sd_bus_message_append(message, "{sv}", limits[setting->limits[i]].property, "t",
                                           limits[setting->limits[i]].value));
        must(sd_bus_message_open_container(message, 'e', "sv"));
        must(sd_bus_message_append(message, "s", "DeviceAllow"));
        must(sd_bus_message_open_container(message, 'v', "a(ss)"));
        must(sd_bus_message_open_container(message, 'a', "(ss)"));
        for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
                must(sd_bus_message_append(message, "(ss)", devices[i], "rwm"));
        for (int i = 0; i < 3; i++)
                must(sd_bus_message_close_container(message));
        if (pid > 0)
                must(sd_bus_message_append(message, "{sv}", "PIDs", "au", 1, (uint32_t) pid));
        must(sd_bus_message_close_container(message));
        return message;
}

static void cordon_create(const Setting *setting, const char *name) {
        pid_t pid = bench_spawn_sleeper();
        sd_bus_message *message = bench_message(setting->bus, CORDON_PATH, CORDON, "RemoveDomain");

        bench_sample("create", bench_call(setting->bus, create_message(setting, name, pid)));
        bench_end(pid);
        must(sd_bus_message_append(message, "ssb", setting->driver, name, true));
        bench_call(setting->bus, message);
}

/* ---- the kernel alone ---- */

static void bare_create(const Setting *setting, const char *name) {
        pid_t pid = bench_spawn_sleeper();
        g_autofree char *number = g_strdup_printf("%d", (int) pid);
        uint64_t start = bench_now(), written, ruled;
        int dir;

        must(mkdirat(setting->dir, name, 0755));
        dir = must(openat(setting->dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        for (unsigned i = 0; i < setting->n_limits; i++)
                bench_write(dir, limits[setting->limits[i]].file, limits[setting->limits[i]].text);
        written = bench_now();
        seal_map_set(setting->map, dir, G_N_ELEMENTS(devices));
        ruled = bench_now();
        bench_write(dir, "cgroup.procs", number);
        bench_sample("kernel", bench_now() - start);
        bench_sample("kernel-group-and-limits", written - start);
        bench_sample("kernel-rules", ruled - written);
        bench_sample("kernel-attach", bench_now() - ruled);

        bench_end(pid);
        seal_map_forget(setting->map, dir, G_N_ELEMENTS(devices));
        close(dir);
        must(unlinkat(setting->dir, name, AT_REMOVEDIR));
}

/* ---- systemd ---- */

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        const char *path, **job = userdata;
        uint32_t id;

        must(sd_bus_message_read(message, "uo", &id, &path));
        if (*job && strcmp(path, *job) == 0)
                *job = NULL;
        return 0;
}

static sd_bus_message *scope_message(const Setting *setting, const char *unit, pid_t pid) {
        sd_bus_message *message = NULL;

        must(sd_bus_message_new_method_call(setting->bus, &message, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER,
                                            "StartTransientUnit"));
        must(sd_bus_message_append(message, "ss", unit, "fail"));
        must(sd_bus_message_open_container(message, 'a', "(sv)"));
        append_limits(message, setting);
        must(sd_bus_message_append(message, "(sv)", "DevicePolicy", "s", "strict"));
        must(sd_bus_message_open_container(message, 'r', "sv"));
        must(sd_bus_message_append(message, "s", "DeviceAllow"));
        must(sd_bus_message_open_container(message, 'v', "a(ss)"));
        must(sd_bus_message_open_container(message, 'a', "(ss)"));
        for (size_t i = 0; i < G_N_ELEMENTS(devices); i++)
                must(sd_bus_message_append(message, "(ss)", devices[i], "rwm"));
        for (int i = 0; i < 3; i++)
                must(sd_bus_message_close_container(message));
        must(sd_bus_message_append(message, "(sv)", "PIDs", "au", 1, (uint32_t) pid));
        must(sd_bus_message_close_container(message));
        must(sd_bus_message_append(message, "a(sa(sv))", 0));
        return message;
}

/* The job's end is waited for; without that nothing is in force. */
static void scope_job(const Setting *setting, sd_bus_message *message, const char **job) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        int r = sd_bus_call(setting->bus, message, 0, &error, &reply);
        const char *path;

        if (r < 0)
                bench_fail(sd_bus_message_get_member(message), 0, error.message, r);
        must(sd_bus_message_read(reply, "o", &path));
        *job = path;
        while (*job) {
                while (must(sd_bus_process(setting->bus, NULL)) > 0)
                        ;
                if (*job)
                        must(sd_bus_wait(setting->bus, UINT64_MAX));
        }
        sd_bus_message_unref(reply);
        sd_bus_message_unref(message);
}

static void scope_create(const Setting *setting, const char *name, const char **job) {
        g_autofree char *unit = g_strdup_printf("cordon-bench-%s.scope", name);
        pid_t pid = bench_spawn_sleeper();
        sd_bus_message *message = scope_message(setting, unit, pid), *stop = NULL;
        uint64_t start = bench_now();

        scope_job(setting, message, job);
        bench_sample("scope", bench_now() - start);

        must(sd_bus_message_new_method_call(setting->bus, &stop, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "StopUnit"));
        must(sd_bus_message_append(stop, "ss", unit, "fail"));
        scope_job(setting, stop, job);
        bench_end(pid);
}

/* ---- programs ---- */

static uint64_t run(const char *const *argv) {
        uint64_t start = bench_now();
        pid_t pid;
        int status;

        must(-posix_spawnp(&pid, argv[0], NULL, NULL, (char **) argv, environ));
        must(waitpid(pid, &status, 0));
        if (status != 0)
                bench_fail(argv[0], 0, argv[1], -EPROTO);
        return bench_now() - start;
}

static void crun_create(const Setting *setting, const char *name) {
        const char *const create[] = { "crun", "create", "--bundle", setting->bundle, name, NULL };
        const char *const delete[] = { "crun", "delete", "--force", name, NULL };

        bench_sample("crun", run(create));
        run(delete);
}

static void tools_create(const Setting *setting, const char *name) {
        g_autofree char *group = g_strdup_printf("cpu,memory,pids:/cordon-bench-%s", name);
        const char *const create[] = { "cgcreate", "-g", group, NULL };
        const char *const delete[] = { "cgdelete", "-g", group, NULL };
        g_autoptr(GPtrArray) set = g_ptr_array_new_with_free_func(g_free);
        uint64_t ns = run(create);

        g_ptr_array_add(set, g_strdup("cgset"));
        for (unsigned i = 0; i < setting->n_limits; i++) {
                g_ptr_array_add(set, g_strdup("-r"));
                g_ptr_array_add(set, g_strdup_printf("%s=%s", limits[setting->limits[i]].file,
                                                     limits[setting->limits[i]].text));
        }
        g_ptr_array_add(set, g_strdup(strchr(group, '/') + 1));
        g_ptr_array_add(set, NULL);
        ns += run((const char *const *) set->pdata);
        bench_sample("cgroup-tools", ns);
        run(delete);
}

/* ---- commands ---- */

static bool has(int argc, char **argv, const char *word) {
        for (int i = 0; i < argc; i++)
                if (strcmp(argv[i], word) == 0)
                        return true;
        return false;
}

static Setting setting_of(const char *driver, const char *directory) {
        Setting setting = { .bus = bench_connect(), .driver = driver };

        setting.dir = must(open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        setting.map = seal_map_open(setting.dir);
        setting.n_limits = choose_limits(setting.dir, setting.limits);
        return setting;
}

int bench_create(int argc, char **argv) {
        Setting setting = setting_of(argv[0], argv[1]);
        bool scope = has(argc, argv, "scope"), tools = has(argc, argv, "cgroup-tools"), apart = has(argc, argv, "apart");
        const char *job = NULL;

        for (int i = 3; i + 1 < argc; i++)
                if (strcmp(argv[i], "crun") == 0)
                        setting.bundle = argv[i + 1];
        if (scope)
                must(sd_bus_match_signal(setting.bus, NULL, SYSTEMD, SYSTEMD_PATH, SYSTEMD_MANAGER, "JobRemoved",
                                         on_job_removed, &job));
        for (int i = 0; i < atoi(argv[2]); i++) {
                g_autofree char *name = g_strdup_printf("bench%d", i);

                if (apart)
                        bench_pause();
                cordon_create(&setting, name);
                bench_sample("ping", bench_ping(setting.bus));
                if (apart)
                        bench_pause();
                bare_create(&setting, name);
                if (scope) {
                        bench_pause();
                        scope_create(&setting, name, &job);
                }
                if (setting.bundle) {
                        bench_pause();
                        crun_create(&setting, name);
                }
                if (tools)
                        tools_create(&setting, name);
        }
        printf("limits %u 0 1\n", setting.n_limits);
        return EXIT_SUCCESS;
}

/* Domains that stay, without a process. */
int bench_fill(int argc, char **argv) {
        Setting setting = { .bus = bench_connect(), .driver = argv[0] };

        for (int i = atoi(argv[1]); i < atoi(argv[2]); i++) {
                g_autofree char *name = g_strdup_printf("fill%d", i);

                bench_call(setting.bus, create_message(&setting, name, 0));
        }
        return EXIT_SUCCESS;
}
