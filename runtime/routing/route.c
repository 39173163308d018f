/* SPDX-License-Identifier: MIT
 *
 * Route records: making, sharing and freeing them, and whose turn it is among the targets. */
#include "routing/route.h"

#include "routing/balance.h"
#include "routing/option.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(OPTION_HAS_COUNT(struct route, domains, domain_count), "OPTION_TEXTS");
_Static_assert(OPTION_HAS_COUNT(struct route, tags, tag_count), "OPTION_TEXTS");

const char *const route_on_change_words[] = {
    [ROUTE_KEEP] = "keep", [ROUTE_DRAIN] = "drain", [ROUTE_CLOSE] = "close", NULL};

const char *const route_engine_words[] = {[ENGINE_USERSPACE] = "userspace", [ENGINE_NFTABLES] = "nftables", NULL};

const char *const keep_alive_words[] = {
    [KEEP_ALIVE_STANDARD] = "standard", [KEEP_ALIVE_EXTENDED] = "extended", [KEEP_ALIVE_IMMORTAL] = "immortal", NULL};

struct route_shared *route_shared_new(uint32_t scope) {
  struct route_shared *shared = calloc(1, sizeof *shared);
  if (!shared)
    return NULL;
  atomic_init(&shared->references, 1);
  atomic_init(&shared->cursor, 0);
  atomic_init(&shared->held, 0);
  shared->scope = scope;
  return shared;
}

struct route_shared *route_shared_ref(struct route_shared *shared) {
  atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
  return shared;
}

void route_shared_unref(struct route_shared *shared) {
  if (shared && atomic_fetch_sub_explicit(&shared->references, 1, memory_order_acq_rel) == 1)
    free(shared);
}

struct route *route_new(void) {
  struct route *route = calloc(1, sizeof *route);
  if (!route)
    return NULL;
  atomic_init(&route->references, 1);
  route->when_function = route->handler_function = route->target_function = ROUTE_NO_FUNCTION;
  route->balance_function = route->keep_alive.function = route->security.authorize_function = ROUTE_NO_FUNCTION;
  route->keep_alive.multiplier = 1;
  return route;
}

struct route *route_ref(struct route *route) {
  atomic_fetch_add_explicit(&route->references, 1, memory_order_relaxed);
  return route;
}

void route_unref(struct route *route) {
  if (!route || atomic_fetch_sub_explicit(&route->references, 1, memory_order_acq_rel) != 1)
    return;
  route_shared_unref(route->shared);
  for (size_t i = 0; i < route->target_count; i++) {
    free(route->targets[i].host);
    target_load_unref(route->targets[i].load);
  }
  free(route->targets);
  free(route->rotation);
  free(route->ports);
  options_clear(&route_options, route);
  free(route->file);
  free(route);
}

bool route_has_functions(const struct route *route) {
  if (options_have_function(&route_options, route))
    return true;
  for (size_t i = 0; i < route->target_count; i++)
    if (route->targets[i].host_function != ROUTE_NO_FUNCTION || route->targets[i].port_function != ROUTE_NO_FUNCTION)
      return true;
  return false;
}

bool route_equal(const struct route *a, const struct route *b) {
  return !route_has_functions(a) && !route_has_functions(b) && a->digest == b->digest;
}

static unsigned greatest_common_divisor(unsigned a, unsigned b) {
  while (b) {
    unsigned rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

/* Each turn every target gains its weight, and the one that has most is chosen and pays the sum: so a heavy target's
 * turns are spread out. Written down once here, so that choosing is one addition. */
int route_build_rotation(struct route *route) {
  unsigned divisor = 0, sum = 0;
  for (size_t i = 0; i < route->target_count; i++)
    divisor = greatest_common_divisor(route->targets[i].weight, divisor);
  for (size_t i = 0; i < route->target_count; i++)
    sum += route->targets[i].weight / divisor;
  long *credit = calloc(route->target_count, sizeof *credit);
  uint16_t *rotation = calloc(sum, sizeof *rotation);
  if (!credit || !rotation) {
    free(credit);
    free(rotation);
    return -ENOMEM;
  }
  for (unsigned turn = 0; turn < sum; turn++) {
    size_t best = 0;
    for (size_t i = 0; i < route->target_count; i++) {
      credit[i] += (long)(route->targets[i].weight / divisor);
      if (credit[i] > credit[best])
        best = i;
    }
    credit[best] -= (long)sum;
    rotation[turn] = (uint16_t)best;
  }
  free(credit);
  free(route->rotation);
  route->rotation = rotation;
  route->rotation_length = sum;
  return 0;
}
