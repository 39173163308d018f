/* SPDX-License-Identifier: MIT
 *
 * Which of a route's targets is next: the ways of action.balance that C knows (a function of the route is asked by the
 * engine). What happens when a target can't be reached is the engine's too. */
#pragma once

#include "net/address.h"
#include "routing/route.h"

/* How many connections a target has; shared by the workers and by the records of one name, one after the other, that
 * have this target. */
struct target_load {
  atomic_uint references;
  atomic_uint active;
};

/* Gives each target a load of its own, if the route's way of balancing looks at them. 0 or -ENOMEM. */
int route_count_loads(struct route *route);

/* A new record of the same name takes over the loads of the targets that both have. Neither is in use by two threads
 * yet. */
void route_share_loads(struct route *route, const struct route *before);

void target_load_unref(struct target_load *load); /* NULL is nothing */

/* The target whose turn it is for this client. The route has one at least. Any thread. */
const struct route_target *route_choose_target(const struct route *route, const struct ip_address *client);
