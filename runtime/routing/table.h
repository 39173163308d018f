/* SPDX-License-Identifier: MIT
 *
 * The route table: all routes that are live, immutable and reference-counted; workers hold one and swap it between two
 * events. It answers which sockets have to listen, and which routes a connection on one of them may take, in order. */
#pragma once

#include "core/error.h"
#include "net/address.h"
#include "routing/route.h"

#include <stdatomic.h>

/* One endpoint to listen on, and the routes that its connections may take. */
struct table_port {
  struct endpoint endpoint; /* length 0 in `address` routes becomes the IPv6 wildcard, which takes IPv4 too */
  uint16_t port;            /* its port; 0 when the kernel gives one: then `routes` has the one route that asked */
  struct route **routes;    /* best first: priority, then bound to this very address, then file order */
  size_t route_count;
};

struct route_table {
  atomic_uint references;
  uint64_t generation;
  struct route **routes;
  size_t route_count;
  struct table_port *ports;
  size_t port_count;
  struct script_version **scripts; /* kept alive for the routes' functions */
  size_t script_count;
  void (*script_unref)(struct script_version *);
};

enum { TABLE_MAX_PORTS = 65536 };

/* `routes` stand in file order, which decides between equals. Takes a reference on each route; takes over one on each
 * of `scripts`, released by `script_unref`. NULL: see `error`. */
struct route_table *route_table_new(struct route *const *routes, size_t count, struct script_version *const *scripts,
                                    size_t script_count, void (*script_unref)(struct script_version *),
                                    struct error *error);
struct route_table *route_table_ref(struct route_table *table);
void route_table_unref(struct route_table *table);
