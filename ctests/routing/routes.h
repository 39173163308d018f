/* SPDX-License-Identifier: MIT
 *
 * Routes and tables for the tests of this room. */
#pragma once

#include "routing/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What a test says of a route; the rest is nothing. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
struct wish {
  const char *name;
  const char *domains[4];
  const char *client_ips[4];
  int priority;
  bool tls;
  unsigned versions;
  const char *address;
  bool when;
};

static inline size_t count_texts(const char *const texts[4]) {
  size_t count = 0;
  while (count < 4 && texts[count])
    count++;
  return count;
}

static inline struct route *make_route(const struct wish *wish) {
  struct error error = {0};
  struct route *route = route_new();
  assert_non_null(route);
  route->name = strdup(wish->name);
  route->file = strdup("test.lua");
  route->priority = wish->priority;
  route->tls = wish->tls ? ROUTE_TLS_PASSTHROUGH : ROUTE_TLS_NONE;
  route->tls_versions = wish->versions;
  route->when_function = wish->when ? 0 : ROUTE_NO_FUNCTION;
  route->ports = calloc(1, sizeof *route->ports);
  route->ports[0] = (struct port_range){443, 443};
  route->port_count = 1;
  route->domain_count = count_texts(wish->domains);
  route->domains = calloc(4, sizeof(char *));
  for (size_t i = 0; i < route->domain_count; i++)
    route->domains[i] = strdup(wish->domains[i]);
  if (wish->client_ips[0]) {
    route->client_ips = ip_set_new(wish->client_ips, count_texts(wish->client_ips), &error);
    if (!route->client_ips)
      fail_msg("%s", error.message);
  }
  if (wish->address)
    assert_int_equal(endpoint_from_literal(&route->address, wish->address, 0), 0);
  return route;
}

/* The wishes end with one without a name. */
static inline struct route_table *make_table(const struct wish *wishes) {
  struct error error = {0};
  struct route *routes[8192] = {NULL};
  size_t count = 0;
  for (; wishes[count].name; count++)
    routes[count] = make_route(&wishes[count]);
  struct route_table *table = route_table_new(routes, count, NULL, 0, NULL, &error);
  if (!table)
    fail_msg("%s", error.message);
  for (size_t i = 0; i < count; i++)
    route_unref(routes[i]);
  return table;
}

static inline struct ip_address address_of(const char *text) {
  struct endpoint endpoint;
  struct ip_address address;
  assert_int_equal(endpoint_from_literal(&endpoint, text, 0), 0);
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&endpoint.storage);
  return address;
}
