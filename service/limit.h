/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * The limits, as values. One table row per limit drives parsing, bounds, the kernel file, the D-Bus type, the
 * read-back and the documentation: adding a limit is adding a row (and its place in dbus/ *.xml, which a test compares).
 * Names, types and meaning are systemd's (systemd.resource-control(5), org.freedesktop.systemd1(5)); files, keys and
 * bounds are the kernel's (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/). limit-file.h has how the files spell
 * them. All of it is pure.
 */
#define LIMIT_INFINITY UINT64_MAX

/* How a file spells the value. */
typedef enum LimitFormat {
        LIMIT_FORMAT_NUMBER,        /* "N", or `none` */
        LIMIT_FORMAT_FLAG,          /* "0" or "1" */
        LIMIT_FORMAT_QUOTA,         /* the first word of cpu.max, which is per period, as time per second */
        LIMIT_FORMAT_PERIOD,        /* the second word of cpu.max */
        LIMIT_FORMAT_DEFAULT,       /* the line "default N" */
        LIMIT_FORMAT_LIST,          /* "0-3,7" */
        LIMIT_FORMAT_DEVICE_NUMBER, /* lines "MAJOR:MINOR N" */
        LIMIT_FORMAT_DEVICE_KEY,    /* lines "MAJOR:MINOR KEY=N …" */
        LIMIT_FORMAT_PAGES,         /* a file for each page size */
        /* cgroup v1's */
        LIMIT_FORMAT_MEMORY,        /* "N"; `other` bounds memory and swap together */
        LIMIT_FORMAT_SWAP,          /* memory and swap together; `other` bounds memory */
        LIMIT_FORMAT_SHARES,        /* cpu.shares, of which the weight 100 is 1024 */
        LIMIT_FORMAT_CFS_QUOTA,     /* per period, which is in `other`; "-1" for none */
        LIMIT_FORMAT_CFS_PERIOD,    /* of the quota in `other` */
        LIMIT_FORMAT_BFQ,           /* BFQ's weight, 1 to 1000 */
} LimitFormat;

/* Where one version of cgroups keeps a limit. */
typedef struct LimitFile {
        const char *controller; /* that must be there; NULL for the core's own files */
        const char *file;       /* interface file; of LIMIT_FORMAT_PAGES with %s for the size; NULL: it has no such limit */
        LimitFormat format;
        const char *key;        /* of LIMIT_FORMAT_DEVICE_KEY */
        const char *none;       /* what is written for no limit; "-1" reads as a number above all memory */
        const char *other;      /* a second file that belongs to the value; it may be missing */
        const char *effective;  /* of LIMIT_FORMAT_LIST: the file with what the parents leave of it */
} LimitFile;

typedef struct Limit {
        const char *name;      /* of the property */
        const char *signature; /* D-Bus type: "t", "b", "s" or "a(st)" */
        LimitFile v2, v1;
        uint64_t min, max;     /* of numbers, besides infinity */
        bool infinity;         /* whether infinity is a value */
        const char *unit;
} Limit;

/* One number of an "a(st)": of a block device "MAJOR:MINOR", or of a page size "2MB". */
typedef struct LimitEntry {
        char *key;
        uint64_t number;
} LimitEntry;

typedef struct LimitValue {
        uint64_t number; /* "t", "b"; LIMIT_INFINITY for no limit */
        char *text;      /* "s" */
        GArray *entries; /* "a(st)": of LimitEntry, sorted by key, each key once */
} LimitValue;

/* A limit and the value asked for, in the order of the table, each limit once. */
typedef struct LimitSetting {
        const Limit *limit;
        LimitValue value;
} LimitSetting;

extern const Limit limits[];
extern const size_t n_limits;

const Limit *limit_find(const char *name);

/* Checks bounds and syntax. Fails with INVALID_PROPERTY, naming the limit, the value and what is allowed. */
bool limit_validate(const Limit *limit, const LimitValue *value, GError **error);
void limit_value_clear(LimitValue *value);
/* An array of LimitEntry that clears its elements. */
GArray *limit_entries_new(void);
/* Adds in order; false when the key is there already. */
bool limit_entries_add(GArray *entries, const char *key, uint64_t number);
const LimitEntry *limit_entries_find(const GArray *entries, const char *key);

/* An array of LimitSetting that clears its elements. */
GArray *limit_settings_new(void);
/* Adds in the table's order; takes the value. A limit that is there already fails with INVALID_PROPERTY. */
bool limit_settings_add(GArray *settings, const Limit *limit, LimitValue *value, GError **error);
/* "MemoryMax=1048576 TasksMax=infinity": for people and polkit rules. */
char *limit_settings_describe(const GArray *settings);
