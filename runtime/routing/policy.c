/* SPDX-License-Identifier: MIT
 *
 * Making and sharing policies. */
#include "routing/policy.h"

#include "routing/option.h"

#include <stdlib.h>

struct policy *policy_new(void) {
  struct policy *policy = calloc(1, sizeof *policy);
  if (!policy)
    return NULL;
  atomic_init(&policy->references, 1);
  policy->ipv6_prefix = 64;
  policy->track_ips = true;
  policy->top_ips = 1000;
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
  options_clear(&policy_options, policy);
  free(policy);
}
