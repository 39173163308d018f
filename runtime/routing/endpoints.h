/* SPDX-License-Identifier: MIT
 *
 * Which endpoints a table's routes want, and which routes stand at each; private to this room. */
#pragma once

#include "routing/table.h"

/* Fills the table's ports and lists from its routes. Lists of `before` (NULL: none) that are the same are taken from
 * there. 0, -ENOMEM or -E2BIG. */
int table_endpoints_build(struct route_table *table, const struct route_table *before, struct pace *pace);

void route_list_unref(struct route_list *list);

/* Do connections that come in on `endpoint` belong to routes bound to `address` (of length 0: to all)? They do when it
 * is the same, and when it is the wildcard of the family that they come in by. Ports are not looked at. */
bool endpoint_takes(const struct endpoint *endpoint, const struct endpoint *address);

/* Is `address` (of length 0: all) the endpoint's very own? */
bool endpoint_is_own(const struct endpoint *endpoint, const struct endpoint *address);
