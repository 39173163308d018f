/* SPDX-License-Identifier: MIT
 *
 * Sorted by the key, equal ones stand together: each run is a group. */
#include "reports/diagnose_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 512 };

struct group {
  const struct diagnose_item *oldest;
  size_t count;
};

static int compare_texts(const char *a, const char *b) {
  if (a == b)
    return 0;
  return !a ? -1 : !b ? 1 : strcmp(a, b);
}

static int by_route(const void *left, const void *right) {
  const struct route *a = ((const struct diagnose_item *)left)->entry->route,
                     *b = ((const struct diagnose_item *)right)->entry->route;
  return compare_texts(a ? a->name : NULL, b ? b->name : NULL);
}

static int compare_group_client(const void *left, const void *right) {
  const struct connection_entry *a = ((const struct diagnose_item *)left)->entry,
                                *b = ((const struct diagnose_item *)right)->entry;
  return memcmp(a->client.bytes, b->client.bytes, sizeof a->client.bytes);
}

static int by_target(const void *left, const void *right) {
  const struct connection_entry *a = ((const struct diagnose_item *)left)->entry,
                                *b = ((const struct diagnose_item *)right)->entry;
  int order = compare_texts(a->host ? a->host : a->route_host, b->host ? b->host : b->route_host);
  return order ? order : a->target_port - b->target_port;
}

static int by_port(const void *left, const void *right) {
  return ((const struct diagnose_item *)left)->entry->port - ((const struct diagnose_item *)right)->entry->port;
}

static int by_function(const void *left, const void *right) {
  const struct function_note *a = ((const struct diagnose_item *)left)->entry->waits,
                             *b = ((const struct diagnose_item *)right)->entry->waits;
  if (!a || !b)
    return (a != NULL) - (b != NULL);
  int order = compare_texts(a->route->name, b->route->name);
  return order ? order : compare_texts(a->field, b->field);
}

/* `match.when of route site (routes/site.lua:12)` */
static const char *name_function(const struct function_note *note, char text[NAME_SIZE]) {
  if (!note)
    return NULL;
  snprintf(text, NAME_SIZE, "%s of route %s (%s)", note->field, note->route->name,
           note->defined[0] ? note->defined : note->route->file);
  return text;
}

/* NULL: it has none. */
static const char *name_of(const struct connection_entry *entry, enum diagnose_key by, char text[NAME_SIZE]) {
  switch (by) {
  case BY_ROUTE:
    return entry->route ? entry->route->name : NULL;
  case BY_CLIENT:
    return ip_address_format(&entry->client, text);
  case BY_TARGET:
    return connection_entry_target(entry, text, NAME_SIZE);
  case BY_FUNCTION:
    return name_function(entry->waits, text);
  case BY_PORT:
    snprintf(text, NAME_SIZE, "%u", entry->port);
    return text;
  }
  return NULL;
}

/* Into its place among the largest. */
static void group_take(struct group groups[DIAGNOSE_GROUPS], const struct group *group) {
  size_t at = DIAGNOSE_GROUPS;
  while (at > 0 && groups[at - 1].count < group->count)
    at--;
  if (at == DIAGNOSE_GROUPS)
    return;
  memmove(groups + at + 1, groups + at, (DIAGNOSE_GROUPS - at - 1) * sizeof *groups);
  groups[at] = *group;
}

void diagnose_groups_write(struct value *root, const char *key, enum diagnose_key by, struct diagnose_item *items,
                           size_t count) {
  static int (*const orders[])(const void *, const void *) = {[BY_ROUTE] = by_route,
                                                              [BY_CLIENT] = compare_group_client,
                                                              [BY_TARGET] = by_target,
                                                              [BY_PORT] = by_port,
                                                              [BY_FUNCTION] = by_function};
  struct group groups[DIAGNOSE_GROUPS] = {{.count = 0}};
  char name[NAME_SIZE];
  struct value *list = value_set_table(root, key);
  if (count > 0)
    qsort(items, count, sizeof *items, orders[by]);
  for (size_t i = 0; i < count;) {
    struct group group = {.oldest = &items[i]};
    size_t first = i;
    for (; i < count && orders[by](&items[first], &items[i]) == 0; i++, group.count++)
      if (items[i].since > group.oldest->since)
        group.oldest = &items[i];
    if (name_of(items[first].entry, by, name))
      group_take(groups, &group);
  }
  for (size_t i = 0; i < DIAGNOSE_GROUPS && groups[i].count > 0; i++) {
    const struct diagnose_item *oldest = groups[i].oldest;
    struct value *group = value_set_table(list, NULL);
    value_set_string(group, "name", name_of(oldest->entry, by, name));
    value_set_number(group, "count", (double)groups[i].count);
    value_set_number(group, "oldest", (double)oldest->since / 1000);
    if (oldest->entry->finding.limit)
      value_set_number(group, "limit", (double)oldest->entry->finding.limit / 1000);
    if (oldest->entry->deadline == UINT64_MAX)
      continue;
    value_set_string(group, "reason", close_reason_label(oldest->entry->deadline_reason));
    value_set_number(group, "ends", (double)oldest->entry->deadline / 1000);
  }
}
