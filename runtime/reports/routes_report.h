/* SPDX-License-Identifier: MIT
 *
 * The live routes, as they are told: each once, in the order of choice, with the ports that it really has. Made once
 * for a table, when it is first asked for, so that a page of 100,000 routes costs the page. */
#pragma once

#include "native/native.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct instance;
struct route;
struct route_table;
struct value;

/* A route of the table, and what decides its place among the others. */
struct ordered_route {
  const struct route *route;
  uint32_t place;    /* in the order of files */
  uint16_t port;     /* the lowest that it asks for */
  uint16_t domain;   /* how specific its most specific domain is; 0: none */
  uint8_t client_ip; /* whether it has one */
  uint8_t versions;  /* how many of TLS it does without: the more the more specific; 0: it takes all */
};

struct route_order {
  uint64_t generation;           /* of the table; nothing of it is kept alive */
  struct ordered_route *routes;  /* by port, then in the order of choice */
  struct ordered_route **sorted; /* the same, by address of the record */
  size_t count;
};

/* NULL without memory. */
struct route_order *route_order_new(const struct route_table *table);
void route_order_free(struct route_order *order); /* NULL is nothing */

/* NULL: the table has no such record. */
const struct ordered_route *route_order_find(const struct route_order *order, const struct route *route);
static inline bool route_order_has(const struct route_order *order, const struct route *route) {
  return route_order_find(order, route) != NULL;
}

/* Of the current table; valid until it changes. NULL without memory. */
const struct route_order *instance_route_order(struct instance *instance);

/* Appends the ports that the route listens on, as bound, in their order. */
void route_report_ports(struct value *list, const struct instance *instance, const struct route *route);

/* Appends one route, without its counters. `instance` NULL: it is not live, and has no version and no real ports.
 * Returns what it appended; NULL without memory. */
struct value *route_report_write(struct value *list, const struct instance *instance, const struct route *route);

/* The question "routes", { route =, file =, port =, limit =, offset = }: { total =, generation =, complete =, routes =
 * { { name =, file =, line =, … }, … } }, in the order of choice. */
void routes_ask(struct instance *instance, const struct value *arguments, struct native_call *call);
