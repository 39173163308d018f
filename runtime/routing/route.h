/* SPDX-License-Identifier: MIT
 *
 * A route, compiled from its table in a route file: immutable, shared by the workers, reference-counted. Its statistics
 * are not here but under its name (metrics/), because they outlive its content. */
#pragma once

#include "core/clock.h"
#include "net/address.h"
#include "net/ip_set.h"
#include "tls/version.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_version; /* script/version.h: a loaded version of a route file with its Lua states */

enum { ROUTE_NO_FUNCTION = -1 };

enum route_action { ROUTE_FORWARD, ROUTE_HANDLER };

/* What a route does with TLS: NONE takes plain connections only where a port has both, PASSTHROUGH takes TLS and
 * forwards it byte for byte. */
enum route_tls { ROUTE_TLS_NONE, ROUTE_TLS_PASSTHROUGH };

/* What becomes of a route's connections when it changes or goes. */
enum route_on_change { ROUTE_KEEP, ROUTE_DRAIN, ROUTE_CLOSE };

/* Milliseconds; 0 is off. */
struct route_timeouts {
  uint64_t connect, initial_data, idle, lifetime, half_closed, linger, shutdown, half_dead, half_dead_tls, stuck,
      stuck_tls;
};

/* One target of a route. Exactly one of host and host_function is there. */
struct route_target {
  char *host; /* a name, a literal address or "unix:/path"; NULL: host_function says */
  uint16_t port;
  bool preserve_port; /* the port that the client came in on */
  unsigned weight;    /* 1 to 256 */
  int host_function;  /* slots of the version's functions, or ROUTE_NO_FUNCTION */
  int port_function;
};

struct port_range {
  uint16_t from, to; /* inclusive; 0 to 0: one port, given by the kernel */
};

struct route {
  atomic_uint references;
  char *name;      /* unique in a table */
  char *file;      /* base name of its file */
  atomic_int line; /* where it stands in it; 0 when not known. The one thing that changes, for people */
  unsigned stats;  /* metrics/: the number of its name */
  int priority;
  char *description; /* for people; NULL or "": none */
  char **tags;
  size_t tag_count;

  /* match */
  struct endpoint address; /* what to bind, port 0; length 0: all */
  struct port_range *ports;
  size_t port_count;
  char **domains; /* globs, lower case, without port or trailing dot; none: any */
  size_t domain_count;
  struct ip_set *client_ips; /* NULL: any */
  unsigned tls_versions;     /* bits (tls/version.h); 0: any */

  /* action */
  enum route_action action;
  enum route_tls tls;
  struct script_version *script; /* whose functions the slots name; NULL for a route without. Kept alive by the table */
  int when_function, handler_function, target_function;
  struct route_target *targets;
  size_t target_count;
  uint16_t *rotation; /* indices into targets, each as often as its weight says, well mixed; what round robin walks */
  size_t rotation_length;
  atomic_uint *cursor; /* the place in it, shared by the workers; belongs to the name's statistics */
  bool half_open;
  enum route_on_change on_change;

  struct route_timeouts timeouts;
};

/* All NULL, no functions, one reference. NULL without memory. */
struct route *route_new(void);
struct route *route_ref(struct route *route);
void route_unref(struct route *route); /* NULL is nothing */

/* Does anything of it run in Lua? */
bool route_has_functions(const struct route *route);

/* Do both say the same: name, file, match, action, timeouts, all but the line and what belongs to the name (statistics,
 * cursor)? Then one record can stand for the other. Never true of routes with functions. */
bool route_equal(const struct route *a, const struct route *b);

/* Fills `rotation` from the targets' weights (smooth weighted round robin). 0 or -ENOMEM. */
int route_build_rotation(struct route *route);

/* The target whose turn it is. Any thread. */
const struct route_target *route_next_target(const struct route *route);
