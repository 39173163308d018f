/* SPDX-License-Identifier: MIT
 *
 * The snapshot as plain data: the connections, counted in the ways that show what they have in common, the workers, the
 * history. */
#include "instance/heartbeat.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/diagnose.h"
#include "reports/diagnose_group.h"
#include "reports/diagnose_pattern.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXAMPLES = 20 };

static double diagnose_seconds(uint64_t ms) { return (double)ms / 1000; }

static int by_since(const void *left, const void *right) {
  const struct diagnose_item *a = left, *b = right;
  return a->since < b->since ? 1 : a->since > b->since ? -1 : 0;
}

static void write_pattern(struct value *list, enum diagnose_pattern pattern, struct diagnose_item *items,
                          size_t count) {
  struct value *entry = value_set_table(list, diagnose_pattern_label(pattern));
  value_set_number(entry, "count", (double)count);
  if (count == 0)
    return;
  diagnose_groups_write(entry, "by_target", BY_TARGET, items, count);
  diagnose_groups_write(entry, "by_route", BY_ROUTE, items, count);
  diagnose_groups_write(entry, "by_client", BY_CLIENT, items, count);
  diagnose_groups_write(entry, "by_port", BY_PORT, items, count);
  diagnose_groups_write(entry, "by_function", BY_FUNCTION, items, count);
  qsort(items, count, sizeof *items, by_since);
  value_set_number(entry, "oldest", diagnose_seconds(items[0].since));
  size_t shown = count < EXAMPLES ? count : EXAMPLES;
  void **examples = calloc(shown + 1, sizeof *examples);
  for (size_t i = 0; examples && i < shown; i++)
    examples[i] = record_copy(&connection_record, items[i].entry);
  value_set_records(entry, "examples", &connection_record, examples, examples ? shown : 0);
}

static void write_patterns(struct value *root, const struct connection_entry **entries, size_t count,
                           struct diagnose_item *items, const struct instance *instance) {
  struct value *list = value_set_table(root, "patterns");
  for (unsigned pattern = 0; pattern < PATTERN_COUNT; pattern++) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
      uint64_t since;
      if (diagnose_pattern_shows((enum diagnose_pattern)pattern, entries[i], instance->config.diagnose.old_ms, &since))
        items[found++] = (struct diagnose_item){.entry = entries[i], .since = since};
    }
    write_pattern(list, (enum diagnose_pattern)pattern, items, found);
  }
}

/* How many are younger than each, and not younger than the one before; the last: all the others. */
static void write_ages(struct value *root, const struct connection_entry **entries, size_t count) {
  static const uint64_t bounds[] = {1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, UINT64_MAX / 1000};
  enum { BOUNDS = sizeof bounds / sizeof bounds[0] };
  size_t counts[BOUNDS] = {0};
  for (size_t i = 0; i < count; i++) {
    size_t bound = 0;
    while (entries[i]->age >= bounds[bound] * 1000)
      bound++;
    counts[bound]++;
  }
  struct value *list = value_set_table(root, "ages");
  for (size_t i = 0; i < BOUNDS; i++) {
    struct value *entry = value_set_table(list, NULL);
    if (i + 1 < BOUNDS)
      value_set_number(entry, "below", (double)bounds[i]);
    value_set_number(entry, "count", (double)counts[i]);
  }
}

static void diagnose_write_states(struct value *root, const struct connection_entry **entries, size_t count) {
  size_t states[CONNECTION_STATE_COUNT] = {0};
  for (size_t i = 0; i < count; i++)
    states[entries[i]->state]++;
  struct value *table = value_set_table(root, "by_state");
  for (unsigned state = 0; state < CONNECTION_CLOSED; state++)
    value_set_number(table, connection_state_label((enum connection_state)state), (double)states[state]);
}

/* Of the workers that are back, each of them as it may be when moongate stops. */
static const struct connection_entry **collect_entries(const struct ask *ask, size_t *count) {
  uint64_t left = connections_time_left(ask->asks->context);
  *count = 0;
  for (size_t i = 0; i < ask->count; i++)
    if (!ask->parts[i].away)
      *count += ((struct diagnose_answer *)ask->parts[i].answer)->found.selection.count;
  const struct connection_entry **entries = calloc(*count + 1, sizeof *entries);
  size_t at = 0;
  for (size_t i = 0; entries && i < ask->count; i++) {
    struct selection *selection = &((struct diagnose_answer *)ask->parts[i].answer)->found.selection;
    for (size_t k = 0; !ask->parts[i].away && k < selection->count; k++) {
      struct connection_entry *entry = selection->records[k];
      entries[at++] = entry;
      if (entry->deadline <= left)
        continue;
      entry->deadline = left;
      entry->deadline_reason = close_reason_label(CLOSE_SHUTDOWN);
    }
  }
  return entries;
}

static bool write_connections(struct value *root, const struct ask *ask, const struct instance *instance) {
  size_t count;
  const struct connection_entry **entries = collect_entries(ask, &count);
  struct diagnose_item *items = entries ? calloc(count + 1, sizeof *items) : NULL;
  if (items) {
    struct value *table = value_set_table(root, "connections");
    value_set_number(table, "open", (double)count);
    value_set_boolean(table, "complete", ask_is_complete(ask));
    diagnose_write_states(table, entries, count);
    for (size_t i = 0; i < count; i++)
      items[i] = (struct diagnose_item){.entry = entries[i], .since = entries[i]->age};
    diagnose_groups_write(table, "by_route", BY_ROUTE, items, count);
    diagnose_groups_write(table, "by_client", BY_CLIENT, items, count);
    diagnose_groups_write(table, "by_target", BY_TARGET, items, count);
    write_ages(table, entries, count);
    write_patterns(root, entries, count, items, instance);
  }
  free(items);
  free(entries);
  return items != NULL;
}

/* A worker that has not answered is at least as late as the oldest question is that it was asked: one that is stuck is
 * not asked again, and its heartbeat is under way still. `silence_ns`: for how long. */
static void write_worker(struct value *list, const struct ask_part *part, struct diagnose_watch *watch, uint64_t now_ns,
                         uint64_t silence_ns) {
  bool answered = !part->away && part->begun;
  uint64_t waited = now_ns > part->asked_ns ? now_ns - part->asked_ns : 0;
  if (watch && watch->asked && now_ns > watch->asked_ns && now_ns - watch->asked_ns > waited)
    waited = now_ns - watch->asked_ns;
  waited = silence_ns > waited ? silence_ns : waited;
  const struct diagnose_answer *answer = part->answer;
  uint64_t lag = answered ? answer->sample.lag_ns : waited;
  uint64_t worst = watch && watch->worst_ns > lag ? watch->worst_ns : lag;
  struct value *entry = value_set_table(list, NULL);
  value_set_number(entry, "number", part->worker->number);
  value_set_boolean(entry, "answered", answered);
  value_set_number(entry, "lag", (double)lag / 1e9);
  value_set_number(entry, "worst_lag", (double)worst / 1e9);
  if (watch)
    watch->worst_ns = 0;
  if (!answered)
    return;
  value_set_number(entry, "connections", (double)answer->sample.open);
  value_set_number(entry, "script_memory", (double)answer->sample.script_memory);
  value_set_number(entry, "script_states", (double)answer->sample.script_states);
  value_set_number(entry, "pipes", answer->sample.pipes);
  value_set_number(entry, "pipes_limit", worker_pipes(part->worker));
}

static void diagnose_write_workers(struct value *root, const struct ask *ask, struct diagnose *diagnose) {
  struct value *list = value_set_table(root, "workers");
  const struct instance *instance = ask->asks->context;
  uint64_t now_ns = clock_ns(&instance->runtime->clock);
  for (size_t i = 0; i < ask->count; i++)
    write_worker(list, &ask->parts[i], i < diagnose->count ? &diagnose->watches[i] : NULL, now_ns,
                 heartbeats_silence_ns(instance->heartbeats, ask->parts[i].worker));
}

/* By how much a counter has grown; a worker that is silent now may make it smaller. */
static double growth(uint64_t now, uint64_t before) { return now > before ? (double)(now - before) : 0; }

static void add_stats(struct worker_stats *sum, const struct worker_stats *part) {
  for (size_t side = 0; side < METRIC_SIDES; side++)
    for (size_t reason = 0; reason < METRIC_REASONS; reason++)
      sum->terminations[side][reason] += part->terminations[side][reason];
  for (size_t error = 0; error < METRIC_ERROR_COUNT; error++)
    sum->errors[error] += part->errors[error];
  sum->connections += part->connections;
}

/* What has been counted since the last snapshot. What is 0 is left out. */
static void write_since(struct value *root, const struct ask *ask, struct diagnose *diagnose) {
  struct worker_stats sum = {.connections = 0}, *before = &diagnose->since;
  clock_ms now = clock_now(ask->asks->loop->clock);
  for (size_t i = 0; i < ask->count; i++) {
    bool answered = !ask->parts[i].away && ask->parts[i].begun;
    if (answered || i < diagnose->count)
      add_stats(&sum, answered ? &((const struct diagnose_answer *)ask->parts[i].answer)->sample.stats
                               : &diagnose->watches[i].last.stats);
  }
  struct value *since = value_set_table(root, "since_last");
  value_set_number(since, "seconds", diagnose_seconds(now - diagnose->since_ms));
  value_set_number(since, "accepted", growth(sum.connections, before->connections));
  struct value *terminations = value_set_table(since, "terminations");
  for (size_t side = 0; side < METRIC_SIDES; side++) {
    struct value *reasons = value_set_table(terminations, pipe_side_label((enum pipe_side)side));
    for (unsigned reason = CLOSE_NONE + 1; reason < CLOSE_REASON_COUNT; reason++)
      if (sum.terminations[side][reason] > before->terminations[side][reason])
        value_set_number(reasons, close_reason_label((enum close_reason)reason),
                         growth(sum.terminations[side][reason], before->terminations[side][reason]));
  }
  struct value *errors = value_set_table(since, "errors");
  for (unsigned error = 0; error < METRIC_ERROR_COUNT; error++)
    if (sum.errors[error] > before->errors[error])
      value_set_number(errors, metric_error_label((enum metric_error)error),
                       growth(sum.errors[error], before->errors[error]));
  diagnose->since = sum;
  diagnose->since_ms = now;
}

/* Oldest first. */
static void write_trend(struct value *root, const struct diagnose *diagnose, clock_ms now) {
  struct value *list = value_set_table(root, "trend");
  size_t kept = diagnose->sampled < DIAGNOSE_SAMPLES ? diagnose->sampled : DIAGNOSE_SAMPLES;
  for (size_t i = diagnose->sampled - kept; i < diagnose->sampled; i++) {
    const struct diagnose_sample *sample = &diagnose->samples[i % DIAGNOSE_SAMPLES];
    struct value *entry = value_set_table(list, NULL);
    value_set_number(entry, "ago", diagnose_seconds(now - sample->time));
    value_set_number(entry, "open", (double)sample->open);
    value_set_number(entry, "connecting", (double)sample->connecting);
    value_set_number(entry, "accepted", (double)sample->accepted);
    value_set_number(entry, "ended", (double)sample->ended);
    value_set_number(entry, "lag", (double)sample->lag_ns / 1e9);
    value_set_number(entry, "silent_workers", sample->silent);
  }
}

static void write_config(struct value *root, const struct instance *instance) {
  const struct config *config = &instance->config;
  const struct route_timeouts *timeouts = &config->timeouts;
  struct value *table = value_set_table(root, "config");
  value_set_string(table, "path", config->path);
  value_set_string(table, "routes", config->routes);
  value_set_number(table, "workers", (double)instance->threads.count);
  value_set_boolean(table, "access_log", config->policy->access_log);
  struct value *limits = value_set_table(table, "limits");
  value_set_number(limits, "connections", config->policy->connections);
  value_set_number(limits, "connections_per_ip", config->policy->limits.connections.count);
  value_set_number(limits, "idle_near_cap", diagnose_seconds(config->policy->idle_near_cap_ms));
  value_set_number(limits, "old_versions", config->limits.old_versions);
  struct value *times = value_set_table(table, "timeouts");
  value_set_number(times, "connect", diagnose_seconds(timeouts->connect));
  value_set_number(times, "initial_data", diagnose_seconds(timeouts->initial_data));
  value_set_number(times, "idle", diagnose_seconds(timeouts->idle));
  value_set_number(times, "lifetime", diagnose_seconds(timeouts->lifetime));
  value_set_number(times, "half_dead", diagnose_seconds(timeouts->half_dead));
  value_set_number(times, "half_dead_tls", diagnose_seconds(timeouts->half_dead_tls));
  value_set_number(times, "stuck", diagnose_seconds(timeouts->stuck));
  value_set_number(times, "stuck_tls", diagnose_seconds(timeouts->stuck_tls));
  struct value *diagnose = value_set_table(table, "diagnose");
  value_set_number(diagnose, "every", diagnose_seconds(config->diagnose.every_ms));
  value_set_number(diagnose, "connections", config->diagnose.connections);
  value_set_number(diagnose, "spike", config->diagnose.spike);
  value_set_number(diagnose, "old", diagnose_seconds(config->diagnose.old_ms));
  value_set_number(diagnose, "keep", config->diagnose.keep);
}

struct value *diagnose_report(struct ask *ask) {
  struct instance *instance = ask->asks->context;
  struct value *root = value_table();
  if (!write_connections(root, ask, instance)) {
    value_free(root);
    return NULL;
  }
  value_set_number(root, "time", clock_wall(&instance->runtime->clock));
  write_config(root, instance);
  diagnose_write_workers(root, ask, instance->diagnose);
  write_since(root, ask, instance->diagnose);
  write_trend(root, instance->diagnose, clock_now(&instance->runtime->clock));
  return root;
}
