/* SPDX-License-Identifier: MIT
 *
 * The routes of a domain, sorted by what of the client's address they ask for. */
#include "routing/index.h"

#include <stdlib.h>
#include <string.h>

/* A set with a glob, or a large one once the trees are, is asked as a whole. */
enum { ALWAYS_EXPANDED = 8 };

struct row row_make(struct route *route, uint32_t tier, uint32_t place) {
  unsigned versions = (unsigned)__builtin_popcount(route->tls_versions);
  return (struct row){
      .route = route,
      .tier = tier,
      .place = place,
      .version = (uint8_t)(versions ? versions : UINT8_MAX),
      .versions = (uint8_t)route->tls_versions,
      .is_tls = route->tls != ROUTE_TLS_NONE,
      .is_many = route->domain_count > 1 || (route->client_ips && ip_set_count(route->client_ips) > 1),
  };
}

static int compare_rows(const void *left, const void *right) {
  const struct row *a = left, *b = right;
  if (a->tier != b->tier)
    return a->tier < b->tier ? -1 : 1;
  if (a->version != b->version)
    return a->version < b->version ? -1 : 1;
  return a->place < b->place ? -1 : a->place > b->place;
}

/* Most stand in order already. */
static void rules_sort(struct row_list *list) {
  for (size_t i = 1; i < list->count; i++) {
    if (compare_rows(&list->rows[i - 1], &list->rows[i]) > 0) {
      qsort(list->rows, list->count, sizeof *list->rows, compare_rows);
      return;
    }
  }
}

static bool is_expanded(const struct ip_set *set, size_t *expansions) {
  size_t count = ip_set_count(set);
  struct prefix prefix;
  if (count > ALWAYS_EXPANDED && count > *expansions)
    return false;
  for (size_t i = 0; i < count; i++)
    if (!ip_set_prefix(set, i, &prefix))
      return false;
  *expansions -= count < *expansions ? count : *expansions;
  return true;
}

/* A route under one of its prefixes, before the lists are laid out. */
struct leaf {
  uint32_t list;
  struct row row;
};

struct build {
  struct rules *rules;
  struct leaf *leaves;
  size_t leaf_count, leaf_capacity;
  struct row *any, *sets;
  size_t list_count;
};

static int add_leaf(struct build *build, uint32_t list, const struct row *row) {
  if (build->leaf_count == build->leaf_capacity) {
    size_t capacity = build->leaf_capacity ? 2 * build->leaf_capacity : 16;
    struct leaf *leaves = realloc(build->leaves, capacity * sizeof *leaves);
    if (!leaves)
      return -1;
    build->leaves = leaves;
    build->leaf_capacity = capacity;
  }
  build->leaves[build->leaf_count++] = (struct leaf){list, *row};
  return 0;
}

static int expand(struct build *build, const struct row *row) {
  const struct ip_set *set = row->route->client_ips;
  for (size_t i = 0; i < ip_set_count(set); i++) {
    struct prefix prefix;
    ip_set_prefix(set, i, &prefix);
    uint32_t *list = prefix_tree_insert(&build->rules->tree, &prefix);
    if (!list)
      return -1;
    if (*list == PREFIX_NO_VALUE)
      *list = (uint32_t)build->list_count++;
    if (add_leaf(build, *list, row) < 0)
      return -1;
  }
  return 0;
}

/* One block of rows: those of each prefix, then `any`, then `sets`. */
static int lay_out(struct build *build) {
  struct rules *rules = build->rules;
  rules->lists = calloc(build->list_count + 1, sizeof *rules->lists);
  rules->rows = calloc(build->leaf_count + rules->any.count + rules->sets.count + 1, sizeof *rules->rows);
  if (!rules->lists || !rules->rows)
    return -1;
  for (size_t i = 0; i < build->leaf_count; i++)
    rules->lists[build->leaves[i].list].count++;
  struct row *next = rules->rows;
  for (size_t i = 0; i < build->list_count; i++) {
    rules->lists[i].rows = next;
    next += rules->lists[i].count;
    rules->lists[i].count = 0;
  }
  for (size_t i = 0; i < build->leaf_count; i++) {
    struct row_list *list = &rules->lists[build->leaves[i].list];
    /* A set may name a prefix twice. */
    if (list->count == 0 || list->rows[list->count - 1].place != build->leaves[i].row.place)
      list->rows[list->count++] = build->leaves[i].row;
  }
  for (size_t i = 0; i < build->list_count; i++)
    rules_sort(&rules->lists[i]);
  rules->any.rows = memcpy(next, build->any, rules->any.count * sizeof *next);
  rules_sort(&rules->any);
  rules->sets.rows = memcpy(next + rules->any.count, build->sets, rules->sets.count * sizeof *next);
  return 0;
}

struct rules *rules_new(struct route *const *routes, const uint32_t *tiers, const uint32_t *places, size_t count,
                        size_t *expansions) {
  struct build build = {.rules = calloc(1, sizeof *build.rules)};
  struct rules *rules = build.rules;
  bool done = false;
  build.any = calloc(count + 1, sizeof *build.any);
  build.sets = calloc(count + 1, sizeof *build.sets);
  if (!rules || !build.any || !build.sets)
    goto end;
  rules->places = malloc((count + 1) * sizeof *rules->places);
  if (!rules->places)
    goto end;
  memcpy(rules->places, places, count * sizeof *places);
  rules->place_count = count;
  for (size_t i = 0; i < count; i++) {
    struct route *route = routes[places[i]];
    struct row row = row_make(route, tiers[places[i]], places[i]);
    if (!route->client_ips)
      build.any[rules->any.count++] = row;
    else if (!is_expanded(route->client_ips, expansions))
      build.sets[rules->sets.count++] = row;
    else if (expand(&build, &row) < 0)
      goto end;
  }
  done = lay_out(&build) == 0;

end:
  free(build.leaves);
  free(build.any);
  free(build.sets);
  if (done)
    return rules;
  rules_free(rules);
  return NULL;
}

void rules_free(struct rules *rules) {
  if (!rules)
    return;
  prefix_tree_deinit(&rules->tree);
  free(rules->lists);
  free(rules->rows);
  free(rules->places);
  free(rules);
}
