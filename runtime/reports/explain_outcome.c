/* SPDX-License-Identifier: MIT
 *
 * What becomes of the connection: what it hangs on that the question leaves open, with what each case gives, and how it
 * is refused when no route takes it: as connection/corridor.c and connection/sniff.c do it. */
#include "reports/explain_private.h"

/* A client that is not said may be one that the route does not take anyway. */
static bool hangs_on_client(const struct explained *explained, const struct route *route) {
  return route->client_ips && explained->open & ROUTE_OPEN_CLIENT_IP;
}

int outcome_add(struct outcome *outcome, const struct explained *explained, const struct route_verdict *verdict) {
  const struct route *route = verdict->route;
  bool has_when = route->when_function != ROUTE_NO_FUNCTION;
  if (verdict->clause == ROUTE_CLAUSE_OUTRANKED)
    return 0;
  if (verdict->clause == ROUTE_CLAUSE_CHOSEN)
    outcome->has_chosen = true;
  if (verdict->clause == ROUTE_CLAUSE_TLS_VERSION || verdict->open & ROUTE_OPEN_TLS_VERSION) {
    outcome->may_fail_version = true;
    outcome->fails_version = outcome->fails_version || !hangs_on_client(explained, route);
  }
  if (has_when && (verdict->open || verdict->clause == ROUTE_CLAUSE_WHEN)) {
    outcome->may_fail_when = true;
    outcome->fails_when = outcome->fails_when || !verdict->open;
  } else if (verdict->open == ROUTE_OPEN_TLS_VERSION) {
    outcome->taken |= route->tls_versions;
  }
  outcome->open |= verdict->open;
  return route_cases_add(&outcome->cases, verdict);
}

static void write_versions(struct value *row, unsigned versions) {
  struct value *list = value_set_table(row, "tls_version");
  for (unsigned version = TLS_1_0; version <= TLS_1_3; version <<= 1)
    if (versions & version)
      value_set_string(list, NULL, tls_version_label(version));
}

static void write_members(struct value *row, const struct route_case *one) {
  const struct ip_set *set = one->route->client_ips;
  struct value *list = value_set_table(row, "client_ip");
  for (size_t i = 0; i < ip_set_count(set); i++) {
    struct prefix prefix;
    ip_set_prefix(set, i, &prefix);
    if (one->least <= prefix.bits && prefix.bits <= one->most)
      value_set_string(list, NULL, ip_set_text(set, i));
  }
}

static void write_cases(struct value *root, const struct outcome *outcome, size_t limit, bool may_be_refused) {
  const struct route_cases *cases = &outcome->cases;
  struct value *list = value_set_table(root, "cases");
  size_t omitted = 0;
  for (size_t i = 0; i < cases->count; i++) {
    const struct route_case *one = &cases->list[i];
    if (i >= limit && (may_be_refused || i + 1 < cases->count)) {
      omitted++;
      continue;
    }
    struct value *row = value_set_table(list, NULL);
    if (one->most >= 0)
      write_members(row, one);
    if (one->tls_versions)
      write_versions(row, one->tls_versions);
    value_set_string(row, "route", one->route->name);
    if (one->route->when_function != ROUTE_NO_FUNCTION)
      value_set_boolean(row, "when", true);
  }
  if (may_be_refused)
    value_set_boolean(value_set_table(list, NULL), "refused", true);
  if (omitted > 0)
    value_set_number(root, "omitted_cases", (double)omitted);
}

/* `because`: what of the connection decides that it is refused like this; NULL: nothing that is said before. */
static void write_refusal(struct value *list, const char *because, const char *answer, const char *alert,
                          const char *reason) {
  struct value *row = value_set_table(list, NULL);
  value_set_string(row, "because", because);
  value_set_string(row, "answer", answer);
  value_set_string(row, "alert", alert);
  value_set_string(row, "reason", reason);
}

/* The first whose `because` is so. */
static void write_refusals(struct value *root, const struct outcome *outcome, const struct explained *explained) {
  struct value *list = value_set_table(root, "refusals");
  if (!explained->question.is_tls || !explained->port->has_tls) {
    if (!explained->port->has_tls || explained->port->has_plain) {
      write_refusal(list, NULL, "reset", NULL, "no_route");
      return;
    }
    write_refusal(list, "http", "400", NULL, "plain_http");
    write_refusal(list, NULL, "fatal alert", NULL, "client_hello");
    return;
  }
  if (outcome->may_fail_when)
    write_refusal(list, "when", "fatal alert", "access_denied", "no_route");
  if (outcome->fails_when)
    return;
  if (outcome->may_fail_version)
    write_refusal(list, "tls_version", "fatal alert", "protocol_version", "no_route");
  if (outcome->fails_version)
    return;
  if (explained->question.domain_length > 0)
    write_refusal(list, NULL, "fatal alert", "unrecognized_name", "unknown_server_name");
  else
    write_refusal(list, NULL, "warning alert", "unrecognized_name", "no_server_name");
}

static void write_open(struct value *root, unsigned open) {
  struct value *list = value_set_table(root, "open");
  if (open & ROUTE_OPEN_CLIENT_IP)
    value_set_string(list, NULL, "client_ip");
  if (open & ROUTE_OPEN_TLS_VERSION)
    value_set_string(list, NULL, "tls_version");
}

void outcome_write(struct value *root, struct outcome *outcome, const struct explained *explained) {
  bool may_be_refused = !outcome->has_chosen && outcome->taken != TLS_ALL;
  route_cases_finish(&outcome->cases);
  if (outcome->open) {
    write_open(root, outcome->open);
    write_cases(root, outcome, explained->limit, may_be_refused);
  }
  if (may_be_refused)
    write_refusals(root, outcome, explained);
}
