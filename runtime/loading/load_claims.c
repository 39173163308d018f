/* SPDX-License-Identifier: MIT
 *
 * Two that have the same hash are taken for the same: who finds them asks the schema, which looks closely. */
#include "loading/load_claims.h"

#include "core/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_BITS = 64 };

/* Never 0, which is a free slot. */
static uint64_t hash_claim(const char *text) {
  uint64_t hash = text_hash(text, strlen(text), 0);
  return hash ? hash : 1;
}

static void note_names(struct claims *claims, struct route *const *routes, size_t count) {
  for (size_t i = 0; i < count; i++)
    claims->names[claims->name_count++] = hash_claim(routes[i]->name);
  claims->domains = claims->names + count;
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < routes[i]->domain_count; k++)
      claims->domains[claims->domain_count++] = hash_claim(routes[i]->domains[k]);
}

static int compare_ranges(const void *left, const void *right) {
  const struct port_range *a = left, *b = right;
  return a->from < b->from ? -1 : a->from > b->from;
}

/* Joins ranges that meet: routes of a file often share their ports. */
static void join_ranges(struct claims *claims) {
  size_t left = 0;
  qsort(claims->ports, claims->port_count, sizeof *claims->ports, compare_ranges);
  for (size_t i = 0; i < claims->port_count; i++) {
    struct port_range *last = left > 0 ? &claims->ports[left - 1] : NULL;
    const struct port_range *next = &claims->ports[i];
    if (!last || next->from > last->to + 1)
      claims->ports[left++] = *next;
    else if (next->to > last->to)
      last->to = next->to;
  }
  claims->port_count = left;
}

/* Port 0 is the kernel's choice, another one for each. */
static void note_ports(struct claims *claims, struct route *const *routes, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < routes[i]->port_count && routes[i]->domain_count == 0; k++)
      if (routes[i]->ports[k].from > 0)
        claims->ports[claims->port_count++] = routes[i]->ports[k];
  join_ranges(claims);
  struct port_range *fitting = realloc(claims->ports, (claims->port_count + 1) * sizeof *fitting);
  claims->ports = fitting ? fitting : claims->ports;
}

int claims_make(struct claims *claims, struct route *const *routes, size_t count) {
  size_t domains = 0, ports = 0;
  for (size_t i = 0; i < count; i++) {
    domains += routes[i]->domain_count;
    ports += routes[i]->port_count;
  }
  *claims = (struct claims){.names = malloc((count + domains + 1) * sizeof *claims->names),
                            .ports = malloc((ports + 1) * sizeof *claims->ports)};
  if (!claims->names || !claims->ports) {
    claims_clear(claims);
    return -ENOMEM;
  }
  note_names(claims, routes, count);
  note_ports(claims, routes, count);
  return 0;
}

void claims_clear(struct claims *claims) {
  free(claims->names);
  free(claims->ports);
  *claims = (struct claims){.names = NULL};
}

int hash_set_init(struct hash_set *set, size_t count) {
  for (set->room = 16; set->room < count * 2; set->room *= 2)
    ;
  set->slots = calloc(set->room, sizeof *set->slots);
  return set->slots ? 0 : -ENOMEM;
}

void hash_set_deinit(struct hash_set *set) { free(set->slots); }

/* Where the hash is, or would be. */
static uint64_t *find_hash(const struct hash_set *set, uint64_t hash) {
  size_t slot = (size_t)hash & (set->room - 1);
  while (set->slots[slot] != 0 && set->slots[slot] != hash)
    slot = (slot + 1) & (set->room - 1);
  return &set->slots[slot];
}

bool hash_set_has_any(const struct hash_set *set, const uint64_t *hashes, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (*find_hash(set, hashes[i]) != 0)
      return true;
  return false;
}

void hash_set_enter(struct hash_set *set, const uint64_t *hashes, size_t count) {
  for (size_t i = 0; i < count; i++)
    *find_hash(set, hashes[i]) = hashes[i];
}

/* The bits of the ports of `range` that are in the word at `first`. */
static uint64_t bits_of(const struct port_range *range, size_t first) {
  uint64_t bits = UINT64_MAX;
  if (range->from > first)
    bits &= UINT64_MAX << (range->from - first);
  if (range->to < first + WORD_BITS - 1)
    bits &= UINT64_MAX >> (first + WORD_BITS - 1 - range->to);
  return bits;
}

bool port_set_has_any(const struct port_set *set, const struct port_range *ports, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t word = ports[i].from / WORD_BITS; word <= ports[i].to / WORD_BITS; word++)
      if (set->words[word] & bits_of(&ports[i], word * WORD_BITS))
        return true;
  return false;
}

void port_set_enter(struct port_set *set, const struct port_range *ports, size_t count) {
  for (size_t i = 0; i < count; i++)
    for (size_t word = ports[i].from / WORD_BITS; word <= ports[i].to / WORD_BITS; word++)
      set->words[word] |= bits_of(&ports[i], word * WORD_BITS);
}
