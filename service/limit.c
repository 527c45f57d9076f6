/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "limit.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define PERIOD_MAX_USEC UINT64_C(1000000) /* kernel/sched/core.c: max_cfs_quota_period, 1 s */
#define QUOTA_MAX UINT64_C(1000000000000) /* a million processors */
#define PAGE_SIZE_DIGITS 20 /* more than any 64-bit number has */
#define BYTES_MAX ((uint64_t) INT64_MAX)

#define NUMBER(controller, file, none) { controller, file, LIMIT_FORMAT_NUMBER, NULL, none }
#define MEMORY(name, file, v1) { name, "t", NUMBER("memory", file, "max"), v1, 0, BYTES_MAX, true, "bytes" }
#define LIST(file, in_force) { "cpuset", file, LIMIT_FORMAT_LIST, .effective = in_force }
#define IO_MAX(name, key, v1_file, unit)                                                          \
        { name, "a(st)", { "io", "io.max", LIMIT_FORMAT_DEVICE_KEY, key, "max" },                 \
          { "blkio", v1_file, LIMIT_FORMAT_DEVICE_NUMBER, NULL, "0" }, 1, BYTES_MAX, true, unit }

#define V1_PAIR(file, format, other) { "memory", file, format, NULL, "-1", other }
/* v1's controller has no such limit. */
#define V1_NONE(controller) { controller, NULL }
/* A file of the core is cgroup2's on every host. */
#define V1_CORE { NULL, NULL }

/* In the order in which they are set: a period before the quota that depends on it, a quota before the burst. */
const Limit limits[] = {
        { "CPUWeight", "t", NUMBER("cpu", "cpu.weight", NULL), { "cpu", "cpu.shares", LIMIT_FORMAT_SHARES },
          1, 10000, false, "weight" },
        { "CPUQuotaPeriodUSec", "t", { "cpu", "cpu.max", LIMIT_FORMAT_PERIOD },
          { "cpu", "cpu.cfs_period_us", LIMIT_FORMAT_CFS_PERIOD, .other = "cpu.cfs_quota_us" },
          1000, PERIOD_MAX_USEC, false, "us" },
        { "CPUQuotaPerSecUSec", "t", { "cpu", "cpu.max", LIMIT_FORMAT_QUOTA },
          { "cpu", "cpu.cfs_quota_us", LIMIT_FORMAT_CFS_QUOTA, .other = "cpu.cfs_period_us" },
          1000, QUOTA_MAX, true, "us/s" },
        { "CPUBurstUSec", "t", NUMBER("cpu", "cpu.max.burst", NULL), NUMBER("cpu", "cpu.cfs_burst_us", NULL),
          0, QUOTA_MAX, false, "us" },
        { "AllowedCPUs", "s", LIST("cpuset.cpus", "cpuset.cpus.effective"),
          LIST("cpuset.cpus", "cpuset.effective_cpus"), 0, 0, false, "list" },
        { "AllowedMemoryNodes", "s", LIST("cpuset.mems", "cpuset.mems.effective"),
          LIST("cpuset.mems", "cpuset.effective_mems"), 0, 0, false, "list" },
        MEMORY("MemoryMin", "memory.min", V1_NONE("memory")),
        MEMORY("MemoryLow", "memory.low", V1_NONE("memory")),
        MEMORY("MemoryHigh", "memory.high", V1_NONE("memory")),
        MEMORY("MemoryMax", "memory.max",
               V1_PAIR("memory.limit_in_bytes", LIMIT_FORMAT_MEMORY, "memory.memsw.limit_in_bytes")),
        MEMORY("MemorySwapMax", "memory.swap.max",
               V1_PAIR("memory.memsw.limit_in_bytes", LIMIT_FORMAT_SWAP, "memory.limit_in_bytes")),
        MEMORY("MemoryZSwapMax", "memory.zswap.max", V1_NONE("memory")),
        { "MemoryOOMGroup", "b", { "memory", "memory.oom.group", LIMIT_FORMAT_FLAG }, V1_NONE("memory"),
          0, 1, false, "boolean" },
        { "TasksMax", "t", NUMBER("pids", "pids.max", "max"), NUMBER("pids", "pids.max", "max"),
          0, INT32_MAX, true, "tasks" },
        { "IOWeight", "t", { "io", "io.weight", LIMIT_FORMAT_DEFAULT }, { "blkio", "blkio.bfq.weight", LIMIT_FORMAT_BFQ },
          1, 10000, false, "weight" },
        { "IODeviceWeight", "a(st)", { "io", "io.weight", LIMIT_FORMAT_DEVICE_NUMBER, NULL, "default" },
          V1_NONE("blkio"), 1, 10000, false, "weight" },
        IO_MAX("IOReadBandwidthMax", "rbps", "blkio.throttle.read_bps_device", "bytes/s"),
        IO_MAX("IOWriteBandwidthMax", "wbps", "blkio.throttle.write_bps_device", "bytes/s"),
        IO_MAX("IOReadIOPSMax", "riops", "blkio.throttle.read_iops_device", "1/s"),
        IO_MAX("IOWriteIOPSMax", "wiops", "blkio.throttle.write_iops_device", "1/s"),
        { "IODeviceLatencyTargetUSec", "a(st)", { "io", "io.latency", LIMIT_FORMAT_DEVICE_KEY, "target", "0" },
          V1_NONE("blkio"), 1, BYTES_MAX, false, "us" },
        { "HugetlbMax", "a(st)", { "hugetlb", "hugetlb.%s.max", LIMIT_FORMAT_PAGES, NULL, "max" },
          { "hugetlb", "hugetlb.%s.limit_in_bytes", LIMIT_FORMAT_PAGES, NULL, "-1" }, 0, BYTES_MAX, true, "bytes" },
        { "MaxDescendants", "t", NUMBER(NULL, "cgroup.max.descendants", "max"), V1_CORE, 0, INT32_MAX, true, "groups" },
        { "MaxDepth", "t", NUMBER(NULL, "cgroup.max.depth", "max"), V1_CORE, 0, INT32_MAX, true, "levels" },
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

                        if (limit->v2.format == LIMIT_FORMAT_PAGES && !is_page_size(entry->key))
                                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                                   "%s: \"%s\" is no size of a page such as \"2MB\"", limit->name,
                                                   entry->key);
                        if (!number_validate(limit, entry->key, entry->number, error))
                                return false;
                }
                return true;
        }
        if (limit->v2.format != LIMIT_FORMAT_LIST)
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

bool limit_entries_add(GArray *entries, const char *key, uint64_t number) {
        LimitEntry entry = { .number = number };
        unsigned i = 0;
        int order = 1;

        while (i < entries->len && (order = strcmp(g_array_index(entries, LimitEntry, i).key, key)) < 0)
                i++;
        if (i < entries->len && order == 0)
                return false;
        entry.key = g_strdup(key);
        g_array_insert_val(entries, i, entry);
        return true;
}

const LimitEntry *limit_entries_find(const GArray *entries, const char *key) {
        for (unsigned i = 0; i < entries->len; i++)
                if (strcmp(g_array_index(entries, LimitEntry, i).key, key) == 0)
                        return &g_array_index(entries, LimitEntry, i);
        return NULL;
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
