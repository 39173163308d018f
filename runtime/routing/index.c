/* SPDX-License-Identifier: MIT
 *
 * Building the index: the routes of each domain are gathered, then each domain becomes an entry that a hash of its key
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
  FILLED_ENTRIES = 3, /* of a bucket, on average */
  HUGE_PAGE = 1 << 21
};

/* A domain while its routes are gathered. */
struct group {
  const char *text;
  uint32_t length;
  uint32_t first, last; /* members */
  uint32_t count;
  uint32_t record;
  uint16_t key_length;
  uint8_t kind; /* enum key_kind */
  const struct rules *rules;
};

/* One route of one domain. */
struct member {
  uint32_t place, next;
};

struct build {
  struct route_index *index;
  struct route *const *routes;
  const uint32_t *tiers;
  struct group *groups;
  size_t group_count;
  struct member *members;
  size_t member_count;
  uint32_t *slots; /* groups by text, plus 1; 0: free */
  size_t slot_mask;
  uint32_t *places; /* of the group at hand */
  struct rules **interned;
  size_t interned_mask;
  uint32_t *trait_slots; /* traits by what they say; 0: free */
  size_t trait_mask;
  size_t expansions;
};

static struct record *record_of(const struct route_index *index, uint32_t number) {
  return (struct record *)(uintptr_t)record_at(index, number);
}

static size_t power_of_two(size_t least) {
  size_t size = 16;
  while (size < least)
    size *= 2;
  return size;
}

static struct group *index_find_group(struct build *build, const char *text) {
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

static void add_member(struct build *build, struct group *group, uint32_t place) {
  if (group->count > 0 && build->members[group->last].place == place)
    return; /* it names a domain twice */
  uint32_t member = (uint32_t)build->member_count++;
  build->members[member] = (struct member){place, NONE};
  if (group->count++ == 0)
    group->first = member;
  else
    build->members[group->last].next = member;
  group->last = member;
}

/* The first group is that of the routes without domains. */
static int index_gather(struct build *build, size_t count) {
  size_t domains = 0;
  for (size_t i = 0; i < count; i++)
    domains += build->routes[i]->domain_count;
  build->groups = calloc(domains + 1, sizeof *build->groups);
  build->members = calloc(domains + count + 1, sizeof *build->members);
  build->places = calloc(count + 1, sizeof *build->places);
  build->slot_mask = power_of_two(2 * domains) - 1;
  build->slots = calloc(build->slot_mask + 1, sizeof *build->slots);
  if (!build->groups || !build->members || !build->places || !build->slots)
    return -1;
  build->groups[build->group_count++] = (struct group){.text = "", .first = NONE};
  for (size_t i = 0; i < count; i++) {
    if (build->routes[i]->domain_count == 0)
      add_member(build, &build->groups[0], (uint32_t)i);
    for (size_t d = 0; d < build->routes[i]->domain_count; d++)
      add_member(build, index_find_group(build, build->routes[i]->domains[d]), (uint32_t)i);
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
  return group->count == 1 && !build->routes[build->members[group->first].place]->client_ips;
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
    for (uint32_t member = group->first; member != NONE; member = build->members[member].next)
      build->places[count++] = build->members[member].place;
    group->rules = intern(build, count);
    if (!group->rules)
      return -1;
  }
  build->index->domainless = build->groups[0].rules;
  return 0;
}

/* What of a domain is looked up: all of a name; the whole labels behind the last wildcard, or before the first. */
static void set_key(struct group *group) {
  const char *text = group->text;
  size_t first = strcspn(text, "*?"), behind = group->length;
  group->kind = KEY_NAME;
  group->key_length = (uint16_t)group->length;
  if (first == group->length)
    return;
  while (text[behind - 1] != '*' && text[behind - 1] != '?')
    behind--;
  const char *suffix = strchr(text + behind, '.');
  while (first > 0 && text[first - 1] != '.')
    first--;
  size_t length = suffix ? strlen(suffix) : first;
  bool is_all = length + 1 == group->length && (suffix ? text[0] : text[length]) == '*';
  group->key_length = (uint16_t)length;
  if (length == 0)
    group->kind = KEY_NONE;
  else if (suffix)
    group->kind = is_all ? KEY_SUFFIX : KEY_PART_SUFFIX;
  else
    group->kind = is_all ? KEY_PREFIX : KEY_PART_PREFIX;
}

static const char *key_of(const char *text, size_t length, unsigned kind, size_t key_length) {
  return kind == KEY_SUFFIX || kind == KEY_PART_SUFFIX ? text + length - key_length : text;
}

/* Does an entry tell all of it? */
static bool is_simple(const struct group *group) { return !group->rules && group->kind <= KEY_PREFIX; }

static size_t record_units(const struct group *group) {
  return (offsetof(struct record, text) + group->length + RECORD_UNIT - 1) / RECORD_UNIT;
}

static struct row row_of(const struct build *build, const struct group *group) {
  uint32_t place = build->members[group->first].place;
  return row_make(build->routes[place], build->tiers[place], place);
}

static uint16_t index_rank(const struct group *group) {
  return (uint16_t)(DOMAIN_EXACT - domain_specificity(group->text));
}

/* The number of the trait, which may be there already: there are a few, mostly. */
static uint32_t intern_trait(struct build *build, const struct row *row, uint16_t rank) {
  struct route_index *index = build->index;
  uint32_t words[] = {row->tier, rank,
                      (uint32_t)row->version << 16 | (uint32_t)row->versions << 8 | (uint32_t)row->is_tls << 1 |
                          (uint32_t)row->is_many};
  size_t at = (size_t)text_hash(words, sizeof words, index->seed) & build->trait_mask;
  for (; build->trait_slots[at]; at = (at + 1) & build->trait_mask) {
    const struct trait *trait = &index->traits[build->trait_slots[at]];
    if (trait->row.tier == row->tier && trait->rank == rank && trait->row.version == row->version &&
        trait->row.versions == row->versions && trait->row.is_tls == row->is_tls && trait->row.is_many == row->is_many)
      return build->trait_slots[at];
  }
  uint32_t number = (uint32_t)index->trait_count++;
  index->traits[number] = (struct trait){*row, rank};
  index->traits[number].row.route = NULL;
  index->traits[number].row.place = 0;
  build->trait_slots[at] = number;
  return number;
}

/* The entry of that key, or a free one for it: its fingerprint is set then. */
static struct entry *find_entry(struct route_index *index, unsigned kind, const char *key, size_t length) {
  uint64_t fingerprint, hash = text_hash_wide(key, length, index->seed + kind, &fingerprint);
  for (uint64_t at = bucket_of(index, hash);; at = at + 1 < index->bucket_count ? at + 1 : 0) {
    for (size_t i = 0; i < BUCKET_ENTRIES; i++) {
      struct entry *entry = &index->buckets[at].entries[i];
      if (entry->trait == ENTRY_FREE)
        entry->fingerprint = fingerprint;
      if (entry->fingerprint == fingerprint)
        return entry;
    }
  }
}

/* Records of the same key hang on the last of them. */
static void index_enter(struct build *build, const struct group *group) {
  struct route_index *index = build->index;
  const char *key = key_of(group->text, group->length, group->kind, group->key_length);
  struct entry *entry = find_entry(index, group->kind, key, group->key_length);
  if (is_simple(group)) {
    struct row row = row_of(build, group);
    *entry = (struct entry){entry->fingerprint, row.place, intern_trait(build, &row, index_rank(group))};
  } else {
    record_of(index, group->record)->next = entry->trait == ENTRY_RECORD ? entry->number : 0;
    *entry = (struct entry){entry->fingerprint, group->record, ENTRY_RECORD};
  }
  if (group->kind != KEY_NAME) {
    index->key_lengths[group->kind][group->key_length / 64] |= UINT64_C(1) << (group->key_length % 64);
    index->has_labels = true;
  }
}

static void make_record(struct build *build, const struct group *group) {
  struct record *record = record_of(build->index, group->record);
  record->only = row_of(build, group);
  record->rules = group->rules;
  record->rank = index_rank(group);
  record->length = (uint16_t)group->length;
  record->kind = group->kind;
  memcpy(record->text, group->text, group->length);
}

/* Zeroed. Large ones lie in huge pages where the kernel has them: each lookup lands somewhere else, and would pay for a
 * walk through the page tables. */
static void *index_allocate(size_t size) {
  size_t alignment = size >= HUGE_PAGE ? HUGE_PAGE : RECORD_UNIT;
  size = (size + alignment - 1) / alignment * alignment;
  void *block = aligned_alloc(alignment, size);
  if (!block)
    return NULL;
  if (alignment == HUGE_PAGE)
    madvise(block, size, MADV_HUGEPAGE);
  return memset(block, 0, size);
}

/* Decides how each domain is looked up, and makes the records that this takes. */
static int make_records(struct build *build) {
  struct route_index *index = build->index;
  size_t units = 1;
  for (size_t i = 1; i < build->group_count; i++) {
    struct group *group = &build->groups[i];
    if (group->length > MAX_TEXT)
      continue;
    set_key(group);
    group->record = (uint32_t)units;
    units += is_simple(group) ? 0 : record_units(group);
  }
  index->others = calloc(build->group_count, sizeof *index->others);
  index->records = units < NONE ? index_allocate(units * RECORD_UNIT) : NULL;
  if (!index->others || !index->records)
    return -1;
  for (size_t i = 1; i < build->group_count; i++)
    if (build->groups[i].length <= MAX_TEXT && !is_simple(&build->groups[i]))
      make_record(build, &build->groups[i]);
  return 0;
}

static int make_entries(struct build *build) {
  struct route_index *index = build->index;
  index->bucket_count = build->group_count / FILLED_ENTRIES + 1;
  index->buckets = index_allocate(index->bucket_count * sizeof *index->buckets);
  index->traits = malloc((build->group_count + ENTRY_FIRST_TRAIT) * sizeof *index->traits);
  index->trait_count = ENTRY_FIRST_TRAIT;
  build->trait_mask = power_of_two(2 * build->group_count) - 1;
  build->trait_slots = calloc(build->trait_mask + 1, sizeof *build->trait_slots);
  if (!index->buckets || !index->traits || !build->trait_slots)
    return -1;
  for (size_t i = 1; i < build->group_count; i++) {
    const struct group *group = &build->groups[i];
    if (group->length > MAX_TEXT)
      continue; /* it takes no name there can be, nor does one with such a key */
    if (group->kind == KEY_NONE)
      index->others[index->other_count++] = group->record;
    else if (group->key_length <= MAX_KEY)
      index_enter(build, group);
  }
  struct trait *traits = realloc(index->traits, index->trait_count * sizeof *traits);
  index->traits = traits ? traits : index->traits;
  return 0;
}

struct route_index *route_index_new(struct route *const *routes, const uint32_t *tiers, size_t count) {
  struct build build = {
      .index = calloc(1, sizeof *build.index), .routes = routes, .tiers = tiers, .expansions = MAX_EXPANSIONS};
  struct route_index *index = build.index;
  if (!index)
    return NULL;
  index->routes = routes;
  bool done = getrandom(&index->seed, sizeof index->seed, 0) == (ssize_t)sizeof index->seed &&
              index_gather(&build, count) == 0 && make_rules(&build) == 0 && make_records(&build) == 0 &&
              make_entries(&build) == 0;
  free(build.groups);
  free(build.members);
  free(build.places);
  free(build.slots);
  free(build.interned);
  free(build.trait_slots);
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
  free(index->buckets);
  free(index->traits);
  free(index->records);
  free(index->others);
  free(index);
}
