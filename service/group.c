/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "error.h"
#include "fd.h"
#include "host.h"
#include "kernel-file.h"

#define ATTRIBUTE_PREFIX "trusted.cordon."

struct Group {
        char *name; /* in the parent's directory; NULL for the root of the tree */
        char *path;
        int parent_fd; /* the parent's, which outlives it; -1 for the root of the tree */
        int fd;
        uint64_t id;
        unsigned level;
};

static bool group_fail(GError **error, Group *group, const char *file, const char *value, int negative_errno) {
        return kernel_file_fail(error, group->path, file, value, negative_errno);
}

/* ---- opening, making, removing ---- */

static unsigned path_level(const char *path) {
        g_auto(GStrv) words = g_strsplit(path, "/", -1);
        unsigned level = 0;

        for (char **word = words; *word; word++)
                if (**word)
                        level++;
        return level;
}

static Group *group_new(int parent_fd, char *path, const char *name, int fd) {
        Group *group = g_new0(Group, 1);
        struct stat st;

        group->parent_fd = parent_fd;
        group->path = path;
        group->name = g_strdup(name);
        group->fd = fd;
        group->level = path_level(path);
        /* The id that BPF helpers return is the inode number (kernfs, 64-bit kernels). */
        if (fstat(fd, &st) == 0)
                group->id = st.st_ino;
        return group;
}

void group_free(Group *group) {
        if (!group)
                return;
        fd_close(&group->fd);
        g_free(group->name);
        g_free(group->path);
        g_free(group);
}

/* In a cgroup namespace of its own the daemon cannot know its groups' levels, which the seal needs. */
static bool in_initial_namespace(void) {
        g_autofree char *link = g_file_read_link("/proc/self/ns/cgroup", NULL);

        return g_strcmp0(link, "cgroup:[4026531835]") == 0; /* PROC_CGROUP_INIT_INO, include/linux/proc_ns.h */
}

static int open_path(int mount, const char *path, bool create) {
        g_auto(GStrv) words = g_strsplit(path, "/", -1);
        autoclose int dir = fcntl(mount, F_DUPFD_CLOEXEC, 3);

        for (char **word = words; *word; word++) {
                int next;

                if (!**word)
                        continue;
                next = kernel_file_open_directory(dir, *word);
                if (next == -ENOENT && create && mkdirat(dir, *word, 0755) == 0)
                        next = kernel_file_open_directory(dir, *word);
                if (next < 0)
                        return next;
                fd_close(&dir);
                dir = next;
        }
        return fd_steal(&dir);
}

Group *group_open_root(const char *path, bool create, GError **error) {
        g_autoptr(Host) host = host_detect(error);
        g_autofree char *full = NULL;
        autoclose int mount = -1;
        int fd;

        if (!host)
                return NULL;
        if (!host->mount) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "no cgroup2 file system is mounted");
                return NULL;
        }
        if (!in_initial_namespace()) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED,
                            "this is a cgroup namespace of its own; Cordon serves the host's");
                return NULL;
        }
        mount = open(host->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
        fd = mount < 0 ? -errno : open_path(mount, path, create);
        if (fd == -ENOENT)
                cordon_fail(error, CORDON_ERROR_NO_SUCH_TREE, "there is no group %s below %s", path, host->mount);
        else if (fd < 0)
                kernel_file_fail(error, host->mount, path, NULL, fd);
        if (fd < 0)
                return NULL;
        full = g_build_path("/", "/", host->mount_root, path, NULL);
        return group_new(-1, g_steal_pointer(&full), NULL, fd);
}

const char *group_hierarchy(void) {
        g_autoptr(Host) host = host_detect(NULL);

        return host ? host->hierarchy : "legacy";
}

Group *group_open(Group *parent, const char *name, GError **error) {
        int fd = kernel_file_open_directory(parent->fd, name);

        if (fd < 0) {
                group_fail(error, parent, name, NULL, fd);
                return NULL;
        }
        return group_new(parent->fd, g_strconcat(parent->path, "/", name, NULL), name, fd);
}

Group *group_make(Group *parent, const char *name, GError **error) {
        Group *group;

        if (mkdirat(parent->fd, name, 0755) < 0) {
                if (errno == EEXIST)
                        cordon_fail(error, CORDON_ERROR_ALREADY_EXISTS, "group %s/%s exists already", parent->path, name);
                else
                        cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: cannot make group \"%s\": %s",
                                    parent->path, name, g_strerror(errno));
                return NULL;
        }
        group = group_open(parent, name, error);
        if (!group)
                unlinkat(parent->fd, name, AT_REMOVEDIR);
        return group;
}

static int list_directories(int dir, GPtrArray *ret_names, bool only_first) {
        autoclose int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct dirent *entry;
        DIR *stream;

        if (fd < 0)
                return -errno;
        stream = fdopendir(fd);
        if (!stream)
                return -errno;
        fd_steal(&fd);
        for (;;) {
                errno = 0;
                entry = readdir(stream);
                if (!entry)
                        break;
                if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                g_ptr_array_add(ret_names, g_strdup(entry->d_name));
                if (only_first)
                        break;
        }
        int r = -errno;
        closedir(stream);
        return r;
}

/*
 * Removes what is below `top`, deepest first. A tenant may nest its groups as deep as it likes, so this holds one
 * descriptor and the names on the way, no stack frame or descriptor for each level.
 */
static int remove_children(int top) {
        g_autoptr(GPtrArray) way = g_ptr_array_new_with_free_func(g_free);
        autoclose int dir = fcntl(top, F_DUPFD_CLOEXEC, 3);

        for (;;) {
                unsigned depth = way->len;
                int r = list_directories(dir, way, true), next;

                if (r < 0)
                        return r;
                if (way->len == depth && depth == 0)
                        return 0;
                next = way->len > depth ? kernel_file_open_directory(dir, way->pdata[depth])
                                        : openat(dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (next < 0)
                        return way->len > depth ? next : -errno;
                fd_close(&dir);
                dir = next;
                if (way->len == depth) {
                        if (unlinkat(dir, way->pdata[depth - 1], AT_REMOVEDIR) < 0)
                                return -errno;
                        g_ptr_array_set_size(way, depth - 1);
                }
        }
}

bool group_remove(Group *group, GError **error) {
        int r = unlinkat(group->parent_fd, group->name, AT_REMOVEDIR) < 0 ? -errno : 0;

        if (r == -EBUSY) {
                r = remove_children(group->fd);
                if (r == 0 && unlinkat(group->parent_fd, group->name, AT_REMOVEDIR) < 0)
                        r = -errno;
        }
        if (r == -EBUSY)
                return cordon_fail(error, CORDON_ERROR_BUSY, "%s holds processes", group->path);
        if (r < 0 && r != -ENOENT)
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: cannot remove the group: %s", group->path,
                                   g_strerror(-r));
        return true;
}

void group_drop_unfinished(Group *group) {
        g_autoptr(GError) cause = NULL;

        if (group_remove(group, &cause))
                g_message("%s was never finished; removed", group->path);
        else
                g_warning("%s was never finished and stays: %s", group->path, cause->message);
}

GPtrArray *group_children(Group *group, GError **error) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        int r = list_directories(group->fd, names, false);

        if (r < 0) {
                group_fail(error, group, NULL, NULL, r);
                return NULL;
        }
        return g_steal_pointer(&names);
}

const char *group_path(Group *group) {
        return group->path;
}

uint64_t group_id(Group *group) {
        return group->id;
}

unsigned group_level(Group *group) {
        return group->level;
}

int group_fd(Group *group) {
        return group->fd;
}

/* ---- controllers ---- */

GStrv group_controllers(Group *group, GError **error) {
        g_autofree char *text = NULL;
        int r = kernel_file_read(group->fd, "cgroup.controllers", &text);

        if (r < 0) {
                group_fail(error, group, "cgroup.controllers", NULL, r);
                return NULL;
        }
        g_strchomp(text);
        return *text ? g_strsplit(text, " ", -1) : g_new0(char *, 1);
}

bool group_enable_controllers(Group *group, GError **error) {
        g_auto(GStrv) controllers = group_controllers(group, error);
        g_autoptr(GString) text = g_string_new(NULL);
        int r;

        if (!controllers)
                return false;
        for (char **controller = controllers; *controller; controller++)
                g_string_append_printf(text, "%s+%s", text->len > 0 ? " " : "", *controller);
        if (text->len == 0)
                return true;
        r = kernel_file_write(group->fd, "cgroup.subtree_control", text->str);
        return r >= 0 || group_fail(error, group, "cgroup.subtree_control", text->str, r);
}

/* ---- processes ---- */

bool group_read_events(Group *group, bool *ret_populated, bool *ret_frozen, GError **error) {
        g_autofree char *text = NULL;
        int r = kernel_file_read(group->fd, "cgroup.events", &text);

        if (r < 0)
                return group_fail(error, group, "cgroup.events", NULL, r);
        *ret_populated = strstr(text, "populated 1") != NULL;
        *ret_frozen = strstr(text, "frozen 1") != NULL;
        return true;
}

static bool attach(int dir, const char *path, pid_t pid, GError **error) {
        g_autofree char *text = g_strdup_printf("%d", (int) pid);
        int r = kernel_file_write(dir, "cgroup.procs", text);

        if (r == -ESRCH)
                return cordon_fail(error, CORDON_ERROR_NO_SUCH_PROCESS, "process %d is gone", (int) pid);
        return r >= 0 || kernel_file_fail(error, path, "cgroup.procs", text, r);
}

bool group_attach(Group *group, pid_t pid, GError **error) {
        return attach(group->fd, group->path, pid, error);
}

bool group_return(pid_t pid, const char *path, GError **error) {
        g_autoptr(Host) host = host_detect(error);
        g_autofree char *full = NULL;
        autoclose int dir = -1;
        size_t n;

        if (!host)
                return false;
        if (!host->mount)
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "no cgroup2 file system is mounted");
        /* A prefix of whole names: /a/bc is not below /a/b. */
        n = strcmp(host->mount_root, "/") == 0 ? 0 : strlen(host->mount_root);
        if (strncmp(path, host->mount_root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s is not below %s", path, host->mount);
        full = g_build_filename(host->mount, path + n, NULL);
        dir = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return attach(dir, path, pid, error);
}

bool group_kill(Group *group, GError **error) {
        int r = kernel_file_write(group->fd, "cgroup.kill", "1");

        return r >= 0 || group_fail(error, group, "cgroup.kill", "1", r);
}

bool group_freeze(Group *group, bool freeze, GError **error) {
        const char *text = freeze ? "1" : "0";
        int r = kernel_file_write(group->fd, "cgroup.freeze", text);

        return r >= 0 || group_fail(error, group, "cgroup.freeze", text, r);
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
                if (**file && fchownat(group->fd, *file, uid, -1, AT_SYMLINK_NOFOLLOW) < 0 && errno != ENOENT)
                        return group_fail(error, group, *file, NULL, -errno);
        if (fchown(group->fd, uid, -1) < 0 || fsetxattr(group->fd, "user.delegate", "1", 1, 0) < 0)
                return group_fail(error, group, NULL, NULL, -errno);
        return true;
}

static void process_clear(void *data) {
        GroupProcess *process = data;

        g_free(process->group);
}

/* Adds the processes of one directory, and the directories below it to `todo`. */
static int list_processes(Group *group, const char *relative, GPtrArray *todo, GArray *processes) {
        autoclose int dir = kernel_file_open_directory(group->fd, *relative ? relative : ".");
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *text = NULL;
        int r = dir < 0 ? dir : kernel_file_read(dir, "cgroup.procs", &text);

        if (r == -EOPNOTSUPP) /* a threaded group: its processes are its parents' (cgroup-v2.rst, "Threads") */
                text = g_strdup("");
        else if (r < 0)
                return r;
        for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
                GroupProcess process = { .pid = g_ascii_strtoll(line, &end, 10) };

                if (end == line)
                        break;
                if (process.pid == 0) /* of another pid namespace */
                        continue;
                process.group = g_strconcat("/", relative, NULL);
                g_array_append_val(processes, process);
        }
        r = list_directories(dir, names, false);
        for (unsigned i = 0; i < names->len; i++)
                g_ptr_array_add(todo, g_build_filename(relative, names->pdata[i], NULL));
        return r;
}

GArray *group_processes(Group *group, GError **error) {
        g_autoptr(GArray) processes = g_array_new(false, false, sizeof(GroupProcess));
        g_autoptr(GPtrArray) todo = g_ptr_array_new_with_free_func(g_free);

        g_array_set_clear_func(processes, process_clear);
        g_ptr_array_add(todo, g_strdup(""));
        for (unsigned i = 0; i < todo->len; i++) {
                int r = list_processes(group, todo->pdata[i], todo, processes);

                if (r == -ENOENT || r == -ENODEV) /* removed by the tenant meanwhile */
                        continue;
                if (r < 0) {
                        group_fail(error, group, todo->pdata[i], NULL, r);
                        return NULL;
                }
        }
        return g_steal_pointer(&processes);
}

/* ---- attributes ---- */

bool group_set_attribute(Group *group, const char *name, const char *value, GError **error) {
        g_autofree char *attribute = g_strconcat(ATTRIBUTE_PREFIX, name, NULL);

        if (strlen(value) > XATTR_SIZE_MAX)
                return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                                   "%s/%s: a list of %zu bytes is too long: the kernel keeps at most %d", group->path,
                                   attribute, strlen(value), XATTR_SIZE_MAX);
        if (fsetxattr(group->fd, attribute, value, strlen(value), 0) < 0)
                return group_fail(error, group, attribute, NULL, -errno);
        return true;
}

char *group_get_attribute(Group *group, const char *name, GError **error) {
        g_autofree char *attribute = g_strconcat(ATTRIBUTE_PREFIX, name, NULL);
        g_autofree char *value = NULL;
        ssize_t n = fgetxattr(group->fd, attribute, NULL, 0);

        if (n >= 0) {
                value = g_malloc(n + 1);
                n = fgetxattr(group->fd, attribute, value, n);
        }
        if (n < 0) {
                if (errno != ENODATA)
                        group_fail(error, group, attribute, NULL, -errno);
                return NULL;
        }
        value[n] = '\0';
        return g_steal_pointer(&value);
}
