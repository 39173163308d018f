/* SPDX-License-Identifier: MIT
 *
 * Round robin walks the rotation; least-connections takes the target that has least for its weight, and of equal ones
 * the one whose turn it is; source-hash is rendezvous hashing: a client keeps its target as long as that is there, and
 * when one comes or goes only its own clients move. */
#include "routing/balance.h"

#include "core/text.h"
#include "routing/balance_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct target_load *load_new(void) {
  struct target_load *load = malloc(sizeof *load);
  if (load) {
    atomic_init(&load->references, 1);
    atomic_init(&load->active, 0);
    atomic_init(&load->connect_ms, 0);
  }
  return load;
}

void target_load_unref(struct target_load *load) {
  if (load && atomic_fetch_sub_explicit(&load->references, 1, memory_order_acq_rel) == 1)
    free(load);
}

bool route_counts_loads(const struct route *route) {
  return route->balance == BALANCE_LEAST_CONNECTIONS || route->balance == BALANCE_FUNCTION;
}

bool route_races(const struct route *route) {
  return route->balance == BALANCE_ROUND_ROBIN || route->balance == BALANCE_LEAST_CONNECTIONS;
}

int route_count_loads(struct route *route) {
  if (!route_counts_loads(route) && (!route_races(route) || route->target_count <= 1))
    return 0;
  for (size_t i = 0; i < route->target_count; i++)
    if (!(route->targets[i].load = load_new()))
      return -ENOMEM;
  return 0;
}

static bool is_same_target(const struct route_target *a, const struct route_target *b) {
  return a->host && b->host && strcmp(a->host, b->host) == 0 && a->port == b->port &&
         a->preserve_port == b->preserve_port;
}

void route_share_loads(struct route *route, const struct route *before) {
  for (size_t i = 0; i < route->target_count; i++) {
    struct route_target *target = &route->targets[i];
    for (size_t k = 0; target->load && k < before->target_count; k++) {
      struct target_load *shared = before->targets[k].load;
      if (!shared || !is_same_target(target, &before->targets[k]))
        continue;
      atomic_fetch_add_explicit(&shared->references, 1, memory_order_relaxed);
      target_load_unref(target->load);
      target->load = shared;
      break;
    }
  }
}

static const struct route_target *take_turn(const struct route *route) {
  unsigned turn = atomic_fetch_add_explicit(&route->shared->cursor, 1, memory_order_relaxed);
  return &route->targets[route->rotation[turn % route->rotation_length]];
}

/* a/b < c/d, without the divisions. */
static bool is_less(uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return a * d < c * b; }

static const struct route_target *find_least(const struct route *route) {
  const struct route_target *best = take_turn(route);
  uint64_t least = atomic_load_explicit(&best->load->active, memory_order_relaxed);
  for (size_t i = 0; i < route->target_count; i++) {
    const struct route_target *target = &route->targets[i];
    uint64_t active = atomic_load_explicit(&target->load->active, memory_order_relaxed);
    if (is_less(active, target->weight, least, best->weight)) {
      best = target;
      least = active;
    }
  }
  return best;
}

/* The score of a target for a client: -weight / log(u), with u in (0, 1) from their hash; the highest wins, so that a
 * target has its weight's share of the clients. */
static double score(const struct route_target *target, const uint8_t client[16]) {
  uint64_t seed = text_hash(client, 16, target->port);
  uint64_t hash = target->host ? text_hash(target->host, strlen(target->host), seed)
                               : text_hash(&target->host_function, sizeof target->host_function, seed);
  double u = ((double)(hash >> 11) + 0.5) / 9007199254740992.0; /* 2^53 */
  return -(double)target->weight / log(u);
}

bool target_is_less_loaded(const struct route_target *target, const struct route_target *other) {
  return is_less(atomic_load_explicit(&target->load->active, memory_order_relaxed), target->weight,
                 atomic_load_explicit(&other->load->active, memory_order_relaxed), other->weight);
}

bool target_is_nearer(const struct route_target *target, const struct route_target *other,
                      const struct ip_address *client) {
  return score(target, client->bytes) > score(other, client->bytes);
}

static const struct route_target *find_by_source(const struct route *route, const struct ip_address *client) {
  const struct route_target *best = route->targets;
  double highest = score(best, client->bytes);
  for (size_t i = 1; i < route->target_count; i++) {
    double other = score(&route->targets[i], client->bytes);
    if (other > highest) {
      best = &route->targets[i];
      highest = other;
    }
  }
  return best;
}

const struct route_target *route_choose_target(const struct route *route, const struct ip_address *client) {
  if (route->target_count <= 1)
    return route->targets;
  switch (route->balance) {
  case BALANCE_LEAST_CONNECTIONS:
    return find_least(route);
  case BALANCE_SOURCE_HASH:
    return find_by_source(route, client);
  default:
    return take_turn(route);
  }
}
