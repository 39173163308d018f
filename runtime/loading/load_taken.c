/* SPDX-License-Identifier: MIT
 *
 * Names that a file with faults shares with another file: that is one more fault of it, told with the rest. What
 * becomes of files that have no other is in load_conflicts.c. */
#include "loading/load_private.h"

#include "core/hash_table.h"
#include "core/text.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A route of a file with faults. */
struct faulty_route {
  struct hash_node node;
  const struct fault *place; /* its name's */
};

struct faulty_routes {
  struct faulty_route *routes;
  size_t count;
  struct hash_table by_name; /* each name once */
};

static const struct fault_list *names_of(const struct load_run *run, const struct loaded_file *file) {
  const struct file_memory *memory = file->ok ? NULL : memory_find(&run->loader->memory, file->file);
  return memory && memory->failure.named.count > 0 ? &memory->failure.named : NULL;
}

static const struct fault *find_faulty(const struct faulty_routes *faulty, const char *name) {
  uint64_t hash = text_hash(name, strlen(name), 0);
  for (struct hash_node *node = hash_table_first(&faulty->by_name, hash); node; node = hash_table_next(node)) {
    const struct fault *place = HASH_OWNER(node, struct faulty_route, node)->place;
    if (strcmp(place->route, name) == 0)
      return place;
  }
  return NULL;
}

/* 0 or -ENOMEM. */
static int tell_taken(struct load_run *run, const struct fault *place, const char *path, int line) {
  char message[PATH_MAX + 96];
  snprintf(message, sizeof message, "is also the name of a route in %s:%d: rename one of them", path, line);
  return fault_list_add(&run->loaded->faults, place->file, place->line, place->route, "name", message);
}

/* In the order of the files: of two with faults the later one is told. */
static int enter_faulty(struct load_run *run, struct faulty_routes *faulty, const struct fault_list *names) {
  int status = 0;
  for (size_t i = 0; i < names->count && status == 0; i++) {
    const struct fault *place = &names->faults[i], *other = find_faulty(faulty, place->route);
    struct faulty_route *route = &faulty->routes[faulty->count];
    if (other && strcmp(other->file, place->file) != 0)
      status = tell_taken(run, place, other->file, other->line);
    if (other)
      continue;
    route->place = place;
    status = hash_table_enter(&faulty->by_name, &route->node, text_hash(place->route, strlen(place->route), 0));
    faulty->count++;
  }
  return status;
}

static int compare_with(struct load_run *run, const struct faulty_routes *faulty, const struct loaded_file *file) {
  int status = 0;
  pace_breathe(run->pace);
  for (size_t i = 0; file->ok && i < file->route_count && status == 0; i++) {
    const struct route *route = file->routes[i];
    const struct fault *place = find_faulty(faulty, route->name);
    if (place)
      status = tell_taken(run, place, file->path, route->line);
  }
  return status;
}

int load_tell_taken_names(struct load_run *run) {
  const struct loaded_routes *loaded = run->loaded;
  struct faulty_routes faulty = {.count = 0};
  size_t count = 0;
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct fault_list *names = names_of(run, &loaded->files[i]);
    count += names ? names->count : 0;
  }
  if (count == 0)
    return 0;
  faulty.routes = calloc(count, sizeof *faulty.routes);
  int status = faulty.routes ? 0 : -ENOMEM;
  for (size_t i = 0; i < loaded->file_count && status == 0; i++) {
    const struct fault_list *names = names_of(run, &loaded->files[i]);
    status = names ? enter_faulty(run, &faulty, names) : 0;
  }
  for (size_t i = 0; i < loaded->file_count && status == 0; i++)
    status = compare_with(run, &faulty, &loaded->files[i]);
  hash_table_deinit(&faulty.by_name);
  free(faulty.routes);
  return status;
}
