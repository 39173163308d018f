/* SPDX-License-Identifier: MIT
 *
 * Whether files may be in each other's way at all: quick looks at what has changed beside what has not, so that with
 * thousands of routes the schema is asked only when there is something to say. */
#include "loading/load_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A file: as it was committed (NULL: it was not) and as it would be served now (NULL: it would not). */
struct step {
  const struct file_version *before, *now;
};

/* Of each file that the loader remembers, in the order of their names, which is that of what is loaded too: `count` of
 * them, malloc'ed. NULL without memory. */
static struct step *list_steps(const struct load_run *run, size_t *count) {
  const struct memory *memory = &run->loader->memory;
  const struct loaded_routes *loaded = run->loaded;
  struct step *steps = calloc(memory->count + 1, sizeof *steps);
  size_t at = 0;
  *count = memory->count;
  for (size_t i = 0; i < memory->count && steps; i++) {
    while (at < loaded->file_count && strcmp(loaded->files[at].file, memory->files[i].file) < 0)
      at++;
    bool is_loaded = at < loaded->file_count && strcmp(loaded->files[at].file, memory->files[i].file) == 0;
    steps[i] = (struct step){memory->files[i].committed, is_loaded ? loaded->files[at].good : NULL};
  }
  return steps;
}

static bool is_change(const struct step *step) { return step->before != step->now; }

/* What is committed names each route once, so a name that stands twice is one of a file that has changed. */
bool load_names_may_clash(const struct load_run *run) {
  size_t count, room = 0;
  struct step *steps = list_steps(run, &count);
  struct hash_set names = {0};
  for (size_t i = 0; i < count && steps; i++)
    room += is_change(&steps[i]) && steps[i].now ? steps[i].now->route_count : 0;
  bool clash = !steps || hash_set_init(&names, room) < 0;
  for (size_t i = 0; i < count && !clash; i++) {
    const struct claims *now = is_change(&steps[i]) && steps[i].now ? &steps[i].now->claims : NULL;
    clash = now && hash_set_has_any(&names, now->names, now->name_count);
    if (now && !clash)
      hash_set_enter(&names, now->names, now->name_count);
  }
  for (size_t i = 0; i < count && !clash; i++) {
    pace_breathe(run->pace);
    clash = !is_change(&steps[i]) && steps[i].now &&
            hash_set_has_any(&names, steps[i].now->claims.names, steps[i].now->claims.name_count);
  }
  hash_set_deinit(&names);
  free(steps);
  return clash;
}

/* Where routes of files that change are matched, and were. */
struct matches {
  struct hash_set domains;
  struct port_set *ports;
};

static int matches_init(struct matches *matches, const struct step *steps, size_t count) {
  size_t room = 0;
  for (size_t i = 0; i < count; i++)
    if (is_change(&steps[i]))
      room += (steps[i].before ? steps[i].before->claims.domain_count : 0) +
              (steps[i].now ? steps[i].now->claims.domain_count : 0);
  matches->ports = calloc(1, sizeof *matches->ports);
  return hash_set_init(&matches->domains, room) < 0 || !matches->ports ? -ENOMEM : 0;
}

static void matches_deinit(struct matches *matches) {
  hash_set_deinit(&matches->domains);
  free(matches->ports);
}

static bool matches_meet(const struct matches *matches, const struct file_version *good) {
  return good && (hash_set_has_any(&matches->domains, good->claims.domains, good->claims.domain_count) ||
                  port_set_has_any(matches->ports, good->claims.ports, good->claims.port_count));
}

static void matches_enter(struct matches *matches, const struct file_version *good) {
  if (!good)
    return;
  hash_set_enter(&matches->domains, good->claims.domains, good->claims.domain_count);
  port_set_enter(matches->ports, good->claims.ports, good->claims.port_count);
}

/* A route with domains can be in the way of those that name one of them, one without in the way of those without. What
 * has been told of files that have not changed is told, unless one that has was in their way too. */
bool load_matches_may_clash(const struct load_run *run) {
  size_t count;
  struct step *steps = list_steps(run, &count);
  struct matches matches = {.ports = NULL};
  bool clash = !steps || matches_init(&matches, steps, count) < 0;
  for (size_t i = 0; i < count && !clash; i++) {
    if (!is_change(&steps[i]))
      continue;
    clash = matches_meet(&matches, steps[i].before) || matches_meet(&matches, steps[i].now);
    matches_enter(&matches, steps[i].before);
    matches_enter(&matches, steps[i].now);
  }
  for (size_t i = 0; i < count && !clash; i++) {
    pace_breathe(run->pace);
    clash = !is_change(&steps[i]) && matches_meet(&matches, steps[i].now);
  }
  matches_deinit(&matches);
  free(steps);
  return clash;
}

/* Whose a name is, of what is live. */
struct owner {
  const char *name, *file;
};

static int compare_step_name(const void *left, const void *right) {
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
    const struct file_version *good = memory->files[i].committed;
    for (size_t r = 0; good && r < good->route_count; r++)
      owners[(*count)++] = (struct owner){good->routes[r]->name, good->file};
  }
  if (owners)
    qsort(owners, *count, sizeof *owners, compare_step_name);
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
      const struct owner *owner = bsearch(&wanted, owners, count, sizeof *owners, compare_step_name);
      takes[i] = owner && strcmp(owner->file, file->file) != 0;
    }
  }
  free(owners);
  return 0;
}
