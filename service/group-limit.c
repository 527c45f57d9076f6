/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-limit.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "host.h"
#include "kernel-file.h"
#include "limit-file.h"

/* ---- reading ---- */

typedef struct ViewFile {
        int dir;
        char *name;
        int r; /* a negative errno, and no text */
        char *text;
} ViewFile;

struct GroupView {
        Group *group;
        GStrv controllers; /* NULL: not looked at yet */
        GArray *files;     /* of ViewFile */
};

static void view_file_clear(void *data) {
        ViewFile *file = data;

        g_free(file->name);
        g_free(file->text);
}

GroupView *group_view_new(Group *group) {
        GroupView *view = g_new0(GroupView, 1);

        view->group = group;
        view->files = g_array_new(false, false, sizeof(ViewFile));
        g_array_set_clear_func(view->files, view_file_clear);
        return view;
}

void group_view_free(GroupView *view) {
        if (!view)
                return;
        g_strfreev(view->controllers);
        g_array_unref(view->files);
        g_free(view);
}

/*
 * A group has the files of the controllers that it has, and of no other (css_visible(), kernel/cgroup/cgroup.c). Which
 * those are is looked at when a file is missed: then the rest of its controller's are not asked for one by one.
 */
static void find_controllers(GroupView *view) {
        if (!view->controllers)
                view->controllers = group_controllers(view->group, NULL);
}

static bool is_missed(GroupView *view, const char *controller) {
        return controller && view->controllers &&
               !g_strv_contains((const char *const *) view->controllers, controller);
}

/* The text is the view's. `controller` is the one that the file belongs to, NULL for the core. */
static int view_read(GroupView *view, const char *controller, int dir, const char *name, const char **ret_text) {
        ViewFile file = { .dir = dir };

        if (is_missed(view, controller))
                return -ENOENT;
        for (unsigned i = 0; i < view->files->len; i++) {
                const ViewFile *known = &g_array_index(view->files, ViewFile, i);

                if (known->dir == dir && strcmp(known->name, name) == 0) {
                        *ret_text = known->text;
                        return known->r;
                }
        }
        file.name = g_strdup(name);
        file.r = kernel_file_read(dir, name, &file.text);
        if (file.r == -ENOENT)
                find_controllers(view);
        g_array_append_val(view->files, file);
        *ret_text = file.text;
        return file.r;
}

/* ---- finding ---- */

/* Where the limit is on this host: in the v1 hierarchy of its controller if there is one, else on cgroup2. */
static const LimitFile *find(Group *group, const Limit *limit, int *ret_dir) {
        int v1 = limit->v1.controller ? group_v1_fd(group, limit->v1.controller) : -1;

        *ret_dir = v1 >= 0 ? v1 : group_fd(group);
        return v1 >= 0 ? &limit->v1 : &limit->v2;
}

static bool unavailable(GroupView *view, const Limit *limit, const LimitFile *file, GError **error) {
        g_autofree char *list = NULL;

        if (!error) /* nobody wants to know why */
                return false;
        if (!file->file)
                return cordon_fail(error, CORDON_ERROR_CONTROLLER_UNAVAILABLE,
                                   "%s: this host has controller \"%s\" on cgroup v1, which has no such limit",
                                   limit->name, file->controller);
        find_controllers(view);
        if (!is_missed(view, file->controller))
                return cordon_fail(error, CORDON_ERROR_CONTROLLER_UNAVAILABLE, "%s: this kernel has no %s", limit->name,
                                   file->file);
        list = g_strjoinv(" ", view->controllers);
        return cordon_fail(error, CORDON_ERROR_CONTROLLER_UNAVAILABLE,
                           "%s: controller \"%s\" is not handed over to %s; available: %s", limit->name,
                           file->controller, group_path(view->group), *list ? list : "none");
}

static bool read_file(GroupView *view, const Limit *limit, const LimitFile *file, int dir, const char *name,
                      const char **ret_text, GError **error) {
        int r = name ? view_read(view, file->controller, dir, name, ret_text) : -ENOENT;

        if (r == -ENOENT)
                return unavailable(view, limit, file, error);
        return r >= 0 || kernel_file_fail(error, group_path(view->group), name, NULL, r);
}

/* The second file of a limit, which may be missing: NULL. */
static const char *read_other(GroupView *view, const LimitFile *file, int dir) {
        const char *text = NULL;

        if (file->other)
                view_read(view, file->controller, dir, file->other, &text);
        return text;
}

/* ---- page sizes: a file for each ---- */

static char *pages_file(const LimitFile *file, const char *size) {
        g_auto(GStrv) parts = g_strsplit(file->file, "%s", 2);

        return g_strconcat(parts[0], size, parts[1], NULL);
}

static bool read_pages(GroupView *view, const Limit *limit, const LimitFile *file, int dir, LimitValue *ret_value,
                       GError **error) {
        const char *const *size = host_page_sizes();
        g_autoptr(GArray) entries = limit_entries_new();

        if (!*size)
                return unavailable(view, limit, file, error);
        for (; *size; size++) {
                g_autofree char *name = pages_file(file, *size);
                LimitValue value = {};
                const char *text;

                if (!read_file(view, limit, file, dir, name, &text, error))
                        return false;
                if (limit_parse(file, text, NULL, &value) && value.number != LIMIT_INFINITY)
                        limit_entries_add(entries, *size, value.number);
        }
        *ret_value = (LimitValue) { .entries = g_steal_pointer(&entries) };
        return true;
}

static bool check_page_sizes(const Limit *limit, const LimitValue *value, GError **error) {
        const char *const *sizes = host_page_sizes();

        for (unsigned i = 0; i < value->entries->len; i++) {
                const char *key = g_array_index(value->entries, LimitEntry, i).key;

                if (!g_strv_contains(sizes, key)) {
                        g_autofree char *known = g_strjoinv(" ", (char **) sizes);

                        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                           "%s names page size \"%s\"; this host has: %s", limit->name, key, known);
                }
        }
        return true;
}

/* ---- limits ---- */

bool group_view_limit(GroupView *view, const Limit *limit, LimitValue *ret_value, GError **error) {
        const LimitFile *file;
        const char *text;
        int dir;

        file = find(view->group, limit, &dir);
        if (file->format == LIMIT_FORMAT_PAGES)
                return read_pages(view, limit, file, dir, ret_value, error);
        if (!read_file(view, limit, file, dir, file->file, &text, error))
                return false;
        return limit_parse(file, text, read_other(view, file, dir), ret_value) ||
               cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s/%s: cannot understand \"%s\"",
                           group_path(view->group), file->file, text);
}

bool group_view_limit_in_force(GroupView *view, const Limit *limit, LimitValue *ret_value, GError **error) {
        const LimitFile *file;
        LimitValue value = {};
        const char *text;
        int dir;

        if (!group_view_limit(view, limit, &value, error))
                return false;
        file = find(view->group, limit, &dir);
        if (file->effective && *value.text) {
                limit_value_clear(&value);
                if (!read_file(view, limit, file, dir, file->effective, &text, error))
                        return false;
                limit_parse(file, text, NULL, &value);
        }
        *ret_value = value;
        return true;
}

static bool write_refused(GroupView *view, const Limit *limit, const LimitFile *file, const char *name, const char *text,
                          int r, GError **error) {
        g_autofree char *what = g_strdup_printf("%s (%s)", name, limit->name);

        if (r == -ENOENT)
                return unavailable(view, limit, file, error);
        return kernel_file_fail(error, group_path(view->group), what, text, r);
}

static bool write_line(GroupView *view, const Limit *limit, const LimitFile *file, int dir, const char *name,
                       const char *text, GError **error) {
        int r = kernel_file_write(dir, name, text);

        return r >= 0 || write_refused(view, limit, file, name, text, r, error);
}

/* Sizes that are not named lose their limit. */
static bool write_pages(GroupView *view, const Limit *limit, const LimitFile *file, int dir, const LimitValue *value,
                        GError **error) {
        LimitValue now = {};
        bool is_there = read_pages(view, limit, file, dir, &now, error);

        limit_value_clear(&now);
        if (!is_there || !check_page_sizes(limit, value, error))
                return false;
        for (const char *const *size = host_page_sizes(); *size; size++) {
                const LimitEntry *entry = limit_entries_find(value->entries, *size);
                g_autofree char *name = pages_file(file, *size);
                g_autofree char *number = limit_format_number(file, entry ? entry->number : LIMIT_INFINITY);

                if (!write_line(view, limit, file, dir, name, number, error))
                        return false;
        }
        return true;
}

/*
 * A list of processors or memory nodes. "As the parent" is what the parent has, where the kernel takes no empty list: v1
 * never, cgroup2 not of a group with processes (ENOSPC on Linux 6.1; validate_change(), kernel/cgroup/cpuset.c).
 */
static bool write_list(GroupView *view, const Limit *limit, const LimitFile *file, int dir, const char *text,
                       GError **error) {
        bool is_v1 = file == &limit->v1;
        Group *parent = group_parent(view->group);
        g_autofree char *parents = NULL;
        int r = -ENOSPC;

        if (*text || !is_v1)
                r = kernel_file_write(dir, file->file, *text ? text : "\n");
        if (r == -ENOSPC && !*text) {
                r = kernel_file_read(is_v1 ? group_v1_fd(parent, file->controller) : group_fd(parent),
                                     is_v1 ? file->file : file->effective, &parents);
                if (r >= 0)
                        r = kernel_file_write(dir, file->file, parents);
        }
        return r >= 0 || write_refused(view, limit, file, file->file, text, r, error);
}

static bool write_limit(GroupView *view, const Limit *limit, const LimitValue *value, GError **error) {
        const char *contents = NULL, *other = NULL;
        g_autoptr(GArray) writes = NULL;
        const LimitFile *file;
        int dir;

        file = find(view->group, limit, &dir);
        if (!file->file)
                return unavailable(view, limit, file, error);
        if (file->format == LIMIT_FORMAT_PAGES)
                return write_pages(view, limit, file, dir, value, error);
        if (file->format == LIMIT_FORMAT_LIST)
                return write_list(view, limit, file, dir, value->text, error);
        if (limit_format_keeps(file->format)) {
                if (!read_file(view, limit, file, dir, file->file, &contents, error))
                        return false;
                other = read_other(view, file, dir);
        }
        writes = limit_format(file, value, contents, other);
        if (!writes)
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                   "%s: cgroup v1 bounds swap only together with memory: MemoryMax must be set, too, and "
                                   "stay as long as MemorySwapMax is", limit->name);
        for (unsigned i = 0; i < writes->len; i++) {
                const LimitWrite *write = &g_array_index(writes, LimitWrite, i);

                if (!write_line(view, limit, file, dir, write->file, write->text, error))
                        return false;
        }
        return true;
}

/* Two limits may be in one file, so each has a look of its own. */
static bool write_setting(Group *group, const LimitSetting *setting, GError **error) {
        g_autoptr(GroupView) view = group_view_new(group);

        return write_limit(view, setting->limit, &setting->value, error);
}

/* Puts back the old values of `settings`, the last one first. */
static void restore_limits(Group *group, GArray *old) {
        while (old->len > 0) {
                const LimitSetting *setting = &g_array_index(old, LimitSetting, old->len - 1);
                g_autoptr(GError) cause = NULL;

                if (!write_setting(group, setting, &cause))
                        g_warning("the old value cannot be put back: %s", cause->message);
                g_array_set_size(old, old->len - 1);
        }
}

/* v1 bounds swap only together with memory: its bound goes before memory's does. */
static bool goes_first(Group *group, const LimitSetting *setting) {
        int dir;

        return find(group, setting->limit, &dir)->format == LIMIT_FORMAT_SWAP && setting->value.number == LIMIT_INFINITY;
}

/* In the order in which they are to be written: GPtrArray of LimitSetting. */
static GPtrArray *in_order(Group *group, const GArray *settings) {
        GPtrArray *order = g_ptr_array_new();

        for (unsigned i = 0; i < settings->len; i++) {
                LimitSetting *setting = &g_array_index(settings, LimitSetting, i);

                g_ptr_array_insert(order, goes_first(group, setting) ? 0 : -1, setting);
        }
        return order;
}

bool group_write_limits(Group *group, const GArray *settings, GError **error) {
        g_autoptr(GPtrArray) order = in_order(group, settings);
        g_autoptr(GArray) old = limit_settings_new();

        for (unsigned i = 0; i < order->len; i++) {
                const LimitSetting *setting = order->pdata[i];
                g_autoptr(GroupView) view = group_view_new(group);
                LimitSetting before = { .limit = setting->limit };

                if (!group_view_limit(view, setting->limit, &before.value, error)) {
                        restore_limits(group, old);
                        return false;
                }
                g_array_append_val(old, before);
                /* A list may have been written in part: its old value is put back, too. */
                if (!write_limit(view, setting->limit, &setting->value, error)) {
                        restore_limits(group, old);
                        return false;
                }
        }
        return true;
}

bool group_init_limits(Group *group, const GArray *settings, GError **error) {
        g_autoptr(GPtrArray) order = in_order(group, settings);

        for (unsigned i = 0; i < order->len; i++)
                if (!write_setting(group, order->pdata[i], error))
                        return false;
        return true;
}

/* ---- figures ---- */

bool group_view_usage(GroupView *view, const Usage *usage, UsageValue *ret_value) {
        int v1 = usage->v1.controller ? group_v1_fd(view->group, usage->v1.controller) : -1;
        const UsageFile *file = v1 >= 0 ? &usage->v1 : &usage->v2;
        const char *text;

        return view_read(view, file->controller, v1 >= 0 ? v1 : group_fd(view->group), file->file, &text) >= 0 &&
               usage_parse(file, text, ret_value);
}

/* Of the group's own processes where v1 has memory: there the kernel does not add up what is beneath. */
bool group_view_oom_kills(GroupView *view, uint64_t *ret_count) {
        int v1 = group_v1_fd(view->group, "memory");
        const char *text, *line;

        if (view_read(view, "memory", v1 >= 0 ? v1 : group_fd(view->group),
                      v1 >= 0 ? "memory.oom_control" : "memory.events", &text) < 0 ||
            !(line = strstr(text, "\noom_kill ")))
                return false;
        *ret_count = g_ascii_strtoull(line + strlen("\noom_kill "), NULL, 10);
        return true;
}
