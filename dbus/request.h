/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "edge.h"

/*
 * One request, one road: decode → validate → authorize → act → reply.
 *
 * The table of methods (method.c) says for each what to decode, which actions polkit must allow, and what to do. No
 * handler can leave the road: the vtables hold nothing but request_start(). What was decoded does not change any more;
 * whatever was looked up before polkit was asked is looked up and checked again before anything is done.
 */
typedef struct Request Request;

typedef enum Action {
        ACTION_MANAGE_DRIVERS = 1 << 0,
        ACTION_CREATE_DOMAIN = 1 << 1,
        ACTION_SET_LIMITS = 1 << 2,
        ACTION_GRANT_DEVICES = 1 << 3,
        ACTION_ATTACH_PROCESS = 1 << 4,
        ACTION_CONTROL_DOMAIN = 1 << 5,
} Action;

typedef enum Access {
        ACCESS_READ,        /* anybody, without a question */
        ACCESS_READ_CALLER, /* the same, but who calls matters to the answer */
        ACCESS_CHANGE,      /* nobody inside the tree; root; others as actions() says */
} Access;

typedef enum ObjectKind { OBJECT_MANAGER, OBJECT_DRIVER, OBJECT_DOMAIN } ObjectKind;

typedef struct Method {
        ObjectKind object;
        const char *member;
        const char *in, *out; /* signatures */
        const char *names;    /* of the arguments in and out, each with its final zero: SD_BUS_PARAM */
        Access access;
        /* Reads the message and checks what can be checked without a right. */
        bool (*decode)(Request *request, sd_bus_message *message, GError **error);
        /* The actions that the caller must be allowed, as things are now; 0 for none. */
        bool (*actions)(Request *request, unsigned *ret_actions, GError **error);
        /* Does it, and ends in request_succeed() or request_fail(), at once or later. */
        void (*act)(Request *request);
} Method;

struct Request {
        Edge *edge;
        const Method *method;
        sd_bus_message *message;
        Caller *caller;

        /* decoded */
        char *driver, *domain;     /* names; the driver's of a domain */
        uint64_t target;           /* id of the group that was named or, for a new domain, its driver's; 0 for a new driver */
        DriverSpec *driver_spec;
        DomainSpec *domain_spec;
        GArray *limits;
        GPtrArray *devices, *processes;
        Process *process;
        int number;                /* a signal, or the flag `kill` */

        /* authorized so far */
        unsigned allowed;
        Action asking;
};

extern const Method methods[];
extern const size_t n_methods;

/* The handler of every method of every vtable. */
int request_start(sd_bus_message *message, void *userdata, sd_bus_error *ret_error);
/* Answers and frees the request. */
void request_succeed(Request *request, const char *signature, ...);
void request_succeed_with(Request *request, sd_bus_message *reply);
void request_fail(Request *request, const GError *error);
/* Frees a request whose caller is gone. */
void request_free(Request *request);
