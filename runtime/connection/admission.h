/* SPDX-License-Identifier: MIT
 *
 * Who may connect: the steps of the corridor that ask the config before there is a route (the cap, the lists, the PROXY
 * header of a trusted peer), and the route's own conditions once it is known. What is refused is reset, counted by its
 * reason, and told in the log with the option that says so. */
#pragma once

#include "connection/connection.h"
#include "connection/limits.h"

/* What all workers count together. */
struct admission {
  struct limits *limits;
  atomic_uint connections; /* for limits.connections */
};

/* 0 or -ENOMEM. */
int admission_init(struct admission *admission, size_t addresses);
void admission_deinit(struct admission *admission); /* when no worker is left */

/* The cap, which comes before anything that costs. */
enum step_result step_cap(struct connection *connection);

/* The PROXY header of a trusted peer: from here on the client is who it says. One that nobody trusts is refused as soon
 * as it is seen, without anybody waiting for it. */
enum step_result step_proxy_header(struct connection *connection);

/* The config's lists, and how many connections an address may hold before they have a route. */
enum step_result step_enter(struct connection *connection);

/* The route's lists and limits, its `authorize`, and its keep_alive function. */
enum step_result step_admit(struct exchange *exchange);

/* The option that keeps an address out by one pair of lists, "security.ip_block" or "security.ip_allow" (either list
 * may be NULL); NULL: it may come. A peer without an IP address is on no list. */
const char *admission_find_refusal(const struct ip_set *allow, const struct ip_set *block,
                                   const struct ip_address *address);

/* The exchange ends, or the connection: gives back what was counted. */
void admission_leave_route(struct exchange *exchange);
void admission_leave(struct connection *connection);

/* Room is short (the cap is near, or descriptors are out): looks at some connections and closes those that have been
 * quiet for limits.idle_near_cap. */
void admission_reclaim(struct worker *worker);

/* Closes an exchange that is refused for `reason`, and says so; `option` names what said it, `limit` its number (-1:
 * has none). Always REFUSED. */
enum step_result admission_refuse(struct exchange *exchange, enum close_reason reason, const char *option,
                                  int64_t limit);
