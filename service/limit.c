#include "limit.h"

#include <inttypes.h>
#include <string.h>

#include "error.h"

#define USEC_PER_SEC UINT64_C(1000000)
#define QUOTA_PERIOD_MAX_USEC UINT64_C(1000000) /* kernel/sched/core.c: max_cfs_quota_period, 1 s */
#define QUOTA_MIN_USEC UINT64_C(1000)           /* kernel/sched/core.c: min_cfs_quota_period, 1 ms */

const Limit limits[] = {
        { "CPUWeight", "t", "cpu", "cpu.weight", LIMIT_FORMAT_NUMBER, 1, 10000, false, "weight" },
        { "CPUQuotaPerSecUSec", "t", "cpu", "cpu.max", LIMIT_FORMAT_QUOTA, 1000, UINT64_C(1) << 40, true, "us/s" },
        { "AllowedCPUs", "s", "cpuset", "cpuset.cpus", LIMIT_FORMAT_LIST, 0, 0, false, "CPU list" },
        { "MemoryHigh", "t", "memory", "memory.high", LIMIT_FORMAT_NUMBER, 0, INT64_MAX, true, "bytes" },
        { "MemoryMax", "t", "memory", "memory.max", LIMIT_FORMAT_NUMBER, 0, INT64_MAX, true, "bytes" },
        { "MemorySwapMax", "t", "memory", "memory.swap.max", LIMIT_FORMAT_NUMBER, 0, INT64_MAX, true, "bytes" },
        { "TasksMax", "t", "pids", "pids.max", LIMIT_FORMAT_NUMBER, 0, INT32_MAX, true, "tasks" },
        { "IOWeight", "t", "io", "io.weight", LIMIT_FORMAT_DEFAULT, 1, 10000, false, "weight" },
};
const size_t n_limits = G_N_ELEMENTS(limits);

const Limit *limit_find(const char *name) {
        for (size_t i = 0; i < n_limits; i++)
                if (strcmp(limits[i].name, name) == 0)
                        return &limits[i];
        return NULL;
}

/* ---- bounds ---- */

static bool number_validate(const Limit *limit, uint64_t number, GError **error) {
        if (limit->infinity && number == LIMIT_INFINITY)
                return true;
        if (number >= limit->min && number <= limit->max)
                return true;
        return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                           "%s=%" PRIu64 " is out of range: %" PRIu64 " to %" PRIu64 " (%s)%s", limit->name, number,
                           limit->min, limit->max, limit->unit,
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

bool limit_validate(const Limit *limit, const LimitValue *value, GError **error) {
        if (limit->format != LIMIT_FORMAT_LIST)
                return number_validate(limit, value->number, error);
        if (!is_list(value->text))
                return cordon_fail(error, CORDON_ERROR_INVALID_PROPERTY,
                                   "%s=\"%s\" is not a list of numbers and ranges such as \"0-3,7\" "
                                   "(\"\" for all that the parent has)", limit->name, value->text);
        return true;
}

/* ---- kernel files ---- */

static uint64_t multiply_divide(uint64_t a, uint64_t b, uint64_t divisor) {
        return (uint64_t) ((unsigned __int128) a * b / divisor);
}

/* "QUOTA PERIOD", both in microseconds; a quota below the kernel's minimum gets a longer period instead. */
static char *quota_format(uint64_t per_second, const char *old) {
        const char *space = strchr(old, ' ');
        uint64_t period = space ? g_ascii_strtoull(space, NULL, 10) : 0, quota;

        if (period == 0)
                period = 100000;
        if (per_second == LIMIT_INFINITY)
                return g_strdup_printf("max %" PRIu64, period);
        quota = multiply_divide(per_second, period, USEC_PER_SEC);
        if (quota < QUOTA_MIN_USEC) {
                quota = QUOTA_MIN_USEC;
                period = MIN(multiply_divide(quota, USEC_PER_SEC, per_second), QUOTA_PERIOD_MAX_USEC);
        }
        return g_strdup_printf("%" PRIu64 " %" PRIu64, quota, period);
}

char *limit_format(const Limit *limit, const LimitValue *value, const char *old) {
        switch (limit->format) {
        case LIMIT_FORMAT_QUOTA:
                return quota_format(value->number, old);
        case LIMIT_FORMAT_DEFAULT:
                return g_strdup_printf("default %" PRIu64, value->number);
        case LIMIT_FORMAT_LIST:
                return g_strdup(value->text);
        case LIMIT_FORMAT_NUMBER:
                break;
        }
        if (limit->infinity && value->number == LIMIT_INFINITY)
                return g_strdup("max");
        return g_strdup_printf("%" PRIu64, value->number);
}

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

static bool quota_parse(const char *contents, uint64_t *ret_number) {
        uint64_t quota, period;
        const char *end;

        if (!number_parse(contents, &quota, &end) || *end != ' ' || !number_parse(end + 1, &period, &end) ||
            period == 0)
                return false;
        *ret_number = quota == LIMIT_INFINITY ? LIMIT_INFINITY : multiply_divide(quota, USEC_PER_SEC, period);
        return true;
}

bool limit_parse(const Limit *limit, const char *contents, LimitValue *ret_value) {
        LimitValue value = {};
        const char *end;

        switch (limit->format) {
        case LIMIT_FORMAT_QUOTA:
                if (!quota_parse(contents, &value.number))
                        return false;
                break;
        case LIMIT_FORMAT_LIST:
                value.text = g_strchomp(g_strdup(contents));
                break;
        case LIMIT_FORMAT_DEFAULT:
                if (!g_str_has_prefix(contents, "default "))
                        return false;
                contents += strlen("default ");
                G_GNUC_FALLTHROUGH;
        case LIMIT_FORMAT_NUMBER:
                if (!number_parse(contents, &value.number, &end))
                        return false;
                break;
        }
        *ret_value = value;
        return true;
}

void limit_value_clear(LimitValue *value) {
        g_clear_pointer(&value->text, g_free);
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

char *limit_settings_describe(const GArray *settings) {
        GString *text = g_string_new(NULL);

        for (unsigned i = 0; i < settings->len; i++) {
                const LimitSetting *setting = &g_array_index(settings, LimitSetting, i);

                g_string_append_printf(text, "%s%s=", i > 0 ? " " : "", setting->limit->name);
                if (setting->value.text)
                        g_string_append(text, setting->value.text);
                else if (setting->limit->infinity && setting->value.number == LIMIT_INFINITY)
                        g_string_append(text, "infinity");
                else
                        g_string_append_printf(text, "%" PRIu64, setting->value.number);
        }
        return g_string_free(text, false);
}
