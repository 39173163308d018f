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
  const struct connection_entry *a = ((const struct diagnose_item *)left)->entry,
                                *b = ((const struct diagnose_item *)right)->entry;
  return compare_texts(a->route, b->route);
}

static int compare_group_client(const void *left, const void *right) {
  const struct connection_entry *a = ((const struct diagnose_item *)left)->entry,
                                *b = ((const struct diagnose_item *)right)->entry;
  return memcmp(a->client.bytes, b->client.bytes, sizeof a->client.bytes);
}

static int by_target(const void *left, const void *right) {
  const struct connection_entry *a = ((const struct diagnose_item *)left)->entry,
                                *b = ((const struct diagnose_item *)right)->entry;
  int order = compare_texts(a->target.host, b->target.host);
  return order ? order : a->target.port - b->target.port;
}

static int by_port(const void *left, const void *right) {
  return ((const struct diagnose_item *)left)->entry->port - ((const struct diagnose_item *)right)->entry->port;
}

static int by_function(const void *left, const void *right) {
  const struct connection_wait *a = &((const struct diagnose_item *)left)->entry->waits,
                               *b = &((const struct diagnose_item *)right)->entry->waits;
  int order = compare_texts(a->route, b->route);
  return order ? order : compare_texts(a->function, b->function);
}

/* `match.when of route site (routes/site.lua:12)` */
static const char *name_function(const struct connection_wait *wait, char text[NAME_SIZE]) {
  if (!wait->function)
    return NULL;
  snprintf(text, NAME_SIZE, "%s of route %s (%s)", wait->function, wait->route,
           wait->defined[0] ? wait->defined : wait->file);
  return text;
}

/* NULL: it has none. */
static const char *name_of(const struct connection_entry *entry, enum diagnose_key by, char text[NAME_SIZE]) {
  switch (by) {
  case BY_ROUTE:
    return entry->route;
  case BY_CLIENT:
    return ip_address_format(&entry->client, text);
  case BY_TARGET:
    return entry->target.host ? host_format(entry->target.host, entry->target.port, text, NAME_SIZE) : NULL;
  case BY_FUNCTION:
    return name_function(&entry->waits, text);
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
    value_set_string(group, "reason", oldest->entry->deadline_reason);
    value_set_number(group, "ends", (double)oldest->entry->deadline / 1000);
  }
}
