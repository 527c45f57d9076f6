/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "domain.h"

/*
 * The journal entry of a refused access, by its own MESSAGE_ID: who tried it, which the signal does not tell. Without a
 * journal it goes to standard error.
 */
#define JOURNAL_DENIAL_ID "7f6c2f0a5b0e4a0d9a3c1e5d8b7f4c21"

void journal_denial(Domain *domain, const struct seal_event *event);
