/* SPDX-License-Identifier: MIT
 *
 * What becomes of each kind of connection, when a question leaves something open: a list of cases, of which the first
 * that fits a connection has its route. Made from the verdicts of route_explain(). */
#pragma once

#include "routing/choice.h"

/* The route has no say in the others: when it has a `when` that says no, the next case that fits is it. */
struct route_case {
  const struct route *route;
  size_t place;          /* of the route, among the port's */
  unsigned tls_versions; /* bits of the version offered; 0: any */
  int least, most;       /* clients in members of its client_ip that are so specific; `most` -1: any client */
};

/* All zero: none. */
struct route_cases {
  struct route_case *list;
  size_t count, capacity;
  size_t group; /* where those begin that client and version alone put into order */
};

/* Takes the next verdict; those that don't match, and those that are outranked, make no case. 0 or -ENOMEM. */
int route_cases_add(struct route_cases *cases, const struct route_verdict *verdict);

/* After the last verdict. */
void route_cases_finish(struct route_cases *cases);

void route_cases_deinit(struct route_cases *cases);
