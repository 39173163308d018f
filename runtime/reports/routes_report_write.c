/* SPDX-License-Identifier: MIT
 *
 * How a route is told: what its table in the file says, as it was compiled, and where it is live. */
#include "reports/routes_report.h"

#include "instance/instance.h"

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

static void write_match(struct value *row, const struct route *route) {
  struct value *match = value_set_table(row, "match");
  route_write_ports(match, route);
  if (route->address.length) {
    char address[ADDRESS_TEXT_SIZE];
    struct ip_address ip;
    ip_address_from_sockaddr(&ip, (const struct sockaddr *)&route->address.storage);
    value_set_string(match, "address", ip_address_format(&ip, address));
  }
  struct value *list = route->domain_count ? value_set_table(match, "domains") : NULL;
  for (size_t i = 0; i < route->domain_count; i++)
    value_set_string(list, NULL, route->domains[i]);
  list = route->client_ips ? value_set_table(match, "client_ip") : NULL;
  for (size_t i = 0; list && i < ip_set_count(route->client_ips); i++)
    value_set_string(list, NULL, ip_set_text(route->client_ips, i));
  list = route->tls_versions ? value_set_table(match, "tls_version") : NULL;
  for (unsigned version = TLS_1_0; list && version <= TLS_1_3; version <<= 1)
    if (route->tls_versions & version)
      value_set_string(list, NULL, tls_version_label(version));
  if (route->when_function != ROUTE_NO_FUNCTION)
    value_set_boolean(match, "when", true);
}

static void write_target(struct value *list, const struct route_target *target) {
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
}

static void write_action(struct value *row, const struct route *route) {
  struct value *action = value_set_table(row, "action");
  value_set_string(action, "type", route->action == ROUTE_HANDLER ? "handler" : "forward");
  if (route->tls == ROUTE_TLS_PASSTHROUGH)
    value_set_string(action, "tls", "passthrough");
  if (route->target_function != ROUTE_NO_FUNCTION)
    value_set_boolean(action, "target_function", true);
  struct value *targets = route->target_count ? value_set_table(action, "targets") : NULL;
  for (size_t i = 0; i < route->target_count; i++)
    write_target(targets, &route->targets[i]);
  if (route->half_open)
    value_set_boolean(action, "half_open", true);
  value_set_string(row, "on_change", route_on_change_words[route->on_change]);
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

struct value *route_report_write(struct value *list, const struct instance *instance, const struct route *route) {
  struct value *row = value_set_table(list, NULL);
  value_set_string(row, "name", route->name);
  value_set_string(row, "file", route->file);
  value_set_number(row, "line", route->line);
  value_set_number(row, "priority", route->priority);
  if (route->description && route->description[0])
    value_set_string(row, "description", route->description);
  struct value *tags = route->tag_count ? value_set_table(row, "tags") : NULL;
  for (size_t i = 0; i < route->tag_count; i++)
    value_set_string(tags, NULL, route->tags[i]);
  write_match(row, route);
  write_action(row, route);
  if (!instance)
    return row;
  write_real_ports(value_set_table(row, "ports"), instance, route);
  write_version(row, &instance->loaded, route->file);
  return row;
}
