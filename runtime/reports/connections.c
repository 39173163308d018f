/* SPDX-License-Identifier: MIT
 *
 * The questions about connections: what a worker does for them, and the answer. */
#include "reports/connections.h"

#include "instance/instance.h"
#include "instance/runtime.h"

#include <errno.h>
#include <stdlib.h>

static const struct record_field found_fields[] = {RECORD_FIELD(connections_found, NULL, "open", open, 0)};

/* Of struct connections_found what is remembered. */
static const struct record_type found_record = {
    .size = sizeof(uint64_t),
    .fields = found_fields,
    .field_count = 1,
};

bool connections_step(struct connections_found *found, struct ask_part *part, const struct selection_query *query,
                      bool kill) {
  enum { SORTED_AT_ONCE = 512 };
  struct connection_entry entry;
  size_t killed = 0;
  if (!part->begun)
    connection_walk_begin(&found->walk, part->worker);
  for (size_t i = 0; i < CONNECTIONS_PIECE && killed < CONNECTIONS_KILL_PIECE && !found->walked; i++) {
    struct connection *connection = connection_walk_next(&found->walk, part->worker);
    size_t before = found->selection.matched;
    found->walked = !connection;
    found->open += connection != NULL;
    if (!connection || connection->state == CONNECTION_CLOSED)
      continue;
    connection_entry_fill(&entry, connection);
    selection_take(&found->selection, query, &entry, connection);
    if (!kill || found->selection.matched == before)
      continue;
    connection_kill(connection);
    killed++;
  }
  return !found->walked || !selection_sort(&found->selection, query, SORTED_AT_ONCE);
}

static bool step_list(struct ask_part *part) {
  return connections_step(part->answer, part, part->ask->question, false);
}

static bool step_kill(struct ask_part *part) { return connections_step(part->answer, part, part->ask->question, true); }

static void connections_give_up(struct ask_part *part) {
  connection_walk_end(&((struct connections_found *)part->answer)->walk);
}

static void connections_clear(void *answer) { selection_clear(&((struct connections_found *)answer)->selection); }

static bool connections_concern(const void *question, unsigned worker) {
  return selection_query_concerns(question, worker);
}

static void connections_free_question(void *question) {
  selection_query_deinit(question);
  free(question);
}

uint64_t connections_time_left(const struct instance *instance) {
  clock_ms now = clock_now(&instance->runtime->clock), end = instance->drain_until;
  return instance->phase < INSTANCE_DRAINING ? UINT64_MAX : end > now ? end - now : 0;
}

static void connections_write_page(struct value *root, const struct ask *ask) {
  const struct selection_query *query = ask->question;
  uint64_t left = connections_time_left(ask->asks->context);
  struct selection **selections = calloc(ask->count + 1, sizeof *selections);
  size_t total = 0, open = 0, parts = 0, count = 0;
  bool complete = ask_is_complete(ask);
  for (size_t i = 0; i < ask->count; i++) {
    struct connections_found *found = ask->parts[i].answer;
    if (ask->parts[i].away || !selections)
      continue;
    total += found->selection.matched;
    open += found->open;
    complete = complete && !found->selection.failed;
    selections[parts++] = &found->selection;
  }
  void **page = selections ? selections_merge(selections, parts, query, &count) : NULL;
  free(selections);
  for (size_t i = 0; page && i < count; i++) {
    struct connection_entry *entry = page[i];
    if (entry->deadline > left) {
      entry->deadline = left;
      entry->deadline_reason = close_reason_label(CLOSE_SHUTDOWN);
    }
  }
  value_set_number(root, "total", (double)total);
  value_set_number(root, "open", (double)open);
  value_set_boolean(root, "complete", complete && page);
  value_set_records(root, "connections", &connection_record, page, page ? count : 0);
}

static struct value *connections_report(struct ask *ask) {
  struct value *root = value_table();
  connections_write_page(root, ask);
  ask_write_workers(ask, root);
  return root;
}

static const struct ask_kind connections_kind = {
    .answer_size = sizeof(struct connections_found),
    .brief = &found_record,
    .concerns = connections_concern,
    .step = step_list,
    .give_up = connections_give_up,
    .report = connections_report,
    .clear = connections_clear,
    .free_question = connections_free_question,
};

static const struct ask_kind kill_kind = {
    .answer_size = sizeof(struct connections_found),
    .finishes = true,
    .concerns = connections_concern,
    .step = step_kill,
    .give_up = connections_give_up,
    .report = connections_report,
    .clear = connections_clear,
    .free_question = connections_free_question,
};

static void connections_begin(struct instance *instance, const struct ask_kind *kind, const struct value *arguments,
                              struct native_call *call) {
  struct error error;
  struct selection_query *query = calloc(1, sizeof *query);
  int status = query ? selection_query_init(query, &connection_record, arguments, &error) : -ENOMEM;
  if (status == 0) {
    asks_begin(&instance->asks, kind, query, call);
    return;
  }
  ask_refuse(call, status == -ENOMEM ? 500 : 400, query ? error.message : "no memory for the question");
  if (query)
    connections_free_question(query);
}

void connections_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  connections_begin(instance, &connections_kind, arguments, call);
}

void connections_ask_kill(struct instance *instance, const struct value *arguments, struct native_call *call) {
  connections_begin(instance, &kill_kind, arguments, call);
}
