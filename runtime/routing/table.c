/* SPDX-License-Identifier: MIT
 *
 * Builds the table: which endpoints its routes want, and for each the routes that its connections may take. */
#include "routing/table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct endpoint any_address(void) {
  struct endpoint any = {.length = sizeof(struct sockaddr_in6)};
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&any.storage;
  in6->sin6_family = AF_INET6;
  return any;
}

/* An endpoint wanted by a route. */
struct want {
  struct endpoint endpoint;
  struct route *route;
  size_t order; /* of the route */
  uint16_t port;
};

static int compare_endpoints(const struct endpoint *a, const struct endpoint *b) {
  if (a->length != b->length)
    return a->length < b->length ? -1 : 1;
  return memcmp(&a->storage, &b->storage, a->length);
}

static int compare_wants(const void *left, const void *right) {
  const struct want *a = left, *b = right;
  if (a->port != b->port)
    return a->port < b->port ? -1 : 1;
  int order = compare_endpoints(&a->endpoint, &b->endpoint);
  if (order)
    return order;
  return a->order < b->order ? -1 : a->order > b->order;
}

static size_t count_wants(struct route *const *routes, size_t count) {
  size_t wants = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t p = 0; p < routes[i]->port_count; p++)
      wants += (size_t)(routes[i]->ports[p].to - routes[i]->ports[p].from) + 1;
  return wants;
}

static struct want *collect_wants(struct route *const *routes, size_t count, size_t *want_count) {
  *want_count = count_wants(routes, count);
  struct want *wants = calloc(*want_count ? *want_count : 1, sizeof *wants);
  if (!wants)
    return NULL;
  struct want *want = wants;
  for (size_t i = 0; i < count; i++) {
    for (size_t p = 0; p < routes[i]->port_count; p++) {
      for (unsigned port = routes[i]->ports[p].from; port <= routes[i]->ports[p].to; port++, want++) {
        want->route = routes[i];
        want->order = i;
        want->port = (uint16_t)port;
        want->endpoint = routes[i]->address.length ? routes[i]->address : any_address();
        endpoint_set_port(&want->endpoint, (uint16_t)port);
      }
    }
  }
  qsort(wants, *want_count, sizeof *wants, compare_wants);
  return wants;
}

/* Two wants make one endpoint, unless the kernel is to give each a port of its own. */
static bool same_endpoint(const struct want *a, const struct want *b) {
  return a->port != 0 && a->port == b->port && compare_endpoints(&a->endpoint, &b->endpoint) == 0;
}

static bool is_wildcard(const struct endpoint *endpoint) {
  if (endpoint->storage.ss_family == AF_INET6)
    return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)&endpoint->storage)->sin6_addr);
  return endpoint->storage.ss_family == AF_INET &&
         ((const struct sockaddr_in *)&endpoint->storage)->sin_addr.s_addr == INADDR_ANY;
}

/* Best first: priority, then bound to this very address before the wildcard's, then file order. A route stands once. */
static void add_route(struct table_port *port, struct route *route) {
  for (size_t i = 0; i < port->route_count; i++)
    if (port->routes[i] == route)
      return;
  size_t place = 0;
  while (place < port->route_count && port->routes[place]->priority >= route->priority)
    place++;
  memmove(&port->routes[place + 1], &port->routes[place], (port->route_count - place) * sizeof *port->routes);
  port->routes[place] = route;
  port->route_count++;
}

/* `own` are the wants of this endpoint; `group` all of its port, among which the wildcard's take these connections too.
 */
static int build_port(struct table_port *port, const struct want *own, size_t own_count, const struct want *group,
                      size_t group_count) {
  port->endpoint = own->endpoint;
  port->port = own->port;
  port->routes = calloc(own_count + group_count, sizeof(struct route *));
  if (!port->routes)
    return -ENOMEM;
  for (size_t i = 0; i < own_count; i++)
    add_route(port, own[i].route);
  bool is_ipv4 = port->endpoint.storage.ss_family == AF_INET;
  if (port->port == 0 || (is_wildcard(&port->endpoint) && !is_ipv4))
    return 0;
  for (size_t i = 0; i < group_count; i++)
    if (is_wildcard(&group[i].endpoint) && (is_ipv4 || group[i].endpoint.storage.ss_family == AF_INET6))
      add_route(port, group[i].route);
  return 0;
}

static int build_ports(struct route_table *table, const struct want *wants, size_t want_count) {
  table->ports = calloc(want_count ? want_count : 1, sizeof *table->ports);
  if (!table->ports)
    return -ENOMEM;
  for (size_t group = 0, group_end; group < want_count; group = group_end) {
    for (group_end = group + 1; group_end < want_count && wants[group_end].port == wants[group].port; group_end++)
      ;
    for (size_t own = group, own_end; own < group_end; own = own_end) {
      for (own_end = own + 1; own_end < group_end && same_endpoint(&wants[own], &wants[own_end]); own_end++)
        ;
      int status =
          build_port(&table->ports[table->port_count], &wants[own], own_end - own, &wants[group], group_end - group);
      if (status)
        return status;
      table->port_count++;
    }
  }
  return 0;
}

struct route_table *route_table_new(struct route *const *routes, size_t count, struct script_version *const *scripts,
                                    size_t script_count, void (*script_unref)(struct script_version *),
                                    struct error *error) {
  struct want *wants = NULL;
  size_t want_count = 0;
  struct route_table *table = calloc(1, sizeof *table);
  if (!table)
    goto fail;
  atomic_init(&table->references, 1);
  table->routes = calloc(count + 1, sizeof(struct route *));
  table->scripts = calloc(script_count + 1, sizeof(struct script_version *));
  if (!table->routes || !table->scripts)
    goto fail;
  for (; table->route_count < count; table->route_count++)
    table->routes[table->route_count] = route_ref(routes[table->route_count]);
  if (count_wants(routes, count) > TABLE_MAX_PORTS) {
    error_set(error, E2BIG, "the routes ask for more than %d ports; make match.ports smaller", TABLE_MAX_PORTS);
    route_table_unref(table);
    return NULL;
  }
  wants = collect_wants(routes, count, &want_count);
  if (!wants || build_ports(table, wants, want_count) != 0)
    goto fail;
  free(wants);
  for (; table->script_count < script_count; table->script_count++)
    table->scripts[table->script_count] = scripts[table->script_count];
  table->script_unref = script_unref;
  return table;

fail:
  error_set(error, ENOMEM, "no memory for the route table");
  free(wants);
  route_table_unref(table);
  return NULL;
}

struct route_table *route_table_ref(struct route_table *table) {
  atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
  return table;
}

void route_table_unref(struct route_table *table) {
  if (!table || atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < table->port_count; i++)
    free(table->ports[i].routes);
  free(table->ports);
  for (size_t i = 0; i < table->route_count; i++)
    route_unref(table->routes[i]);
  free(table->routes);
  for (size_t i = 0; i < table->script_count; i++)
    table->script_unref(table->scripts[i]);
  free(table->scripts);
  free(table);
}
