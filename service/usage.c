/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usage.h"

#include <string.h>

#define NSEC_PER_USEC 1000

#define NUMBER(controller, file) { controller, file, NULL, USAGE_FORMAT_NUMBER, 1, 1 }
#define KEY(controller, file, key, multiplier, divisor) { controller, file, key, USAGE_FORMAT_KEY, multiplier, divisor }
#define V1_NONE { NULL, NULL } /* cgroup2's core has it on every host */
#define IO(name, key, v1_file, v1_key, unit)                           \
        { name, "t", { "io", "io.stat", key, USAGE_FORMAT_SUM, 1, 1 }, \
          { "blkio", v1_file, v1_key, USAGE_FORMAT_SUM_V1, 1, 1 }, unit }
#define PRESSURE(name, file) { name, "(dddtdddt)", { NULL, file, NULL, USAGE_FORMAT_PRESSURE, 1, 1 }, V1_NONE, "%, us" }

const Usage usages[] = {
        { "MemoryCurrent", "t", NUMBER("memory", "memory.current"), NUMBER("memory", "memory.usage_in_bytes"), "bytes" },
        { "MemoryPeak", "t", NUMBER("memory", "memory.peak"), NUMBER("memory", "memory.max_usage_in_bytes"), "bytes" },
        { "MemorySwapCurrent", "t", NUMBER("memory", "memory.swap.current"),
          KEY("memory", "memory.stat", "total_swap", 1, 1), "bytes" },
        { "CPUUsageNSec", "t", KEY(NULL, "cpu.stat", "usage_usec", NSEC_PER_USEC, 1), V1_NONE, "ns" },
        { "CPUThrottledUSec", "t", KEY("cpu", "cpu.stat", "throttled_usec", 1, 1),
          KEY("cpu", "cpu.stat", "throttled_time", 1, NSEC_PER_USEC), "us" },
        { "TasksCurrent", "t", NUMBER("pids", "pids.current"), NUMBER("pids", "pids.current"), "tasks" },
        IO("IOReadBytes", "rbytes", "blkio.throttle.io_service_bytes_recursive", "Read", "bytes"),
        IO("IOWriteBytes", "wbytes", "blkio.throttle.io_service_bytes_recursive", "Write", "bytes"),
        IO("IOReadOperations", "rios", "blkio.throttle.io_serviced_recursive", "Read", "operations"),
        IO("IOWriteOperations", "wios", "blkio.throttle.io_serviced_recursive", "Write", "operations"),
        PRESSURE("CPUPressure", "cpu.pressure"),
        PRESSURE("MemoryPressure", "memory.pressure"),
        PRESSURE("IOPressure", "io.pressure"),
};
const size_t n_usages = G_N_ELEMENTS(usages);

const Usage *usage_find(const char *name) {
        for (size_t i = 0; i < n_usages; i++)
                if (strcmp(usages[i].name, name) == 0)
                        return &usages[i];
        return NULL;
}

static bool number_parse(const char *text, uint64_t *ret_number) {
        char *end;

        *ret_number = g_ascii_strtoull(text, &end, 10);
        return end != text;
}

/* What follows `key` and `separator` at the beginning of a word, or NULL. */
static const char *value_of(const char *word, const char *key, char separator) {
        size_t n = strlen(key);

        return strncmp(word, key, n) == 0 && word[n] == separator ? word + n + 1 : NULL;
}

/* What is behind the first of the separators, or NULL. */
static const char *behind(const char *text, const char *separators) {
        const char *end = strpbrk(text, separators);

        return end ? end + 1 : NULL;
}

static bool key_parse(const char *contents, const char *key, uint64_t *ret_number) {
        for (const char *line = contents; line; line = behind(line, "\n")) {
                const char *value = value_of(line, key, ' ');

                if (value)
                        return number_parse(value, ret_number);
        }
        return false;
}

/* "254:0 rbytes=4096 wbytes=0", and v1's "254:0 Read 4096" */
static uint64_t sum_parse(const char *contents, const char *key, char separator) {
        uint64_t sum = 0, number;

        for (const char *word = contents; word; word = behind(word, " \n")) {
                const char *value = value_of(word, key, separator);

                if (value && number_parse(value, &number))
                        sum += number;
        }
        return sum;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" */
static bool pressure_parse(const char *contents, const char *kind, UsagePressure *ret_pressure) {
        static const char *const keys[] = { "avg10", "avg60", "avg300", "total" };
        const char *word = NULL;

        for (const char *line = contents; line && !word; line = behind(line, "\n"))
                word = value_of(line, kind, ' ');
        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
                const char *value = word ? value_of(word, keys[i], '=') : NULL;

                if (!value)
                        return false;
                if (i < G_N_ELEMENTS(ret_pressure->average))
                        ret_pressure->average[i] = g_ascii_strtod(value, NULL);
                else
                        ret_pressure->total = g_ascii_strtoull(value, NULL, 10);
                word = behind(value, " \n");
        }
        return true;
}

bool usage_parse(const UsageFile *file, const char *contents, UsageValue *ret_value) {
        UsageValue value = {};
        bool ok = false;

        switch (file->format) {
        case USAGE_FORMAT_NUMBER:
                ok = number_parse(contents, &value.number);
                break;
        case USAGE_FORMAT_KEY:
                ok = key_parse(contents, file->key, &value.number);
                break;
        case USAGE_FORMAT_SUM:
                value.number = sum_parse(contents, file->key, '=');
                ok = true;
                break;
        case USAGE_FORMAT_SUM_V1:
                value.number = sum_parse(contents, file->key, ' ');
                ok = true;
                break;
        case USAGE_FORMAT_PRESSURE:
                ok = pressure_parse(contents, "some", &value.some);
                if (ok && !pressure_parse(contents, "full", &value.full))
                        value.full.total = USAGE_UNAVAILABLE;
                break;
        }
        if (!ok)
                return false;
        value.number = value.number * file->multiplier / file->divisor;
        *ret_value = value;
        return true;
}
