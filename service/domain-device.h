/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "domain.h"

/*
 * The devices of a domain: in force by the seal, behind it by v1's lists where the host has them, and recorded on the group.
 * What changes them is in domain.h; this is what a domain's beginning and end need.
 */

/* Puts them in force for a new group, in which no process is yet. */
bool domain_permit_devices(Domain *domain, const GPtrArray *devices, GError **error);
/* Writes down what is in force. A list that an attribute cannot hold is QUOTA_EXCEEDED. */
bool domain_record_devices(Domain *domain, const GPtrArray *devices, GError **error);
/*
 * Of a group that an earlier daemon left: what is in force, from seal_read_all(), and what is recorded become the same,
 * by narrowing.
 */
bool domain_reconcile_devices(Domain *domain, GHashTable *all, GError **error);
/* The group is gone, or will be. */
void domain_forget_devices(Domain *domain);
