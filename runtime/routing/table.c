/* SPDX-License-Identifier: MIT
 *
 * The table: making it, sharing and freeing it. Which endpoints its routes want, and which routes stand at each, is
 * found out in endpoints.c. */
#include "routing/table.h"

#include "core/sort.h"
#include "routing/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BREATHE_ROUTES = 512 };

static int compare_addresses(const void *left, const void *right) {
  const struct route *a = *(struct route *const *)left, *b = *(struct route *const *)right;
  return a < b ? -1 : a > b;
}

static bool sort_by_address(struct route **routes, size_t count) {
  uint64_t *numbers = malloc((count + 1) * sizeof *numbers);
  if (!numbers)
    return false;
  for (size_t i = 0; i < count; i++)
    numbers[i] = (uintptr_t)routes[i];
  sort_numbers(numbers, count);
  for (size_t i = 0; i < count; i++)
    routes[i] = (struct route *)(uintptr_t)numbers[i];
  free(numbers);
  return true;
}

static bool copy_routes(struct route_table *table, struct route *const *routes, size_t count, size_t script_count,
                        struct pace *pace) {
  table->routes = calloc(count + 1, sizeof(struct route *));
  table->by_address = calloc(count + 1, sizeof(struct route *));
  table->lineages = calloc(count + 1, sizeof *table->lineages);
  table->scripts = calloc(script_count + 1, sizeof(struct script_version *));
  if (!table->routes || !table->by_address || !table->lineages || !table->scripts)
    return false;
  for (; table->route_count < count; table->route_count++) {
    if (table->route_count % BREATHE_ROUTES == 0)
      pace_breathe(pace);
    table->routes[table->route_count] = route_ref(routes[table->route_count]);
    table->lineages[table->route_count] = routes[table->route_count]->lineage;
    table->engines |= 1U << routes[table->route_count]->engine;
  }
  sort_numbers(table->lineages, count);
  memcpy(table->by_address, table->routes, count * sizeof(struct route *));
  return sort_by_address(table->by_address, count);
}

struct route_table *route_table_renew(const struct route_table *before, struct pace *pace, struct route *const *routes,
                                      size_t count, struct script_version *const *scripts, size_t script_count,
                                      void (*script_unref)(struct script_version *), struct error *error) {
  struct route_table *table = calloc(1, sizeof *table);
  int status = -ENOMEM;
  if (!table)
    goto fail;
  atomic_init(&table->references, 1);
  if (!copy_routes(table, routes, count, script_count, pace))
    goto fail;
  status = table_endpoints_build(table, before, pace);
  if (status < 0)
    goto fail;
  for (; table->script_count < script_count; table->script_count++)
    table->scripts[table->script_count] = scripts[table->script_count];
  table->script_unref = script_unref;
  return table;

fail:
  if (status == -E2BIG)
    error_set(error, E2BIG,
              "the routes ask for more than %d ports, or stand on %d ports together; make match.ports smaller",
              TABLE_MAX_PORTS, TABLE_MAX_BINDINGS);
  else
    error_set(error, ENOMEM, "no memory for the route table");
  route_table_unref(table);
  return NULL;
}

struct route_table *route_table_new(struct route *const *routes, size_t count, struct script_version *const *scripts,
                                    size_t script_count, void (*script_unref)(struct script_version *),
                                    struct error *error) {
  return route_table_renew(NULL, NULL, routes, count, scripts, script_count, script_unref, error);
}

struct route_table *route_table_ref(struct route_table *table) {
  atomic_fetch_add_explicit(&table->references, 1, memory_order_relaxed);
  return table;
}

void route_table_unref(struct route_table *table) {
  if (!table || atomic_fetch_sub_explicit(&table->references, 1, memory_order_acq_rel) != 1)
    return;
  for (size_t i = 0; i < table->list_count; i++)
    route_list_unref(table->lists[i]);
  free(table->lists);
  free(table->ports);
  for (size_t i = 0; i < table->route_count; i++)
    route_unref(table->routes[i]);
  free(table->routes);
  free(table->by_address);
  free(table->lineages);
  for (size_t i = 0; i < table->script_count; i++)
    table->script_unref(table->scripts[i]);
  free(table->scripts);
  policy_unref(table->policy);
  free(table);
}

bool route_table_has(const struct route_table *table, const struct route *route) {
  return bsearch(&route, table->by_address, table->route_count, sizeof(struct route *), compare_addresses) != NULL;
}

static int compare_lineages(const void *left, const void *right) {
  const uint64_t *a = left, *b = right;
  return (*a > *b) - (*a < *b);
}

bool route_table_has_heir(const struct route_table *table, const struct route *route) {
  return route->lineage > 0 &&
         bsearch(&route->lineage, table->lineages, table->route_count, sizeof route->lineage, compare_lineages) != NULL;
}

bool table_port_has(const struct table_port *port, const struct route *route) {
  if (port->port == 0)
    return port->routes[0] == route;
  if (route->engine != ENGINE_USERSPACE || !endpoint_takes(&port->endpoint, &route->address))
    return false;
  for (size_t i = 0; i < route->port_count; i++)
    if (route->ports[i].from <= port->port && port->port <= route->ports[i].to)
      return true;
  return false;
}
