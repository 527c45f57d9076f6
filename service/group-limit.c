/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-limit.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "kernel-file.h"

/* ---- reading and writing one ---- */

static bool unavailable(Group *group, const Limit *limit, GError **error) {
        g_auto(GStrv) controllers = error ? group_controllers(group, NULL) : NULL;
        g_autofree char *list = g_strjoinv(" ", controllers ? controllers : (char *[]) { NULL });

        if (!error) /* nobody wants to know why */
                return false;
        if (!limit->controller || (controllers && g_strv_contains((const char *const *) controllers, limit->controller)))
                return cordon_fail(error, CORDON_ERROR_CONTROLLER_UNAVAILABLE, "%s: this kernel has no %s", limit->name,
                                   limit->file);
        return cordon_fail(error, CORDON_ERROR_CONTROLLER_UNAVAILABLE,
                           "%s: controller \"%s\" is not handed over to %s; available: %s", limit->name,
                           limit->controller, group_path(group), *list ? list : "none");
}

/* Reads the file, or says why not. */
static bool read_file(Group *group, const Limit *limit, const char *file, char **ret_text, GError **error) {
        int r = kernel_file_read(group_fd(group), file, ret_text);

        if (r == -ENOENT)
                return unavailable(group, limit, error);
        return r >= 0 || kernel_file_fail(error, group_path(group), file, NULL, r);
}

static bool write_line(Group *group, const Limit *limit, const char *file, const char *text, GError **error) {
        g_autofree char *line = g_strconcat(text, "\n", NULL); /* an empty list is a line, too */
        int r = kernel_file_write(group_fd(group), file, line);

        if (r < 0) {
                g_autofree char *name = g_strdup_printf("%s (%s)", file, limit->name);

                return kernel_file_fail(error, group_path(group), name, text, r);
        }
        return true;
}

/* The sizes for which there is a file `hugetlb.SIZE.max`, sorted. */
static GPtrArray *page_sizes(Group *group) {
        GPtrArray *sizes = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", group_fd(group));
        GDir *directory = g_dir_open(path, 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory))) {
                g_auto(GStrv) words = g_strsplit(name, ".", -1);

                if (g_strv_length(words) == 3 && g_str_equal(words[0], "hugetlb") && g_str_equal(words[2], "max"))
                        g_ptr_array_add(sizes, g_strdup(words[1]));
        }
        g_clear_pointer(&directory, g_dir_close);
        return sizes;
}

static char *pages_file(const char *size) {
        return g_strdup_printf("hugetlb.%s.max", size);
}

static bool read_pages(Group *group, const Limit *limit, LimitValue *ret_value, GError **error) {
        g_autoptr(GPtrArray) sizes = page_sizes(group);
        g_autoptr(GArray) entries = limit_entries_new();

        if (sizes->len == 0)
                return unavailable(group, limit, error);
        for (unsigned i = 0; i < sizes->len; i++) {
                g_autofree char *file = pages_file(sizes->pdata[i]), *text = NULL;
                LimitValue value = {};

                if (!read_file(group, limit, file, &text, error))
                        return false;
                if (limit_parse(limit, text, &value) && value.number != LIMIT_INFINITY)
                        limit_entries_add(entries, limit, sizes->pdata[i], value.number, NULL);
        }
        *ret_value = (LimitValue) { .entries = g_steal_pointer(&entries) };
        return true;
}

static bool check_page_sizes(const Limit *limit, const LimitValue *value, GPtrArray *sizes, GError **error) {
        for (unsigned i = 0; i < value->entries->len; i++) {
                const char *key = g_array_index(value->entries, LimitEntry, i).key;

                if (!g_ptr_array_find_with_equal_func(sizes, key, g_str_equal, NULL)) {
                        g_autofree char *known = NULL;

                        g_ptr_array_add(sizes, NULL);
                        known = g_strjoinv(" ", (char **) sizes->pdata);
                        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                           "%s names page size \"%s\"; this host has: %s", limit->name, key, known);
                }
        }
        return true;
}

/* Sizes that are not named lose their limit. */
static bool write_pages(Group *group, const Limit *limit, const LimitValue *value, GError **error) {
        g_autoptr(GPtrArray) sizes = page_sizes(group);

        if (!check_page_sizes(limit, value, sizes, error))
                return false;
        for (unsigned i = 0; i < sizes->len; i++) {
                g_autofree char *file = pages_file(sizes->pdata[i]), *number = NULL;
                uint64_t maximum = LIMIT_INFINITY;

                for (unsigned j = 0; j < value->entries->len; j++)
                        if (g_str_equal(g_array_index(value->entries, LimitEntry, j).key, sizes->pdata[i]))
                                maximum = g_array_index(value->entries, LimitEntry, j).number;
                number = limit_format_number(limit, maximum);
                if (!write_line(group, limit, file, number, error))
                        return false;
        }
        return true;
}

bool group_read_limit(Group *group, const Limit *limit, LimitValue *ret_value, GError **error) {
        g_autofree char *text = NULL;

        if (limit->format == LIMIT_FORMAT_PAGES)
                return read_pages(group, limit, ret_value, error);
        if (!read_file(group, limit, limit->file, &text, error))
                return false;
        if (!limit_parse(limit, text, ret_value))
                return cordon_fail(error, CORDON_ERROR_KERNEL_REFUSED, "%s/%s: cannot understand \"%s\"", group_path(group),
                                   limit->file, g_strchomp(text));
        return true;
}

bool group_read_limit_in_force(Group *group, const Limit *limit, LimitValue *ret_value, GError **error) {
        g_autofree char *file = g_strconcat(limit->file, ".effective", NULL), *text = NULL;
        LimitValue value = {};

        if (!group_read_limit(group, limit, &value, error))
                return false;
        if (limit->format == LIMIT_FORMAT_LIST && *value.text) {
                limit_value_clear(&value);
                if (!read_file(group, limit, file, &text, error))
                        return false;
                limit_parse(limit, text, &value);
        }
        *ret_value = value;
        return true;
}

static bool write_limit(Group *group, const Limit *limit, const LimitValue *value, GError **error) {
        g_autofree char *current = NULL;
        g_auto(GStrv) lines = NULL;

        if (limit->format == LIMIT_FORMAT_PAGES)
                return write_pages(group, limit, value, error);
        if (!read_file(group, limit, limit->file, &current, error))
                return false;
        lines = limit_format(limit, value, current);
        for (char **line = lines; *line; line++)
                if (!write_line(group, limit, limit->file, *line, error))
                        return false;
        return true;
}

/* Puts back the old values of `settings`, the last one first. */
static void restore_limits(Group *group, GArray *old) {
        while (old->len > 0) {
                const LimitSetting *setting = &g_array_index(old, LimitSetting, old->len - 1);
                g_autoptr(GError) cause = NULL;

                if (!write_limit(group, setting->limit, &setting->value, &cause))
                        g_warning("the old value cannot be put back: %s", cause->message);
                g_array_set_size(old, old->len - 1);
        }
}

bool group_write_limits(Group *group, const GArray *settings, GError **error) {
        g_autoptr(GArray) old = limit_settings_new();

        for (unsigned i = 0; i < settings->len; i++) {
                const LimitSetting *setting = &g_array_index(settings, LimitSetting, i);
                LimitSetting before = { .limit = setting->limit };

                if (!group_read_limit(group, setting->limit, &before.value, error)) {
                        restore_limits(group, old);
                        return false;
                }
                g_array_append_val(old, before);
                /* A list may have been written in part: its old value is put back, too. */
                if (!write_limit(group, setting->limit, &setting->value, error)) {
                        restore_limits(group, old);
                        return false;
                }
        }
        return true;
}

/* ---- figures ---- */

bool group_read_usage(Group *group, const Usage *usage, UsageValue *ret_value) {
        g_autofree char *text = NULL;

        return kernel_file_read(group_fd(group), usage->file, &text) >= 0 && usage_parse(usage, text, ret_value);
}

bool group_read_oom_kills(Group *group, uint64_t *ret_count) {
        g_autofree char *text = NULL;
        const char *line;

        if (kernel_file_read(group_fd(group), "memory.events", &text) < 0 || !(line = strstr(text, "\noom_kill ")))
                return false;
        *ret_count = g_ascii_strtoull(line + strlen("\noom_kill "), NULL, 10);
        return true;
}
