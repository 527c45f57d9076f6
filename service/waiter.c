/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "waiter.h"

#include "error.h"

#define TIMEOUT_USEC UINT64_C(30000000)

struct Waiter {
        GSList **list;
        Tree *tree;
        char *what;
        WaiterTimeout timeout;
        void *owner;
        TreeDone done;
        void *userdata;
        sd_event_source *timer;
};

static void finish(Waiter *waiter, const GError *error) {
        waiter->tree->n_waiters--;
        sd_event_source_disable_unref(waiter->timer);
        waiter->done(error, waiter->userdata);
        g_free(waiter->what);
        g_free(waiter);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Waiter *waiter = userdata;
        g_autoptr(GError) error = NULL;

        *waiter->list = g_slist_remove(*waiter->list, waiter);
        if (waiter->timeout)
                waiter->timeout(waiter->owner);
        cordon_fail(&error, CORDON_ERROR_BUSY, "%s", waiter->what);
        finish(waiter, error);
        return 0;
}

void waiter_add(GSList **list, Tree *tree, const char *what, WaiterTimeout timeout, void *owner, TreeDone done,
                void *userdata) {
        Waiter *waiter = g_new0(Waiter, 1);

        *waiter = (Waiter) { list, tree, g_strdup(what), timeout, owner, done, userdata, NULL };
        if (sd_event_add_time_relative(tree->event, &waiter->timer, CLOCK_MONOTONIC, TIMEOUT_USEC, 0, on_timeout,
                                       waiter) < 0)
                g_warning("no timer for a wait: %s", what);
        *list = g_slist_append(*list, waiter);
        tree->n_waiters++;
}

void waiter_take_time(GSList *list) {
        for (; list; list = list->next) {
                Waiter *waiter = list->data;

                waiter->timer = sd_event_source_disable_unref(waiter->timer);
        }
}

void waiter_finish_all(GSList *list, const GError *error) {
        while (list) {
                finish(list->data, error);
                list = g_slist_delete_link(list, list);
        }
}
