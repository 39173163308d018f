/* SPDX-License-Identifier: MIT
 *
 * What of the events of a watch matters, and whether paths lead to where they led. */
#include "reload/watcher_look.h"

#include "core/text.h"
#include "loading/load.h"

#include <stdlib.h>
#include <string.h>

uint64_t watch_hash_name(const char *name) { return text_hash(name, strlen(name), 0); }

void watch_roles_clear(struct watch_roles *roles) {
  free(roles->roles);
  *roles = (struct watch_roles){.count = 0};
}

void watch_places_clear(struct watch_places *places) {
  free(places->sums);
  *places = (struct watch_places){.count = 0};
}

static bool role_matches(const struct watch_role *role, const char *name, bool is_directory) {
  switch (role->kind) {
  case WATCH_NAME:
    return role->name == watch_hash_name(name);
  case WATCH_FILES:
    return route_file_is_read(name) || (is_directory && name[0] != '.');
  default:
    return true;
  }
}

bool watch_roles_match(const struct watch_roles *roles, int number, const char *name, bool is_directory) {
  size_t from = 0, to = roles->count;
  while (from < to) { /* the first of that number */
    size_t middle = from + (to - from) / 2;
    if (roles->roles[middle].number < number)
      from = middle + 1;
    else
      to = middle;
  }
  for (; from < roles->count && roles->roles[from].number == number; from++)
    if (!name || role_matches(&roles->roles[from], name, is_directory))
      return true;
  return false;
}

bool watch_places_differ(const struct watch_places *before, const struct watch_places *now) {
  size_t at = 0;
  for (size_t i = 0; i < now->count; i++) {
    while (at < before->count && before->sums[at] < now->sums[i])
      at++;
    if (at == before->count || before->sums[at] != now->sums[i])
      return true;
  }
  return false;
}
