/* SPDX-License-Identifier: MIT
 *
 * Which ports of a table are also those of another one. */
#include "routing/table.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A port of the kernel's choice belongs to the route that asked for it. */
static uint64_t port_hash(const struct table_port *port) {
  uint64_t hash = text_hash(&port->endpoint.storage, port->endpoint.length, port->port);
  return port->port != 0 ? hash : text_hash(port->routes[0]->name, strlen(port->routes[0]->name), hash);
}

static bool is_same_port(const struct table_port *a, const struct table_port *b) {
  if (a->port != b->port || a->endpoint.length != b->endpoint.length ||
      memcmp(&a->endpoint.storage, &b->endpoint.storage, a->endpoint.length) != 0)
    return false;
  return a->port != 0 || strcmp(a->routes[0]->name, b->routes[0]->name) == 0;
}

/* Where the port is in the table, plus 1, or the free slot. */
static uint32_t *find_slot(uint32_t *slots, size_t mask, const struct route_table *table,
                           const struct table_port *port) {
  size_t slot = (size_t)port_hash(port) & mask;
  while (slots[slot] && !is_same_port(&table->ports[slots[slot] - 1], port))
    slot = (slot + 1) & mask;
  return &slots[slot];
}

int route_table_match_ports(const struct route_table *before, const struct route_table *table, uint32_t *was) {
  size_t count = before ? before->port_count : 0, room = 16;
  while (room < 2 * count)
    room *= 2;
  uint32_t *slots = calloc(room, sizeof *slots);
  if (!slots)
    return -ENOMEM;
  for (size_t i = 0; i < count; i++) {
    uint32_t *slot = find_slot(slots, room - 1, before, &before->ports[i]);
    if (!*slot)
      *slot = (uint32_t)i + 1;
  }
  for (size_t i = 0; i < table->port_count; i++)
    was[i] = *find_slot(slots, room - 1, before, &table->ports[i]) - 1; /* 0: UINT32_MAX */
  free(slots);
  return 0;
}

bool route_table_uses_port(const struct route_table *table, uint16_t port) {
  size_t from = 0, to = table->port_count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    if (table->ports[middle].port < port)
      from = middle + 1;
    else
      to = middle;
  }
  return from < table->port_count && table->ports[from].port == port;
}
