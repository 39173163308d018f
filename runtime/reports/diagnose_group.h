/* SPDX-License-Identifier: MIT
 *
 * Counting connections by what they have in common, for a snapshot: the largest groups. */
#pragma once

#include "reports/connections.h"

/* A connection, and how long it has been of the kind that is being told. */
struct diagnose_item {
  const struct connection_entry *entry;
  uint64_t since;
};

enum diagnose_key { BY_ROUTE, BY_CLIENT, BY_TARGET, BY_PORT, BY_FUNCTION };

enum { DIAGNOSE_GROUPS = 10 };

/* Writes the DIAGNOSE_GROUPS largest as a list into root[key]: { name =, count =, oldest = } and, of those with a limit
 * on the time, limit =; in seconds. Connections without the key (no target yet) are left out. The items' order
 * changes. */
void diagnose_groups_write(struct value *root, const char *key, enum diagnose_key by, struct diagnose_item *items,
                           size_t count);
