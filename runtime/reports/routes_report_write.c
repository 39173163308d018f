/* SPDX-License-Identifier: MIT
 *
 * How a route is told: what of its table in the file decides who gets it and what is done then, by the declaration of
 * its options, and where it is live. */
#include "reports/routes_report.h"

#include "instance/instance.h"
#include "reports/failures_report.h"
#include "reports/options_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare_file(const void *key, const void *element) {
  return strcmp(key, ((const struct loaded_file *)element)->file);
}

/* The version of its file, and whether that is the one in the directory. */
static void write_version(struct value *row, const struct loaded_routes *loaded, const char *name) {
  const struct loaded_file *file =
      loaded->file_count ? bsearch(name, loaded->files, loaded->file_count, sizeof *loaded->files, compare_file) : NULL;
  if (!file)
    return;
  value_set_number(row, "version", file->version_number);
  value_set_boolean(row, "stands_in", !file->ok);
}

static void route_write_ports(struct value *match, const struct route *route) {
  char text[16];
  struct value *ports = value_set_table(match, "ports");
  for (size_t i = 0; i < route->port_count; i++) {
    const struct port_range *range = &route->ports[i];
    snprintf(text, sizeof text, "%u-%u", range->from, range->to);
    if (range->from == range->to)
      value_set_number(ports, NULL, range->from);
    else
      value_set_string(ports, NULL, text);
  }
}

static void write_target(struct value *list, const struct instance *instance, const struct route_target *target) {
  struct value *row = value_set_table(list, NULL);
  value_set_string(row, "host", target->host);
  if (target->host_function != ROUTE_NO_FUNCTION)
    value_set_boolean(row, "host_function", true);
  if (target->port_function != ROUTE_NO_FUNCTION)
    value_set_boolean(row, "port_function", true);
  else if (target->preserve_port)
    value_set_string(row, "port", "preserve");
  else if (target->port)
    value_set_number(row, "port", target->port);
  value_set_number(row, "weight", target->weight);
  if (instance)
    failures_report_target(instance, target, row);
}

/* What of `match` and `action` is no option by itself. */
static void write_parts(struct value *row, const struct instance *instance, const struct route *route) {
  struct value *match = options_table(row, "match"), *action = options_table(row, "action");
  route_write_ports(match, route);
  if (route->address.length) {
    char address[ADDRESS_TEXT_SIZE];
    struct ip_address ip;
    ip_address_from_sockaddr(&ip, (const struct sockaddr *)&route->address.storage);
    value_set_string(match, "address", ip_address_format(&ip, address));
  }
  if (route->tls == ROUTE_TLS_PASSTHROUGH)
    value_set_string(action, "tls", "passthrough");
  struct value *targets = route->target_count ? value_set_table(action, "targets") : NULL;
  for (size_t i = 0; i < route->target_count; i++)
    write_target(targets, instance, &route->targets[i]);
}

/* The first of the table's ports with that number, or behind it. */
static size_t route_find_port(const struct route_table *table, unsigned port) {
  size_t low = 0, high = table->port_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (table->ports[middle].port < port)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void write_real_ports(struct value *list, const struct instance *instance, const struct route *route) {
  const struct route_table *table = instance->table;
  int last = -1;
  for (size_t i = 0; i < route->port_count; i++) {
    const struct port_range *range = &route->ports[i];
    for (size_t at = route_find_port(table, range->from); at < table->port_count && table->ports[at].port <= range->to;
         at++) {
      int port = instance->resolved[at];
      if (port != last && table_port_has(&table->ports[at], route))
        value_set_number(list, NULL, last = port);
    }
  }
}

/* What bounds it is not told: that may be lists of many thousand addresses (security.ip_block), of each route of a
 * page.
 */
static bool is_told_of_route(const struct option *option) {
  bool is_within = option->keys[1] != NULL;
  return is_within ? strcmp(option->keys[0], "match") == 0 || strcmp(option->keys[0], "action") == 0
                   : option->kind != OPTION_KEEP_ALIVE;
}

struct value *route_report_write(struct value *list, const struct instance *instance, const struct route *route) {
  struct value *row = value_set_table(list, NULL);
  options_write(row, &route_options, route, is_told_of_route);
  value_set_string(row, "file", route->file);
  value_set_number(row, "line", route->line);
  write_parts(row, instance, route);
  if (!instance)
    return row;
  write_real_ports(value_set_table(row, "ports"), instance, route);
  write_version(row, &instance->loaded, route->file);
  return row;
}
