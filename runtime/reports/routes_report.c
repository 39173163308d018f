/* SPDX-License-Identifier: MIT
 *
 * The order of the live routes, and which of them a question means. How one is told is in routes_report_write.c. */
#include "reports/routes_report.h"

#include "instance/instance.h"
#include "routing/domain.h"
#include "routing/table.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ENDPOINTS = 64, ROUTES_LIMIT = 1000 };

/* Between routes of one port, as far as that does not depend on the connection: below 0, `a` is asked first. */
static int compare_choice(const struct ordered_route *a, const struct ordered_route *b) {
  bool a_bound = a->route->address.length != 0, b_bound = b->route->address.length != 0;
  if (a->route->priority != b->route->priority)
    return a->route->priority > b->route->priority ? -1 : 1;
  if (a_bound != b_bound)
    return a_bound ? -1 : 1;
  if (a->domain != b->domain)
    return a->domain > b->domain ? -1 : 1;
  if (a->client_ip != b->client_ip)
    return a->client_ip > b->client_ip ? -1 : 1;
  if (a->versions != b->versions)
    return a->versions > b->versions ? -1 : 1;
  return a->place < b->place ? -1 : a->place > b->place;
}

static int compare_routes(const void *left, const void *right) {
  const struct ordered_route *a = left, *b = right;
  return a->port != b->port ? (a->port < b->port ? -1 : 1) : compare_choice(a, b);
}

static int compare_of_port(const void *left, const void *right) {
  return compare_choice(*(const struct ordered_route *const *)left, *(const struct ordered_route *const *)right);
}

static int compare_records(const void *left, const void *right) {
  const struct ordered_route *a = *(struct ordered_route *const *)left, *b = *(struct ordered_route *const *)right;
  if (a->route == b->route)
    return 0;
  return (uintptr_t)a->route < (uintptr_t)b->route ? -1 : 1;
}

static struct ordered_route rank(const struct route *route, size_t place) {
  enum { TLS_VERSIONS = 4 };
  struct ordered_route ranked = {.route = route, .place = (uint32_t)place, .port = UINT16_MAX};
  for (size_t i = 0; i < route->port_count; i++)
    if (route->ports[i].from < ranked.port)
      ranked.port = route->ports[i].from;
  for (size_t i = 0; i < route->domain_count; i++) {
    unsigned specificity = domain_specificity(route->domains[i]) + 1; /* "*" before none */
    if (specificity > ranked.domain)
      ranked.domain = (uint16_t)specificity;
  }
  ranked.client_ip = route->client_ips != NULL;
  ranked.versions = route->tls_versions ? (uint8_t)(TLS_VERSIONS + 1 - __builtin_popcount(route->tls_versions)) : 0;
  return ranked;
}

struct route_order *route_order_new(const struct route_table *table) {
  struct route_order *order = calloc(1, sizeof *order);
  if (!order)
    return NULL;
  order->generation = table->generation;
  order->routes = calloc(table->route_count + 1, sizeof *order->routes);
  order->sorted = calloc(table->route_count + 1, sizeof *order->sorted);
  if (!order->routes || !order->sorted) {
    route_order_free(order);
    return NULL;
  }
  for (; order->count < table->route_count; order->count++)
    order->routes[order->count] = rank(table->routes[order->count], order->count);
  qsort(order->routes, order->count, sizeof *order->routes, compare_routes);
  for (size_t i = 0; i < order->count; i++)
    order->sorted[i] = &order->routes[i];
  qsort(order->sorted, order->count, sizeof *order->sorted, compare_records);
  return order;
}

void route_order_free(struct route_order *order) {
  if (!order)
    return;
  free(order->routes);
  free(order->sorted);
  free(order);
}

const struct ordered_route *route_order_find(const struct route_order *order, const struct route *route) {
  const struct ordered_route wanted = {.route = route}, *key = &wanted;
  struct ordered_route **found = bsearch(&key, order->sorted, order->count, sizeof *order->sorted, compare_records);
  return found ? *found : NULL;
}

const struct route_order *instance_route_order(struct instance *instance) {
  if (!instance->table)
    return NULL;
  if (instance->order && instance->order->generation != instance->table->generation) {
    route_order_free(instance->order);
    instance->order = NULL;
  }
  if (!instance->order)
    instance->order = route_order_new(instance->table);
  return instance->order;
}

/* A question that waits for the counters, with copies of its texts. */
struct routes_question {
  struct instance *instance;
  char *route, *file;
  int port;
  size_t limit, offset;
};

static void free_question(struct routes_question *question) {
  free(question->route);
  free(question->file);
  free(question);
}

static bool route_is_meant(const struct routes_question *question, const struct route *route) {
  return (!question->route || strcmp(question->route, route->name) == 0) &&
         (!question->file || strcmp(question->file, route->file) == 0);
}

/* The endpoints with a port: one, or one for each address that it is bound on. */
struct endpoints {
  const struct table_port *ports[MAX_ENDPOINTS];
  size_t count;
};

static struct endpoints find_endpoints(const struct instance *instance, int port) {
  struct endpoints found = {.count = 0};
  const struct route_table *table = instance->table;
  for (size_t i = 0; i < table->port_count && found.count < MAX_ENDPOINTS; i++)
    if (instance->resolved[i] == port)
      found.ports[found.count++] = &table->ports[i];
  return found;
}

static bool is_at(const struct endpoints *endpoints, const struct route *route) {
  for (size_t i = 0; i < endpoints->count; i++)
    if (table_port_has(endpoints->ports[i], route))
      return true;
  return false;
}

/* Fills `routes` in the order of choice; how many. */
static size_t select_routes(const struct routes_question *question, const struct route_order *order,
                            const struct ordered_route **routes) {
  size_t count = 0;
  struct endpoints endpoints = find_endpoints(question->instance, question->port);
  for (size_t i = 0; i < order->count; i++) {
    const struct route *route = order->routes[i].route;
    if (route_is_meant(question, route) && (question->port < 0 || is_at(&endpoints, route)))
      routes[count++] = &order->routes[i];
  }
  if (question->port >= 0)
    qsort(routes, count, sizeof *routes, compare_of_port);
  return count;
}

static void write_counters(struct value *row, const struct snapshots *snapshots, const struct route *route) {
  if (route->stats == METRIC_NO_ROUTE) /* it shares them with others (NAMES_MAX) */
    return;
  struct route_stats stats = snapshots_sum_route(snapshots, route->stats);
  struct value *counters = value_set_table(row, "connections");
  value_set_number(counters, "active", (double)stats.active);
  value_set_number(counters, "total", (double)stats.connections);
  struct value *bytes = value_set_table(row, "bytes");
  value_set_number(bytes, "in", (double)stats.bytes.in);
  value_set_number(bytes, "out", (double)stats.bytes.out);
}

static struct value *routes_answer(const struct snapshots *snapshots, void *context) {
  struct routes_question *question = context;
  const struct route_order *order = instance_route_order(question->instance);
  const struct ordered_route **routes = order ? calloc(order->count + 1, sizeof *routes) : NULL;
  struct value *root = routes ? value_table() : NULL;
  if (!root)
    goto done;
  size_t count = select_routes(question, order, routes);
  value_set_number(root, "total", (double)count);
  value_set_number(root, "limit", (double)question->limit);
  value_set_number(root, "offset", (double)question->offset);
  value_set_number(root, "generation", (double)order->generation);
  value_set_boolean(root, "complete", snapshots_are_complete(snapshots));
  struct value *list = value_set_table(root, "routes");
  for (size_t i = question->offset; i < count && i - question->offset < question->limit; i++)
    write_counters(route_report_write(list, question->instance, routes[i]->route), snapshots, routes[i]->route);
done:
  free(routes);
  free_question(question);
  return root;
}

void routes_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  const char *route = value_get_text(arguments, "route"), *file = value_get_text(arguments, "file");
  struct routes_question *question = calloc(1, sizeof *question);
  if (!question || !instance->snapshots.loop || !instance->table) {
    free(question);
    native_call_answer(call, NULL);
    return;
  }
  *question = (struct routes_question){
      .instance = instance,
      .port = (int)value_get_number(arguments, "port", -1),
      .limit = (size_t)value_get_number(arguments, "limit", ROUTES_LIMIT),
      .offset = (size_t)value_get_number(arguments, "offset", 0),
  };
  if ((route && !(question->route = strdup(route))) || (file && !(question->file = strdup(file)))) {
    free_question(question);
    native_call_answer(call, NULL);
    return;
  }
  snapshots_ask_for(&instance->snapshots, call, routes_answer, question);
}
