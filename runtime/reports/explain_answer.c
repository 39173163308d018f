/* SPDX-License-Identifier: MIT
 *
 * The answer: each candidate with what became of it. Of a long list those are told that matched, and the first of the
 * others; the rest is counted by the clause that turned it down. */
#include "net/ip_set.h"
#include "reports/explain_private.h"
#include "reports/routes_report.h"
#include "routing/domain.h"

#include <stdio.h>
#include <string.h>

enum { REASON_SIZE = 1024, SHOWN_VALUES = 4 };

struct telling {
  const struct explained *explained;
  struct value *list;
  const struct route *chosen, *before; /* `before`: the candidate before this one, when it matches */
  size_t place, listed, depends;
  size_t omitted[ROUTE_CLAUSE_COUNT], omitted_open;
  struct outcome outcome;
  int status;
};

static const char *verdict_of(enum route_clause clause) {
  switch (clause) {
  case ROUTE_CLAUSE_CHOSEN:
    return "chosen";
  case ROUTE_CLAUSE_WHEN:
    return "depends";
  case ROUTE_CLAUSE_OUTRANKED:
    return "outranked";
  default:
    return "turned_down";
  }
}

/* The field of the route's `match` that turned it down, as route files call it. */
static const char *field_of(enum route_clause clause) {
  return clause == ROUTE_CLAUSE_CHOSEN || clause == ROUTE_CLAUSE_OUTRANKED ? NULL : route_clause_label(clause);
}

/* Why `before` is checked before `route`. */
static const char *order_of(enum route_tie tie, const struct route *before, const struct route *route) {
  switch (tie) {
  case ROUTE_TIE_ADDRESS:
    return "is bound to this very address";
  case ROUTE_TIE_DOMAIN:
    return route->domain_count ? "has the more specific domain" : "is for certain domains";
  case ROUTE_TIE_CLIENT_IP:
    return route->client_ips ? "has the more specific client_ip" : "is for certain clients";
  case ROUTE_TIE_TLS_VERSION:
    return route->tls_versions ? "has fewer TLS versions" : "is for certain TLS versions";
  default:
    return strcmp(before->file, route->file) == 0 ? "stands before it in the file" : "is in a file that comes first";
  }
}

/* Why it is checked after the one before. */
static void write_order(struct value *row, const struct telling *telling, const struct route_verdict *verdict) {
  const struct route *before = telling->before;
  char text[REASON_SIZE];
  if (!before || verdict->tie == ROUTE_TIE_NONE)
    return;
  if (verdict->tie == ROUTE_TIE_PRIORITY)
    snprintf(text, sizeof text, "\"%.256s\" is checked first: its priority is %d, above %d", before->name,
             before->priority, verdict->route->priority);
  else
    snprintf(text, sizeof text, "\"%.256s\" is checked first: it %s", before->name,
             order_of(verdict->tie, before, verdict->route));
  struct value *after = value_set_table(row, "after");
  value_set_string(after, "route", before->name);
  value_set_string(after, "by", route_tie_label(verdict->tie));
  value_set_string(after, "reason", text);
}

static const char *domain_at(const struct route *route, size_t index) { return route->domains[index]; }
static const char *client_at(const struct route *route, size_t index) { return ip_set_text(route->client_ips, index); }

/* `"a", "b" or 3 more`, behind `text`: of what has to be, and of what all are not. */
static void list_values(const struct route *route, size_t count, const char *(*value)(const struct route *, size_t),
                        char text[REASON_SIZE]) {
  size_t length = strlen(text);
  for (size_t i = 0; i < count && i < SHOWN_VALUES && length < REASON_SIZE; i++) {
    const char *before = i == 0 ? "" : i + 1 == count ? " or " : ", ";
    length += (size_t)snprintf(text + length, REASON_SIZE - length, "%s\"%.128s\"", before, value(route, i));
  }
  if (count > SHOWN_VALUES && length < REASON_SIZE)
    snprintf(text + length, REASON_SIZE - length, " or %zu more", count - SHOWN_VALUES);
}

static bool has_pattern(const struct route *route) {
  for (size_t i = 0; i < route->domain_count; i++)
    if (domain_specificity(route->domains[i]) != DOMAIN_EXACT)
      return true;
  return false;
}

static void explain_write_domains(const struct explained *explained, const struct route *route,
                                  char text[REASON_SIZE]) {
  if (explained->question.domain_length == 0)
    snprintf(text, REASON_SIZE, "the connection names no domain, and the route wants ");
  else
    snprintf(text, REASON_SIZE, "\"%.256s\" %s ", explained->question.domain,
             has_pattern(route) ? "does not match" : "is not");
  list_values(route, route->domain_count, domain_at, text);
  size_t length = strlen(text);
  for (size_t i = 0; explained->question.domain_length > 0 && i < route->domain_count && length < REASON_SIZE; i++) {
    const char *domain = route->domains[i];
    if (strncmp(domain, "*.", 2) == 0 && strcmp(domain + 2, explained->question.domain) == 0) {
      snprintf(text + length, REASON_SIZE - length, ": that takes the names below %.128s, not %.128s itself",
               domain + 2, domain + 2);
      return;
    }
  }
}

static void describe_client(const struct explained *explained, const struct route *route, char text[REASON_SIZE]) {
  char client[ADDRESS_TEXT_SIZE];
  snprintf(text, REASON_SIZE, "%s is not in ", ip_address_format(&explained->question.client, client));
  list_values(route, ip_set_count(route->client_ips), client_at, text);
}

/* What it asks for of what is not said: of the first in `text`, of the second with the field that it stands in. */
static void describe_open(const struct route_verdict *verdict, char text[REASON_SIZE]) {
  const struct route *route = verdict->route;
  const char *before = "";
  if (verdict->open & ROUTE_OPEN_CLIENT_IP) {
    snprintf(text, REASON_SIZE, "takes only clients in ");
    list_values(route, ip_set_count(route->client_ips), client_at, text);
    snprintf(text + strlen(text), REASON_SIZE - strlen(text), " (not said)%s",
             verdict->open & ROUTE_OPEN_TLS_VERSION ? "; tls_version: " : "");
  }
  if (!(verdict->open & ROUTE_OPEN_TLS_VERSION))
    return;
  snprintf(text + strlen(text), REASON_SIZE - strlen(text), "takes only ");
  for (unsigned version = TLS_1_0; version <= TLS_1_3; version <<= 1) {
    if (!(route->tls_versions & version))
      continue;
    snprintf(text + strlen(text), REASON_SIZE - strlen(text), "%s%s", before, tls_version_label(version));
    before = " or ";
  }
  snprintf(text + strlen(text), REASON_SIZE - strlen(text), " as the highest that the client offers (not said)");
}

static void write_reason(struct value *row, const struct explained *explained, const struct route_verdict *verdict) {
  const struct route *route = verdict->route;
  char text[REASON_SIZE] = "";
  if (verdict->clause == ROUTE_CLAUSE_DOMAIN)
    explain_write_domains(explained, route, text);
  else if (verdict->open)
    describe_open(verdict, text);
  else if (verdict->clause == ROUTE_CLAUSE_CLIENT_IP)
    describe_client(explained, route, text);
  else if (verdict->clause == ROUTE_CLAUSE_WHEN)
    snprintf(text, sizeof text, "its `when` decides (%.256s:%d), which is not run here; the rest fits (%.512s)",
             route->file, route->line, verdict->detail);
  else
    snprintf(text, sizeof text, "%s", verdict->detail ? verdict->detail : "");
  if (verdict->open && verdict->clause != ROUTE_CLAUSE_OUTRANKED && route->when_function != ROUTE_NO_FUNCTION)
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "; then its `when` decides (%.256s:%d), which is not run here", route->file, route->line);
  value_set_string(row, "reason", text);
}

static void on_explain_verdict(void *context, const struct route_verdict *verdict) {
  struct telling *telling = context;
  const struct explained *explained = telling->explained;
  bool decides = verdict->clause == ROUTE_CLAUSE_CHOSEN || verdict->clause == ROUTE_CLAUSE_WHEN;
  bool matches = decides || verdict->open || verdict->clause == ROUTE_CLAUSE_OUTRANKED;
  int status = outcome_add(&telling->outcome, explained, verdict);
  telling->status = telling->status ? telling->status : status;
  telling->place++;
  telling->depends += verdict->clause == ROUTE_CLAUSE_WHEN;
  if (verdict->clause == ROUTE_CLAUSE_CHOSEN)
    telling->chosen = verdict->route;
  if (telling->listed >= explained->limit && !decides) {
    bool is_open = verdict->open && verdict->clause != ROUTE_CLAUSE_OUTRANKED;
    ++*(is_open ? &telling->omitted_open : &telling->omitted[verdict->clause]);
  } else {
    struct value *row = route_report_write(telling->list, explained->instance, verdict->route);
    telling->listed++;
    value_set_number(row, "place", (double)telling->place);
    value_set_string(row, "verdict", verdict_of(verdict->clause));
    value_set_string(row, "clause", field_of(verdict->clause));
    if (verdict->open)
      value_set_boolean(row, "open", true);
    write_reason(row, explained, verdict);
    if (matches)
      write_order(row, telling, verdict);
  }
  telling->before = matches ? verdict->route : NULL;
}

static void write_omitted(struct value *root, const struct telling *telling) {
  struct value *list = value_set_table(root, "omitted");
  for (unsigned clause = 0; clause < ROUTE_CLAUSE_COUNT; clause++) {
    const char *field = field_of((enum route_clause)clause);
    if (telling->omitted[clause] > 0)
      value_set_number(list, field ? field : verdict_of((enum route_clause)clause), (double)telling->omitted[clause]);
  }
  if (telling->omitted_open > 0)
    value_set_number(list, "open", (double)telling->omitted_open);
}

int explain_candidates(struct value *root, const struct explained *explained) {
  struct telling telling = {.explained = explained, .list = value_set_table(root, "candidates")};
  int status = route_explain(explained->table, explained->port, &explained->question, explained->open,
                             on_explain_verdict, &telling);
  status = status ? status : telling.status;
  if (status == 0) {
    value_set_number(root, "total", (double)telling.place);
    value_set_string(root, "chosen", telling.chosen ? telling.chosen->name : NULL);
    value_set_number(root, "depends", (double)telling.depends);
    write_omitted(root, &telling);
    outcome_write(root, &telling.outcome, explained);
    explain_admission(root, explained, telling.depends == 0 ? telling.chosen : NULL);
  }
  route_cases_deinit(&telling.outcome.cases);
  return status;
}
