/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "limit-file.h"

#include <inttypes.h>
#include <string.h>

#define USEC_PER_SEC UINT64_C(1000000)
#define PERIOD_DEFAULT_USEC UINT64_C(100000)
#define PERIOD_MAX_USEC UINT64_C(1000000) /* kernel/sched/core.c: max_cfs_quota_period, 1 s */
#define QUOTA_MIN_USEC UINT64_C(1000)     /* kernel/sched/core.c: min_cfs_quota_period, 1 ms */

/* What v1 shows for "-1" is the largest number of whole pages, of any size of page (include/linux/page_counter.h). */
#define ALL_MEMORY ((UINT64_C(1) << 63) - (UINT64_C(1) << 35))

/* systemd's CGROUP_WEIGHT_DEFAULT and CGROUP_CPU_SHARES_DEFAULT, _MIN; block/bfq-iosched.h */
#define WEIGHT_DEFAULT 100
#define SHARES_DEFAULT 1024
#define SHARES_MIN 2
#define BFQ_DIVISOR 11 /* what is above the default: 100 to 10000, for BFQ 100 to 1000 */

static uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t divisor) {
        return (uint64_t) ((unsigned __int128) a * b / divisor);
}

/* ---- to kernel files ---- */

static void write_clear(void *data) {
        g_free(((LimitWrite *) data)->text);
}

/* Takes the text. */
static void add_write(GArray *writes, const char *file, char *text) {
        LimitWrite write = { file, text };

        g_array_append_val(writes, write);
}

char *limit_format_number(const LimitFile *file, uint64_t number) {
        if (number == LIMIT_INFINITY)
                return g_strdup(file->none);
        return g_strdup_printf("%" PRIu64, number);
}

/* Both in microseconds; a quota below the kernel's minimum gets a longer period instead. */
static void quota_fit(uint64_t per_second, uint64_t *period, uint64_t *ret_quota) {
        uint64_t quota = LIMIT_INFINITY;

        if (per_second != LIMIT_INFINITY) {
                quota = multiply_divide(per_second, *period, USEC_PER_SEC);
                if (quota < QUOTA_MIN_USEC) {
                        quota = QUOTA_MIN_USEC;
                        *period = MIN(multiply_divide(quota, USEC_PER_SEC, MAX(per_second, 1)), PERIOD_MAX_USEC);
                }
        }
        *ret_quota = quota;
}

static char *quota_format(uint64_t per_second, uint64_t period) {
        uint64_t quota;

        quota_fit(per_second, &period, &quota);
        if (quota == LIMIT_INFINITY)
                return g_strdup_printf("max %" PRIu64, period);
        return g_strdup_printf("%" PRIu64 " %" PRIu64, quota, period);
}

/* v1: two files, the one first after whose change no more is allowed than before and after. */
static void cfs_format(GArray *writes, const char *quota_file, const char *period_file, uint64_t per_second,
                       uint64_t old_period, uint64_t period) {
        uint64_t quota;

        quota_fit(per_second, &period, &quota);
        if (period > old_period)
                add_write(writes, period_file, g_strdup_printf("%" PRIu64, period));
        add_write(writes, quota_file,
                  quota == LIMIT_INFINITY ? g_strdup("-1") : g_strdup_printf("%" PRIu64, quota));
        if (period < old_period)
                add_write(writes, period_file, g_strdup_printf("%" PRIu64, period));
}

static char *entry_format(const LimitFile *file, const char *device, const char *number) {
        if (file->format == LIMIT_FORMAT_DEVICE_NUMBER)
                return g_strdup_printf("%s %s", device, number);
        return g_strdup_printf("%s %s=%s", device, file->key, number);
}

static void entries_format(GArray *writes, const LimitFile *file, const GArray *entries, const char *current) {
        LimitValue old = {};

        if (limit_parse(file, current, NULL, &old))
                for (unsigned i = 0; i < old.entries->len; i++) {
                        const char *device = g_array_index(old.entries, LimitEntry, i).key;

                        if (!limit_entries_find(entries, device))
                                add_write(writes, file->file, entry_format(file, device, file->none));
                }
        limit_value_clear(&old);
        for (unsigned i = 0; i < entries->len; i++) {
                const LimitEntry *entry = &g_array_index(entries, LimitEntry, i);
                g_autofree char *number = limit_format_number(file, entry->number);

                add_write(writes, file->file, entry_format(file, entry->key, number));
        }
}

static bool cpu_max_parse(const char *contents, uint64_t *ret_per_second, uint64_t *ret_period);
static bool cfs_parse(const char *quota, const char *period, uint64_t *ret_per_second, uint64_t *ret_period);
static bool bytes_parse(const char *text, uint64_t *ret_number);

/* v1 bounds memory, and memory with swap, and the second may never be the smaller (mem_cgroup_resize_max()). */
static bool memory_format(GArray *writes, const LimitFile *file, uint64_t maximum, const char *contents,
                          const char *other) {
        uint64_t old, together;
        bool first;

        if (!other || !bytes_parse(other, &together) || together == LIMIT_INFINITY) {
                add_write(writes, file->file, limit_format_number(file, maximum));
                return true;
        }
        if (maximum == LIMIT_INFINITY || !bytes_parse(contents, &old))
                return false;
        first = maximum > old;
        together = maximum + MIN(together - old, LIMIT_INFINITY - maximum);
        if (first)
                add_write(writes, file->other, limit_format_number(file, together));
        add_write(writes, file->file, limit_format_number(file, maximum));
        if (!first)
                add_write(writes, file->other, limit_format_number(file, together));
        return true;
}

static bool swap_format(GArray *writes, const LimitFile *file, uint64_t swap, const char *other) {
        uint64_t memory, together = LIMIT_INFINITY;

        if (swap != LIMIT_INFINITY) {
                if (!other || !bytes_parse(other, &memory) || memory == LIMIT_INFINITY)
                        return false;
                together = MIN(memory + MIN(swap, LIMIT_INFINITY - memory), (uint64_t) INT64_MAX);
        }
        add_write(writes, file->file, limit_format_number(file, together));
        return true;
}

/* systemd's BFQ_WEIGHT() and cgroup_weight_io_to_blkio(). */
static uint64_t weight_to_bfq(uint64_t weight) {
        return weight <= WEIGHT_DEFAULT ? weight : WEIGHT_DEFAULT + (weight - WEIGHT_DEFAULT) / BFQ_DIVISOR;
}

static uint64_t weight_from_bfq(uint64_t weight) {
        return weight <= WEIGHT_DEFAULT ? weight : WEIGHT_DEFAULT + (weight - WEIGHT_DEFAULT) * BFQ_DIVISOR;
}

static uint64_t weight_to_shares(uint64_t weight) {
        return MAX(weight * SHARES_DEFAULT / WEIGHT_DEFAULT, SHARES_MIN);
}

static uint64_t weight_from_shares(uint64_t shares) {
        return MAX((shares * WEIGHT_DEFAULT + SHARES_DEFAULT / 2) / SHARES_DEFAULT, 1);
}

bool limit_format_keeps(LimitFormat format) {
        switch (format) {
        case LIMIT_FORMAT_NUMBER:
        case LIMIT_FORMAT_FLAG:
        case LIMIT_FORMAT_DEFAULT:
        case LIMIT_FORMAT_LIST:
        case LIMIT_FORMAT_PAGES:
        case LIMIT_FORMAT_SHARES:
        case LIMIT_FORMAT_BFQ:
                return false;
        default:
                return true;
        }
}

GArray *limit_format(const LimitFile *file, const LimitValue *value, const char *contents, const char *other) {
        g_autoptr(GArray) writes = g_array_new(false, false, sizeof(LimitWrite));
        uint64_t per_second = LIMIT_INFINITY, period = PERIOD_DEFAULT_USEC;
        char *text = NULL;

        g_array_set_clear_func(writes, write_clear);
        switch (file->format) {
        case LIMIT_FORMAT_NUMBER:
        case LIMIT_FORMAT_FLAG:
        case LIMIT_FORMAT_PAGES:
                text = limit_format_number(file, value->number);
                break;
        case LIMIT_FORMAT_QUOTA:
                cpu_max_parse(contents, &per_second, &period);
                text = quota_format(value->number, period);
                break;
        case LIMIT_FORMAT_PERIOD:
                cpu_max_parse(contents, &per_second, &period);
                text = quota_format(per_second, value->number);
                break;
        case LIMIT_FORMAT_DEFAULT:
                text = g_strdup_printf("default %" PRIu64, value->number);
                break;
        case LIMIT_FORMAT_LIST:
                text = g_strdup(value->text);
                break;
        case LIMIT_FORMAT_SHARES:
                text = g_strdup_printf("%" PRIu64, weight_to_shares(value->number));
                break;
        case LIMIT_FORMAT_BFQ:
                text = g_strdup_printf("%" PRIu64, weight_to_bfq(value->number));
                break;
        case LIMIT_FORMAT_DEVICE_NUMBER:
        case LIMIT_FORMAT_DEVICE_KEY:
                entries_format(writes, file, value->entries, contents);
                return g_steal_pointer(&writes);
        case LIMIT_FORMAT_CFS_QUOTA:
                if (!cfs_parse(contents, other, &per_second, &period))
                        return NULL;
                cfs_format(writes, file->file, file->other, value->number, period, period);
                return g_steal_pointer(&writes);
        case LIMIT_FORMAT_CFS_PERIOD:
                if (!cfs_parse(other, contents, &per_second, &period))
                        return NULL;
                cfs_format(writes, file->other, file->file, per_second, period, value->number);
                return g_steal_pointer(&writes);
        case LIMIT_FORMAT_MEMORY:
                return memory_format(writes, file, value->number, contents, other) ? g_steal_pointer(&writes) : NULL;
        case LIMIT_FORMAT_SWAP:
                return swap_format(writes, file, value->number, other) ? g_steal_pointer(&writes) : NULL;
        }
        add_write(writes, file->file, text);
        return g_steal_pointer(&writes);
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

/* v1's: what is above all memory is no limit. */
static bool bytes_parse(const char *text, uint64_t *ret_number) {
        const char *end;

        if (!number_parse(text, ret_number, &end))
                return false;
        if (*ret_number >= ALL_MEMORY)
                *ret_number = LIMIT_INFINITY;
        return true;
}

static bool swap_parse(const char *contents, const char *other, uint64_t *ret_number) {
        uint64_t memory, together;

        if (!other || !bytes_parse(contents, &together) || !bytes_parse(other, &memory))
                return false;
        if (together == LIMIT_INFINITY)
                *ret_number = LIMIT_INFINITY;
        else
                *ret_number = together > memory ? together - memory : 0;
        return true;
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

static bool cfs_parse(const char *quota, const char *period, uint64_t *ret_per_second, uint64_t *ret_period) {
        g_autofree char *text = NULL;

        if (!quota || !period)
                return false;
        text = g_strconcat(g_str_has_prefix(quota, "-1\n") ? "max\n" : quota, period, NULL);
        g_strdelimit(text, "\n", ' ');
        return cpu_max_parse(text, ret_per_second, ret_period);
}

static bool is_device(const char *word) {
        const char *colon = strchr(word, ':');

        return colon && g_ascii_isdigit(word[0]) && g_ascii_isdigit(colon[1]);
}

/* The number in a line's words behind the device; false when the line has none for this limit. */
static bool entry_parse(const LimitFile *file, char **words, uint64_t *ret_number) {
        g_autofree char *prefix = file->key ? g_strconcat(file->key, "=", NULL) : g_strdup("");
        const char *end;

        for (; *words; words++)
                if (g_str_has_prefix(*words, prefix))
                        return number_parse(*words + strlen(prefix), ret_number, &end);
        return false;
}

/* Devices without a limit of this kind are not in the list. */
static GArray *entries_parse(const LimitFile *file, const char *contents) {
        g_auto(GStrv) lines = g_strsplit(contents, "\n", -1);
        GArray *entries = limit_entries_new();

        for (char **line = lines; *line; line++) {
                g_auto(GStrv) words = g_strsplit(*line, " ", -1);
                uint64_t number;

                if (words[0] && is_device(words[0]) && entry_parse(file, words + 1, &number) &&
                    number != LIMIT_INFINITY && number != 0)
                        limit_entries_add(entries, words[0], number);
        }
        return entries;
}

bool limit_parse(const LimitFile *file, const char *contents, const char *other, LimitValue *ret_value) {
        LimitValue value = {};
        uint64_t unused;
        const char *end;
        bool ok = true;

        switch (file->format) {
        case LIMIT_FORMAT_QUOTA:
                ok = cpu_max_parse(contents, &value.number, &unused);
                break;
        case LIMIT_FORMAT_PERIOD:
                ok = cpu_max_parse(contents, &unused, &value.number);
                break;
        case LIMIT_FORMAT_CFS_QUOTA:
                ok = cfs_parse(contents, other, &value.number, &unused);
                break;
        case LIMIT_FORMAT_CFS_PERIOD:
                ok = cfs_parse(other, contents, &unused, &value.number);
                break;
        case LIMIT_FORMAT_SHARES:
                ok = number_parse(contents, &value.number, &end);
                value.number = weight_from_shares(value.number);
                break;
        case LIMIT_FORMAT_BFQ:
                ok = number_parse(contents, &value.number, &end);
                value.number = weight_from_bfq(value.number);
                break;
        case LIMIT_FORMAT_MEMORY:
                ok = bytes_parse(contents, &value.number);
                break;
        case LIMIT_FORMAT_SWAP:
                ok = swap_parse(contents, other, &value.number);
                break;
        case LIMIT_FORMAT_LIST:
                value.text = g_strchomp(g_strdup(contents));
                break;
        case LIMIT_FORMAT_DEVICE_NUMBER:
        case LIMIT_FORMAT_DEVICE_KEY:
                value.entries = entries_parse(file, contents);
                break;
        case LIMIT_FORMAT_DEFAULT:
                ok = g_str_has_prefix(contents, "default ") &&
                     number_parse(contents + strlen("default "), &value.number, &end);
                break;
        case LIMIT_FORMAT_NUMBER:
        case LIMIT_FORMAT_FLAG:
        case LIMIT_FORMAT_PAGES:
                ok = g_strcmp0(file->none, "-1") == 0 ? bytes_parse(contents, &value.number)
                                                      : number_parse(contents, &value.number, &end);
                break;
        }
        if (ok)
                *ret_value = value;
        return ok;
}
