/* SPDX-License-Identifier: MIT
 *
 * Groups of records by the values of some of their fields. */
#include "reports/groups.h"

#include "core/text.h"

#include <stdlib.h>
#include <string.h>

/* False: it has none of a text, and is in no group. */
static bool hash_fields(const struct group_way *way, const void *record, uint64_t *hash) {
  *hash = 0;
  for (size_t i = 0; i < GROUP_FIELDS && way->fields[i]; i++) {
    const struct record_field *field = way->fields[i];
    const char *text = record_text(field, record);
    uint64_t number = record_number(field, record);
    if (field->kind == RECORD_ADDRESS)
      *hash = text_hash(((const struct ip_address *)record_field_at(field, record))->bytes, 16, *hash);
    else if (field->kind >= RECORD_TEXT && !text)
      return false;
    else
      *hash = text ? text_hash(text, strlen(text), *hash) : text_hash(&number, sizeof number, *hash);
  }
  return true;
}

static int compare_fields(const struct group_way *way, const void *a, const void *b) {
  int order = 0;
  for (size_t i = 0; i < GROUP_FIELDS && way->fields[i] && order == 0; i++)
    order = record_compare(way->fields[i], a, b);
  return order;
}

static struct group *group_find(const struct group_table *table, const struct group_way *way, uint64_t hash,
                                const void *record) {
  for (struct hash_node *node = hash_table_first(&table->table, hash); node; node = hash_table_next(node)) {
    struct group *group = HASH_OWNER(node, struct group, node);
    if (compare_fields(way, group->oldest, record) == 0)
      return group;
  }
  return NULL;
}

static bool group_enter(struct group_table *table, struct group *group, uint64_t hash) {
  if ((table->count & (table->count - 1)) == 0) { /* as many as there is room for */
    struct group **groups = realloc(table->groups, (table->count ? 2 * table->count : 1) * sizeof *groups);
    if (!groups)
      return false;
    table->groups = groups;
  }
  if (hash_table_enter(&table->table, &group->node, hash) != 0)
    return false;
  table->groups[table->count++] = group;
  return true;
}

static void group_free(struct group *group) {
  free(group->oldest);
  free(group);
}

/* Of two the oldest is kept. */
static bool is_older(const struct record_field *order, const void *a, const void *b) {
  return record_compare(order, a, b) > 0;
}

bool group_table_count(struct group_table *table, const struct group_way *way, const struct record_type *type,
                       const struct record_field *order, const void *record) {
  uint64_t hash;
  if (!hash_fields(way, record, &hash))
    return true;
  struct group *group = group_find(table, way, hash, record);
  if (group && (group->count++, !is_older(order, record, group->oldest)))
    return true;
  if (!group && table->count == GROUPS_MOST)
    return true;
  void *copy = record_copy(type, record);
  if (!copy)
    return false;
  if (group) {
    free(group->oldest);
    group->oldest = copy;
    return true;
  }
  group = calloc(1, sizeof *group);
  if (!group) {
    free(copy);
    return false;
  }
  group->count = 1;
  group->oldest = copy;
  if (group_enter(table, group, hash))
    return true;
  group_free(group);
  return false;
}

bool group_table_merge(struct group_table *table, struct group_table *other, const struct group_way *way,
                       const struct record_field *order) {
  bool whole = true;
  for (size_t i = 0; i < other->count; i++) {
    struct group *theirs = other->groups[i], *ours = group_find(table, way, theirs->node.hash, theirs->oldest);
    if (!ours && group_enter(table, theirs, theirs->node.hash))
      continue;
    if (ours) {
      ours->count += theirs->count;
      if (is_older(order, theirs->oldest, ours->oldest)) {
        void *oldest = ours->oldest;
        ours->oldest = theirs->oldest;
        theirs->oldest = oldest;
      }
    }
    whole = whole && ours;
    group_free(theirs);
  }
  other->count = 0;
  return whole;
}

/* `way` NULL: equals stay as they come, which costs less. */
static bool group_comes_before(const struct group_way *way, const struct group *a, const struct group *b) {
  return a->count != b->count ? a->count > b->count : way && compare_fields(way, a->oldest, b->oldest) < 0;
}

void group_table_cut(struct group_table *table, const struct group_way *way, size_t most) {
  size_t kept = 0;
  for (size_t i = 0; i < table->count; i++) {
    struct group *group = table->groups[i], *out = NULL;
    size_t at = kept;
    for (; at > 0 && group_comes_before(way, group, table->groups[at - 1]); at--)
      ;
    if (kept == most)
      out = at == most ? group : table->groups[most - 1];
    size_t last = kept < most ? kept++ : most - 1;
    if (at < most) {
      memmove(&table->groups[at + 1], &table->groups[at], (last - at) * sizeof(struct group *));
      table->groups[at] = group;
    }
    if (out)
      group_free(out);
  }
  table->count = kept;
  hash_table_deinit(&table->table); /* nobody is looked for any more */
}

void group_table_clear(struct group_table *table) {
  for (size_t i = 0; i < table->count; i++)
    group_free(table->groups[i]);
  free(table->groups);
  hash_table_deinit(&table->table);
  *table = (struct group_table){.count = 0};
}
