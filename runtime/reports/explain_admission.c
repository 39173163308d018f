/* SPDX-License-Identifier: MIT
 *
 * What keeps a client out, whatever route it would get: the lists of the config and of the chosen route, and a block of
 * its address. How full the limits are, and what `authorize` would say, is not asked. */
#include "connection/admission.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/explain_private.h"

static void write_kept_out(struct value *root, enum close_reason reason, const char *option, const struct route *route,
                           uint64_t ms) {
  struct value *row = value_set_table(root, "kept_out");
  value_set_string(row, "reason", close_reason_label(reason));
  value_set_string(row, "option", option);
  if (route) {
    value_set_string(row, "route", route->name);
    value_set_string(row, "file", route->file);
    value_set_number(row, "line", route->line);
  }
  if (ms > 0)
    value_set_number(row, "seconds", (double)ms / 1000);
}

/* How long the client is still blocked, where its connections to the route are counted. */
static uint64_t blocked_for(const struct explained *explained, const struct route *route) {
  const struct instance *instance = explained->instance;
  struct limits *limits = instance ? instance->threads.admission.limits : NULL;
  const uint32_t scopes[] = {LIMIT_SCOPE_ALL, route->shared ? route->shared->scope : LIMIT_SCOPE_ROUTES};
  uint64_t most = limits ? explained->table->policy->block_ms : 0, longest = 0;
  bool has_own = route->security.limits.connections.is_set && route->security.limits.rate.is_set;
  for (unsigned i = has_own; i < 2 && most > 0; i++) {
    struct limit_report report;
    if (limits_find(limits, &explained->question.client, scopes[i], loop_now(&instance->runtime->loop), &report) &&
        report.blocked_ms > longest)
      longest = report.blocked_ms < most ? report.blocked_ms : most;
  }
  return longest;
}

void explain_admission(struct value *root, const struct explained *explained, const struct route *chosen) {
  const struct policy *policy = explained->table->policy;
  const struct ip_address *client = &explained->question.client;
  if (!client->is_set)
    return;
  const char *option = policy ? admission_find_refusal(policy->allow, policy->block, client) : NULL;
  if (option) {
    write_kept_out(root, CLOSE_NOT_ALLOWED, option, NULL, 0);
    return;
  }
  if (!chosen)
    return;
  option = admission_find_refusal(chosen->security.allow, chosen->security.block, client);
  if (option) {
    write_kept_out(root, CLOSE_NOT_ALLOWED, option, chosen, 0);
    return;
  }
  uint64_t blocked = blocked_for(explained, chosen);
  if (blocked > 0)
    write_kept_out(root, CLOSE_LIMIT_BLOCKED, "limits.block_for", NULL, blocked);
}
