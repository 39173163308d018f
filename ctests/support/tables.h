/* SPDX-License-Identifier: MIT
 *
 * Tables for tests of workers: routes on ports that the kernel gives, and what a worker tells the room above it of a
 * table, when nobody is there. */
#pragma once

#include "connection/worker.h"
#include "routing/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static inline int no_table_adopted(struct worker *worker, const struct route_table *table) {
  (void)worker;
  (void)table;
  return 0;
}

static inline void no_table_released(struct worker *worker, const struct route_table *table) {
  (void)worker;
  (void)table;
}

/* On 127.0.0.1; 0 to 0: a port that the kernel gives. Whoever comes there by mistake, such as a test of somebody else
 * that has had that port before, is sent on to where nobody is. */
static inline struct route *route_on(const char *name, uint16_t from, uint16_t to) {
  struct route *route = route_new();
  assert_non_null(route);
  route->name = strdup(name);
  route->file = strdup("test.lua");
  route->ports = calloc(1, sizeof *route->ports);
  route->ports[0] = (struct port_range){from, to};
  route->port_count = 1;
  route->targets = calloc(1, sizeof *route->targets);
  route->targets[0] = (struct route_target){.host = strdup("127.0.0.1"),
                                            .port = 1,
                                            .weight = 1,
                                            .host_function = ROUTE_NO_FUNCTION,
                                            .port_function = ROUTE_NO_FUNCTION};
  route->target_count = 1;
  assert_int_equal(endpoint_from_literal(&route->address, "127.0.0.1", 0), 0);
  return route;
}

/* Takes the references over. */
static inline struct route_table *table_of(struct route *const *routes, size_t count) {
  struct error error = {0};
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  assert_non_null(table);
  for (size_t i = 0; i < count; i++)
    route_unref(routes[i]);
  return table;
}
