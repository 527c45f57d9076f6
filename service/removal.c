#include "removal.h"

#include "error.h"

#define REMOVAL_TIMEOUT_USEC UINT64_C(30000000)

struct Removal {
        GSList **list;
        Tree *tree;
        char *group_path;
        TreeDone done;
        void *userdata;
        sd_event_source *timer;
};

static void removal_finish(Removal *removal, const GError *error) {
        removal->tree->n_removals--;
        sd_event_source_disable_unref(removal->timer);
        removal->done(error, removal->userdata);
        g_free(removal->group_path);
        g_free(removal);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Removal *removal = userdata;
        g_autoptr(GError) error = NULL;

        cordon_fail(&error, CORDON_ERROR_BUSY, "%s: its processes were killed and have not ended yet",
                    removal->group_path);
        *removal->list = g_slist_remove(*removal->list, removal);
        removal_finish(removal, error);
        return 0;
}

void removal_add(GSList **list, Tree *tree, const char *group_path, TreeDone done, void *userdata) {
        Removal *removal = g_new0(Removal, 1);

        *removal = (Removal) { list, tree, g_strdup(group_path), done, userdata, NULL };
        if (sd_event_add_time_relative(tree->event, &removal->timer, CLOCK_MONOTONIC, REMOVAL_TIMEOUT_USEC, 0,
                                       on_timeout, removal) < 0)
                g_warning("%s: no timer for its removal", group_path);
        *list = g_slist_append(*list, removal);
        tree->n_removals++;
}

void removal_finish_all(GSList *list, const GError *error) {
        while (list) {
                removal_finish(list->data, error);
                list = g_slist_delete_link(list, list);
        }
}
