/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "limit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define PERIOD_DEFAULT_USEC UINT64_C(100000)
#define PERIOD_MAX_USEC UINT64_C(1000000) /* kernel/sched/core.c: max_cfs_quota_period, 1 s */
#define QUOTA_MIN_USEC UINT64_C(1000)     /* kernel/sched/core.c: min_cfs_quota_period, 1 ms */
#define QUOTA_MAX UINT64_C(1000000000000) /* a million processors */
#define PAGE_SIZE_DIGITS 20 /* more than any 64-bit number has */
#define BYTES_MAX ((uint64_t) INT64_MAX)

#define MEMORY(name, file) \
        { name, "t", "memory", file, NULL, LIMIT_FORMAT_NUMBER, 0, BYTES_MAX, true, "bytes" }
#define IO_MAX(name, key, unit) \
        { name, "a(st)", "io", "io.max", key, LIMIT_FORMAT_DEVICE_KEY, 1, BYTES_MAX, true, unit }

/* In the order in which they are set: a period before the quota that depends on it, a quota before the burst. */
const Limit limits[] = {
        { "CPUWeight", "t", "cpu", "cpu.weight", NULL, LIMIT_FORMAT_NUMBER, 1, 10000, false, "weight" },
        { "CPUQuotaPeriodUSec", "t", "cpu", "cpu.max", NULL, LIMIT_FORMAT_PERIOD, 1000, PERIOD_MAX_USEC, false, "us" },
        { "CPUQuotaPerSecUSec", "t", "cpu", "cpu.max", NULL, LIMIT_FORMAT_QUOTA, 1000, QUOTA_MAX, true, "us/s" },
        { "CPUBurstUSec", "t", "cpu", "cpu.max.burst", NULL, LIMIT_FORMAT_NUMBER, 0, QUOTA_MAX, false, "us" },
        { "AllowedCPUs", "s", "cpuset", "cpuset.cpus", NULL, LIMIT_FORMAT_LIST, 0, 0, false, "list" },
        { "AllowedMemoryNodes", "s", "cpuset", "cpuset.mems", NULL, LIMIT_FORMAT_LIST, 0, 0, false, "list" },
        MEMORY("MemoryMin", "memory.min"),
        MEMORY("MemoryLow", "memory.low"),
        MEMORY("MemoryHigh", "memory.high"),
        MEMORY("MemoryMax", "memory.max"),
        MEMORY("MemorySwapMax", "memory.swap.max"),
        MEMORY("MemoryZSwapMax", "memory.zswap.max"),
        { "MemoryOOMGroup", "b", "memory", "memory.oom.group", NULL, LIMIT_FORMAT_FLAG, 0, 1, false, "boolean" },
        { "TasksMax", "t", "pids", "pids.max", NULL, LIMIT_FORMAT_NUMBER, 0, INT32_MAX, true, "tasks" },
        { "IOWeight", "t", "io", "io.weight", NULL, LIMIT_FORMAT_DEFAULT, 1, 10000, false, "weight" },
        { "IODeviceWeight", "a(st)", "io", "io.weight", NULL, LIMIT_FORMAT_DEVICE_WEIGHT, 1, 10000, false, "weight" },
        IO_MAX("IOReadBandwidthMax", "rbps", "bytes/s"),
        IO_MAX("IOWriteBandwidthMax", "wbps", "bytes/s"),
        IO_MAX("IOReadIOPSMax", "riops", "1/s"),
        IO_MAX("IOWriteIOPSMax", "wiops", "1/s"),
        { "IODeviceLatencyTargetUSec", "a(st)", "io", "io.latency", "target", LIMIT_FORMAT_DEVICE_KEY, 1, BYTES_MAX,
          false, "us" },
        { "HugetlbMax", "a(st)", "hugetlb", "hugetlb.%s.max", NULL, LIMIT_FORMAT_PAGES, 0, BYTES_MAX, true, "bytes" },
        { "MaxDescendants", "t", NULL, "cgroup.max.descendants", NULL, LIMIT_FORMAT_NUMBER, 0, INT32_MAX, true, "groups" },
        { "MaxDepth", "t", NULL, "cgroup.max.depth", NULL, LIMIT_FORMAT_NUMBER, 0, INT32_MAX, true, "levels" },
};
const size_t n_limits = G_N_ELEMENTS(limits);

const Limit *limit_find(const char *name) {
        for (size_t i = 0; i < n_limits; i++)
                if (strcmp(limits[i].name, name) == 0)
                        return &limits[i];
        return NULL;
}

/* ---- bounds ---- */

/* `key` names the entry of a list, or is NULL. */
static bool number_validate(const Limit *limit, const char *key, uint64_t number, GError **error) {
        if (limit->infinity && number == LIMIT_INFINITY)
                return true;
        if (number >= limit->min && number <= limit->max)
                return true;
        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                           "%s=%s%s%" PRIu64 " is out of range: %" PRIu64 " to %" PRIu64 " (%s)%s", limit->name,
                           key ? key : "", key ? " " : "", number, limit->min, limit->max, limit->unit,
                           limit->infinity ? ", or 18446744073709551615 for no limit" : "");
}

/* Comma-separated numbers and ranges (cpuset(7), "List format"); empty for the parent's. */
static bool is_list(const char *text) {
        if (*text == '\0')
                return true;
        for (;;) {
                guint64 first, last;
                char *end;

                if (!g_ascii_isdigit(*text))
                        return false;
                first = last = g_ascii_strtoull(text, &end, 10);
                if (*end == '-') {
                        if (!g_ascii_isdigit(end[1]))
                                return false;
                        last = g_ascii_strtoull(end + 1, &end, 10);
                }
                if (first > last || last > INT32_MAX)
                        return false;
                if (*end == '\0')
                        return true;
                if (*end != ',')
                        return false;
                text = end + 1;
        }
}

/* "2MB", as the kernel writes it (mm/hugetlb_cgroup.c, mem_fmt()): polkit shows it before the kernel knows of it. */
static bool is_page_size(const char *text) {
        size_t n = strspn(text, "0123456789");

        return n > 0 && n < PAGE_SIZE_DIGITS && text[n] && strchr("KMG", text[n]) && strcmp(text + n + 1, "B") == 0;
}

bool limit_validate(const Limit *limit, const LimitValue *value, GError **error) {
        if (value->entries) {
                for (unsigned i = 0; i < value->entries->len; i++) {
                        const LimitEntry *entry = &g_array_index(value->entries, LimitEntry, i);

                        if (limit->format == LIMIT_FORMAT_PAGES && !is_page_size(entry->key))
                                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                                   "%s: \"%s\" is no size of a page such as \"2MB\"", limit->name,
                                                   entry->key);
                        if (!number_validate(limit, entry->key, entry->number, error))
                                return false;
                }
                return true;
        }
        if (limit->format != LIMIT_FORMAT_LIST)
                return number_validate(limit, NULL, value->number, error);
        if (!is_list(value->text))
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                   "%s=\"%s\" is not a list of numbers and ranges such as \"0-3,7\" "
                                   "(\"\" for all that the parent has)", limit->name, value->text);
        return true;
}

/* ---- entries ---- */

static void entry_clear(void *data) {
        g_free(((LimitEntry *) data)->key);
}

GArray *limit_entries_new(void) {
        GArray *entries = g_array_new(false, false, sizeof(LimitEntry));

        g_array_set_clear_func(entries, entry_clear);
        return entries;
}

bool limit_entries_add(GArray *entries, const Limit *limit, const char *key, uint64_t number, GError **error) {
        LimitEntry entry = { g_strdup(key), number };
        unsigned i = 0;
        int order = 1;

        while (i < entries->len && (order = strcmp(g_array_index(entries, LimitEntry, i).key, key)) < 0)
                i++;
        if (i < entries->len && order == 0) {
                g_free(entry.key);
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s names %s twice", limit->name, key);
        }
        g_array_insert_val(entries, i, entry);
        return true;
}

static const LimitEntry *entries_find(const GArray *entries, const char *key) {
        for (unsigned i = 0; i < entries->len; i++)
                if (strcmp(g_array_index(entries, LimitEntry, i).key, key) == 0)
                        return &g_array_index(entries, LimitEntry, i);
        return NULL;
}

/* ---- to kernel files ---- */

static uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t divisor) {
        return (uint64_t) ((unsigned __int128) a * b / divisor);
}

/* "QUOTA PERIOD", both in microseconds; a quota below the kernel's minimum gets a longer period instead. */
static char *quota_format(uint64_t per_second, uint64_t period) {
        uint64_t quota;

        if (per_second == LIMIT_INFINITY)
                return g_strdup_printf("max %" PRIu64, period);
        quota = multiply_divide(per_second, period, USEC_PER_SEC);
        if (quota < QUOTA_MIN_USEC) {
                quota = QUOTA_MIN_USEC;
                period = MIN(multiply_divide(quota, USEC_PER_SEC, MAX(per_second, 1)), PERIOD_MAX_USEC);
        }
        return g_strdup_printf("%" PRIu64 " %" PRIu64, quota, period);
}

static bool cpu_max_parse(const char *contents, uint64_t *ret_per_second, uint64_t *ret_period);

char *limit_format_number(const Limit *limit, uint64_t number) {
        if (limit->infinity && number == LIMIT_INFINITY)
                return g_strdup("max");
        return g_strdup_printf("%" PRIu64, number);
}

static char *entry_format(const Limit *limit, const char *device, const char *number) {
        if (limit->format == LIMIT_FORMAT_DEVICE_WEIGHT)
                return g_strdup_printf("%s %s", device, number);
        return g_strdup_printf("%s %s=%s", device, limit->key, number);
}

/* What takes a device's limit away again: cgroup-v2.rst, "io.weight", "io.max"; block/blk-iolatency.c for 0. */
static const char *entry_none(const Limit *limit) {
        return limit->format == LIMIT_FORMAT_DEVICE_WEIGHT ? "default" : limit->infinity ? "max" : "0";
}

static GStrv entries_format(const Limit *limit, const GArray *entries, const char *current) {
        g_autoptr(GPtrArray) lines = g_ptr_array_new();
        LimitValue old = {};

        if (limit_parse(limit, current, &old))
                for (unsigned i = 0; i < old.entries->len; i++) {
                        const char *device = g_array_index(old.entries, LimitEntry, i).key;

                        if (!entries_find(entries, device))
                                g_ptr_array_add(lines, entry_format(limit, device, entry_none(limit)));
                }
        limit_value_clear(&old);
        for (unsigned i = 0; i < entries->len; i++) {
                const LimitEntry *entry = &g_array_index(entries, LimitEntry, i);
                g_autofree char *number = limit_format_number(limit, entry->number);

                g_ptr_array_add(lines, entry_format(limit, entry->key, number));
        }
        g_ptr_array_add(lines, NULL);
        return (GStrv) g_ptr_array_free(g_steal_pointer(&lines), false);
}

GStrv limit_format(const Limit *limit, const LimitValue *value, const char *current) {
        uint64_t per_second = LIMIT_INFINITY, period = PERIOD_DEFAULT_USEC;
        char *line = NULL;
        GStrv lines;

        switch (limit->format) {
        case LIMIT_FORMAT_NUMBER:
        case LIMIT_FORMAT_FLAG:
        case LIMIT_FORMAT_PAGES:
                line = limit_format_number(limit, value->number);
                break;
        case LIMIT_FORMAT_QUOTA:
                cpu_max_parse(current, &per_second, &period);
                line = quota_format(value->number, period);
                break;
        case LIMIT_FORMAT_PERIOD:
                cpu_max_parse(current, &per_second, &period);
                line = quota_format(per_second, value->number);
                break;
        case LIMIT_FORMAT_DEFAULT:
                line = g_strdup_printf("default %" PRIu64, value->number);
                break;
        case LIMIT_FORMAT_LIST:
                line = g_strdup(value->text);
                break;
        case LIMIT_FORMAT_DEVICE_WEIGHT:
        case LIMIT_FORMAT_DEVICE_KEY:
                return entries_format(limit, value->entries, current);
        }
        lines = g_new0(char *, 2);
        lines[0] = line;
        return lines;
}

/* ---- from kernel files ---- */

/* "N" or "max", then a space, a newline or the end; *ret_end is behind it. */
static bool number_parse(const char *text, uint64_t *ret_number, const char **ret_end) {
        char *end;

        if (g_str_has_prefix(text, "max")) {
                *ret_number = LIMIT_INFINITY;
                end = (char *) text + strlen("max");
        } else {
                if (!g_ascii_isdigit(*text))
                        return false;
                *ret_number = g_ascii_strtoull(text, &end, 10);
        }
        *ret_end = end;
        return *end == '\0' || *end == ' ' || *end == '\n';
}

static bool cpu_max_parse(const char *contents, uint64_t *ret_per_second, uint64_t *ret_period) {
        uint64_t quota, period;
        const char *end;

        if (!number_parse(contents, &quota, &end) || *end != ' ' || !number_parse(end + 1, &period, &end) ||
            period == 0 || period == LIMIT_INFINITY)
                return false;
        *ret_per_second = quota == LIMIT_INFINITY ? LIMIT_INFINITY : multiply_divide(quota, USEC_PER_SEC, period);
        *ret_period = period;
        return true;
}

static bool is_device(const char *word) {
        const char *colon = strchr(word, ':');

        return colon && g_ascii_isdigit(word[0]) && g_ascii_isdigit(colon[1]);
}

/* The number in a line's words behind the device; false when the line has none for this limit. */
static bool entry_parse(const Limit *limit, char **words, uint64_t *ret_number) {
        g_autofree char *prefix = limit->key ? g_strconcat(limit->key, "=", NULL) : g_strdup("");
        const char *end;

        for (; *words; words++)
                if (g_str_has_prefix(*words, prefix))
                        return number_parse(*words + strlen(prefix), ret_number, &end);
        return false;
}

/* Devices without a limit of this kind are not in the list. */
static GArray *entries_parse(const Limit *limit, const char *contents) {
        g_auto(GStrv) lines = g_strsplit(contents, "\n", -1);
        GArray *entries = limit_entries_new();

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(*line, " ", -1);
                uint64_t number;

                if (words[0] && is_device(words[0]) && entry_parse(limit, words + 1, &number) &&
                    number != LIMIT_INFINITY && number != 0)
                        limit_entries_add(entries, limit, words[0], number, NULL);
        }
        return entries;
}

bool limit_parse(const Limit *limit, const char *contents, LimitValue *ret_value) {
        LimitValue value = {};
        uint64_t other;
        const char *end;

        switch (limit->format) {
        case LIMIT_FORMAT_QUOTA:
                if (!cpu_max_parse(contents, &value.number, &other))
                        return false;
                break;
        case LIMIT_FORMAT_PERIOD:
                if (!cpu_max_parse(contents, &other, &value.number))
                        return false;
                break;
        case LIMIT_FORMAT_LIST:
                value.text = g_strchomp(g_strdup(contents));
                break;
        case LIMIT_FORMAT_DEVICE_WEIGHT:
        case LIMIT_FORMAT_DEVICE_KEY:
                value.entries = entries_parse(limit, contents);
                break;
        case LIMIT_FORMAT_DEFAULT:
                if (!g_str_has_prefix(contents, "default "))
                        return false;
                contents += strlen("default ");
                G_GNUC_FALLTHROUGH;
        case LIMIT_FORMAT_NUMBER:
        case LIMIT_FORMAT_FLAG:
        case LIMIT_FORMAT_PAGES:
                if (!number_parse(contents, &value.number, &end))
                        return false;
                break;
        }
        *ret_value = value;
        return true;
}

void limit_value_clear(LimitValue *value) {
        g_clear_pointer(&value->text, g_free);
        g_clear_pointer(&value->entries, g_array_unref);
}

/* ---- settings ---- */

static void setting_clear(void *data) {
        LimitSetting *setting = data;

        limit_value_clear(&setting->value);
}

GArray *limit_settings_new(void) {
        GArray *settings = g_array_new(false, false, sizeof(LimitSetting));

        g_array_set_clear_func(settings, setting_clear);
        return settings;
}

bool limit_settings_add(GArray *settings, const Limit *limit, LimitValue *value, GError **error) {
        LimitSetting setting = { limit, *value };
        unsigned i = 0;

        while (i < settings->len && g_array_index(settings, LimitSetting, i).limit < limit)
                i++;
        if (i < settings->len && g_array_index(settings, LimitSetting, i).limit == limit)
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY, "%s is given twice", limit->name);
        g_array_insert_val(settings, i, setting);
        *value = (LimitValue) {};
        return true;
}

static void describe_number(GString *text, const Limit *limit, uint64_t number) {
        if (limit->infinity && number == LIMIT_INFINITY)
                g_string_append(text, "infinity");
        else
                g_string_append_printf(text, "%" PRIu64, number);
}

char *limit_settings_describe(const GArray *settings) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < settings->len; i++) {
                const LimitSetting *setting = &g_array_index(settings, LimitSetting, i);
                const GArray *entries = setting->value.entries;

                g_string_append_printf(text, "%s%s=", i > 0 ? " " : "", setting->limit->name);
                if (setting->value.text)
                        g_string_append(text, setting->value.text);
                else if (!entries)
                        describe_number(text, setting->limit, setting->value.number);
                for (unsigned j = 0; entries && j < entries->len; j++) {
                        const LimitEntry *entry = &g_array_index(entries, LimitEntry, j);

                        g_string_append_printf(text, "%s%s=", j > 0 ? "," : "", entry->key);
                        describe_number(text, setting->limit, entry->number);
                }
        }
        return g_string_free(text, false);
}
