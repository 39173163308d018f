/* SPDX-License-Identifier: MIT
 *
 * Which of two routes with client_ip comes first depends on the client, by the most specific members that have it. So
 * the members of each specificity are a case of their own, and those that come to stand side by side are one again. */
#include "routing/cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SPECIFICITIES = UINT8_MAX + 1 };

static int append(struct route_cases *cases, struct route_case one) {
  if (cases->count == cases->capacity) {
    size_t capacity = cases->capacity ? cases->capacity * 2 : 16;
    struct route_case *list = realloc(cases->list, capacity * sizeof *list);
    if (!list)
      return -ENOMEM;
    cases->list = list;
    cases->capacity = capacity;
  }
  cases->list[cases->count++] = one;
  return 0;
}

static int append_members(struct route_cases *cases, struct route_case one) {
  const struct ip_set *set = one.route->client_ips;
  bool seen[SPECIFICITIES] = {false};
  for (size_t i = 0; i < ip_set_count(set); i++) {
    struct prefix prefix;
    ip_set_prefix(set, i, &prefix);
    if (seen[prefix.bits])
      continue;
    seen[prefix.bits] = true;
    one.least = one.most = prefix.bits;
    if (append(cases, one) != 0)
      return -ENOMEM;
  }
  return 0;
}

static int version_count(const struct route_case *one) {
  return one->route->tls_versions ? __builtin_popcount(one->route->tls_versions) : SPECIFICITIES;
}

static int compare(const void *left, const void *right) {
  const struct route_case *a = left, *b = right;
  if (a->most != b->most)
    return a->most > b->most ? -1 : 1;
  if (version_count(a) != version_count(b))
    return version_count(a) < version_count(b) ? -1 : 1;
  return a->place < b->place ? -1 : a->place > b->place;
}

/* Where the client is said they come in order. */
static void sort(struct route_case *list, size_t count) {
  bool has_clients = false;
  for (size_t i = 0; i < count; i++)
    has_clients = has_clients || list[i].most >= 0;
  if (has_clients)
    qsort(list, count, sizeof *list, compare);
}

void route_cases_finish(struct route_cases *cases) {
  size_t kept = cases->group;
  if (cases->count == cases->group)
    return;
  sort(cases->list + cases->group, cases->count - cases->group);
  for (size_t i = cases->group + 1; i < cases->count; i++) {
    if (cases->list[i].route == cases->list[kept].route)
      cases->list[kept].least = cases->list[i].least;
    else
      cases->list[++kept] = cases->list[i];
  }
  cases->count = cases->group = kept + 1;
}

int route_cases_add(struct route_cases *cases, const struct route_verdict *verdict) {
  bool is_next = verdict->open || verdict->clause == ROUTE_CLAUSE_CHOSEN || verdict->clause == ROUTE_CLAUSE_WHEN;
  if (verdict->tie < ROUTE_TIE_CLIENT_IP)
    route_cases_finish(cases);
  if (!is_next || verdict->clause == ROUTE_CLAUSE_OUTRANKED)
    return 0;
  struct route_case one = {
      .route = verdict->route,
      .place = verdict->place,
      .tls_versions = verdict->open & ROUTE_OPEN_TLS_VERSION ? verdict->route->tls_versions : 0,
      .least = -1,
      .most = -1,
  };
  return verdict->open & ROUTE_OPEN_CLIENT_IP ? append_members(cases, one) : append(cases, one);
}

void route_cases_deinit(struct route_cases *cases) {
  free(cases->list);
  *cases = (struct route_cases){.count = 0};
}
