/* SPDX-License-Identifier: MIT
 *
 * Which of a route's targets is next: the ways of action.balance that C knows (a function of the route is asked by the
 * engine), and which after it, when that has failed lately or does not answer. Connecting is the engine's too. */
#pragma once

#include "dial/failures.h"
#include "routing/route.h"

/* How many connections a target has, and what its last one took; shared by the workers and by the records of one name,
 * one after the other, that have this target. */
struct target_load {
  atomic_uint references;
  atomic_uint active;     /* where route_counts_loads() */
  atomic_uint connect_ms; /* how long the last one took to answer */
};

/* Does the choice depend on how many connections a target has? */
bool route_counts_loads(const struct route *route);

/* May the next target be tried while one has not answered yet? Where the choice is the client's (by its address, by a
 * function) only one that has failed leads to another. */
bool route_races(const struct route *route);

/* Gives each target a load of its own, if the route's way of balancing looks at them. 0 or -ENOMEM. */
int route_count_loads(struct route *route);

/* A new record of the same name takes over the loads of the targets that both have. Neither is in use by two threads
 * yet. */
void route_share_loads(struct route *route, const struct route *before);

void target_load_unref(struct target_load *load); /* NULL is nothing */

/* One connection less. */
static inline void target_load_leave(struct target_load *load) {
  atomic_fetch_sub_explicit(&load->active, 1, memory_order_relaxed);
}

/* The target whose turn it is for this client. The route has one at least. Any thread. */
const struct route_target *route_choose_target(const struct route *route, const struct ip_address *client);

/* What is known when another target than that is chosen. */
struct target_choice {
  const struct route *route;
  const struct ip_address *client;
  uint16_t port;             /* that the client came in on */
  struct failures *failures; /* NULL: nothing is remembered */
  clock_ms now;
  const uint64_t *tried; /* bits by index: those not to be chosen; NULL: none */
  bool plain;            /* none whose host or port a function says */
};

/* Under which key its failures are remembered; false: a function says where it is. */
bool target_failure_key(const struct target_choice *choice, const struct route_target *target, struct failure_key *key);

/* `first` is the one whose turn it is; if it has failed lately, another one that has not, else `first`. */
const struct route_target *route_avoid_failed(const struct target_choice *choice, const struct route_target *first);

/* The one after `before`: as the way of balancing has it, what has failed lately last. NULL: there is none. */
const struct route_target *route_next_target(const struct target_choice *choice, const struct route_target *before);
