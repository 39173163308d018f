/* SPDX-License-Identifier: MIT
 *
 * A route, compiled from its table in a route file: immutable, shared by the workers, reference-counted. Its statistics
 * are not here but under its name (metrics/), because they outlive its content. */
#pragma once

#include "core/clock.h"
#include "net/address.h"
#include "net/ip_set.h"
#include "routing/route_parts.h"
#include "tls/version.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct script_version; /* script/version.h: a loaded version of a route file with its Lua states */

/* What belongs to a route's name and is shared by the workers: it outlives the records of that name. */
struct route_shared {
  atomic_uint references; /* the name's, and one of each record */
  atomic_uint cursor;     /* the place in the rotation of targets */
  atomic_uint held;       /* connections that count for security.max_connections */
  uint32_t scope;         /* connection/limits.h: of what is counted for it by address; no other name ever has it */
};

/* One reference. NULL without memory. */
struct route_shared *route_shared_new(uint32_t scope);
struct route_shared *route_shared_ref(struct route_shared *shared);
void route_shared_unref(struct route_shared *shared); /* NULL is nothing */

enum route_action { ROUTE_FORWARD, ROUTE_HANDLER };

/* Who moves the bytes: the corridor, or a plane (engines/plane.h), and then no worker listens for the route. The schema
 * takes those that this version has. */
enum route_engine { ENGINE_USERSPACE, ENGINE_NFTABLES };

extern const char *const route_engine_words[]; /* by the enum, then NULL */

/* What a route does with TLS: NONE takes plain connections only where a port has both, PASSTHROUGH takes TLS and
 * forwards it byte for byte. */
enum route_tls { ROUTE_TLS_NONE, ROUTE_TLS_PASSTHROUGH };

/* What becomes of a route's connections when it changes or goes. */
enum route_on_change { ROUTE_KEEP, ROUTE_DRAIN, ROUTE_CLOSE };

extern const char *const route_on_change_words[]; /* by the enum, then NULL */

/* Milliseconds; 0 is off. */
struct route_timeouts {
  uint64_t connect, initial_data, idle, lifetime, half_closed, linger, shutdown, half_dead, half_dead_tls, stuck,
      stuck_tls;
};

/* Who may use a route; looked at after it was chosen. */
struct route_security {
  struct ip_set *allow, *block; /* NULL: all, none. `block` wins */
  uint32_t max_connections;     /* of the route, over all workers; 0: no limit */
  struct address_limits limits; /* in the place of the config's (routing/policy.h) */
  int authorize_function;       /* slot, or ROUTE_NO_FUNCTION */
};

/* action.balance: how one of several targets is chosen. */
enum route_balance { BALANCE_ROUND_ROBIN, BALANCE_LEAST_CONNECTIONS, BALANCE_SOURCE_HASH, BALANCE_FUNCTION };

struct target_load; /* routing/balance.h */

/* One target of a route. Exactly one of host and host_function is there. */
struct route_target {
  char *host;                /* a name, a literal address or "unix:/path"; NULL: host_function says */
  struct ip_address address; /* of a host that is one; not set: it has to be asked each time */
  uint16_t port;
  bool preserve_port;       /* the port that the client came in on */
  unsigned weight;          /* 1 to 256 */
  struct target_load *load; /* one reference; NULL where nobody looks at it */
  int host_function;        /* slots of the version's functions, or ROUTE_NO_FUNCTION */
  int port_function;
};

struct port_range {
  uint16_t from, to; /* inclusive; 0 to 0: one port, given by the kernel */
};

/* What the schema declares stands under the name that it has there (routing/option.h). */
struct route {
  atomic_uint references;
  char *name;       /* unique in a table */
  char *file;       /* base name of its file */
  atomic_int line;  /* where it stands in it; 0 when not known. The one thing that changes, for people */
  uint64_t digest;  /* of all that it says, its name and file included (loading/digest.h) */
  uint64_t lineage; /* the same in a record that says what this one says, and takes something else from the config; 0:
                       there are no others */
  unsigned stats;   /* metrics/: the number of its name */
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
  enum route_engine engine;
  enum route_tls tls;
  struct script_version *script; /* whose functions the slots name; NULL for a route without. Kept alive by the table */
  int when_function, handler_function, target_function;
  struct route_target *targets;
  size_t target_count;
  enum route_balance balance;
  int balance_function; /* slot of function(context, targets), or ROUTE_NO_FUNCTION */
  uint16_t *rotation;   /* indices into targets, each as often as its weight says, well mixed; what round robin walks */
  size_t rotation_length;
  struct route_shared *shared; /* belongs to the name, as its statistics do; NULL before it is numbered */
  bool half_open;
  enum route_on_change on_change;

  struct route_timeouts timeouts;
  struct route_keep_alive keep_alive;
  struct route_security security;
  struct route_proxy_send proxy_send;
};

/* All NULL, no functions, one reference. NULL without memory. */
struct route *route_new(void);
struct route *route_ref(struct route *route);
void route_unref(struct route *route); /* NULL is nothing */

/* Does anything of it run in Lua? */
bool route_has_functions(const struct route *route);

/* Do both say the same, all but the line and what belongs to the name (statistics, what is shared)? Then one record can
 * stand for the other. Never true of routes with functions. */
bool route_equal(const struct route *a, const struct route *b);

/* Fills `rotation` from the targets' weights (smooth weighted round robin). 0 or -ENOMEM. */
int route_build_rotation(struct route *route);
