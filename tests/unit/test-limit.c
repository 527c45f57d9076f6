/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "expect.h"
#include "limit-file.h"

#include <inttypes.h>

/* ---- the table ---- */

static void table_names_are_unique(void) {
        g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

        for (size_t i = 0; i < n_limits; i++) {
                g_assert_true(g_hash_table_add(names, (char *) limits[i].name));
                g_assert_true(limit_find(limits[i].name) == &limits[i]);
        }
        g_assert_null(limit_find("memorymax"));
        g_assert_null(limit_find("MemoryMaxx"));
        g_assert_null(limit_find(""));
}

static bool is_entries(const Limit *limit) {
        return limit->v2.format == LIMIT_FORMAT_DEVICE_NUMBER || limit->v2.format == LIMIT_FORMAT_DEVICE_KEY ||
               limit->v2.format == LIMIT_FORMAT_PAGES;
}

static void table_row_is_whole(const void *data) {
        const Limit *limit = data;
        const char *types[] = { "t", "b", "s", "a(st)", NULL };
        const char *prefix = limit->v2.controller ? limit->v2.controller : "cgroup"; /* the core's own files */

        g_assert_true(g_ascii_isupper(limit->name[0]));
        g_assert_true(g_strv_contains(types, limit->signature));
        g_assert_cmpint(strcmp(limit->signature, "s") == 0, ==, limit->v2.format == LIMIT_FORMAT_LIST);
        g_assert_cmpint(strcmp(limit->signature, "b") == 0, ==, limit->v2.format == LIMIT_FORMAT_FLAG);
        g_assert_cmpint(strcmp(limit->signature, "a(st)") == 0, ==, is_entries(limit));
        g_assert_cmpint(limit->v2.key != NULL, ==, limit->v2.format == LIMIT_FORMAT_DEVICE_KEY);
        g_assert_true(g_str_has_prefix(limit->v2.file, prefix));
        g_assert_true(limit->v2.file[strlen(prefix)] == '.');
        g_assert_cmpuint(limit->unit[0], !=, '\0');
        g_assert_cmpuint(limit->min, <=, limit->max);
        g_assert_cmpuint(limit->max, <, LIMIT_INFINITY);
}

/* ---- bounds ---- */

static void expect_bound(const Limit *limit, uint64_t number, bool good) {
        LimitValue value = { .number = number };
        g_autofree char *text = g_strdup_printf("%s=%" PRIu64, limit->name, number);
        g_autofree char *min = g_strdup_printf("%" PRIu64, limit->min), *max = g_strdup_printf("%" PRIu64, limit->max);
        g_autoptr(GError) error = NULL;

        g_test_message("%s", text);
        g_assert_cmpint(limit_validate(limit, &value, &error), ==, good);
        if (!good)
                expect_error(&error, CORDON_ERROR_INVALID_PROPERTY, text, min, max, limit->unit,
                             limit->infinity ? "18446744073709551615" : "", NULL);
        g_assert_no_error(error);
}

static void bounds_hold(const void *data) {
        const Limit *limit = data;

        if (strcmp(limit->signature, "t") != 0)
                return;
        if (limit->min > 0)
                expect_bound(limit, limit->min - 1, false);
        expect_bound(limit, limit->min, true);
        expect_bound(limit, limit->min + (limit->max - limit->min) / 2, true);
        expect_bound(limit, limit->max, true);
        expect_bound(limit, limit->max + 1, false);
        expect_bound(limit, LIMIT_INFINITY - 1, false);
        expect_bound(limit, LIMIT_INFINITY, limit->infinity);
}

/* The bounds that the table is to have, where the kernel's documentation or systemd gives them. */
static const struct {
        const char *name;
        uint64_t number;
        bool good;
} bounds[] = {
        { "CPUWeight", 0, false }, { "CPUWeight", 1, true }, { "CPUWeight", 10000, true }, { "CPUWeight", 10001, false },
        { "CPUWeight", LIMIT_INFINITY, false },
        { "CPUQuotaPerSecUSec", 999, false }, { "CPUQuotaPerSecUSec", 1000, true },
        { "CPUQuotaPerSecUSec", LIMIT_INFINITY, true },
        { "MemoryHigh", 0, true }, { "MemoryMax", 0, true }, { "MemoryMax", INT64_MAX, true },
        { "MemoryMax", (uint64_t) INT64_MAX + 1, false }, { "MemorySwapMax", 0, true },
        { "MemorySwapMax", LIMIT_INFINITY, true },
        { "TasksMax", 0, true }, { "TasksMax", 4194304, true }, { "TasksMax", LIMIT_INFINITY, true },
        { "TasksMax", UINT64_C(1) << 32, false },
        { "IOWeight", 0, false }, { "IOWeight", 10000, true }, { "IOWeight", 10001, false },
        { "IOWeight", LIMIT_INFINITY, false },
};

static void bounds_are_documented(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(bounds); i++)
                expect_bound(limit_find(bounds[i].name), bounds[i].number, bounds[i].good);
}

static const struct {
        const char *text;
        bool good;
} lists[] = {
        { "", true }, { "0", true }, { "0-3", true }, { "0-3,7", true }, { "7,0-3", true }, { "3-3", true },
        { "0,0,0", true }, { "00,01", true }, { "2147483647", true }, { "0-2147483647", true },
        { " ", false }, { ",", false }, { "-", false }, { "0-", false }, { "-3", false }, { "0,", false }, { ",0", false },
        { "0,,1", false }, { "3-0", false }, { "0-1-2", false }, { "0 1", false }, { "0, 1", false }, { " 0", false },
        { "0 ", false }, { "0\n", false }, { "+0", false }, { "0-+3", false }, { "0- 3", false }, { "0x1", false },
        { "a", false }, { "all", false }, { "0-10:2/4", false }, { "2147483648", false }, { "0-2147483648", false },
        { "18446744073709551616", false }, { "0-18446744073709551616", false }, { "0,é", false },
};

static void lists_are_checked(void) {
        const Limit *limit = limit_find("AllowedCPUs");

        for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
                LimitValue value = { .text = (char *) lists[i].text };
                g_autofree char *text = g_strdup_printf("AllowedCPUs=\"%s\"", lists[i].text);
                g_autoptr(GError) error = NULL;

                g_test_message("%s", text);
                g_assert_cmpint(limit_validate(limit, &value, &error), ==, lists[i].good);
                if (!lists[i].good)
                        expect_error(&error, CORDON_ERROR_INVALID_PROPERTY, text, "0-3,7", NULL);
                g_assert_no_error(error);
        }
}

/* ---- kernel files ---- */

/* What kernels 6.1 to 6.18 show in these files, and what it means. */
static const struct {
        const char *name, *contents;
        uint64_t number;
        const char *text; /* or entries, as limit_settings_describe() has them */
} samples[] = {
        { "CPUWeight", "100\n", 100 },
        { "CPUWeight", "10000\n", 10000 },
        { "CPUQuotaPerSecUSec", "max 100000\n", LIMIT_INFINITY },
        { "CPUQuotaPerSecUSec", "50000 100000\n", 500000 },
        { "CPUQuotaPerSecUSec", "200000 100000\n", 2000000 },
        { "CPUQuotaPerSecUSec", "1000 1000000\n", 1000 },
        { "CPUQuotaPerSecUSec", "1000 3000\n", 333333 },
        { "CPUQuotaPerSecUSec", "17592186044415 1000000\n", 17592186044415 }, /* the kernel's largest, 2^44 - 1 */
        { "AllowedCPUs", "0-3,7\n", 0, "0-3,7" },
        { "AllowedCPUs", "\n", 0, "" },
        { "AllowedCPUs", "", 0, "" },
        { "MemoryHigh", "max\n", LIMIT_INFINITY },
        { "MemoryMax", "max\n", LIMIT_INFINITY },
        { "MemoryMax", "0\n", 0 },
        { "MemoryMax", "1073741824\n", 1073741824 },
        { "MemoryMax", "9223372036854771712\n", 9223372036854771712U },
        { "MemorySwapMax", "0\n", 0 },
        { "TasksMax", "max\n", LIMIT_INFINITY },
        { "TasksMax", "4194304\n", 4194304 },
        { "IOWeight", "default 100\n", 100 },
        { "IOWeight", "default 10000\n8:16 200\n254:0 50\n", 10000 },
        { "CPUQuotaPeriodUSec", "max 100000\n", 100000 },
        { "CPUBurstUSec", "0\n", 0 },
        { "AllowedMemoryNodes", "0\n", 0, "0" },
        { "MemoryMin", "0\n", 0 },
        { "MemoryLow", "max\n", LIMIT_INFINITY },
        { "MemoryZSwapMax", "max\n", LIMIT_INFINITY },
        { "MemoryOOMGroup", "1\n", 1 },
        { "MaxDescendants", "max\n", LIMIT_INFINITY },
        { "MaxDepth", "3\n", 3 },
        { "HugetlbMax", "4194304\n", 4194304 }, /* the file of one size */
        { "IODeviceWeight", "default 10000\n8:16 200\n254:0 50\n", 0, "254:0=50,8:16=200" },
        { "IODeviceWeight", "", 0, "" },
        { "IOReadBandwidthMax", "8:16 rbps=2097152 wbps=max riops=max wiops=120\n", 0, "8:16=2097152" },
        { "IOWriteBandwidthMax", "8:16 rbps=2097152 wbps=max riops=max wiops=120\n", 0, "" },
        { "IOReadIOPSMax", "8:0 rbps=max wbps=max riops=7 wiops=max\n8:16 rbps=1 wbps=1 riops=8 wiops=1\n", 0,
          "8:0=7,8:16=8" },
        { "IOWriteIOPSMax", "8:16 rbps=2097152 wbps=max riops=max wiops=120\n", 0, "8:16=120" },
        { "IODeviceLatencyTargetUSec", "8:16 target=75000\n8:0 target=0\n", 0, "8:16=75000" },
};

/* "KEY=NUMBER,…" */
static char *describe(const Limit *limit, LimitValue *value) {
        g_autoptr(GArray) settings = limit_settings_new();
        g_autofree char *text = NULL;

        g_assert_true(limit_settings_add(settings, limit, value, NULL));
        text = limit_settings_describe(settings);
        return g_strdup(strchr(text, '=') + 1);
}

static void samples_are_understood(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(samples); i++) {
                const Limit *limit = limit_find(samples[i].name);
                LimitValue value = {};

                g_test_message("%s: %s", limit->v2.file, samples[i].contents);
                g_assert_true(limit_parse(&limit->v2, samples[i].contents, NULL, &value));
                g_assert_cmpuint(value.number, ==, samples[i].number);
                if (value.entries) {
                        g_autofree char *entries = describe(limit, &value);

                        g_assert_cmpstr(entries, ==, samples[i].text);
                } else
                        g_assert_cmpstr(value.text, ==, samples[i].text);
                limit_value_clear(&value);
        }
}

/* A row that is added comes with what its file looks like. */
static void row_has_a_sample(const void *data) {
        const Limit *limit = data;

        for (size_t i = 0; i < G_N_ELEMENTS(samples); i++)
                if (limit_find(samples[i].name) == limit)
                        return;
        g_error("no sample of %s, for %s", limit->v2.file, limit->name);
}

static const struct {
        const char *name, *contents;
} nonsense[] = {
        { "MemoryMax", "" }, { "MemoryMax", "\n" }, { "MemoryMax", " 1\n" }, { "MemoryMax", "-1\n" },
        { "MemoryMax", "+1\n" }, { "MemoryMax", "maximum\n" }, { "MemoryMax", "12k\n" }, { "MemoryMax", "0x10\n" },
        { "MemoryMax", "infinity\n" }, { "MemoryMax", "Max\n" },
        { "CPUQuotaPerSecUSec", "" }, { "CPUQuotaPerSecUSec", "max\n" }, { "CPUQuotaPerSecUSec", "100000\n" },
        { "CPUQuotaPerSecUSec", "100000 0\n" }, { "CPUQuotaPerSecUSec", "max 0\n" }, { "CPUQuotaPerSecUSec", "1  1\n" },
        { "CPUQuotaPerSecUSec", "1 x\n" }, { "CPUQuotaPerSecUSec", "x 100000\n" }, { "CPUQuotaPerSecUSec", "1\t1\n" },
        { "IOWeight", "" }, { "IOWeight", "100\n" }, { "IOWeight", "default\n" }, { "IOWeight", "default \n" },
        { "IOWeight", "8:16 200\n" }, { "IOWeight", "default x\n" },
};

static void nonsense_is_refused(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(nonsense); i++) {
                LimitValue value = { .number = 77 };

                g_test_message("%s: \"%s\"", nonsense[i].name, nonsense[i].contents);
                g_assert_false(limit_parse(&limit_find(nonsense[i].name)->v2, nonsense[i].contents, NULL, &value));
                g_assert_cmpuint(value.number, ==, 77);
                g_assert_null(value.text);
        }
}

static const struct {
        const char *name;
        uint64_t number;
        const char *text, *old, *expected;
} formats[] = {
        { "CPUWeight", 1, NULL, "100\n", "1" },
        { "MemoryMax", 1073741824, NULL, "max\n", "1073741824" },
        { "MemoryMax", LIMIT_INFINITY, NULL, "0\n", "max" },
        { "MemoryHigh", 0, NULL, "max\n", "0" },
        { "TasksMax", LIMIT_INFINITY, NULL, "3\n", "max" },
        { "IOWeight", 200, NULL, "default 100\n8:16 300\n", "default 200" },
        { "AllowedCPUs", 0, "0-3,7", "\n", "0-3,7" },
        { "AllowedCPUs", 0, "", "0-3\n", "" },
        /* A quota keeps the file's period. */
        { "CPUQuotaPerSecUSec", 500000, NULL, "max 100000\n", "50000 100000" },
        { "CPUQuotaPerSecUSec", 500000, NULL, "1000 20000\n", "10000 20000" },
        { "CPUQuotaPerSecUSec", 2500000, NULL, "max 100000\n", "250000 100000" },
        { "CPUQuotaPerSecUSec", LIMIT_INFINITY, NULL, "10000 20000\n", "max 20000" },
        { "CPUQuotaPerSecUSec", LIMIT_INFINITY, NULL, "max 1000000\n", "max 1000000" },
        { "CPUQuotaPerSecUSec", UINT64_C(1) << 40, NULL, "max 1000000\n", "1099511627776 1000000" },
        /* The kernel takes no quota below 1 ms: the smallest there is, in a longer period. */
        { "CPUQuotaPerSecUSec", 10000, NULL, "max 100000\n", "1000 100000" },
        { "CPUQuotaPerSecUSec", 9999, NULL, "max 100000\n", "1000 100010" },
        { "CPUQuotaPerSecUSec", 5000, NULL, "max 100000\n", "1000 200000" },
        { "CPUQuotaPerSecUSec", 1000, NULL, "max 100000\n", "1000 1000000" },
        { "CPUQuotaPerSecUSec", 500000, NULL, "max 1000\n", "1000 2000" },
        /* A period that cannot be read is the kernel's default. */
        { "CPUQuotaPerSecUSec", 500000, NULL, "", "50000 100000" },
        { "CPUQuotaPerSecUSec", 500000, NULL, "max\n", "50000 100000" },
        { "CPUQuotaPerSecUSec", LIMIT_INFINITY, NULL, "max 0\n", "max 100000" },
        /* A period keeps the quota in a second. */
        { "CPUQuotaPeriodUSec", 20000, NULL, "50000 100000\n", "10000 20000" },
        { "CPUQuotaPeriodUSec", 20000, NULL, "max 100000\n", "max 20000" },
        { "MemoryOOMGroup", 1, NULL, "0\n", "1" },
        { "MemoryOOMGroup", 0, NULL, "1\n", "0" },
};

/* Lists of devices: what is written for "KEY=NUMBER,…" over what the file holds, a line for each write. */
static const struct {
        const char *name, *entries, *old, *expected;
} entry_formats[] = {
        { "IODeviceWeight", "8:0=50", "default 100\n", "8:0 50" },
        { "IODeviceWeight", "8:0=50", "default 100\n8:16 7\n8:0 9\n", "8:16 default\n8:0 50" },
        { "IODeviceWeight", "", "default 100\n8:16 7\n", "8:16 default" },
        { "IOReadBandwidthMax", "8:0=1000,8:16=2000", "", "8:0 rbps=1000\n8:16 rbps=2000" },
        { "IOReadBandwidthMax", "", "8:0 rbps=1 wbps=2 riops=max wiops=max\n", "8:0 rbps=max" },
        { "IOWriteBandwidthMax", "", "8:0 rbps=1 wbps=max riops=max wiops=max\n", "" },
        { "IOWriteIOPSMax", "8:0=18446744073709551615", "", "8:0 wiops=max" },
        { "IODeviceLatencyTargetUSec", "8:0=75000", "8:16 target=100\n", "8:16 target=0\n8:0 target=75000" },
        { "IODeviceLatencyTargetUSec", "", "8:16 target=100\n", "8:16 target=0" },
};

static GArray *parse_entries(const char *text) {
        g_auto(GStrv) words = g_strsplit(text, ",", -1);
        GArray *entries = limit_entries_new();

        for (char **word = words; *word; word++) {
                char *number = strchr(*word, '=');

                *number = '\0';
                g_assert_true(limit_entries_add(entries, *word, g_ascii_strtoull(number + 1, NULL, 10)));
        }
        return entries;
}

/* The texts of the writes, or "FILE=TEXT", a line each. */
static char *describe_writes(const GArray *writes, bool with_files) {
        g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < writes->len; i++) {
                const LimitWrite *write = &g_array_index(writes, LimitWrite, i);

                g_ptr_array_add(lines, g_strconcat(with_files ? write->file : "", with_files ? "=" : "", write->text, NULL));
        }
        g_ptr_array_add(lines, NULL);
        return g_strjoinv("\n", (char **) lines->pdata);
}

static void lists_of_devices_are_replaced(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(entry_formats); i++) {
                const Limit *limit = limit_find(entry_formats[i].name);
                LimitValue value = { .entries = parse_entries(entry_formats[i].entries) };
                g_autoptr(GArray) writes = limit_format(&limit->v2, &value, entry_formats[i].old, NULL);
                g_autofree char *text = describe_writes(writes, false);

                g_assert_cmpstr(text, ==, entry_formats[i].expected);
                limit_value_clear(&value);
        }
}

static void entries_are_sorted_and_unique(void) {
        g_autoptr(GArray) entries = parse_entries("2MB=4,1GB=3,64KB=5");

        g_assert_cmpstr(g_array_index(entries, LimitEntry, 0).key, ==, "1GB");
        g_assert_cmpstr(g_array_index(entries, LimitEntry, 2).key, ==, "64KB");
        g_assert_false(limit_entries_add(entries, "2MB", 1));
        g_assert_cmpuint(entries->len, ==, 3);
        g_assert_cmpuint(limit_entries_find(entries, "2MB")->number, ==, 4);
        g_assert_null(limit_entries_find(entries, "2M"));
}

/* Each number of a list has the bounds of the row, and the message names its device. */
static void entries_have_bounds(void) {
        const Limit *limit = limit_find("IODeviceWeight");
        LimitValue value = { .entries = parse_entries("8:0=10000,8:16=10001") };
        g_autoptr(GError) error = NULL;

        g_assert_false(limit_validate(limit, &value, &error));
        expect_error(&error, CORDON_ERROR_INVALID_PROPERTY, "IODeviceWeight=8:16 10001", "10000", NULL);
        limit_value_clear(&value);
}

static char *format_one(const Limit *limit, const LimitValue *value, const char *old) {
        g_autoptr(GArray) writes = limit_format(&limit->v2, value, old, NULL);

        g_assert_cmpuint(writes->len, ==, 1);
        g_assert_cmpstr(g_array_index(writes, LimitWrite, 0).file, ==, limit->v2.file);
        return g_strdup(g_array_index(writes, LimitWrite, 0).text);
}

static void formats_are_the_kernels(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
                LimitValue value = { .number = formats[i].number, .text = (char *) formats[i].text };
                g_autofree char *text = format_one(limit_find(formats[i].name), &value, formats[i].old);

                g_assert_cmpstr(text, ==, formats[i].expected);
        }
}

static uint64_t read_back(const Limit *limit, uint64_t number, const char *old) {
        LimitValue value = { .number = number };
        g_autofree char *text = format_one(limit, &value, old);

        g_assert_true(limit_parse(&limit->v2, text, NULL, &value));
        return value.number;
}

/* Every number of a row comes back from what would be written for it. */
static void numbers_come_back(const void *data) {
        const Limit *limit = data;
        uint64_t numbers[] = { limit->min, limit->min + 1, limit->max / 2, limit->max - 1, limit->max, LIMIT_INFINITY };

        if (limit->v2.format != LIMIT_FORMAT_NUMBER && limit->v2.format != LIMIT_FORMAT_DEFAULT)
                return;
        for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++)
                if (numbers[i] != LIMIT_INFINITY || limit->infinity)
                        g_assert_cmpuint(read_back(limit, numbers[i], ""), ==, numbers[i]);
}

/* A quota is rounded to whole microseconds, of the quota in a period or of a lengthened period; never to nothing. */
static void quotas_come_back_rounded(void) {
        const Limit *limit = limit_find("CPUQuotaPerSecUSec");
        static const uint64_t periods[] = { 1000, 3333, 20000, 100000, 1000000 };

        for (size_t i = 0; i < G_N_ELEMENTS(periods); i++) {
                g_autofree char *old = g_strdup_printf("max %" PRIu64 "\n", periods[i]);

                for (uint64_t number = limit->min; number < UINT64_C(1) << 36; number += number / 7) {
                        uint64_t got = read_back(limit, number, old), step = 1000000 / periods[i] + number / 1000 + 1;

                        g_assert_cmpuint(got + step, >=, number);
                        g_assert_cmpuint(got, <=, number + step);
                        g_assert_cmpuint(got, >=, limit->min);
                }
                g_assert_cmpuint(read_back(limit, LIMIT_INFINITY, old), ==, LIMIT_INFINITY);
        }
        /* What is a whole number of percents comes back to the digit in the default period. */
        for (uint64_t percent = 1; percent <= 6400; percent++)
                g_assert_cmpuint(read_back(limit, percent * 10000, "max 100000\n"), ==, percent * 10000);
}

/* ---- cgroup v1 ---- */

static void v1_row_is_whole(const void *data) {
        const LimitFile *file = &((const Limit *) data)->v1;

        if (!file->file)
                return;
        g_assert_true(g_str_has_prefix(file->file, file->controller));
        g_assert_cmpint(file->other != NULL, ==, file->format == LIMIT_FORMAT_CFS_QUOTA ||
                        file->format == LIMIT_FORMAT_CFS_PERIOD || file->format == LIMIT_FORMAT_MEMORY ||
                        file->format == LIMIT_FORMAT_SWAP);
}

#define ALL "9223372036854771712\n"

/* What the file holds, and the other one, and what that means. */
static const struct {
        const char *name, *contents, *other;
        uint64_t number;
        const char *text;
} v1_samples[] = {
        { "MemoryMax", ALL, NULL, LIMIT_INFINITY },
        { "MemoryMax", "9223372036854710272\n", ALL, LIMIT_INFINITY }, /* pages of 64 KiB */
        { "MemoryMax", "33554432\n", ALL, 33554432 },
        { "MemorySwapMax", ALL, ALL, LIMIT_INFINITY },
        { "MemorySwapMax", ALL, "33554432\n", LIMIT_INFINITY },
        { "MemorySwapMax", "34603008\n", "33554432\n", 1048576 },
        { "MemorySwapMax", "33554432\n", "33554432\n", 0 },
        { "CPUWeight", "1024\n", NULL, 100 }, { "CPUWeight", "2\n", NULL, 1 }, { "CPUWeight", "102400\n", NULL, 10000 },
        { "CPUQuotaPerSecUSec", "-1\n", "100000\n", LIMIT_INFINITY },
        { "CPUQuotaPerSecUSec", "20000\n", "100000\n", 200000 },
        { "CPUQuotaPeriodUSec", "100000\n", "-1\n", 100000 },
        { "CPUBurstUSec", "0\n", NULL, 0 },
        { "AllowedCPUs", "0-1\n", NULL, 0, "0-1" },
        { "TasksMax", "max\n", NULL, LIMIT_INFINITY }, { "TasksMax", "7\n", NULL, 7 },
        { "IOWeight", "100\n", NULL, 100 }, { "IOWeight", "1000\n", NULL, 10000 }, { "IOWeight", "1\n", NULL, 1 },
        { "IOReadBandwidthMax", "8:16 2097152\n", NULL, 0, "8:16=2097152" },
        { "IOWriteIOPSMax", "", NULL, 0, "" },
        { "HugetlbMax", "9223372036852678656\n", NULL, LIMIT_INFINITY }, /* the file of 2 MB */
};

static void v1_samples_are_understood(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(v1_samples); i++) {
                const Limit *limit = limit_find(v1_samples[i].name);
                LimitValue value = {};

                g_test_message("%s: %s", limit->v1.file, v1_samples[i].contents);
                g_assert_true(limit_parse(&limit->v1, v1_samples[i].contents, v1_samples[i].other, &value));
                g_assert_cmpuint(value.number, ==, v1_samples[i].number);
                if (value.entries) {
                        g_autofree char *entries = describe(limit, &value);

                        g_assert_cmpstr(entries, ==, v1_samples[i].text);
                } else
                        g_assert_cmpstr(value.text, ==, v1_samples[i].text);
                limit_value_clear(&value);
        }
}

/* The writes, in an order in which the kernel takes them and never allows more than before and after. */
static const struct {
        const char *name;
        uint64_t number;
        const char *contents, *other, *expected; /* NULL: v1 cannot say it */
} v1_formats[] = {
        { "MemoryMax", 4096, ALL, ALL, "memory.limit_in_bytes=4096" },
        { "MemoryMax", 4096, ALL, NULL, "memory.limit_in_bytes=4096" },
        { "MemoryMax", LIMIT_INFINITY, "4096\n", ALL, "memory.limit_in_bytes=-1" },
        { "MemoryMax", 8192, "4096\n", "5000\n", "memory.memsw.limit_in_bytes=9096\nmemory.limit_in_bytes=8192" },
        { "MemoryMax", 1024, "4096\n", "5000\n", "memory.limit_in_bytes=1024\nmemory.memsw.limit_in_bytes=1928" },
        { "MemoryMax", LIMIT_INFINITY, "4096\n", "5000\n", NULL },
        { "MemorySwapMax", 0, ALL, "4096\n", "memory.memsw.limit_in_bytes=4096" },
        { "MemorySwapMax", 10, ALL, "4096\n", "memory.memsw.limit_in_bytes=4106" },
        { "MemorySwapMax", LIMIT_INFINITY, "4106\n", "4096\n", "memory.memsw.limit_in_bytes=-1" },
        { "MemorySwapMax", 10, ALL, ALL, NULL },
        { "CPUWeight", 100, "1024\n", NULL, "cpu.shares=1024" }, { "CPUWeight", 1, "1024\n", NULL, "cpu.shares=10" },
        { "CPUQuotaPerSecUSec", 200000, "-1\n", "100000\n", "cpu.cfs_quota_us=20000" },
        { "CPUQuotaPerSecUSec", LIMIT_INFINITY, "20000\n", "100000\n", "cpu.cfs_quota_us=-1" },
        { "CPUQuotaPerSecUSec", 5000, "-1\n", "100000\n", "cpu.cfs_period_us=200000\ncpu.cfs_quota_us=1000" },
        { "CPUQuotaPeriodUSec", 200000, "100000\n", "20000\n", "cpu.cfs_period_us=200000\ncpu.cfs_quota_us=40000" },
        { "CPUQuotaPeriodUSec", 50000, "100000\n", "20000\n", "cpu.cfs_quota_us=10000\ncpu.cfs_period_us=50000" },
        { "CPUQuotaPeriodUSec", 50000, "100000\n", "-1\n", "cpu.cfs_quota_us=-1\ncpu.cfs_period_us=50000" },
        { "IOWeight", 10000, "100\n", NULL, "blkio.bfq.weight=1000" }, { "IOWeight", 1, "100\n", NULL, "blkio.bfq.weight=1" },
        { "TasksMax", LIMIT_INFINITY, "3\n", NULL, "pids.max=max" },
};

static void v1_formats_are_the_kernels(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(v1_formats); i++) {
                const Limit *limit = limit_find(v1_formats[i].name);
                LimitValue value = { .number = v1_formats[i].number };
                g_autoptr(GArray) writes =
                        limit_format(&limit->v1, &value, v1_formats[i].contents, v1_formats[i].other);
                g_autofree char *text = writes ? describe_writes(writes, true) : NULL;

                g_assert_cmpstr(text, ==, v1_formats[i].expected);
        }
}

/* Every weight comes back from shares; of BFQ's thousand steps, the nearest below. */
static void v1_weights_come_back(void) {
        const Limit *cpu = limit_find("CPUWeight"), *io = limit_find("IOWeight");

        for (uint64_t weight = cpu->min; weight <= cpu->max; weight++) {
                LimitValue value = { .number = weight };
                g_autoptr(GArray) shares = limit_format(&cpu->v1, &value, "", NULL);
                g_autoptr(GArray) bfq = limit_format(&io->v1, &value, "", NULL);

                g_assert_true(limit_parse(&cpu->v1, g_array_index(shares, LimitWrite, 0).text, NULL, &value));
                g_assert_cmpuint(value.number, ==, weight);
                g_assert_true(limit_parse(&io->v1, g_array_index(bfq, LimitWrite, 0).text, NULL, &value));
                g_assert_cmpuint(value.number, <=, weight);
                g_assert_cmpuint(value.number + 11, >, weight);
        }
}

/* ---- settings ---- */

static void add(GArray *settings, const char *name, uint64_t number, const char *text) {
        LimitValue value = { .number = number, .text = g_strdup(text) };
        g_autoptr(GError) error = NULL;

        g_assert_true(limit_settings_add(settings, limit_find(name), &value, &error));
        g_assert_no_error(error);
        g_assert_null(value.text); /* taken */
}

static void settings_are_in_table_order(void) {
        g_autoptr(GArray) settings = limit_settings_new();

        for (size_t i = n_limits; i > 0; i--)
                add(settings, limits[i - 1].name, i, strcmp(limits[i - 1].signature, "s") == 0 ? "1" : NULL);
        g_assert_cmpuint(settings->len, ==, n_limits);
        for (size_t i = 0; i < n_limits; i++) {
                g_assert_true(g_array_index(settings, LimitSetting, i).limit == &limits[i]);
                g_assert_cmpuint(g_array_index(settings, LimitSetting, i).value.number, ==, i + 1);
        }
}

static void settings_refuse_duplicates(void) {
        static const char *const names[] = { "AllowedCPUs", "MemoryMax", "CPUWeight" };
        g_autoptr(GArray) settings = limit_settings_new();

        for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
                add(settings, names[i], 1, "1");
        for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
                LimitValue again = { .number = 2, .text = g_strdup("2") };
                g_autoptr(GError) error = NULL;

                g_assert_false(limit_settings_add(settings, limit_find(names[i]), &again, &error));
                expect_error(&error, CORDON_ERROR_INVALID_PROPERTY, names[i], "twice", NULL);
                g_assert_cmpstr(again.text, ==, "2"); /* the caller's still */
                limit_value_clear(&again);
                g_assert_null(again.text);
        }
        g_assert_cmpuint(settings->len, ==, G_N_ELEMENTS(names));
        g_assert_cmpuint(g_array_index(settings, LimitSetting, 0).value.number, ==, 1);
}

static void settings_are_described(void) {
        g_autoptr(GArray) settings = limit_settings_new();
        g_autofree char *nothing = limit_settings_describe(settings), *text = NULL;

        g_assert_cmpstr(nothing, ==, "");
        add(settings, "TasksMax", LIMIT_INFINITY, NULL);
        add(settings, "MemoryMax", 1048576, NULL);
        add(settings, "AllowedCPUs", 0, "0-3,7");
        text = limit_settings_describe(settings);
        g_assert_cmpstr(text, ==, "AllowedCPUs=0-3,7 MemoryMax=1048576 TasksMax=infinity");
}

static void add_for_each_row(const char *what, GTestDataFunc function) {
        for (size_t i = 0; i < n_limits; i++) {
                g_autofree char *path = g_strconcat("/limit/", what, "/", limits[i].name, NULL);

                g_test_add_data_func(path, &limits[i], function);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/limit/table/names-are-unique", table_names_are_unique);
        add_for_each_row("table/row-is-whole", table_row_is_whole);
        add_for_each_row("bounds/hold", bounds_hold);
        g_test_add_func("/limit/bounds/are-documented", bounds_are_documented);
        g_test_add_func("/limit/lists/are-checked", lists_are_checked);
        g_test_add_func("/limit/samples/are-understood", samples_are_understood);
        add_for_each_row("samples/are-there", row_has_a_sample);
        g_test_add_func("/limit/nonsense-is-refused", nonsense_is_refused);
        g_test_add_func("/limit/formats-are-the-kernels", formats_are_the_kernels);
        g_test_add_func("/limit/entries/are-replaced", lists_of_devices_are_replaced);
        g_test_add_func("/limit/entries/are-sorted-and-unique", entries_are_sorted_and_unique);
        g_test_add_func("/limit/entries/have-bounds", entries_have_bounds);
        add_for_each_row("numbers-come-back", numbers_come_back);
        g_test_add_func("/limit/quotas-come-back-rounded", quotas_come_back_rounded);
        add_for_each_row("v1/row-is-whole", v1_row_is_whole);
        g_test_add_func("/limit/v1/samples-are-understood", v1_samples_are_understood);
        g_test_add_func("/limit/v1/formats-are-the-kernels", v1_formats_are_the_kernels);
        g_test_add_func("/limit/v1/weights-come-back", v1_weights_come_back);
        g_test_add_func("/limit/settings/are-in-table-order", settings_are_in_table_order);
        g_test_add_func("/limit/settings/refuse-duplicates", settings_refuse_duplicates);
        g_test_add_func("/limit/settings/are-described", settings_are_described);
        return g_test_run();
}
