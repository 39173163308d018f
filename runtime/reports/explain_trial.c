/* SPDX-License-Identifier: MIT
 *
 * Clients of every kind that the question may mean, each sent through the corridor's steps on trial. */
#include "instance/instance.h"
#include "reports/explain_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What one without TLS may begin with: the two that ports tell apart. */
static const char *const first_words[] = {"GET / HTTP/1.1\r\n\r\n", "moongate: something else\r\n"};

static void on_trial_when(void *context, const struct route *route) {
  struct explain_trials *trials = context;
  size_t count = trials->first.when_count; /* it is counted already */
  if (count > trials->when_room) {
    size_t room = count * 2 + 8;
    const struct route **whens = realloc(trials->whens, room * sizeof *whens);
    if (!whens)
      return; /* explain_try() sees that it is missing */
    trials->whens = whens;
    trials->when_room = room;
  }
  trials->whens[count - 1] = route;
}

static struct trial_client client_of(const struct explained *explained) {
  const struct route_question *question = &explained->question;
  return (struct trial_client){.port = explained->port,
                               .address = question->client,
                               .domain = question->domain,
                               .domain_length = question->domain_length,
                               .is_tls = question->is_tls,
                               .tls_version = question->tls_versions,
                               .sends = first_words[0]};
}

static bool is_same_refusal(const struct trial_refusal *a, const struct trial_refusal *b) {
  return a->reason == b->reason && a->is_reset == b->is_reset && a->answer_size == b->answer_size &&
         memcmp(a->answer, b->answer, a->answer_size) == 0;
}

static void keep_refusals(struct explain_trials *trials, const struct trial_record *record) {
  for (size_t i = 0; i < record->refusal_count; i++) {
    const struct trial_refusal *refusal = &record->refusals[i];
    size_t same = 0;
    while (same < trials->refusal_count && !is_same_refusal(&trials->refusals[same], refusal))
      same++;
    if (refusal->at == TRIAL_AT_CHOICE && same == trials->refusal_count &&
        same < sizeof trials->refusals / sizeof trials->refusals[0])
      trials->refusals[trials->refusal_count++] = *refusal;
  }
}

int explain_try(struct explain_trials *trials, const struct explained *explained, struct trial *trial) {
  const struct trial_client client = client_of(explained);
  int status = trial_run(trial, &client, on_trial_when, trials, &trials->first);
  return status == 0 && trials->first.when_count > trials->when_room ? -ENOMEM : status;
}

void explain_add_clients(struct explain_trials *trials, const struct route *route) {
  for (size_t i = 0; i < ip_set_count(route->client_ips) && trials->client_count < EXPLAIN_CLIENTS; i++) {
    struct prefix prefix;
    if (ip_set_prefix(route->client_ips, i, &prefix))
      trials->clients[trials->client_count++] = prefix_first_address(&prefix);
  }
}

int explain_try_others(struct explain_trials *trials, const struct explained *explained, struct trial *trial) {
  bool versions_open = explained->open & ROUTE_OPEN_TLS_VERSION && explained->question.is_tls;
  size_t clients = explained->open & ROUTE_OPEN_CLIENT_IP ? trials->client_count + 1 : 1;
  unsigned kinds = versions_open ? 4 : explained->question.is_tls ? 1 : 2;
  int status = 0;
  for (size_t i = 0; i < clients * kinds && status == 0 && !trial_is_over(trial); i++) {
    struct trial_client client = client_of(explained);
    struct trial_record record;
    size_t number = i / kinds, kind = i % kinds;
    if (number > 0)
      client.address = trials->clients[number - 1];
    if (versions_open)
      client.tls_version = (unsigned)TLS_1_0 << kind;
    else
      client.sends = first_words[kind];
    status = trial_run(trial, &client, NULL, NULL, &record);
    keep_refusals(trials, &record);
  }
  return status;
}

static void write_trial_refusal(struct value *list, const struct trial_refusal *refusal) {
  struct value *row = value_set_table(list, NULL);
  value_set_string(row, "step", refusal->step);
  value_set_string(row, "reason", close_reason_label(refusal->reason));
  value_set_string(row, "option", refusal->option);
  if (refusal->limit >= 0)
    value_set_number(row, "limit", (double)refusal->limit);
  if (refusal->blocked_ms > 0)
    value_set_number(row, "seconds", (double)refusal->blocked_ms / 1000);
  value_set_boolean(row, "reset", refusal->is_reset);
  value_set_boolean(row, "routed", refusal->at == TRIAL_AT_ROUTE);
  struct value *answer = refusal->answer_size ? value_set_table(row, "answer") : NULL;
  for (size_t i = 0; i < refusal->answer_size; i++)
    value_set_number(answer, NULL, refusal->answer[i]);
}

/* Lists that a client who was not said has not been held against. */
static void write_lists(struct value *list, const struct explained *explained, const struct route *route) {
  const struct policy *policy = explained->table->policy;
  bool has_own = route && (route->security.block || route->security.allow);
  if (explained->question.client.is_set)
    return;
  if (policy && (policy->block || policy->allow))
    value_set_string(list, NULL, "config");
  if (has_own)
    value_set_string(list, NULL, "route");
}

void explain_trials_write(struct value *root, const struct explained *explained, const struct explain_trials *trials) {
  const struct trial_record *first = &trials->first;
  struct value *table = value_set_table(root, "trial");
  value_set_string(table, "route", first->route ? first->route->name : NULL);
  if (first->route) {
    value_set_string(table, "file", first->route->file);
    value_set_number(table, "line", first->route->line);
  }
  value_set_boolean(table, "authorize", first->asks_authorize);
  value_set_string(table, "undecided", first->undecided);
  write_lists(value_set_table(table, "lists"), explained, first->route);
  struct value *list = value_set_table(table, "kept_out");
  for (size_t i = 0; i < first->refusal_count; i++)
    if (first->refusals[i].at != TRIAL_AT_CHOICE)
      write_trial_refusal(list, &first->refusals[i]);
  list = value_set_table(table, "refusals");
  for (size_t i = 0; i < trials->refusal_count; i++)
    write_trial_refusal(list, &trials->refusals[i]);
}

void explain_trials_deinit(struct explain_trials *trials) { free(trials->whens); }
