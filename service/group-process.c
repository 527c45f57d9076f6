/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "error.h"
#include "fd.h"
#include "kernel-file.h"
#include "process.h"

#define KILL_ROUNDS_MAX 64

static bool group_fail(GError **error, Group *group, const char *file, const char *value, int negative_errno) {
        return kernel_file_fail(error, group_path(group), file, value, negative_errno);
}

bool group_read_events(Group *group, bool *ret_populated, bool *ret_frozen, GError **error) {
        g_autofree char *text = NULL;
        int r = kernel_file_read(group_fd(group), "cgroup.events", &text);

        if (r < 0)
                return group_fail(error, group, "cgroup.events", NULL, r);
        *ret_populated = strstr(text, "populated 1") != NULL;
        *ret_frozen = strstr(text, "frozen 1") != NULL;
        return true;
}

static bool attach(int dir, const char *path, const Hierarchy *hierarchy, pid_t pid, GError **error) {
        g_autofree char *text = g_strdup_printf("%d", (int) pid), *where = NULL;
        int r = kernel_file_write(dir, "cgroup.procs", text);

        if (r == -ESRCH)
                return cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "process %d is gone", (int) pid);
        if (r >= 0)
                return true;
        where = g_strconcat(*hierarchy->name ? hierarchy->name : "", *hierarchy->name ? ":" : "", path, NULL);
        return kernel_file_fail(error, where, "cgroup.procs", text, r);
}

/* cgroup2's comes last: who is in the domain there has its limits and devices everywhere, and so have its children. */
bool group_attach(Group *group, pid_t pid, GError **error) {
        for (unsigned i = group_n_hierarchies(group); i-- > 0;)
                if (!attach(group_fd_at(group, i), group_path(group), group_hierarchy_at(group, i), pid, error))
                        return false;
        return true;
}

/* The path in a hierarchy, of the lines "ID:NAME:PATH" (cgroups(7)); NULL when it has none there. */
static char *path_in(const char *place, const Hierarchy *hierarchy) {
        g_auto(GStrv) lines = g_strsplit(place, "\n", -1);

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) fields = g_strsplit(*line, ":", 3);

                if (g_strv_length(fields) == 3 && g_str_equal(fields[1], hierarchy->name))
                        return g_strdup(fields[2]);
        }
        return NULL;
}

static bool return_in(const Hierarchy *hierarchy, pid_t pid, const char *path, GError **error) {
        g_autofree char *relative = NULL;
        autoclose int dir = -1;
        size_t n = g_str_equal(hierarchy->root, "/") ? 0 : strlen(hierarchy->root);

        /* A prefix of whole names: /a/bc is not below /a/b. */
        if (strncmp(path, hierarchy->root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s is not below %s", path, hierarchy->mount);
        relative = g_strconcat(".", path + n, NULL);
        dir = openat(hierarchy->fd, relative, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return kernel_file_fail(error, hierarchy->mount, relative, NULL, -errno);
        return attach(dir, path, hierarchy, pid, error);
}

bool group_return(Group *group, pid_t pid, const char *place, GError **error) {
        for (unsigned i = 0; i < group_n_hierarchies(group); i++) {
                const Hierarchy *hierarchy = group_hierarchy_at(group, i);
                g_autofree char *path = path_in(place, hierarchy);

                if (path && !return_in(hierarchy, pid, path, error))
                        return false;
        }
        return true;
}

bool group_freeze(Group *group, bool freeze, GError **error) {
        const char *text = freeze ? "1" : "0";
        int r = kernel_file_write(group_fd(group), "cgroup.freeze", text);

        return r >= 0 || group_fail(error, group, "cgroup.freeze", text, r);
}

/*
 * Of v1's hierarchies the one in which nothing is limited: with a controller's, a user could go round its limits
 * (systemd.resource-control(5), "Delegate=").
 */
static bool delegate_v1(Group *group, uid_t uid, GError **error) {
        static const char *const files[] = { ".", "cgroup.procs", "tasks" };

        for (unsigned i = 1; i < group_n_hierarchies(group); i++)
                for (size_t j = 0; group_hierarchy_at(group, i)->systemds && j < G_N_ELEMENTS(files); j++)
                        if (fchownat(group_fd_at(group, i), files[j], uid, -1, AT_SYMLINK_NOFOLLOW) < 0)
                                return group_fail(error, group, files[j], NULL, -errno);
        return true;
}

/* systemd.exec(5), "Delegate=": the directory, the kernel's list of files, and the mark that systemd sets. */
bool group_delegate(Group *group, uid_t uid, GError **error) {
        g_autofree char *text = NULL;
        g_auto(GStrv) files = NULL;
        g_autoptr(GError) cause = NULL;

        if (!g_file_get_contents("/sys/kernel/cgroup/delegate", &text, NULL, &cause))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s", cause->message);
        files = g_strsplit(text, "\n", -1);
        for (char **file = files; *file; file++)
                if (**file && fchownat(group_fd(group), *file, uid, -1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
                        return group_fail(error, group, *file, NULL, -errno);
        if (fchown(group_fd(group), uid, -1) < 0 || fsetxattr(group_fd(group), "user.delegate", "1", 1, 0) < 0)
                return group_fail(error, group, NULL, NULL, -errno);
        return delegate_v1(group, uid, error);
}

/* ---- listing ---- */

static void process_clear(void *data) {
        GroupProcess *process = data;

        g_free(process->group);
}

static GArray *processes_new(void) {
        GArray *processes = g_array_new(false, false, sizeof(GroupProcess));

        g_array_set_clear_func(processes, process_clear);
        return processes;
}

typedef struct Listing {
        GArray *processes; /* as cgroup.procs has them */
        GArray *strays;    /* those that it does not have; may be the same array */
        GHashTable *seen;
        const char *relative;
} Listing;

static void add_process(Listing *listing, GArray *processes, pid_t pid) {
        GroupProcess process = { pid, NULL };

        if (pid == 0 || !g_hash_table_add(listing->seen, GINT_TO_POINTER(pid))) /* 0: of another pid namespace */
                return;
        process.group = g_strconcat("/", listing->relative, NULL);
        g_array_append_val(processes, process);
}

static void add_listed(Listing *listing, pid_t pid) {
        add_process(listing, listing->processes, pid);
}

/*
 * A thread whose process is not listed: its main thread has ended, in a group that it was in before. cgroup.procs shows
 * processes where their main thread is, and cgroup.kill goes by that, too (css_task_iter_advance(), kernel/cgroup/cgroup.c).
 */
static void add_stray(Listing *listing, pid_t thread) {
        g_autofree char *path = NULL, *text = NULL;
        char *line;
        int pid;

        if (g_hash_table_contains(listing->seen, GINT_TO_POINTER(thread)))
                return;
        path = g_strdup_printf("/proc/%d/status", (int) thread);
        if (g_file_get_contents(path, &text, NULL, NULL) && (line = strstr(text, "\nTgid:")) &&
            sscanf(line, "\nTgid: %d", &pid) == 1)
                add_process(listing, listing->strays, pid);
}

/* Calls for each number in a file of numbers. */
static int each_number(int dir, const char *file, void (*add)(Listing *listing, pid_t number), Listing *listing) {
        g_autofree char *text = NULL;
        int r = kernel_file_read_list(dir, file, &text);

        for (char *line = text, *end; r >= 0 && *line; line = *end ? end + 1 : end) {
                pid_t number = g_ascii_strtoll(line, &end, 10);

                if (end == line)
                        break;
                add(listing, number);
        }
        return r;
}

/* Adds the processes of one directory, and the directories below it to `todo`. */
static int list_directory(int top, const char *threads, Listing *listing, GPtrArray *todo) {
        autoclose int dir = kernel_file_open_directory(top, *listing->relative ? listing->relative : ".");
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        int r = dir < 0 ? dir : each_number(dir, "cgroup.procs", add_listed, listing);

        if (r < 0 && r != -EOPNOTSUPP) /* a threaded group: its processes are its parents' (cgroup-v2.rst, "Threads") */
                return r;
        each_number(dir, threads, add_stray, listing);
        r = kernel_file_list_directories(dir, names, false);
        for (unsigned i = 0; i < names->len; i++)
                g_ptr_array_add(todo, g_build_filename(listing->relative, names->pdata[i], NULL));
        return r;
}

/* What is in the group and beneath, in one hierarchy. */
static bool list_all(Group *group, unsigned hierarchy, GArray *processes, GArray *strays, GError **error) {
        const char *threads = hierarchy == 0 ? "cgroup.threads" : "tasks"; /* v1's name */
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        g_autoptr(GPtrArray) todo = g_ptr_array_new_with_free_func(g_free);

        g_ptr_array_add(todo, g_strdup(""));
        for (unsigned i = 0; i < todo->len; i++) {
                Listing listing = { processes, strays, seen, todo->pdata[i] };
                int r = list_directory(group_fd_at(group, hierarchy), threads, &listing, todo);

                if (r == -ENOENT || r == -ENODEV) /* removed by the tenant meanwhile */
                        continue;
                if (r < 0)
                        return group_fail(error, group, todo->pdata[i], NULL, r);
        }
        return true;
}

GArray *group_processes(Group *group, GError **error) {
        g_autoptr(GArray) processes = processes_new();

        return list_all(group, 0, processes, processes, error) ? g_steal_pointer(&processes) : NULL;
}

/* ---- killing ---- */

/* Its number may be somebody else's by now: the pidfd is opened first, and then looked where its process is. */
static Process *kill_stray(Group *group, const Hierarchy *hierarchy, pid_t pid) {
        g_autoptr(Process) process = process_open(pid, NULL);
        g_autofree char *place = process ? process_place(process, NULL) : NULL;
        g_autofree char *path = place ? path_in(place, hierarchy) : NULL;

        if (!path || !group_contains(group, path) ||
            syscall(SYS_pidfd_send_signal, process->fd, SIGKILL, NULL, 0) < 0)
                return NULL;
        return g_steal_pointer(&process);
}

/* Those that cgroup.kill does not find, and that were not seen yet; how many, or -1. */
static int kill_unlisted(Group *group, GHashTable *seen, GError **error) {
        g_autoptr(GArray) processes = processes_new(), strays = processes_new();
        int n = 0;

        if (!list_all(group, 0, processes, strays, error))
                return -1;
        for (unsigned i = 0; i < strays->len; i++) {
                pid_t pid = g_array_index(strays, GroupProcess, i).pid;

                if (!g_hash_table_add(seen, GINT_TO_POINTER(pid)))
                        continue;
                process_free(kill_stray(group, group_hierarchy_at(group, 0), pid));
                n++;
        }
        return n;
}

/* What is killed forks no more. Whatever became a stray, or was forked by one, before that is met in the next round. */
bool group_kill(Group *group, GError **error) {
        g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
        int n = 1;

        for (unsigned round = 0; n > 0 && round < KILL_ROUNDS_MAX; round++) {
                int r = kernel_file_write(group_fd(group), "cgroup.kill", "1");

                if (r < 0)
                        return group_fail(error, group, "cgroup.kill", "1", r);
                n = kill_unlisted(group, seen, error);
        }
        return n >= 0;
}

bool group_kill_strays(Group *group, Process **ret_stray, GError **error) {
        g_autoptr(Process) stray = NULL;

        for (unsigned i = 1; i < group_n_hierarchies(group); i++) {
                g_autoptr(GArray) processes = processes_new();

                if (!list_all(group, i, processes, processes, error))
                        return false;
                for (unsigned j = 0; j < processes->len; j++) {
                        Process *killed = kill_stray(group, group_hierarchy_at(group, i),
                                                     g_array_index(processes, GroupProcess, j).pid);

                        if (stray)
                                process_free(killed);
                        else
                                stray = killed;
                }
        }
        *ret_stray = g_steal_pointer(&stray);
        return true;
}
