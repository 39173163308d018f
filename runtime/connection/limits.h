/* SPDX-License-Identifier: MIT
 *
 * How many connections an address may hold, and how fast it may open them: the one table of addresses, shared by all
 * workers (a lock a shard, held for the time of a look-up). What is over, and what becomes of the connection then, is
 * the caller's: admission asks when a connection has its route, the close gives back. Memory is bounded: what holds
 * nothing and is not blocked is forgotten, the longest unused first. */
#pragma once

#include "core/clock.h"
#include "core/list.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct limits;

/* What the connections of one address are counted by. */
enum {
  LIMIT_SCOPE_ALL = 0,      /* of routes without limits of their own: the config's limits */
  LIMIT_SCOPE_UNROUTED = 1, /* those whose route is not known yet */
  LIMIT_SCOPE_ROUTES = 2,   /* and from there on: those of one route's name (struct route_shared) */
};

/* What is asked for a connection. 0: no such limit. */
struct limit_rule {
  uint32_t scope;
  uint32_t connections; /* at once */
  uint32_t rate;        /* new ones in any `window`, refused ones not counted */
  uint64_t window_ms;
  uint64_t block_ms; /* for how long an address is refused once it was over one of them; no block lasts longer */
};

enum limit_answer {
  LIMIT_ADMITTED,
  LIMIT_CONNECTIONS, /* it holds as many as it may */
  LIMIT_RATE,        /* it has opened as many as it may, for now */
  LIMIT_BLOCKED,     /* it was over its limit, and block_for has not passed */
  LIMIT_FULL,        /* the table is full of addresses that hold connections */
};

enum {
  LIMITS_SHARDS = 64,
  LIMITS_ADDRESSES_DEFAULT = 65536,
  LIMITS_IPV6_PREFIX_DEFAULT = 64, /* RFC 6177, RFC 7934: one subscriber has at least a /64 */
};

struct limit_entry;

/* For at most `addresses` addresses (and scopes); memory is taken as they come. NULL without memory. */
struct limits *limits_new(size_t addresses);
void limits_free(struct limits *limits);

/* The bits of an IPv6 address that stand for one client, 1 to 128. Any thread; connections that are held keep theirs.
 */
void limits_set_ipv6_prefix(struct limits *limits, unsigned prefix);

/* Counts one more connection of `address`, if the rule lets it. A rule without a rate leaves what was opened so far as
 * it is. With LIMIT_ADMITTED *held is what limits_release() takes, once; NULL when nothing had to be counted. Any
 * thread. `address` is set. */
enum limit_answer limits_admit(struct limits *limits, const struct ip_address *address, const struct limit_rule *rule,
                               clock_ms now, struct limit_entry **held);

/* What limits_admit() would say, with nothing counted or remembered. `*blocked_ms`: LIMIT_BLOCKED: for how long. Any
 * thread. */
enum limit_answer limits_foresee(struct limits *limits, const struct ip_address *address, const struct limit_rule *rule,
                                 clock_ms now, uint64_t *blocked_ms);

/* NULL is nothing. Any thread. */
void limits_release(struct limits *limits, struct limit_entry *held);

/* What is known of an address, for people. */
struct limit_report {
  struct ip_address address; /* the first of its prefix; port 0 */
  unsigned prefix;           /* bits of it that stand for the client; 32 of an IPv4 address */
  uint32_t scope;
  uint32_t connections;
  double rate;         /* new ones in the last window */
  uint64_t refused;    /* since it is remembered */
  uint64_t blocked_ms; /* how long it will still be refused, unless block_ms is shorter by now; 0: it is not */
};

/* Of one address in one scope. False: it is not remembered. Any thread. `address` is set. */
bool limits_find(struct limits *limits, const struct ip_address *address, uint32_t scope, clock_ms now,
                 struct limit_report *report);

typedef void limits_report_fn(void *context, const struct limit_report *report);

/* Calls back for every address that is remembered, for a few of them at a time under the lock of their shard, so that
 * no worker waits long: the callback is short, and calls nothing here. What is there from beginning to end is told
 * once; what comes or goes meanwhile may be left out. Any thread. */
void limits_each(struct limits *limits, clock_ms now, limits_report_fn *report, void *context);

/* The same for one of LIMITS_SHARDS parts of them, so that who calls may do something else in between. */
void limits_each_of(struct limits *limits, size_t index, clock_ms now, limits_report_fn *report, void *context);
