/* SPDX-License-Identifier: MIT
 *
 * The route table: all routes that are live, immutable and reference-counted; workers hold one and swap it between two
 * events. It answers which sockets have to listen, and which routes a connection on one of them may take, in order. */
#pragma once

#include "core/error.h"
#include "core/pace.h"
#include "net/address.h"
#include "routing/policy.h"

#include <stdatomic.h>
#include <stdbool.h>

struct route_index; /* routing/index.h */

/* The routes that connections on some endpoints may take; those with the same ones share it, also endpoints of one
 * table and the next. Immutable. */
struct route_list {
  atomic_uint references;
  uint64_t hash; /* of the records' addresses, in their order */
  bool is_own;   /* each is bound to the very address of the endpoint: with the routes, all that it was made from */
  struct route **routes;
  size_t count;
  struct route_index *index;
  bool has_tls, has_plain, has_domains, has_when; /* as below */
  uint64_t initial_data, linger;
};

/* One endpoint to listen on, and the routes that its connections may take. */
struct table_port {
  struct endpoint endpoint; /* length 0 in `address` routes becomes the IPv6 wildcard, which takes IPv4 too */
  uint16_t port;            /* its port; 0 when the kernel gives one: then `routes` has the one route that asked */
  struct route **routes;    /* by priority, then bound to this very address, then file order. Whose turn it is says
                               routing/choice.h */
  size_t route_count;
  const struct route_index *index;
  /* What has to be known of a connection before it can be routed. */
  bool has_tls;     /* a route with TLS: then whether it is TLS, and its server name */
  bool has_plain;   /* a route without */
  bool has_domains; /* a route with domains */
  bool has_when;    /* a route with a function that is asked, and may wait */
  /* The longest of its routes', for connections that have none yet; 0: no bound, and none. */
  uint64_t initial_data, linger;
};

/* "plain", "tls" or "both". */
static inline const char *table_port_takes(const struct table_port *port) {
  return !port->has_tls ? "plain" : port->has_plain ? "both" : "tls";
}

struct route_table {
  atomic_uint references;
  uint64_t generation;
  struct route **routes;
  struct route **by_address; /* the same, for route_table_has() */
  uint64_t *lineages;        /* theirs, ascending */
  size_t route_count;
  unsigned engines;         /* bits by enum route_engine: of which there are routes */
  struct table_port *ports; /* of userspace's */
  size_t port_count;
  struct route_list **lists; /* what the ports share; one reference each */
  size_t list_count;
  struct policy *policy;           /* one reference; NULL: limits nothing, trusts nobody */
  struct script_version **scripts; /* kept alive for the routes' functions */
  size_t script_count;
  void (*script_unref)(struct script_version *);
};

enum {
  TABLE_MAX_PORTS = 65536,     /* endpoints to listen on */
  TABLE_MAX_BINDINGS = 1 << 22 /* routes on ports: a route counts once for each of its ports */
};

/* `routes` stand in file order, which decides between equals. Takes a reference on each route; takes over one on each
 * of `scripts`, released by `script_unref`. NULL: see `error`. */
struct route_table *route_table_new(struct route *const *routes, size_t count, struct script_version *const *scripts,
                                    size_t script_count, void (*script_unref)(struct script_version *),
                                    struct error *error);

/* The same after `before` (NULL: none): what would be made again for endpoints whose routes are the same is shared. In
 * stretches by `pace` (may be NULL). */
struct route_table *route_table_renew(const struct route_table *before, struct pace *pace, struct route *const *routes,
                                      size_t count, struct script_version *const *scripts, size_t script_count,
                                      void (*script_unref)(struct script_version *), struct error *error);
struct route_table *route_table_ref(struct route_table *table);
void route_table_unref(struct route_table *table);

/* Is the very record among the table's? Its time grows with the logarithm of their number. */
bool route_table_has(const struct route_table *table, const struct route *route);

/* Is the record, or one that differs from it by what it takes from the config? The same time. */
bool route_table_has_heir(const struct route_table *table, const struct route *route);

/* was[i] is the place in `before` (NULL: no table) of the table's i-th port, or UINT32_MAX: it has none such. 0 or
 * -ENOMEM. */
int route_table_match_ports(const struct route_table *before, const struct route_table *table, uint32_t *was);

/* Is the port one of the table's, at whatever address? */
bool route_table_uses_port(const struct route_table *table, uint16_t port);

/* Is the route among the port's? Both are of one table. Time grows with the route's ranges only. */
bool table_port_has(const struct table_port *port, const struct route *route);
