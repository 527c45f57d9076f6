// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The seal: one program on the driver group decides every open and mknod of a device node below it.
 *
 * The domain is the ancestor one level below the driver, whatever groups a tenant makes beneath it. The rules of all
 * domains are in one map, so that an exact rule is one look-up, however many rules and domains there are. What is in no
 * domain (the driver group itself) has no rules and gets nothing.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "seal.h"

/* Level of the domains in the hierarchy of the whole system, its root being 0; set before loading. */
const volatile __u32 domain_level;

struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, SEAL_RULES_FIRST); /* the daemon knows how many it needs */
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __uint(key_size, sizeof(struct seal_rule_key));
        __uint(value_size, sizeof(struct seal_access));
} rules SEC(".maps");

/* Moves on with each change of the rules. */
struct {
        __uint(type, BPF_MAP_TYPE_ARRAY);
        __uint(max_entries, 1);
        __uint(map_flags, BPF_F_MMAPABLE);
        __uint(key_size, sizeof(__u32));
        __uint(value_size, sizeof(__u64));
} turn SEC(".maps");

/* How often each domain was refused anything. The daemon makes the entry with the domain. */
struct {
        __uint(type, BPF_MAP_TYPE_HASH);
        __uint(max_entries, SEAL_DOMAINS_MAX);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __uint(key_size, sizeof(__u64));
        __uint(value_size, sizeof(struct seal_refusals));
} refusals SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_LRU_HASH);
        __uint(max_entries, SEAL_DENIALS_MAX);
        __uint(key_size, sizeof(struct seal_denial_key));
        __uint(value_size, sizeof(struct seal_denial));
} denials SEC(".maps");

struct {
        __uint(type, BPF_MAP_TYPE_RINGBUF);
        __uint(max_entries, SEAL_EVENTS_SIZE);
} events SEC(".maps");

static __always_inline void tell(const struct seal_denial_key *key, __u64 count) {
        struct seal_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

        if (!event)
                return;
        event->key = *key;
        event->count = count;
        event->pid = bpf_get_current_pid_tgid() >> 32;
        event->padding = 0;
        bpf_get_current_comm(event->command, sizeof(event->command));
        bpf_ringbuf_submit(event, 0);
}

/* Two processors at once may get it wrong by one event, which does no harm. */
static __always_inline int may_tell(struct seal_refusals *total, __u64 now) {
        if (now - total->window >= SEAL_EVENT_INTERVAL_NS) {
                total->window = now;
                total->told = 0;
        }
        return total->told++ < SEAL_EVENTS_PER_INTERVAL;
}

static __always_inline void note_denial(__u64 domain, const struct seal_device *device, __u32 access) {
        struct seal_denial_key key = { .domain = domain, .device = *device, .access = access };
        struct seal_denial *denial, first = { .count = 1, .told = bpf_ktime_get_ns() };
        struct seal_refusals *total = bpf_map_lookup_elem(&refusals, &domain);

        if (!total) /* of no domain: nobody's to be told */
                return;
        __sync_fetch_and_add(&total->count, 1);

        denial = bpf_map_lookup_elem(&denials, &key);
        if (!denial) {
                bpf_map_update_elem(&denials, &key, &first, BPF_ANY);
                if (may_tell(total, first.told))
                        tell(&key, 1);
                return;
        }
        __sync_fetch_and_add(&denial->count, 1);
        if (first.told - denial->told < SEAL_EVENT_INTERVAL_NS)
                return;
        denial->told = first.told;
        if (may_tell(total, first.told))
                tell(&key, denial->count);
}

/* Of the access that is asked for, what the domain is not given for this device, in a turn. */
static __always_inline __u32 refused(const struct seal_rule_key *asked_for, __u32 asked, __u64 now) {
        struct seal_rule_key key = *asked_for;
        const struct seal_access *rule;

        /* The exact device, then (major, any), then (any, any), then (any, minor). */
        for (int i = 0; i < 4; i++) {
                if (i == 1)
                        key.device.minor = SEAL_ANY;
                else if (i == 2)
                        key.device.major = SEAL_ANY;
                else if (i == 3)
                        key.device.minor = asked_for->device.minor;
                rule = bpf_map_lookup_elem(&rules, &key);
                if (rule)
                        asked &= ~(rule->since <= now ? rule->access : rule->before);
                if (!asked)
                        break;
        }
        return asked;
}

/* What was decided while the turn moved on may be half of the old and half of the new, and is decided again. */
SEC("cgroup/dev")
int cordon_seal(struct bpf_cgroup_dev_ctx *ctx) {
        struct seal_rule_key key = {
                .domain = bpf_get_current_ancestor_cgroup_id(domain_level),
                .device = { ctx->access_type & 0xffff, ctx->major, ctx->minor },
        };
        __u32 zero = 0, asked = ctx->access_type >> 16, denied = asked;
        volatile __u64 *now = bpf_map_lookup_elem(&turn, &zero);

        if (!asked) /* access(2) with F_OK: of every domain, and of nothing else */
                return bpf_map_lookup_elem(&refusals, &key.domain) != 0;
        for (int i = 0; now && i < SEAL_TRIES; i++) {
                __u64 begun = *now;

                denied = refused(&key, asked, begun);
                if (*now != begun) {
                        denied = asked;
                        continue;
                }
                if (!denied)
                        return 1;
                break;
        }
        note_denial(key.domain, &key.device, denied);
        return 0;
}

char LICENSE[] SEC("license") = "GPL";
