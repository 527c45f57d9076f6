/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "usage.h"

#define CPU_STAT "usage_usec 12\nuser_usec 7\nnr_throttled 3\nthrottled_usec 5\n"
#define CPU_STAT_V1 "nr_periods 1\nnr_throttled 3\nthrottled_time 5000\n"
#define IO_STAT                                                                  \
        "254:0 rbytes=4096 wbytes=1 rios=2 wios=3 dbytes=9 dios=9\n254:16 \n"    \
        "7:0 rbytes=1 wbytes=10 rios=20 wios=30 dbytes=9 dios=9\n"
#define IO_STAT_V1 "254:0 Read 4096\n254:0 Write 1\n254:0 Sync 9\n254:0 Total 4097\n7:0 Read 1\n7:0 Write 10\nTotal 4108\n"
#define MEMORY_STAT_V1 "cache 1\nswap 2\ntotal_swap_in 3\ntotal_swap 4\n"
#define NOT_THERE USAGE_UNAVAILABLE

static const struct {
        const char *usage, *contents;
        uint64_t v2, v1; /* what the file of each version makes of it */
} cases[] = {
        { "MemoryCurrent", "4096\n", 4096, 4096 },
        { "MemoryPeak", "18446744073709551614\n", UINT64_MAX - 1, UINT64_MAX - 1 },
        { "MemoryCurrent", "", NOT_THERE, NOT_THERE },
        { "MemoryCurrent", "max\n", NOT_THERE, NOT_THERE },
        { "MemorySwapCurrent", MEMORY_STAT_V1, NOT_THERE, 4 },
        { "CPUThrottledUSec", CPU_STAT, 5, NOT_THERE },
        { "CPUThrottledUSec", CPU_STAT_V1, NOT_THERE, 5 },
        { "CPUThrottledUSec", "nr_throttled 3\nthrottled_usec", NOT_THERE, NOT_THERE },
        { "CPUThrottledUSec", "throttled_usec x\nthrottled_time x\n", NOT_THERE, NOT_THERE },
        { "IOReadBytes", IO_STAT, 4097, 0 },
        { "IOWriteBytes", IO_STAT, 11, 0 },
        { "IOReadOperations", IO_STAT, 22, 0 },
        { "IOWriteOperations", IO_STAT, 33, 0 },
        { "IOReadBytes", IO_STAT_V1, 0, 4097 },
        { "IOWriteBytes", IO_STAT_V1, 0, 11 },
        { "IOReadBytes", "", 0, 0 },
};

static void check_number(const UsageFile *file, const char *contents, uint64_t expected) {
        UsageValue value = { .number = NOT_THERE };

        g_assert_true(usage_parse(file, contents, &value) == (expected != NOT_THERE));
        g_assert_cmpuint(value.number, ==, expected);
}

static void parses_numbers(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                const Usage *usage = usage_find(cases[i].usage);

                g_test_message("%s: %s", cases[i].usage, cases[i].contents);
                check_number(&usage->v2, cases[i].contents, cases[i].v2);
                check_number(&usage->v1, cases[i].contents, cases[i].v1);
        }
        check_number(&usage_find("CPUUsageNSec")->v2, CPU_STAT, 12000);
        g_assert_null(usage_find("CPUUsage"));
}

#define SOME "some avg10=0.50 avg60=1.25 avg300=100.00 total=18\n"
#define FULL "full avg10=0.00 avg60=0.01 avg300=2.00 total=9\n"

static const struct {
        const char *contents;
        bool ok;
        uint64_t full; /* the total of it */
} pressures[] = {
        { SOME FULL, true, 9 },
        { FULL SOME, true, 9 },
        { SOME, true, NOT_THERE },
        { SOME "full avg10=0.00\n", true, NOT_THERE },
        { FULL, false, 0 },
        { "", false, 0 },
        { "some avg10=0.50 avg60=1.25 avg300=100.00\n", false, 0 },
        { "some avg10=0.50 avg300=1.25 avg60=100.00 total=18\n", false, 0 },
        { "some\n", false, 0 },
};

static void parses_pressure(void) {
        const UsageFile *file = &usage_find("IOPressure")->v2;

        for (size_t i = 0; i < G_N_ELEMENTS(pressures); i++) {
                UsageValue value = {};

                g_test_message("%s", pressures[i].contents);
                g_assert_true(usage_parse(file, pressures[i].contents, &value) == pressures[i].ok);
                g_assert_cmpuint(value.full.total, ==, pressures[i].full);
                if (!pressures[i].ok)
                        continue;
                g_assert_cmpfloat(value.some.average[0], ==, 0.5);
                g_assert_cmpfloat(value.some.average[1], ==, 1.25);
                g_assert_cmpfloat(value.some.average[2], ==, 100);
                g_assert_cmpuint(value.some.total, ==, 18);
        }
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/usage/parses-numbers", parses_numbers);
        g_test_add_func("/usage/parses-pressure", parses_pressure);
        return g_test_run();
}
