/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints a manual page with its lines "@limits@", "@usage@" and "@v1@" replaced by tables made from the rows that the service
 * works by, so that the page cannot say anything else. Run by the build.
 */
#include <glib.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "limit.h"
#include "usage.h"

static void print_number(uint64_t number) {
        if (number == INT64_MAX)
                printf("2^63\\-1");
        else if (number == INT32_MAX)
                printf("2^31\\-1");
        else
                printf("%" PRIu64, number);
}

static void print_bounds(const Limit *limit) {
        if (limit->v2.format == LIMIT_FORMAT_LIST)
                printf("0\\-3,7");
        else if (limit->v2.format == LIMIT_FORMAT_FLAG)
                printf("false, true");
        else {
                print_number(limit->min);
                printf(" to ");
                print_number(limit->max);
                if (limit->infinity)
                        printf(", max");
        }
}

/* "hugetlb.%s.max" has the page size in its name. */
static void print_file(const char *file) {
        g_auto(GStrv) parts = g_strsplit(file, "%s", 2);

        printf("%s", parts[0]);
        if (parts[1])
                printf("\\fISIZE\\fP%s", parts[1]);
}

static void print_limit(const Limit *limit) {
        printf("%s\t%s\t", limit->name, limit->signature);
        print_file(limit->v2.file);
        printf("%s%s\t", limit->v2.key ? " " : "", limit->v2.key ? limit->v2.key : "");
        print_bounds(limit);
        printf("\t%s\n", limit->unit);
}

static void begin_table(const char *format, const char *head) {
        printf(".in 0\n.TS\n%s\n%s\n", format, head);
}

static void end_table(void) {
        printf(".TE\n.in\n");
}

/* A table for each controller. */
static void print_limits(void) {
        for (size_t i = 0; i < n_limits; i++) {
                const char *controller = limits[i].v2.controller;

                if (i == 0 || g_strcmp0(controller, limits[i - 1].v2.controller) != 0) {
                        if (i > 0)
                                end_table();
                        if (controller)
                                printf(".SS \"Controller \\(dq%s\\(dq\"\n", controller);
                        else
                                printf(".SS \"Every group, without a controller\"\n");
                        begin_table("lb1 lb1 lb1 lb1 lb\nl1 l1 l1 l1 l.", "Property\tType\tKernel file\tBounds\tUnit");
                }
                print_limit(&limits[i]);
        }
        end_table();
}

static const char *describe_format(const Usage *usage) {
        switch (usage->v2.format) {
        case USAGE_FORMAT_SUM:
                return ", of all devices";
        case USAGE_FORMAT_PRESSURE:
                return " some, full";
        default:
                return "";
        }
}

static void print_usage(void) {
        begin_table("lb1 lb1 lb1 lb\nl1 l1 l1 l.", "Property\tType\tKernel file\tUnit");
        for (size_t i = 0; i < n_usages; i++) {
                const UsageFile *file = &usages[i].v2;

                printf("%s\t%s\t%s%s%s%s\t%s\n", usages[i].name, usages[i].signature, file->file,
                       file->key ? " " : "", file->key ? file->key : "", describe_format(&usages[i]), usages[i].unit);
        }
        end_table();
}

/* Where a host has the controller on cgroup v1. */
static void print_v1(void) {
        begin_table("lb1 lb\nl1 l.", "Property\tFile of cgroup v1");
        for (size_t i = 0; i < n_limits; i++) {
                printf("%s\t", limits[i].name);
                if (!limits[i].v1.controller)
                        printf("as on cgroup2");
                else if (!limits[i].v1.file)
                        printf("none");
                else
                        print_file(limits[i].v1.file);
                printf("\n");
        }
        for (size_t i = 0; i < n_usages; i++) {
                const UsageFile *file = &usages[i].v1;

                printf("%s\t%s%s%s\n", usages[i].name, file->file ? file->file : "as on cgroup2", file->key ? " " : "",
                       file->key ? file->key : "");
        }
        end_table();
}

int main(int argc, char **argv) {
        g_autoptr(GError) error = NULL;
        g_autofree char *page = NULL;
        g_auto(GStrv) lines = NULL;

        if (argc != 2) {
                fprintf(stderr, "Usage: tables PAGE\n");
                return EXIT_FAILURE;
        }
        if (!g_file_get_contents(argv[1], &page, NULL, &error)) {
                fprintf(stderr, "tables: %s\n", error->message);
                return EXIT_FAILURE;
        }
        lines = g_strsplit(g_strchomp(page), "\n", -1);
        for (char **line = lines; *line; line++)
                if (g_str_equal(*line, "@limits@"))
                        print_limits();
                else if (g_str_equal(*line, "@usage@"))
                        print_usage();
                else if (g_str_equal(*line, "@v1@"))
                        print_v1();
                else
                        printf("%s\n", *line);
        return fflush(stdout) == 0 && !ferror(stdout) ? EXIT_SUCCESS : EXIT_FAILURE;
}
