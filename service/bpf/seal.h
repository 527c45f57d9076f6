/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the seal's program and the daemon share: the layout of maps that outlive both. A change here is a change of
 * the layout that a running tree carries: raise SEAL_LAYOUT, and teach service/seal.c to carry the old one over.
 *
 * The includer provides __u32 and __u64 (linux/types.h on both sides).
 */
#define SEAL_LAYOUT 2

/* One device in a whitelist: numbers, or SEAL_ANY. Types and access bits are the kernel's BPF_DEVCG_*. */
#define SEAL_ANY 0xffffffffU

struct seal_device {
        __u32 type;
        __u32 major;
        __u32 minor;
};

/* Key of a domain's rule for one device. */
struct seal_rule_key {
        __u64 domain; /* id of its group */
        struct seal_device device;
        __u32 padding; /* 0 */
};

/*
 * What a rule gives: `access` from the driver's turn `since` on, `before` until then. So all that a change of a list
 * changes comes in force at one moment, when the turn does (service/rule-map.c).
 */
struct seal_access {
        __u32 before, access; /* BPF_DEVCG_ACC_* bits */
        __u64 since;
};

/* Key of the counters of what was refused. `access` is what was asked for and not granted. */
struct seal_denial_key {
        __u64 domain;
        struct seal_device device;
        __u32 access;
};

struct seal_denial {
        __u64 count;
        __u64 told; /* CLOCK_MONOTONIC ns of the last event sent for this key */
};

/* All that a domain was refused, and how many events it has caused since `window`. */
struct seal_refusals {
        __u64 count;
        __u64 window; /* CLOCK_MONOTONIC ns */
        __u64 told;
};

/*
 * What the ring buffer carries: the first refusal of its kind, then at most one a second; of one domain at most
 * SEAL_EVENTS_PER_INTERVAL a second, so that trying every device number there is costs the daemon nothing much.
 */
struct seal_event {
        struct seal_denial_key key;
        __u64 count;
        __u32 pid;
        char command[16];
        __u32 padding;
};

#define SEAL_EVENT_INTERVAL_NS 1000000000ULL

#define SEAL_EVENTS_PER_INTERVAL 128

#define SEAL_DOMAINS_MAX 65536
#define SEAL_RULES_FIRST 16384 /* room of a new driver, doubled when it is full */
#define SEAL_RULES_MAX 1048576 /* of all domains of a driver together */
#define SEAL_TRIES 16 /* to decide between two changes; then the answer is no */
#define SEAL_DENIALS_MAX 8192
#define SEAL_EVENTS_SIZE (64 * 1024)

_Static_assert(sizeof(struct seal_rule_key) == 24, "no hidden padding: it is compared byte by byte");
_Static_assert(sizeof(struct seal_access) == 16, "value of the map of rules");
_Static_assert(sizeof(struct seal_denial_key) == 24, "no hidden padding: it is compared byte by byte");
_Static_assert(sizeof(struct seal_refusals) == 24, "value of the map of counters");
_Static_assert(sizeof(struct seal_event) == 56, "no hidden padding");
