/* SPDX-License-Identifier: MIT
 *
 * Which target comes after one that has failed, lately or just now, or that does not answer: by the same ways as the
 * first. Round robin goes on in the rotation, and takes the turns that it skips, so that those of a dead target are not
 * all its neighbour's; source-hash takes the next in the client's order, so that it is the same by whichever way. */
#include "routing/balance.h"
#include "routing/balance_private.h"

bool target_failure_key(const struct target_choice *choice, const struct route_target *target,
                        struct failure_key *key) {
  uint16_t port = target->preserve_port ? choice->port : target->port;
  if (!target->host || target->port_function != ROUTE_NO_FUNCTION)
    return false;
  *key = target->address.is_set ? failures_key_of_address(choice->failures, &target->address, port)
                                : failures_key_of_host(choice->failures, target->host, port);
  return true;
}

static bool has_failed_lately(const struct target_choice *choice, const struct route_target *target) {
  struct failure_key key;
  return failures_count(choice->failures) > 0 && target_failure_key(choice, target, &key) &&
         failures_is_paused(choice->failures, &key, choice->now);
}

static bool may_choose(const struct target_choice *choice, size_t index, bool failed_too) {
  const struct route_target *target = &choice->route->targets[index];
  if (choice->tried && choice->tried[index / 64] & UINT64_C(1) << index % 64)
    return false;
  if (choice->plain && (!target->host || target->port_function != ROUTE_NO_FUNCTION))
    return false;
  return failed_too || !has_failed_lately(choice, target);
}

static const struct route_target *next_in_rotation(const struct target_choice *choice, bool failed_too) {
  const struct route *route = choice->route;
  unsigned turn = atomic_load_explicit(&route->shared->cursor, memory_order_relaxed);
  for (unsigned skipped = 0; skipped < route->rotation_length; skipped++) {
    size_t index = route->rotation[(turn + skipped) % route->rotation_length];
    if (!may_choose(choice, index, failed_too))
      continue;
    atomic_fetch_add_explicit(&route->shared->cursor, skipped + 1, memory_order_relaxed);
    return &route->targets[index];
  }
  return NULL;
}

static const struct route_target *next_in_list(const struct target_choice *choice, const struct route_target *before,
                                               bool failed_too) {
  const struct route *route = choice->route;
  size_t index = (size_t)(before - route->targets);
  for (size_t i = 0; i < route->target_count; i++) {
    index = (index + 1) % route->target_count;
    if (may_choose(choice, index, failed_too))
      return &route->targets[index];
  }
  return NULL;
}

/* Of those that may be chosen the one that `is_better` than all others; of equal ones the one whose turn it is. */
static const struct route_target *next_best(const struct target_choice *choice, const struct route_target *before,
                                            bool failed_too) {
  const struct route *route = choice->route;
  bool by_source = route->balance == BALANCE_SOURCE_HASH;
  const struct route_target *best =
      by_source ? next_in_list(choice, before, failed_too) : next_in_rotation(choice, failed_too);
  for (size_t i = 0; best && i < route->target_count; i++) {
    const struct route_target *target = &route->targets[i];
    bool is_better = by_source ? target_is_nearer(target, best, choice->client) : target_is_less_loaded(target, best);
    if (is_better && may_choose(choice, i, failed_too))
      best = target;
  }
  return best;
}

static const struct route_target *next_of(const struct target_choice *choice, const struct route_target *before,
                                          bool failed_too) {
  switch (choice->route->balance) {
  case BALANCE_ROUND_ROBIN:
    return next_in_rotation(choice, failed_too);
  case BALANCE_FUNCTION:
    return next_in_list(choice, before, failed_too);
  default:
    return next_best(choice, before, failed_too);
  }
}

/* It is tried now, should its time to come last have passed by one alone. */
static const struct route_target *claim_target(const struct target_choice *choice, const struct route_target *target) {
  struct failure_key key;
  if (failures_count(choice->failures) > 0 && target_failure_key(choice, target, &key))
    failures_claim(choice->failures, &key, choice->now);
  return target;
}

const struct route_target *route_avoid_failed(const struct target_choice *choice, const struct route_target *first) {
  const struct route_target *other = has_failed_lately(choice, first) ? next_of(choice, first, false) : NULL;
  return claim_target(choice, other ? other : first);
}

const struct route_target *route_next_target(const struct target_choice *choice, const struct route_target *before) {
  const struct route_target *next = next_of(choice, before, false);
  if (!next)
    next = next_of(choice, before, true);
  return next ? claim_target(choice, next) : NULL;
}
