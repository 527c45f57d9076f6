/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>

/*
 * Questions to polkit, asynchronous: nobody waits here. The subject is always a name on the bus, never a pid
 * (polkit(8), "system-bus-name"). No answer is a no: polkit absent, silent too long, or the caller gone.
 */
typedef struct Authority Authority;
typedef struct Question Question;

typedef enum Verdict {
        VERDICT_YES,
        VERDICT_NO,
        VERDICT_CHALLENGE, /* a person would have to be asked, and the caller did not allow that */
        VERDICT_GONE,      /* the caller has left the bus: there is nobody to answer */
} Verdict;

/* `reason` says why not, for the caller; NULL with VERDICT_YES. The question is freed after the callback. */
typedef void (*QuestionCallback)(Verdict verdict, const char *reason, void *userdata);

/* Asks over `bus`, and over further connections of its own when many questions are open. Negative errno. */
int authority_new(Authority **ret_authority, sd_bus *bus);
/* Drops open questions without calling back. */
void authority_free(Authority *authority);

/*
 * Asks whether `sender` may do `action`. `details` is a NULL-terminated list of keys and values in turn, for polkit's
 * rules and messages. With `interactive` a person may be asked. Negative errno when it cannot even be asked; then
 * there is no callback.
 */
int authority_ask(Authority *authority, const char *sender, const char *action, const char *const *details,
                  bool interactive, QuestionCallback callback, void *userdata);
