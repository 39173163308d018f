/* SPDX-License-Identifier: MIT
 *
 * Whether files may be in each other's way at all: quick looks, so that with thousands of routes the schema is asked
 * only when there is something to say. */
#include "script/load_private.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PORTS = 65536, MAX_LOOKS = 8 * PORTS };

int name_set_init(struct name_set *set, size_t count) {
  for (set->room = 16; set->room < count * 2; set->room *= 2)
    ;
  set->slots = calloc(set->room, sizeof *set->slots);
  return set->slots ? 0 : -ENOMEM;
}

void name_set_deinit(struct name_set *set) { free(set->slots); }

/* Where the name is, or would be. */
static const char **find_name(const struct name_set *set, const char *name) {
  size_t slot = (size_t)text_hash(name, strlen(name), 0) & (set->room - 1);
  while (set->slots[slot] && strcmp(set->slots[slot], name) != 0)
    slot = (slot + 1) & (set->room - 1);
  return &set->slots[slot];
}

bool name_set_has(const struct name_set *set, const char *name) { return *find_name(set, name) != NULL; }

bool name_set_enter(struct name_set *set, const char *name) {
  const char **slot = find_name(set, name);
  if (*slot)
    return false;
  *slot = name;
  return true;
}

bool load_names_may_clash(const struct load_run *run) {
  const struct loaded_routes *loaded = run->loaded;
  struct name_set names;
  size_t count = 0;
  for (size_t i = 0; i < loaded->file_count; i++)
    count += loaded->files[i].route_count;
  bool clash = name_set_init(&names, count) < 0;
  for (size_t i = 0; i < loaded->file_count && !clash; i++) {
    pace_breathe(run->pace);
    for (size_t r = 0; r < loaded->files[i].route_count && !clash; r++)
      clash = !name_set_enter(&names, loaded->files[i].routes[r]->name);
  }
  name_set_deinit(&names);
  return clash;
}

/* Domains, and the file that names them. */
struct domain_owners {
  struct domain_owner {
    const char *domain;
    size_t file;
  } * slots;
  size_t room; /* a power of two */
};

static int domain_owners_init(struct domain_owners *owners, const struct loaded_routes *loaded) {
  size_t count = 0;
  for (size_t i = 0; i < loaded->file_count; i++)
    for (size_t r = 0; r < loaded->files[i].route_count; r++)
      count += loaded->files[i].routes[r]->domain_count;
  for (owners->room = 16; owners->room < count * 2; owners->room *= 2)
    ;
  owners->slots = calloc(owners->room, sizeof *owners->slots);
  return owners->slots ? 0 : -ENOMEM;
}

/* Enters the domains of a route for its file; false when one is another file's already, whatever the port. */
static bool enter_domains(struct domain_owners *owners, const struct route *route, size_t file) {
  for (size_t i = 0; i < route->domain_count; i++) {
    const char *domain = route->domains[i];
    size_t slot = (size_t)text_hash(domain, strlen(domain), 0) & (owners->room - 1);
    while (owners->slots[slot].domain && strcmp(owners->slots[slot].domain, domain) != 0)
      slot = (slot + 1) & (owners->room - 1);
    if (owners->slots[slot].domain && owners->slots[slot].file != file)
      return false;
    owners->slots[slot] = (struct domain_owner){domain, file};
  }
  return true;
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

/* A route with domains can be in the way of those that name one of them, one without in the way of those without. */
bool load_matches_may_clash(const struct load_run *run) {
  const struct loaded_routes *loaded = run->loaded;
  struct domain_owners domains;
  uint16_t *ports = calloc(PORTS, sizeof *ports);
  bool clash = domain_owners_init(&domains, loaded) < 0 || !ports;
  size_t looks = 0;
  for (size_t i = 0; i < loaded->file_count && !clash; i++) {
    pace_breathe(run->pace);
    for (size_t r = 0; r < loaded->files[i].route_count && !clash; r++) {
      const struct route *route = loaded->files[i].routes[r];
      clash = !(route->domain_count > 0 ? enter_domains(&domains, route, i) : enter_ports(ports, route, i, &looks));
    }
  }
  free(domains.slots);
  free(ports);
  return clash;
}

/* Whose a name is, of what is live. */
struct owner {
  const char *name, *file;
};

static int by_name(const void *left, const void *right) {
  const struct owner *a = left, *b = right;
  return strcmp(a->name, b->name);
}

static struct owner *list_owners(const struct memory *memory, size_t *count) {
  size_t room = 1;
  for (size_t i = 0; i < memory->count; i++)
    room += memory->files[i].committed ? memory->files[i].committed->route_count : 0;
  struct owner *owners = calloc(room, sizeof *owners);
  *count = 0;
  for (size_t i = 0; i < memory->count && owners; i++) {
    const struct known_file *known = memory->files[i].committed;
    for (size_t r = 0; known && r < known->route_count; r++)
      owners[(*count)++] = (struct owner){known->routes[r]->name, known->file};
  }
  if (owners)
    qsort(owners, *count, sizeof *owners, by_name);
  return owners;
}

int load_mark_takers(const struct load_run *run, bool *takes) {
  size_t count;
  struct owner *owners = list_owners(&run->loader->memory, &count);
  if (!owners)
    return -ENOMEM;
  for (size_t i = 0; i < run->loaded->file_count; i++) {
    const struct loaded_file *file = &run->loaded->files[i];
    takes[i] = false;
    for (size_t r = 0; r < file->route_count && !file->same && !takes[i]; r++) {
      const struct owner wanted = {.name = file->routes[r]->name};
      const struct owner *owner = bsearch(&wanted, owners, count, sizeof *owners, by_name);
      takes[i] = owner && strcmp(owner->file, file->file) != 0;
    }
  }
  free(owners);
  return 0;
}
