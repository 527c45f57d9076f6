/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What a group uses, read when asked. One table row per figure; names and units are systemd's where it has them
 * (org.freedesktop.systemd1(5)), files the kernel's (cgroup-v2.rst; Documentation/accounting/psi.rst). Pure.
 */
#define USAGE_UNAVAILABLE UINT64_MAX

typedef enum UsageFormat {
        USAGE_FORMAT_NUMBER,   /* "N" */
        USAGE_FORMAT_KEY,      /* a line "KEY N" */
        USAGE_FORMAT_SUM,      /* words "KEY=N" on any line, added up */
        USAGE_FORMAT_SUM_V1,   /* lines "MAJOR:MINOR KEY N", added up */
        USAGE_FORMAT_PRESSURE, /* the lines "some …" and "full …" */
} UsageFormat;

/* Where one version of cgroups keeps a figure. */
typedef struct UsageFile {
        const char *controller; /* NULL for the core's own files */
        const char *file, *key; /* file NULL: it has no such figure */
        UsageFormat format;
        uint64_t multiplier, divisor; /* from the kernel's unit to the property's */
} UsageFile;

typedef struct Usage {
        const char *name;      /* of the property */
        const char *signature; /* "t" or "(dddtdddt)" */
        UsageFile v2, v1;
        const char *unit;
} Usage;

/* Percentages over 10, 60 and 300 s, and the total in microseconds. */
typedef struct UsagePressure {
        double average[3];
        uint64_t total;
} UsagePressure;

typedef struct UsageValue {
        uint64_t number;
        UsagePressure some, full;
} UsageValue;

extern const Usage usages[];
extern const size_t n_usages;

const Usage *usage_find(const char *name);
bool usage_parse(const UsageFile *file, const char *contents, UsageValue *ret_value);
