/* SPDX-License-Identifier: MIT
 *
 * Making, sharing and comparing policies. */
#include "routing/policy.h"

#include <stdlib.h>

struct policy *policy_new(void) {
  struct policy *policy = calloc(1, sizeof *policy);
  if (!policy)
    return NULL;
  atomic_init(&policy->references, 1);
  policy->ipv6_prefix = 64;
  return policy;
}

struct policy *policy_ref(struct policy *policy) {
  if (policy)
    atomic_fetch_add_explicit(&policy->references, 1, memory_order_relaxed);
  return policy;
}

void policy_unref(struct policy *policy) {
  if (!policy || atomic_fetch_sub_explicit(&policy->references, 1, memory_order_acq_rel) != 1)
    return;
  ip_set_unref(policy->allow);
  ip_set_unref(policy->block);
  ip_set_unref(policy->trusted);
  free(policy);
}

bool policy_equal(const struct policy *a, const struct policy *b) {
  return ip_set_same(a->allow, b->allow) && ip_set_same(a->block, b->block) && ip_set_same(a->trusted, b->trusted) &&
         a->connections == b->connections && address_limits_equal(&a->limits, &b->limits) &&
         a->block_ms == b->block_ms && a->idle_near_cap_ms == b->idle_near_cap_ms && a->ipv6_prefix == b->ipv6_prefix &&
         a->accept == b->accept && a->proxy_timeout_ms == b->proxy_timeout_ms && a->access_log == b->access_log;
}
