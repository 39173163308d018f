/* SPDX-License-Identifier: MIT
 *
 * The question "routes": the control thread goes through the live table a few hundred at a time, and keeps the page in
 * the order of choice. How one is told is in routes_report_write.c. */
#include "reports/routes_report.h"

#include "instance/instance.h"
#include "reports/listing.h"
#include "routing/domain.h"

#include <stdlib.h>

enum { MOST_ENDPOINTS = 64, ROUTES_PIECE = 512 };

/* The order of choice as two numbers: between routes of one port, as far as it does not depend on the connection. */
struct route_entry {
  uint64_t later, first; /* `first` decides before `later` does; the smaller is asked first */
  const char *name, *file;
  const struct route *route; /* of the table that was gone through */
};

static const struct record_field route_fields[] = {
    RECORD_FIELD(route_entry, NULL, "later", later, RECORD_UNTOLD),
    RECORD_FIELD(route_entry, NULL, "first", first, RECORD_UNTOLD),
    RECORD_FIELD_AS(RECORD_WORD, route_entry, NULL, "name", name, 0),
    RECORD_FIELD_AS(RECORD_WORD, route_entry, NULL, "file", file, 0),
};

static const struct record_type route_record = {
    .size = sizeof(struct route_entry),
    .fields = route_fields,
    .field_count = sizeof route_fields / sizeof route_fields[0],
};

/* The endpoints with a port: one, or one for each address that it is bound on. */
struct endpoints {
  const struct table_port *ports[MOST_ENDPOINTS];
  size_t count;
};

struct routes_question {
  struct selection_query query;
  int port; /* -1: any */
  struct instance *instance;
};

struct routes_found {
  struct selection selection;
  uint64_t generation; /* of the table; 0: not begun */
  size_t next;
  struct endpoints endpoints;
};

static struct endpoints find_endpoints(const struct instance *instance, int port) {
  struct endpoints found = {.count = 0};
  const struct route_table *table = instance->table;
  for (size_t i = 0; port >= 0 && i < table->port_count && found.count < MOST_ENDPOINTS; i++)
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

/* By the lowest port that it asks for (unless one was asked for), its priority, whether it is bound to an address; by
 * how specific its most specific domain is, whether it has clients, how few versions of TLS it takes; by its place in
 * the order of files. */
static struct route_entry rank(const struct route *route, size_t place, bool by_port) {
  enum { TLS_VERSIONS = 4 };
  unsigned port = UINT16_MAX, domain = 0, versions = 0;
  for (size_t i = 0; i < route->port_count; i++)
    port = route->ports[i].from < port ? route->ports[i].from : port;
  for (size_t i = 0; i < route->domain_count; i++) {
    unsigned specificity = domain_specificity(route->domains[i]) + 1; /* "*" before none */
    domain = specificity > domain ? specificity : domain;
  }
  if (route->tls_versions)
    versions = (unsigned)(TLS_VERSIONS + 1 - __builtin_popcount(route->tls_versions));
  uint64_t priority = (uint64_t)((int64_t)INT32_MAX - route->priority);
  return (struct route_entry){
      .first = (uint64_t)(by_port ? port : 0) << 48 | priority << 1 | (route->address.length == 0),
      .later = (uint64_t)(uint16_t)(UINT16_MAX - domain) << 48 | (uint64_t)(route->client_ips == NULL) << 47 |
               (uint64_t)(TLS_VERSIONS + 1 - versions) << 40 | (uint32_t)place,
      .name = route->name,
      .file = route->file,
      .route = route,
  };
}

/* True: there is more. When the table is another one by now it begins anew. */
static bool routes_go_on(struct routes_found *found, const struct routes_question *question) {
  const struct route_table *table = question->instance->table;
  if (found->generation != table->generation) {
    selection_clear(&found->selection);
    *found = (struct routes_found){.generation = table->generation,
                                   .endpoints = find_endpoints(question->instance, question->port)};
  }
  for (size_t i = 0; i < ROUTES_PIECE && found->next < table->route_count; i++, found->next++) {
    const struct route *route = table->routes[found->next];
    if (question->port >= 0 && !is_at(&found->endpoints, route))
      continue;
    struct route_entry entry = rank(route, found->next, question->port < 0);
    selection_take(&found->selection, &question->query, &entry, NULL);
  }
  return found->next < table->route_count || !selection_sort(&found->selection, &question->query, ROUTES_PIECE);
}

static bool routes_step(struct ask_part *part) { return routes_go_on(part->answer, part->ask->question); }

static void write_counters(struct value *row, const struct snapshots *snapshots, const struct route *route) {
  if (route->stats == METRIC_NO_ROUTE) /* it shares them with others (NAMES_MAX) */
    return;
  struct route_stats stats = snapshots_sum_route(snapshots, route->stats);
  struct value *counters = value_set_table(row, "connections");
  value_set_number(counters, "active", (double)stats.active);
  value_set_counter(counters, "total", stats.connections);
  struct value *bytes = value_set_table(row, "bytes");
  value_set_counter(bytes, "in", stats.bytes.in);
  value_set_counter(bytes, "out", stats.bytes.out);
}

/* Of the table that is live still. */
static void routes_write_page(struct value *root, struct routes_found *found, const struct routes_question *question) {
  struct selection *selection = &found->selection;
  size_t count;
  struct route_entry **page = (struct route_entry **)selections_merge(&selection, 1, &question->query, &count);
  value_set_boolean(root, "complete", page && !selection->failed);
  struct value *list = value_set_table(root, "routes");
  for (size_t i = 0; i < count; i++) {
    struct value *row = route_report_write(list, question->instance, page[i]->route);
    write_counters(row, &question->instance->snapshots, page[i]->route);
    free(page[i]);
  }
  free(page);
  if (question->instance->snapshots.loop) /* of the same copies as the counters of the routes */
    snapshots_write_totals(value_set_table(root, "totals"), &question->instance->snapshots);
}

static struct value *routes_report(struct ask *ask) {
  struct routes_found *found = ask->parts[0].answer;
  const struct routes_question *question = ask->question;
  struct value *root = value_table();
  value_set_number(root, "total", (double)found->selection.matched);
  value_set_number(root, "generation", (double)found->generation);
  if (ask_is_complete(ask) && found->generation == question->instance->table->generation)
    routes_write_page(root, found, question);
  return root;
}

void routes_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  static const struct ask_kind kind = {
      .answer_size = sizeof(struct routes_found),
      .here = true,
      .step = routes_step,
      .report = routes_report,
      .clear = listing_clear,
      .free_question = listing_free,
  };
  struct routes_question *question = listing_new(sizeof *question, &route_record, arguments, call);
  if (!question)
    return;
  question->query.order = &route_fields[1];
  question->port = (int)value_get_number(arguments, "port", -1);
  question->instance = instance;
  asks_begin(&instance->asks, &kind, question, call);
}

void routes_write(struct value *root, struct instance *instance, size_t limit) {
  struct routes_question question = {
      .query = {.type = &route_record, .order = &route_fields[1], .limit = limit}, .port = -1, .instance = instance};
  struct routes_found found = {.generation = 0};
  while (routes_go_on(&found, &question))
    continue;
  routes_write_page(root, &found, &question);
  selection_clear(&found.selection);
}
