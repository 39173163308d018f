/* SPDX-License-Identifier: MIT
 *
 * Whether files may be in each other's way at all: quick looks, so that with thousands of routes the schema is asked
 * only when there is something to say. */
#include "script/load_private.h"

#include "core/text.h"

#include <stdlib.h>
#include <string.h>

enum { PORTS = 65536, MAX_LOOKS = 8 * PORTS };

bool load_names_may_clash(const struct load_run *run) {
  const struct loaded_routes *loaded = run->loaded;
  size_t count = 0, room = 16;
  for (size_t i = 0; i < loaded->file_count; i++)
    count += loaded->files[i].route_count;
  while (room < count * 2)
    room *= 2;
  const char **slots = calloc(room, sizeof *slots);
  bool clash = !slots;
  for (size_t i = 0; i < loaded->file_count && !clash; i++) {
    for (size_t r = 0; r < loaded->files[i].route_count && !clash; r++) {
      const char *name = loaded->files[i].routes[r]->name;
      size_t slot = (size_t)text_hash(name, strlen(name), 0) & (room - 1);
      for (; slots[slot] && !clash; slot = (slot + 1) & (room - 1))
        clash = strcmp(slots[slot], name) == 0;
      if (!clash)
        slots[slot] = name;
    }
  }
  free(slots);
  return clash;
}

/* Enters the ports of a route for its file; false when one is another file's already. */
static bool enter_ports(uint16_t *owners, const struct route *route, size_t file, size_t *looks) {
  for (size_t i = 0; i < route->port_count; i++) {
    for (unsigned port = route->ports[i].from; port > 0 && port <= route->ports[i].to; port++) {
      if ((owners[port] && owners[port] != file + 1) || ++*looks > MAX_LOOKS)
        return false;
      owners[port] = (uint16_t)(file + 1);
    }
  }
  return true;
}

bool load_ports_may_clash(const struct load_run *run) {
  const struct loaded_routes *loaded = run->loaded;
  uint16_t *owners = calloc(PORTS, sizeof *owners);
  bool clash = !owners;
  size_t looks = 0;
  for (size_t i = 0; i < loaded->file_count && !clash; i++)
    for (size_t r = 0; r < loaded->files[i].route_count && !clash; r++)
      clash = !enter_ports(owners, loaded->files[i].routes[r], i, &looks);
  free(owners);
  return clash;
}
