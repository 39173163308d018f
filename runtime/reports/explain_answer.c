/* SPDX-License-Identifier: MIT
 *
 * The answer as plain data: each candidate with what became of it. Of a long list the first are told, and the one that
 * is chosen wherever it stands; the rest is counted by what became of it. */
#include "instance/instance.h"
#include "net/ip_set.h"
#include "reports/explain_private.h"
#include "reports/routes_report.h"

#include <errno.h>

struct telling {
  const struct explained *explained;
  struct value *list;
  const struct route *before; /* the candidate before this one, when it matches */
  const struct route *chosen;
  size_t place, listed, depends;
  size_t omitted[ROUTE_CLAUSE_COUNT], omitted_open;
  unsigned open; /* bits of enum route_open: what it hangs on */
  struct route_cases cases;
  struct explain_trials trials;
  int status;
};

static void write_versions(struct value *list, unsigned versions) {
  for (unsigned version = TLS_1_0; version <= TLS_1_3; version <<= 1)
    if (versions & version)
      value_set_string(list, NULL, tls_version_label(version));
}

static void write_open(struct value *list, unsigned open) {
  if (open & ROUTE_OPEN_CLIENT_IP)
    value_set_string(list, NULL, "client_ip");
  if (open & ROUTE_OPEN_TLS_VERSION)
    value_set_string(list, NULL, "tls_version");
}

void explain_write_verdict(struct value *row, const struct route_verdict *verdict) {
  value_set_string(row, "clause", route_clause_label(verdict->clause));
  if (verdict->open)
    write_open(value_set_table(row, "open"), verdict->open);
  if (verdict->tie != ROUTE_TIE_NONE)
    value_set_string(row, "by", route_tie_label(verdict->tie));
  struct value *matched = value_set_table(row, "matched");
  value_set_boolean(matched, "address", verdict->is_bound && verdict->route->address.length);
  value_set_string(matched, "domain", verdict->domain);
  value_set_string(matched, "client_ip", verdict->client_ip);
}

/* As long as nothing is open, and they had the time to come to it, the steps have said which one it is, and whose
 * `when` comes before. */
static enum route_clause clause_of(const struct telling *telling, const struct route_verdict *verdict) {
  const struct explain_trials *trials = &telling->trials;
  bool came_to_it = trials->first.route || !trials->first.undecided;
  if (telling->open || verdict->open || !came_to_it)
    return verdict->clause;
  if (telling->depends < trials->first.when_count && trials->whens[telling->depends] == verdict->route)
    return ROUTE_CLAUSE_WHEN;
  if (verdict->route == trials->first.route)
    return ROUTE_CLAUSE_CHOSEN;
  return verdict->clause < ROUTE_CLAUSE_OUTRANKED ? ROUTE_CLAUSE_OUTRANKED : verdict->clause;
}

static void count_omitted(struct telling *telling, const struct route_verdict *verdict) {
  bool is_open = verdict->open && verdict->clause != ROUTE_CLAUSE_OUTRANKED;
  ++*(is_open ? &telling->omitted_open : &telling->omitted[verdict->clause]);
}

static void on_explain_verdict(void *context, const struct route_verdict *told) {
  struct telling *telling = context;
  struct route_verdict one = *told, *verdict = &one;
  verdict->clause = clause_of(telling, told);
  bool is_chosen = verdict->clause == ROUTE_CLAUSE_CHOSEN, is_when = verdict->clause == ROUTE_CLAUSE_WHEN;
  bool matches = is_chosen || is_when || verdict->open || verdict->clause == ROUTE_CLAUSE_OUTRANKED;
  int status = route_cases_add(&telling->cases, verdict);
  telling->status = telling->status ? telling->status : status;
  telling->place++;
  telling->depends += is_when;
  telling->chosen = is_chosen ? verdict->route : telling->chosen;
  if (verdict->clause != ROUTE_CLAUSE_OUTRANKED)
    telling->open |= verdict->open;
  if (telling->explained->open & ROUTE_OPEN_CLIENT_IP && verdict->route->client_ips &&
      (verdict->open || verdict->clause == ROUTE_CLAUSE_TLS_VERSION))
    explain_add_clients(&telling->trials, verdict->route);
  if (telling->listed >= telling->explained->limit && !is_chosen) {
    count_omitted(telling, verdict);
  } else {
    struct value *row = route_report_write(telling->list, telling->explained->instance, verdict->route);
    telling->listed++;
    value_set_number(row, "place", (double)telling->place);
    explain_write_verdict(row, verdict);
    if (matches && telling->before) {
      struct value *before = value_set_table(row, "before");
      value_set_string(before, "name", telling->before->name);
      value_set_string(before, "file", telling->before->file);
      value_set_number(before, "priority", telling->before->priority);
    }
  }
  telling->before = matches ? verdict->route : NULL;
}

static void write_omitted(struct value *root, const struct telling *telling) {
  struct value *list = value_set_table(root, "omitted");
  for (unsigned clause = 0; clause < ROUTE_CLAUSE_COUNT; clause++)
    if (telling->omitted[clause] > 0)
      value_set_number(list, route_clause_label((enum route_clause)clause), (double)telling->omitted[clause]);
  if (telling->omitted_open > 0)
    value_set_number(list, "open", (double)telling->omitted_open);
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

static void write_cases(struct value *root, struct telling *telling) {
  struct route_cases *cases = &telling->cases;
  bool may_be_refused = telling->trials.refusal_count > 0;
  struct value *list = value_set_table(root, "cases");
  size_t omitted = 0;
  route_cases_finish(cases);
  for (size_t i = 0; i < cases->count; i++) {
    const struct route_case *one = &cases->list[i];
    if (i >= telling->explained->limit && (may_be_refused || i + 1 < cases->count)) {
      omitted++;
      continue;
    }
    struct value *row = value_set_table(list, NULL);
    if (one->most >= 0)
      write_members(row, one);
    if (one->tls_versions)
      write_versions(value_set_table(row, "tls_version"), one->tls_versions);
    value_set_string(row, "route", one->route->name);
    if (one->route->when_function != ROUTE_NO_FUNCTION)
      value_set_boolean(row, "when", true);
  }
  if (may_be_refused)
    value_set_boolean(value_set_table(list, NULL), "refused", true);
  if (omitted > 0)
    value_set_number(root, "omitted_cases", (double)omitted);
}

static void explain_write_answer(struct value *root, struct telling *telling) {
  value_set_number(root, "total", (double)telling->place);
  value_set_string(root, "chosen", telling->chosen ? telling->chosen->name : NULL);
  value_set_number(root, "depends", (double)telling->depends);
  write_omitted(root, telling);
  if (telling->open) {
    write_open(value_set_table(root, "open"), telling->open);
    write_cases(root, telling);
  }
  explain_trials_write(root, telling->explained, &telling->trials);
}

int explain_candidates(struct value *root, const struct explained *explained) {
  struct telling telling = {.explained = explained, .list = value_set_table(root, "candidates")};
  struct admission *admission = explained->instance ? &explained->instance->threads.admission : NULL;
  struct trial *trial = trial_new(explained->table, admission, explained->clock);
  int status = trial ? explain_try(&telling.trials, explained, trial) : -ENOMEM;
  status = status ? status
                  : route_explain(explained->table, explained->port, &explained->question, explained->open,
                                  on_explain_verdict, &telling);
  status = status ? status : telling.status;
  status = status ? status : explain_try_others(&telling.trials, explained, trial);
  if (status == 0)
    explain_write_answer(root, &telling);
  route_cases_deinit(&telling.cases);
  explain_trials_deinit(&telling.trials);
  trial_free(trial);
  return status;
}
