/* SPDX-License-Identifier: MIT
 *
 * The registry: an array by number and a hash table beside it, neither of which ever shrinks. */
#include "control/names.h"

#include "core/text.h"
#include "routing/table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 64 };

struct name {
  unsigned number;
  uint64_t hash;
  struct route_shared shared;
  bool removed;
  bool retained; /* while names_retain() looks */
  char text[];
};

/* Where the name is, or would be. There is always a free slot. */
static struct name **find(struct name **slots, size_t slot_count, uint64_t hash, const char *text) {
  size_t at = hash & (slot_count - 1);
  while (slots[at] && (slots[at]->removed || slots[at]->hash != hash || strcmp(slots[at]->text, text) != 0))
    at = (at + 1) & (slot_count - 1);
  return &slots[at];
}

/* Sees to it that one more fits, at most half full. */
static bool make_room(struct names *names) {
  if (2 * (names->count + 1) <= names->slot_count)
    return true;
  size_t slot_count = names->slot_count ? 2 * names->slot_count : FIRST_SLOTS;
  struct name **slots = calloc(slot_count, sizeof *slots);
  struct name **by_number = realloc(names->by_number, slot_count / 2 * sizeof *by_number);
  if (by_number)
    names->by_number = by_number;
  if (!slots || !by_number) {
    free(slots);
    return false;
  }
  for (size_t i = 0; i < names->count; i++)
    if (!by_number[i]->removed)
      *find(slots, slot_count, by_number[i]->hash, by_number[i]->text) = by_number[i];
  free(names->slots);
  names->slots = slots;
  names->slot_count = slot_count;
  return true;
}

static struct name *add(struct names *names, const char *text, uint64_t hash) {
  size_t size = strlen(text) + 1;
  if (names->count >= NAMES_MAX || !make_room(names))
    return NULL;
  struct name *name = malloc(sizeof *name + size);
  if (!name)
    return NULL;
  name->number = (unsigned)names->count;
  name->hash = hash;
  name->removed = name->retained = false;
  atomic_init(&name->shared.cursor, 0);
  atomic_init(&name->shared.held, 0);
  memcpy(name->text, text, size);
  names->by_number[names->count++] = name;
  *find(names->slots, names->slot_count, hash, text) = name;
  return name;
}

int names_init(struct names *names) {
  static const char none[] = "(none)";
  *names = (struct names){.count = 0};
  if (add(names, none, text_hash(none, sizeof none - 1, 0)))
    return 0;
  names_deinit(names);
  return -ENOMEM;
}

void names_deinit(struct names *names) {
  for (size_t i = 0; i < names->count; i++)
    free(names->by_number[i]);
  free(names->by_number);
  free(names->slots);
  *names = (struct names){.count = 0};
}

unsigned names_number(struct names *names, const char *text, struct route_shared **shared) {
  uint64_t hash = text_hash(text, strlen(text), 0);
  struct name *name = *find(names->slots, names->slot_count, hash, text);
  if (!name)
    name = add(names, text, hash);
  if (!name)
    name = names->by_number[0];
  if (shared)
    *shared = &name->shared;
  return name->number;
}

bool names_is_removed(const struct names *names, unsigned number) { return names->by_number[number]->removed; }

void names_retain(struct names *names, const struct route_table *table) {
  for (size_t i = 0; i < names->count; i++)
    names->by_number[i]->retained = i == 0;
  for (size_t i = 0; i < table->route_count; i++)
    names->by_number[table->routes[i]->stats]->retained = true;
  for (size_t i = 0; i < names->count; i++)
    if (!names->by_number[i]->retained)
      names->by_number[i]->removed = true;
}

const char *names_text(const struct names *names, unsigned number) {
  return names->by_number[number]->removed ? "(removed)" : names->by_number[number]->text;
}
