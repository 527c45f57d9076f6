/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "authority.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

/*
 * dbus-daemon lets one connection wait for at most 128 replies (max_replies_per_connection), and a question can stay
 * open as long as a person thinks. So that any number of people may think at once, each connection carries a bounded
 * number of questions and another is opened when all are full. The subject is a bus name, so polkit does not mind
 * which connection asks.
 */
#define QUESTIONS_PER_CONNECTION 96

#define ANSWER_TIMEOUT_USEC UINT64_C(30000000)
#define PERSON_TIMEOUT_USEC UINT64_C(300000000)

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define FLAG_ALLOW_USER_INTERACTION 1U

typedef struct Channel {
        sd_bus *bus;
        unsigned n_questions;
} Channel;

struct Authority {
        GPtrArray *channels; /* the first is the service's own connection */
        GHashTable *questions;
        uint64_t next_id;
};

struct Question {
        Authority *authority;
        Channel *channel;
        char *id; /* to cancel it with */
        sd_bus_slot *reply, *departure;
        QuestionCallback callback;
        void *userdata;
};

static void channel_free(void *data) {
        Channel *channel = data;

        sd_bus_close_unref(channel->bus);
        g_free(channel);
}

int authority_new(Authority **ret_authority, sd_bus *bus) {
        Authority *authority = g_new0(Authority, 1);
        Channel *channel = g_new0(Channel, 1);

        channel->bus = sd_bus_ref(bus);
        authority->channels = g_ptr_array_new();
        g_ptr_array_add(authority->channels, channel);
        authority->questions = g_hash_table_new(NULL, NULL);
        *ret_authority = authority;
        return 0;
}

static void question_free(Question *question) {
        Authority *authority = question->authority;
        Channel *channel = question->channel;

        sd_bus_slot_unref(question->reply);
        sd_bus_slot_unref(question->departure);
        g_hash_table_remove(authority->questions, question);
        g_free(question->id);
        g_free(question);

        /* An extra connection goes with its last question. */
        if (--channel->n_questions == 0 && channel != authority->channels->pdata[0]) {
                g_ptr_array_remove(authority->channels, channel);
                channel_free(channel);
        }
}

void authority_free(Authority *authority) {
        GHashTableIter iter;
        Question *question;

        if (!authority)
                return;
        g_hash_table_iter_init(&iter, authority->questions);
        while (g_hash_table_iter_next(&iter, (void **) &question, NULL)) {
                question_free(question);
                g_hash_table_iter_init(&iter, authority->questions);
        }
        sd_bus_unref(((Channel *) authority->channels->pdata[0])->bus);
        g_free(authority->channels->pdata[0]);
        g_ptr_array_unref(authority->channels);
        g_hash_table_unref(authority->questions);
        g_free(authority);
}

static int channel_open(Authority *authority, Channel **ret_channel) {
        Channel *first = authority->channels->pdata[0], *channel;
        sd_bus *bus = NULL;
        int r;

        for (unsigned i = 0; i < authority->channels->len; i++) {
                channel = authority->channels->pdata[i];
                if (channel->n_questions < QUESTIONS_PER_CONNECTION) {
                        *ret_channel = channel;
                        return 0;
                }
        }
        r = sd_bus_open_system_with_description(&bus, "polkit"); /* connects in the background */
        if (r >= 0)
                r = sd_bus_attach_event(bus, sd_bus_get_event(first->bus), 0);
        if (r < 0) {
                sd_bus_close_unref(bus);
                return r;
        }
        channel = g_new0(Channel, 1);
        channel->bus = bus;
        g_ptr_array_add(authority->channels, channel);
        *ret_channel = channel;
        return 0;
}

static void question_end(Question *question, Verdict verdict, const char *reason) {
        question->callback(verdict, reason, question->userdata);
        question_free(question);
}

static int on_reply(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Question *question = userdata;
        const sd_bus_error *error = sd_bus_message_get_error(message);
        int authorized, challenge;

        if (error) {
                g_autofree char *reason = NULL;

                if (sd_bus_error_has_names(error, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER,
                                           "org.freedesktop.DBus.Error.Spawn.ServiceNotFound"))
                        reason = g_strdup("polkit is not there to be asked");
                else if (sd_bus_error_has_names(error, SD_BUS_ERROR_NO_REPLY, SD_BUS_ERROR_TIMEOUT))
                        reason = g_strdup("polkit did not answer");
                else
                        reason = g_strdup_printf("polkit could not be asked: %s",
                                                 error->message ? error->message : error->name);
                question_end(question, VERDICT_NO, reason);
                return 0;
        }

        /* (bba{ss}): authorized, challenge, details */
        if (sd_bus_message_enter_container(message, 'r', "bba{ss}") < 0 ||
            sd_bus_message_read(message, "bb", &authorized, &challenge) < 0)
                question_end(question, VERDICT_NO, "polkit's answer cannot be understood");
        else if (authorized)
                question_end(question, VERDICT_YES, NULL);
        else if (challenge)
                question_end(question, VERDICT_CHALLENGE, "an administrator has to authenticate");
        else
                question_end(question, VERDICT_NO, "polkit says no");
        return 0;
}

/* NameOwnerChanged of the caller's unique name, which is never used again: it has left. */
static int on_departure(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        Question *question = userdata;

        sd_bus_call_method_async(question->channel->bus, NULL, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                 "CancelCheckAuthorization", NULL, NULL, "s", question->id);
        question_end(question, VERDICT_GONE, "the caller has left the bus");
        return 0;
}

static int watch_departure(Question *question, const char *sender) {
        g_autofree char *match = g_strdup_printf("type='signal',sender='org.freedesktop.DBus',"
                                                 "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                                                 "member='NameOwnerChanged',arg0='%s',arg2=''", sender);

        return sd_bus_add_match_async(question->channel->bus, &question->departure, match, on_departure, NULL,
                                      question);
}

static int append_details(sd_bus_message *message, const char *const *details) {
        int r = sd_bus_message_open_container(message, 'a', "{ss}");

        for (; r >= 0 && details[0]; details += 2)
                r = sd_bus_message_append(message, "{ss}", details[0], details[1]);
        return r < 0 ? r : sd_bus_message_close_container(message);
}

static int send_question(Question *question, const char *sender, const char *action, const char *const *details,
                         bool interactive) {
        sd_bus_message *message = NULL;
        int r = sd_bus_message_new_method_call(question->channel->bus, &message, POLKIT_NAME, POLKIT_PATH,
                                               POLKIT_INTERFACE, "CheckAuthorization");

        if (r >= 0)
                r = sd_bus_message_append(message, "(sa{sv})s", "system-bus-name", 1, "name", "s", sender, action);
        if (r >= 0)
                r = append_details(message, details);
        if (r >= 0)
                r = sd_bus_message_append(message, "us", interactive ? FLAG_ALLOW_USER_INTERACTION : 0, question->id);
        if (r >= 0)
                r = sd_bus_call_async(question->channel->bus, &question->reply, message, on_reply, question,
                                      interactive ? PERSON_TIMEOUT_USEC : ANSWER_TIMEOUT_USEC);
        sd_bus_message_unref(message);
        return r;
}

int authority_ask(Authority *authority, const char *sender, const char *action, const char *const *details,
                  bool interactive, QuestionCallback callback, void *userdata) {
        Channel *channel;
        Question *question;
        int r = channel_open(authority, &channel);

        if (r < 0)
                return r;
        question = g_new0(Question, 1);
        *question = (Question) {
                .authority = authority,
                .channel = channel,
                .id = g_strdup_printf("cordon-%" G_GUINT64_FORMAT, ++authority->next_id),
                .callback = callback,
                .userdata = userdata,
        };
        channel->n_questions++;
        g_hash_table_add(authority->questions, question);

        /* In this order on one connection: a caller that leaves after this is noticed, one that left before polkit
         * does not find. */
        r = watch_departure(question, sender);
        if (r >= 0)
                r = send_question(question, sender, action, details, interactive);
        if (r < 0)
                question_free(question);
        return r;
}
