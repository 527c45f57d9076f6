// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The seal: one program on the driver group decides every open and mknod of a device node below it.
 *
 * The domain is the ancestor one level below the driver, whatever groups a tenant makes beneath it, and its rules are
 * one inner map, so that the cost does not depend on their number and a whole list is replaced by one update of the
 * outer map. What is in no domain (the driver group itself) has no rules and gets nothing.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "seal.h"

/* Level of the domains in the hierarchy of the whole system, its root being 0; set before loading. */
const volatile __u32 domain_level;

struct {
        __uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
        __uint(max_entries, SEAL_DOMAINS_MAX);
        __uint(map_flags, BPF_F_NO_PREALLOC);
        __uint(key_size, sizeof(__u64)); /* id of the domain's group */
        __uint(value_size, sizeof(__u32));
        __array(values, struct {
                __uint(type, BPF_MAP_TYPE_HASH);
                __uint(max_entries, 64);
                __uint(map_flags, BPF_F_NO_PREALLOC);
                __uint(key_size, sizeof(struct seal_device));
                __uint(value_size, sizeof(__u32)); /* BPF_DEVCG_ACC_* bits */
        });
} domains SEC(".maps");

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

SEC("cgroup/dev")
int cordon_seal(struct bpf_cgroup_dev_ctx *ctx) {
        __u32 asked = ctx->access_type >> 16, granted = 0, *access;
        struct seal_device device = { ctx->access_type & 0xffff, ctx->major, ctx->minor };
        struct seal_device key = device;
        __u64 domain = bpf_get_current_ancestor_cgroup_id(domain_level);
        void *rules = bpf_map_lookup_elem(&domains, &domain);

        if (!rules)
                goto denied;

        /* The exact device, then (major, any), then (any, any), then (any, minor). */
        for (int i = 0; i < 4; i++) {
                if (i == 1)
                        key.minor = SEAL_ANY;
                else if (i == 2)
                        key.major = SEAL_ANY;
                else if (i == 3)
                        key.minor = device.minor;
                access = bpf_map_lookup_elem(rules, &key);
                if (access)
                        granted |= *access;
                if ((asked & ~granted) == 0)
                        return 1;
        }

denied:
        note_denial(domain, &device, asked & ~granted);
        return 0;
}

char LICENSE[] SEC("license") = "GPL";
