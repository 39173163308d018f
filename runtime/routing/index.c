/* SPDX-License-Identifier: MIT
 *
 * Building the index: the routes of each domain are gathered, then each domain becomes a record that a hash of its key
 * finds. In one pass over the routes, so that a hundred thousand of them are no matter. */
#include "routing/index.h"

#include "core/text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

enum {
  MAX_KEY = DOMAIN_SIZE - 1,
  MAX_EXPANSIONS = 1 << 20,
  MAX_TEXT = UINT16_MAX,
  NONE = UINT32_MAX,
  HUGE_PAGE = 1 << 21
};

/* A domain while its routes are gathered. */
struct group {
  const char *text;
  uint32_t length;
  uint32_t first, last; /* entries */
  uint32_t count;
  const struct rules *rules;
};

/* One route of one domain. */
struct entry {
  uint32_t place, next;
};

struct build {
  struct route_index *index;
  struct route *const *routes;
  const uint32_t *tiers;
  struct group *groups;
  size_t group_count;
  struct entry *entries;
  size_t entry_count;
  uint32_t *slots; /* groups by text, plus 1; 0: free */
  size_t slot_mask;
  uint32_t *places; /* of the group at hand */
  struct rules **interned;
  size_t interned_mask;
  size_t expansions;
};

static size_t power_of_two(size_t least) {
  size_t size = 16;
  while (size < least)
    size *= 2;
  return size;
}

static struct group *find_group(struct build *build, const char *text) {
  size_t length = strlen(text);
  size_t at = (size_t)text_hash(text, length, build->index->seed) & build->slot_mask;
  for (; build->slots[at]; at = (at + 1) & build->slot_mask) {
    struct group *group = &build->groups[build->slots[at] - 1];
    if (group->length == length && memcmp(group->text, text, length) == 0)
      return group;
  }
  build->groups[build->group_count] = (struct group){.text = text, .length = (uint32_t)length, .first = NONE};
  build->slots[at] = (uint32_t)++build->group_count;
  return &build->groups[build->group_count - 1];
}

static void add_entry(struct build *build, struct group *group, uint32_t place) {
  if (group->count > 0 && build->entries[group->last].place == place)
    return; /* it names a domain twice */
  uint32_t entry = (uint32_t)build->entry_count++;
  build->entries[entry] = (struct entry){place, NONE};
  if (group->count++ == 0)
    group->first = entry;
  else
    build->entries[group->last].next = entry;
  group->last = entry;
}

/* The first group is that of the routes without domains. */
static int gather(struct build *build, size_t count) {
  size_t domains = 0;
  for (size_t i = 0; i < count; i++)
    domains += build->routes[i]->domain_count;
  build->groups = calloc(domains + 1, sizeof *build->groups);
  build->entries = calloc(domains + count + 1, sizeof *build->entries);
  build->places = calloc(count + 1, sizeof *build->places);
  build->slot_mask = power_of_two(2 * domains) - 1;
  build->slots = calloc(build->slot_mask + 1, sizeof *build->slots);
  if (!build->groups || !build->entries || !build->places || !build->slots)
    return -1;
  build->groups[build->group_count++] = (struct group){.text = "", .first = NONE};
  for (size_t i = 0; i < count; i++) {
    if (build->routes[i]->domain_count == 0)
      add_entry(build, &build->groups[0], (uint32_t)i);
    for (size_t d = 0; d < build->routes[i]->domain_count; d++)
      add_entry(build, find_group(build, build->routes[i]->domains[d]), (uint32_t)i);
  }
  return 0;
}

/* Domains with the same routes get the same rules. */
static const struct rules *intern(struct build *build, size_t count) {
  struct route_index *index = build->index;
  size_t size = count * sizeof *build->places;
  size_t at = (size_t)text_hash(build->places, size, index->seed) & build->interned_mask;
  for (; build->interned[at]; at = (at + 1) & build->interned_mask)
    if (build->interned[at]->place_count == count && memcmp(build->interned[at]->places, build->places, size) == 0)
      return build->interned[at];
  struct rules *rules = rules_new(build->routes, build->tiers, build->places, count, &build->expansions);
  if (rules) {
    build->interned[at] = rules;
    index->rules[index->rules_count++] = rules;
  }
  return rules;
}

static bool is_plain(const struct build *build, const struct group *group) {
  return group->count == 1 && !build->routes[build->entries[group->first].place]->client_ips;
}

static int make_rules(struct build *build) {
  build->interned_mask = power_of_two(2 * build->group_count) - 1;
  build->interned = calloc(build->interned_mask + 1, sizeof(struct rules *));
  build->index->rules = calloc(build->group_count, sizeof(struct rules *));
  if (!build->interned || !build->index->rules)
    return -1;
  for (size_t i = 0; i < build->group_count; i++) {
    struct group *group = &build->groups[i];
    size_t count = 0;
    if (group->count == 0 || (i > 0 && is_plain(build, group)))
      continue;
    for (uint32_t entry = group->first; entry != NONE; entry = build->entries[entry].next)
      build->places[count++] = build->entries[entry].place;
    group->rules = intern(build, count);
    if (!group->rules)
      return -1;
  }
  build->index->domainless = build->groups[0].rules;
  return 0;
}

/* What of a domain is looked up: all of a name; the whole labels behind the last wildcard, or before the first. */
static void set_key(struct record *record, const char *text) {
  size_t first = strcspn(text, "*?"), behind = record->length;
  record->kind = RECORD_NAME;
  record->key_length = record->length;
  if (first == record->length)
    return;
  while (text[behind - 1] != '*' && text[behind - 1] != '?')
    behind--;
  const char *suffix = strchr(text + behind, '.');
  while (first > 0 && text[first - 1] != '.')
    first--;
  size_t length = suffix ? strlen(suffix) : first;
  record->kind = length == 0 ? RECORD_OTHER : suffix ? RECORD_SUFFIX : RECORD_PREFIX;
  record->key_length = (uint16_t)length;
  bool is_wild = suffix ? text[0] == '*' : text[record->length - 1] == '*';
  record->is_matched = is_wild && length + 1 == record->length;
}

static size_t record_units(const struct group *group) {
  return (offsetof(struct record, text) + group->length + RECORD_UNIT - 1) / RECORD_UNIT;
}

static uint64_t key_hash(const struct route_index *index, const struct record *record) {
  return text_hash(record_key(record), record->key_length, index->seed + record->kind);
}

/* Records of the same key hang on the first of them. */
static void enter(struct route_index *index, struct record *record, uint32_t number) {
  uint64_t hash = key_hash(index, record);
  uint64_t at = hash & index->slot_mask;
  for (; index->slots[at].record; at = (at + 1) & index->slot_mask) {
    struct record *other = (struct record *)(uintptr_t)record_at(index, index->slots[at].record);
    if (index->slots[at].tag == (uint32_t)(hash >> 32) && other->kind == record->kind &&
        other->key_length == record->key_length &&
        memcmp(record_key(other), record_key(record), record->key_length) == 0) {
      record->only.next = other->only.next;
      other->only.next = number;
      return;
    }
  }
  index->slots[at] = (struct slot){(uint32_t)(hash >> 32), number};
  uint64_t *lengths = record->kind == RECORD_SUFFIX ? index->suffix_lengths : index->prefix_lengths;
  if (record->kind != RECORD_NAME) {
    lengths[record->key_length / 64] |= UINT64_C(1) << (record->key_length % 64);
    index->has_labels = true;
  }
}

static void make_record(struct build *build, const struct group *group, uint32_t number) {
  struct route_index *index = build->index;
  struct record *record = (struct record *)(uintptr_t)record_at(index, number);
  uint32_t place = build->entries[group->first].place;
  record->only = row_make(build->routes[place], build->tiers[place], place);
  record->has_rules = group->rules;
  if (group->rules)
    record->only.rules = group->rules;
  record->rank = (uint16_t)(DOMAIN_EXACT - domain_specificity(group->text));
  record->length = (uint16_t)group->length;
  memcpy(record->text, group->text, group->length);
  set_key(record, group->text);
  if (record->kind == RECORD_OTHER)
    index->others[index->other_count++] = number;
  else if (record->key_length <= MAX_KEY) /* else it takes no name there can be */
    enter(index, record, number);
}

/* Zeroed. Large ones lie in huge pages where the kernel has them: each lookup lands somewhere else, and would pay for a
 * walk through the page tables. */
static void *allocate(size_t size) {
  size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : RECORD_UNIT;
  size = (size + alignment - 1) / alignment * alignment;
  void *block = aligned_alloc(alignment, size);
  if (!block)
    return NULL;
  if (alignment == HUGE_PAGE)
    madvise(block, size, MADV_HUGEPAGE);
  return memset(block, 0, size);
}

static int make_records(struct build *build) {
  struct route_index *index = build->index;
  size_t units = 1;
  for (size_t i = 1; i < build->group_count; i++)
    units += build->groups[i].length <= MAX_TEXT ? record_units(&build->groups[i]) : 0;
  index->slot_mask = power_of_two(2 * build->group_count) - 1;
  index->slots = allocate((index->slot_mask + 1) * sizeof *index->slots);
  index->others = calloc(build->group_count, sizeof *index->others);
  index->records = units < NONE ? allocate(units * RECORD_UNIT) : NULL;
  if (!index->slots || !index->others || !index->records)
    return -1;
  uint32_t number = 1;
  for (size_t i = 1; i < build->group_count; i++) {
    if (build->groups[i].length > MAX_TEXT)
      continue;
    make_record(build, &build->groups[i], number);
    number += (uint32_t)record_units(&build->groups[i]);
  }
  return 0;
}

struct route_index *route_index_new(struct route *const *routes, const uint32_t *tiers, size_t count) {
  struct build build = {
      .index = calloc(1, sizeof *build.index), .routes = routes, .tiers = tiers, .expansions = MAX_EXPANSIONS};
  struct route_index *index = build.index;
  if (!index)
    return NULL;
  bool done = getrandom(&index->seed, sizeof index->seed, 0) == (ssize_t)sizeof index->seed &&
              gather(&build, count) == 0 && make_rules(&build) == 0 && make_records(&build) == 0;
  free(build.groups);
  free(build.entries);
  free(build.places);
  free(build.slots);
  free(build.interned);
  if (done)
    return index;
  route_index_free(index);
  return NULL;
}

void route_index_free(struct route_index *index) {
  if (!index)
    return;
  for (size_t i = 0; i < index->rules_count; i++)
    rules_free(index->rules[i]);
  free(index->rules);
  free(index->slots);
  free(index->records);
  free(index->others);
  free(index);
}
