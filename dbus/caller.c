/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "caller.h"

#include <string.h>

#define CACHE_SIZE 64

struct CallerCache {
        sd_bus *bus;
        GHashTable *callers; /* unique name -> Caller */
        GQueue order;        /* the names, oldest first; owned by `callers` */
        GHashTable *lookups; /* under way */
};

typedef struct Lookup {
        CallerCache *cache;
        char *sender;
        sd_bus_slot *reply;
        CallerCallback callback;
        void *userdata;
} Lookup;

static void clear_caller(void *data) {
        Caller *caller = data;

        process_free(caller->process);
}

Caller *caller_ref(Caller *caller) {
        return g_rc_box_acquire(caller);
}

void caller_unref(Caller *caller) {
        if (caller)
                g_rc_box_release_full(caller, clear_caller);
}

static void unref_caller(void *caller) {
        caller_unref(caller);
}

static void lookup_free(void *data) {
        Lookup *lookup = data;

        sd_bus_slot_unref(lookup->reply);
        g_free(lookup->sender);
        g_free(lookup);
}

CallerCache *caller_cache_new(sd_bus *bus) {
        CallerCache *cache = g_new0(CallerCache, 1);

        cache->bus = bus;
        cache->callers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, unref_caller);
        cache->lookups = g_hash_table_new_full(NULL, NULL, lookup_free, NULL);
        g_queue_init(&cache->order);
        return cache;
}

void caller_cache_free(CallerCache *cache) {
        if (!cache)
                return;
        g_hash_table_unref(cache->lookups);
        g_queue_clear(&cache->order);
        g_hash_table_unref(cache->callers);
        g_free(cache);
}

static void remember(CallerCache *cache, const char *sender, Caller *caller) {
        char *name;

        if (g_hash_table_contains(cache->callers, sender))
                return;
        if (cache->order.length >= CACHE_SIZE)
                g_hash_table_remove(cache->callers, g_queue_pop_head(&cache->order));
        name = g_strdup(sender);
        g_hash_table_insert(cache->callers, name, caller_ref(caller));
        g_queue_push_tail(&cache->order, name);
}

/*
 * a{sv} of GetConnectionCredentials (D-Bus specification, "Message Bus Messages"). ProcessFD, of newer bus daemons, is
 * of the process that connected; the number alone can only be trusted as far as that process has not ended.
 */
static Caller *read_credentials(sd_bus_message *message) {
        g_autoptr(Process) process = NULL;
        uint32_t uid = UINT32_MAX, pid = 0;
        int r = sd_bus_message_enter_container(message, 'a', "{sv}");
        Caller *caller;

        while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
                const char *key;
                int fd;

                r = sd_bus_message_read(message, "s", &key);
                if (r < 0)
                        break;
                if (strcmp(key, "UnixUserID") == 0)
                        r = sd_bus_message_read(message, "v", "u", &uid);
                else if (strcmp(key, "ProcessID") == 0)
                        r = sd_bus_message_read(message, "v", "u", &pid);
                else if (strcmp(key, "ProcessFD") == 0) {
                        r = sd_bus_message_read(message, "v", "h", &fd);
                        if (r >= 0 && !process)
                                process = process_open_pidfd(fd, NULL);
                } else
                        r = sd_bus_message_skip(message, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(message);
        }
        if (r < 0 || uid == UINT32_MAX)
                return NULL;

        caller = g_rc_box_new0(Caller);
        caller->uid = uid;
        caller->process = process ? g_steal_pointer(&process) : pid > 0 ? process_open(pid, NULL) : NULL;
        return caller;
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Lookup *lookup = userdata;
        Caller *caller = sd_bus_message_is_method_error(message, NULL) ? NULL : read_credentials(message);

        if (caller)
                remember(lookup->cache, lookup->sender, caller);
        lookup->callback(caller, lookup->userdata);
        caller_unref(caller);
        g_hash_table_remove(lookup->cache->lookups, lookup);
        return 0;
}

int caller_find(CallerCache *cache, const char *sender, CallerCallback callback, void *userdata) {
        Caller *caller = g_hash_table_lookup(cache->callers, sender);
        Lookup *lookup;
        int r;

        if (caller) {
                callback(caller, userdata);
                return 0;
        }
        lookup = g_new0(Lookup, 1);
        *lookup = (Lookup) { cache, g_strdup(sender), NULL, callback, userdata };
        r = sd_bus_call_method_async(cache->bus, &lookup->reply, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionCredentials", on_reply, lookup, "s", sender);
        if (r < 0) {
                lookup_free(lookup);
                return r;
        }
        g_hash_table_add(cache->lookups, lookup);
        return 0;
}
