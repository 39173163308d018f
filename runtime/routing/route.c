/* SPDX-License-Identifier: MIT
 *
 * Route records: making, sharing and freeing them, and whose turn it is among the targets. */
#include "routing/route.h"

#include "routing/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
  for (size_t i = 0; i < route->domain_count; i++)
    free(route->domains[i]);
  free(route->domains);
  ip_set_unref(route->client_ips);
  for (size_t i = 0; i < route->tag_count; i++)
    free(route->tags[i]);
  free(route->tags);
  free(route->description);
  ip_set_unref(route->security.allow);
  ip_set_unref(route->security.block);
  free(route->proxy_send.tlvs);
  free(route->name);
  free(route->file);
  free(route);
}

bool route_has_functions(const struct route *route) {
  if (route->when_function != ROUTE_NO_FUNCTION || route->handler_function != ROUTE_NO_FUNCTION ||
      route->target_function != ROUTE_NO_FUNCTION || route->balance_function != ROUTE_NO_FUNCTION ||
      route->keep_alive.function != ROUTE_NO_FUNCTION || route->security.authorize_function != ROUTE_NO_FUNCTION)
    return true;
  for (size_t i = 0; i < route->target_count; i++)
    if (route->targets[i].host_function != ROUTE_NO_FUNCTION || route->targets[i].port_function != ROUTE_NO_FUNCTION)
      return true;
  return false;
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }

static bool same_address(const struct endpoint *a, const struct endpoint *b) {
  return a->length == b->length && memcmp(&a->storage, &b->storage, a->length) == 0;
}

static bool same_tags(const struct route *a, const struct route *b) {
  if (a->tag_count != b->tag_count)
    return false;
  for (size_t i = 0; i < a->tag_count; i++)
    if (!same_text(a->tags[i], b->tags[i]))
      return false;
  return true;
}

static bool same_ports(const struct route *a, const struct route *b) {
  if (a->port_count != b->port_count)
    return false;
  for (size_t i = 0; i < a->port_count; i++)
    if (a->ports[i].from != b->ports[i].from || a->ports[i].to != b->ports[i].to)
      return false;
  return true;
}

static bool same_domains(const struct route *a, const struct route *b) {
  if (a->domain_count != b->domain_count)
    return false;
  for (size_t i = 0; i < a->domain_count; i++)
    if (strcmp(a->domains[i], b->domains[i]) != 0)
      return false;
  return true;
}

static bool same_match(const struct route *a, const struct route *b) {
  return same_address(&a->address, &b->address) && same_ports(a, b) && same_domains(a, b) &&
         ip_set_equal(a->client_ips, b->client_ips) && a->tls_versions == b->tls_versions;
}

static bool same_targets(const struct route *a, const struct route *b) {
  if (a->target_count != b->target_count)
    return false;
  for (size_t i = 0; i < a->target_count; i++) {
    const struct route_target *x = &a->targets[i], *y = &b->targets[i];
    if (!same_text(x->host, y->host) || x->port != y->port || x->preserve_port != y->preserve_port ||
        x->weight != y->weight)
      return false;
  }
  return true;
}

bool address_limits_equal(const struct address_limits *a, const struct address_limits *b) {
  return a->has_connections == b->has_connections && a->has_rate == b->has_rate && a->connections == b->connections &&
         a->rate == b->rate && a->window_ms == b->window_ms;
}

static bool same_admission(const struct route *a, const struct route *b) {
  return ip_set_same(a->security.allow, b->security.allow) && ip_set_same(a->security.block, b->security.block) &&
         a->security.max_connections == b->security.max_connections &&
         address_limits_equal(&a->security.limits, &b->security.limits) &&
         a->keep_alive.treatment == b->keep_alive.treatment && a->keep_alive.multiplier == b->keep_alive.multiplier &&
         a->proxy_send.version == b->proxy_send.version && a->proxy_send.tlvs_size == b->proxy_send.tlvs_size &&
         (a->proxy_send.tlvs_size == 0 || memcmp(a->proxy_send.tlvs, b->proxy_send.tlvs, a->proxy_send.tlvs_size) == 0);
}

bool route_equal(const struct route *a, const struct route *b) {
  if (route_has_functions(a) || route_has_functions(b))
    return false;
  return same_text(a->name, b->name) && same_text(a->file, b->file) && a->priority == b->priority && same_match(a, b) &&
         same_text(a->description, b->description) && same_tags(a, b) && a->action == b->action &&
         a->engine == b->engine && a->tls == b->tls && same_targets(a, b) && same_admission(a, b) &&
         a->balance == b->balance && a->half_open == b->half_open && a->on_change == b->on_change &&
         /* nothing but numbers of one size in it, so no padding */
         memcmp(&a->timeouts, &b->timeouts, sizeof a->timeouts) == 0;
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
