/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

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
        Group *parent;          /* which outlives it; NULL for the root of the tree */
        GPtrArray *hierarchies; /* shared by the tree */
        char *name;             /* in the parent; NULL for the root of the tree */
        char *path;
        uint64_t id;
        unsigned level;
        bool is_mended;
        int fds[];              /* of its directory in each hierarchy, cgroup2's first */
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

/* Without directories yet. */
static Group *group_alloc(Group *parent, GPtrArray *hierarchies, char *path, const char *name) {
        Group *group = g_malloc0(sizeof(Group) + hierarchies->len * sizeof(int));

        group->parent = parent;
        group->hierarchies = g_ptr_array_ref(hierarchies);
        group->path = path;
        group->name = g_strdup(name);
        group->level = path_level(path);
        for (unsigned i = 0; i < hierarchies->len; i++)
                group->fds[i] = -1;
        return group;
}

/* The id that BPF helpers return is the inode number (kernfs, 64-bit kernels). */
static void group_identify(Group *group) {
        struct stat st;

        if (fstat(group->fds[0], &st) == 0)
                group->id = st.st_ino;
}

void group_free(Group *group) {
        if (!group)
                return;
        for (unsigned i = 0; i < group->hierarchies->len; i++)
                fd_close(&group->fds[i]);
        g_ptr_array_unref(group->hierarchies);
        g_free(group->name);
        g_free(group->path);
        g_free(group);
}

/* In a cgroup namespace of its own the daemon cannot know its groups' levels, which the seal needs. */
static bool in_initial_namespace(void) {
        g_autofree char *link = g_file_read_link("/proc/self/ns/cgroup", NULL);

        return g_strcmp0(link, "cgroup:[4026531835]") == 0; /* PROC_CGROUP_INIT_INO, include/linux/proc_ns.h */
}

/*
 * v1's cpuset lets no process into a group without processors and memory nodes, and a new group has none: it takes over
 * its parent's (cpusets.rst).
 */
static int fill_cpuset(int parent, int dir) {
        static const char *const files[] = { "cpuset.mems", "cpuset.cpus" };
        int r = 0;

        for (size_t i = 0; r >= 0 && i < G_N_ELEMENTS(files); i++) {
                g_autofree char *own = NULL, *parents = NULL;

                r = kernel_file_read(dir, files[i], &own);
                if (r < 0 || *g_strchomp(own))
                        continue;
                r = kernel_file_read(parent, files[i], &parents);
                if (r >= 0)
                        r = kernel_file_write(dir, files[i], parents);
        }
        return r;
}

static bool has_controller(const Hierarchy *hierarchy, const char *controller) {
        return g_strv_contains((const char *const *) hierarchy->controllers, controller);
}

static int open_child(const Hierarchy *hierarchy, int dir, const char *name, bool create) {
        autoclose int child = kernel_file_open_directory(dir, name);
        int r;

        if (child == -ENOENT && create) {
                if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
                        return -errno;
                child = kernel_file_open_directory(dir, name);
        }
        r = child;
        if (child >= 0 && has_controller(hierarchy, "cpuset"))
                r = fill_cpuset(dir, child);
        return r < 0 ? r : fd_steal(&child);
}

static int open_path(const Hierarchy *hierarchy, const char *path, bool create) {
        g_auto(GStrv) words = g_strsplit(path, "/", -1);
        autoclose int dir = kernel_file_open_directory(hierarchy->fd, ".");
        int r = dir;

        for (char **word = words; r >= 0 && *word; word++) {
                if (!**word)
                        continue;
                r = open_child(hierarchy, dir, *word, create);
                if (r >= 0) {
                        fd_close(&dir);
                        dir = r;
                }
        }
        if (r >= 0 && has_controller(hierarchy, "cpuset")) /* the groups below take over theirs by themselves */
                r = kernel_file_write(dir, "cgroup.clone_children", "1");
        return r < 0 ? r : fd_steal(&dir);
}

static bool open_root_in(Group *root, unsigned i, const char *path, bool create, GError **error) {
        const Hierarchy *hierarchy = root->hierarchies->pdata[i];
        int fd = open_path(hierarchy, path, create || !hierarchy->systemds);

        if (fd == -ENOENT)
                return cordon_fail(error, CORDON_ERROR_NO_SUCH_TREE, "there is no group %s below %s", path,
                                   hierarchy->mount);
        if (fd < 0)
                return kernel_file_fail(error, hierarchy->mount, path, NULL, fd);
        root->fds[i] = fd;
        return true;
}

Group *group_open_root(const char *path, bool create, GError **error) {
        g_autoptr(GPtrArray) hierarchies = hierarchies_open(error);
        g_autoptr(Group) root = NULL;

        if (!hierarchies)
                return NULL;
        if (!in_initial_namespace()) {
                cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED,
                            "this is a cgroup namespace of its own; Cordon serves the host's");
                return NULL;
        }
        root = group_alloc(NULL, hierarchies,
                           g_build_path("/", "/", ((Hierarchy *) hierarchies->pdata[0])->root, path, NULL), NULL);
        /* systemd's first: where it has no such group, none is made beside. */
        for (int systemds = true; systemds >= false; systemds--)
                for (unsigned i = 0; i < hierarchies->len; i++)
                        if (((Hierarchy *) hierarchies->pdata[i])->systemds == systemds &&
                            !open_root_in(root, i, path, create, error))
                                return NULL;
        group_identify(root);
        return g_steal_pointer(&root);
}

const char *group_hierarchy(void) {
        g_autoptr(Host) host = host_detect(NULL);

        return host ? host->hierarchy : "legacy";
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
                int r = kernel_file_list_directories(dir, way, true), next;

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

/* Left of a group that somebody, or systemd, removed from cgroup2 alone: with that group's limits. */
static int remove_left_over(int parent, const char *name) {
        autoclose int dir = kernel_file_open_directory(parent, name);
        int r = dir < 0 ? dir : remove_children(dir);

        return r < 0 ? r : unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int make_directory(int parent, const char *name) {
        return mkdirat(parent, name, 0755) < 0 ? -errno : 0;
}

/* The group's directory in one hierarchy, made if `make` says so; a negative errno. */
static int open_part(Group *group, unsigned i, bool make) {
        int parent = group->parent->fds[i], r = make ? make_directory(parent, group->name) : 0;

        if (r == -EEXIST && i > 0) {
                r = remove_left_over(parent, group->name);
                if (r == 0)
                        r = make_directory(parent, group->name);
        }
        if (r == 0)
                r = kernel_file_open_directory(parent, group->name);
        if (r >= 0)
                group->fds[i] = r;
        return r;
}

static Group *group_new(Group *parent, const char *name) {
        return group_alloc(parent, parent->hierarchies, g_strconcat(parent->path, "/", name, NULL), name);
}

static bool part_fail(GError **error, Group *group, unsigned i, int negative_errno) {
        const Hierarchy *hierarchy = group->hierarchies->pdata[i];

        return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s: cannot make group \"%s\"%s%s: %s",
                           group->parent->path, group->name, *hierarchy->name ? " of " : "", hierarchy->name,
                           g_strerror(-negative_errno));
}

static bool open_missing(Group *group, unsigned i, GError **error) {
        int r = open_part(group, i, true);

        if (r < 0)
                return part_fail(error, group, i, r);
        g_warning("%s had no group in the hierarchy %s, and has it again, without limits", group->path,
                  ((Hierarchy *) group->hierarchies->pdata[i])->name);
        group->is_mended = true;
        return true;
}

Group *group_open(Group *parent, const char *name, GError **error) {
        g_autoptr(Group) group = group_new(parent, name);

        for (unsigned i = 0; i < group->hierarchies->len; i++) {
                int r = open_part(group, i, false);

                if (r == -ENOENT && i > 0) {
                        if (!open_missing(group, i, error))
                                return NULL;
                } else if (r < 0) {
                        group_fail(error, parent, name, NULL, r);
                        return NULL;
                }
        }
        group_identify(group);
        return g_steal_pointer(&group);
}

Group *group_make(Group *parent, const char *name, GError **error) {
        g_autoptr(Group) group = group_new(parent, name);

        for (unsigned i = 0; i < group->hierarchies->len; i++) {
                int r = open_part(group, i, true);

                if (r >= 0)
                        continue;
                if (r == -EEXIST && i == 0)
                        cordon_fail(error, CORDON_ERROR_ALREADY_EXISTS, "group %s exists already", group->path);
                else
                        part_fail(error, group, i, r);
                while (i-- > 0)
                        unlinkat(parent->fds[i], name, AT_REMOVEDIR);
                return NULL;
        }
        group_identify(group);
        return g_steal_pointer(&group);
}

/* One that is gone already is no error here and below. */
static int remove_directory(Group *group, unsigned i) {
        return unlinkat(group->parent->fds[i], group->name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static bool holds_processes(int dir) {
        g_autofree char *processes = NULL;

        return kernel_file_read_list(dir, "cgroup.procs", &processes) >= 0 && *processes;
}

/* The empty groups beneath go; -EBUSY when there or in the group itself is a process. */
static int clear_directory(int dir) {
        int r = remove_children(dir);

        return r == -ENOENT ? 0 : r == 0 && holds_processes(dir) ? -EBUSY : r;
}

/* The group itself goes from no hierarchy before it is clear that none holds a process (group_kill_strays()). */
bool group_remove(Group *group, GError **error) {
        int r = 0;

        for (unsigned i = 1; r == 0 && i < group->hierarchies->len; i++)
                r = clear_directory(group->fds[i]);
        if (r == 0 && (r = remove_directory(group, 0)) == -EBUSY && (r = clear_directory(group->fds[0])) == 0)
                r = remove_directory(group, 0);
        if (r == -EBUSY)
                return cordon_fail(error, CORDON_ERROR_BUSY, "%s holds processes", group->path);
        for (unsigned i = 1; r == 0 && i < group->hierarchies->len; i++)
                r = remove_directory(group, i);
        if (r < 0)
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
        int r = kernel_file_list_directories(group->fds[0], names, false);

        if (r < 0) {
                group_fail(error, group, NULL, NULL, r);
                return NULL;
        }
        return g_steal_pointer(&names);
}

Group *group_parent(Group *group) {
        return group->parent;
}

bool group_is_mended(Group *group) {
        return group->is_mended;
}

const char *group_path(Group *group) {
        return group->path;
}

bool group_contains(Group *group, const char *path) {
        size_t n = strlen(group->path);

        return strncmp(path, group->path, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

uint64_t group_id(Group *group) {
        return group->id;
}

unsigned group_level(Group *group) {
        return group->level;
}

int group_fd(Group *group) {
        return group->fds[0];
}

/* ---- controllers ---- */

static GStrv own_controllers(Group *group, GError **error) {
        g_autofree char *text = NULL;
        int r = kernel_file_read(group->fds[0], "cgroup.controllers", &text);

        if (r < 0) {
                group_fail(error, group, "cgroup.controllers", NULL, r);
                return NULL;
        }
        g_strchomp(text);
        return *text ? g_strsplit(text, " ", -1) : g_new0(char *, 1);
}

GStrv group_controllers(Group *group, GError **error) {
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_auto(GStrv) own = own_controllers(group, error);

        if (!own)
                return NULL;
        g_strv_builder_addv(builder, (const char **) own);
        for (unsigned i = 1; i < group->hierarchies->len; i++) {
                const Hierarchy *hierarchy = group->hierarchies->pdata[i];

                for (char **each = hierarchy->controllers; *each; each++)
                        if (!g_str_has_prefix(*each, "name="))
                                g_strv_builder_add(builder, *each);
        }
        return g_strv_builder_end(builder);
}

/* v1's are everywhere in their hierarchy. */
bool group_enable_controllers(Group *group, GError **error) {
        g_auto(GStrv) controllers = own_controllers(group, error);
        g_autoptr(GString) text = g_string_new(NULL);
        int r;

        if (!controllers)
                return false;
        for (char **controller = controllers; *controller; controller++)
                g_string_append_printf(text, "%s+%s", text->len > 0 ? " " : "", *controller);
        if (text->len == 0)
                return true;
        r = kernel_file_write(group->fds[0], "cgroup.subtree_control", text->str);
        return r >= 0 || group_fail(error, group, "cgroup.subtree_control", text->str, r);
}

unsigned group_n_hierarchies(Group *group) {
        return group->hierarchies->len;
}

const Hierarchy *group_hierarchy_at(Group *group, unsigned i) {
        return group->hierarchies->pdata[i];
}

int group_fd_at(Group *group, unsigned i) {
        return group->fds[i];
}

int group_v1_fd(Group *group, const char *controller) {
        for (unsigned i = 1; i < group->hierarchies->len; i++) {
                const Hierarchy *hierarchy = group->hierarchies->pdata[i];

                if (g_strv_contains((const char *const *) hierarchy->controllers, controller))
                        return group->fds[i];
        }
        return -1;
}

/* ---- attributes ---- */

bool group_set_attribute(Group *group, const char *name, const char *value, GError **error) {
        g_autofree char *attribute = g_strconcat(ATTRIBUTE_PREFIX, name, NULL);

        if (strlen(value) > XATTR_SIZE_MAX)
                return cordon_fail(error, CORDON_ERROR_QUOTA_EXCEEDED,
                                   "%s/%s: a list of %zu bytes is too long: the kernel keeps at most %d", group->path,
                                   attribute, strlen(value), XATTR_SIZE_MAX);
        if (fsetxattr(group->fds[0], attribute, value, strlen(value), 0) < 0)
                return group_fail(error, group, attribute, NULL, -errno);
        return true;
}

char *group_get_attribute(Group *group, const char *name, GError **error) {
        g_autofree char *attribute = g_strconcat(ATTRIBUTE_PREFIX, name, NULL);
        g_autofree char *value = NULL;
        ssize_t n = fgetxattr(group->fds[0], attribute, NULL, 0);

        if (n >= 0) {
                value = g_malloc(n + 1);
                n = fgetxattr(group->fds[0], attribute, value, n);
        }
        if (n < 0) {
                if (errno != ENODATA)
                        group_fail(error, group, attribute, NULL, -errno);
                return NULL;
        }
        value[n] = '\0';
        return g_steal_pointer(&value);
}
