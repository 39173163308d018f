/* SPDX-License-Identifier: MIT
 *
 * Which of two routes with client_ip comes first depends on the client, by the most specific members that have it. So
 * the members of each specificity are a case of their own, and those that come to stand side by side are one again: all
 * of a route's, where no client is in those of another. */
#include "routing/cases.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { SPECIFICITIES = UINT8_MAX + 1, MAX_COMPARED = 512 };

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

static int cases_compare(const void *left, const void *right) {
  const struct route_case *a = left, *b = right;
  if (a->most != b->most)
    return a->most > b->most ? -1 : 1;
  if (version_count(a) != version_count(b))
    return version_count(a) < version_count(b) ? -1 : 1;
  return a->place < b->place ? -1 : a->place > b->place;
}

/* Where the client is said they come in order. */
static void cases_sort(struct route_case *list, size_t count) {
  bool has_clients = false;
  for (size_t i = 0; i < count; i++)
    has_clients = has_clients || list[i].most >= 0;
  if (has_clients)
    qsort(list, count, sizeof *list, cases_compare);
}

static bool meet(const struct prefix *a, const struct prefix *b) {
  unsigned bits = a->bits < b->bits ? a->bits : b->bits, rest = bits % 8;
  return memcmp(a->bytes, b->bytes, bits / 8) == 0 &&
         (rest == 0 || (a->bytes[bits / 8] ^ b->bytes[bits / 8]) >> (8 - rest) == 0);
}

/* The members of all, with whose they are. */
struct claim {
  struct prefix prefix;
  size_t owner;
};

/* May a client be in members of two of these routes? Of many, and of globs, it is taken that one may. */
static bool clients_meet(const struct route_case *list, size_t count) {
  struct claim claims[MAX_COMPARED];
  size_t claimed = 0;
  for (size_t i = 0; i < count; i++) {
    const struct ip_set *set = list[i].most >= 0 ? list[i].route->client_ips : NULL;
    for (size_t k = 0; set && k < ip_set_count(set); k++) {
      struct claim *claim = &claims[claimed];
      if (claimed == MAX_COMPARED || !ip_set_prefix(set, k, &claim->prefix))
        return true;
      if (claim->prefix.bits > list[i].most || claim->prefix.bits < list[i].least)
        continue;
      claim->owner = list[i].place;
      for (size_t other = 0; other < claimed; other++)
        if (claims[other].owner != claim->owner && meet(&claims[other].prefix, &claim->prefix))
          return true;
      claimed++;
    }
  }
  return false;
}

/* The one before to join; `count`: none. */
static size_t find_route(const struct route_case *list, size_t count, const struct route *route, bool anywhere) {
  for (size_t i = count; i > 0 && (anywhere || i == count); i--)
    if (list[i - 1].route == route)
      return i - 1;
  return count;
}

void route_cases_finish(struct route_cases *cases) {
  struct route_case *list = cases->list + cases->group;
  size_t count = cases->count - cases->group, kept = 0;
  if (count == 0)
    return;
  cases_sort(list, count);
  bool anywhere = !clients_meet(list, count);
  for (size_t i = 0; i < count; i++) {
    size_t same = find_route(list, kept, list[i].route, anywhere);
    if (same < kept)
      list[same].least = list[i].least;
    else
      list[kept++] = list[i];
  }
  cases->count = cases->group = cases->group + kept;
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
