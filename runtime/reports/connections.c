/* SPDX-License-Identifier: MIT
 *
 * The questions about connections: what a worker does for them, and the answer. */
#include "reports/connections.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reports/listing.h"

static const struct record_field open_field[] = {{.name = "open", .kind = RECORD_WIDE}};

/* What is remembered of a worker. */
static const struct record_type open_record = {.size = sizeof(uint64_t), .fields = open_field, .field_count = 1};

/* What one worker has found. */
struct connections_found {
  struct selection selection;
  uint64_t open; /* connections that it has, wanted or not */
  bool walked;
  struct connection_walk walk;
};

/* A stretch. `kill`: those that pass are ended. */
static bool connections_step(struct ask_part *part, bool kill) {
  const struct selection_query *query = part->ask->question;
  struct connections_found *found = part->answer;
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
  return !found->walked || listing_sort(part);
}

static bool step_list(struct ask_part *part) { return connections_step(part, false); }

static bool step_kill(struct ask_part *part) { return connections_step(part, true); }

static void connections_give_up(struct ask_part *part) {
  connection_walk_end(&((struct connections_found *)part->answer)->walk);
}

uint64_t connections_time_left(const struct instance *instance) {
  clock_ms now = clock_now(&instance->runtime->clock), end = instance->drain_until;
  return instance->phase < INSTANCE_DRAINING ? UINT64_MAX : end > now ? end - now : 0;
}

void connection_entry_bound(struct connection_entry *entry, uint64_t left) {
  if (entry->deadline <= left)
    return;
  entry->deadline = left;
  entry->deadline_reason = close_reason_label(CLOSE_SHUTDOWN);
}

static struct value *connections_report(struct ask *ask) {
  uint64_t left = connections_time_left(ask->asks->context), open = 0;
  size_t count;
  struct value *root = value_table();
  void **page = listing_page(ask, root, &count);
  for (size_t i = 0; i < ask->count; i++)
    open += ask->parts[i].away ? 0 : ((struct connections_found *)ask->parts[i].answer)->open;
  for (size_t i = 0; i < count; i++)
    connection_entry_bound(page[i], left);
  value_set_counter(root, "open", open);
  value_set_records(root, "connections", &connection_record, page, count);
  ask_write_workers(ask, root);
  return root;
}

#define CONNECTIONS_KIND                                                                                               \
  .answer_size = sizeof(struct connections_found), .concerns = listing_concerns, .give_up = connections_give_up,       \
  .report = connections_report, .clear = listing_clear, .free_question = listing_free

static const struct ask_kind connections_kind = {
    CONNECTIONS_KIND,
    .step = step_list,
    .brief = &open_record,
    .brief_at = offsetof(struct connections_found, open),
};

static const struct ask_kind kill_kind = {CONNECTIONS_KIND, .step = step_kill, .finishes = true};

static void connections_begin(struct instance *instance, const struct ask_kind *kind, const struct value *arguments,
                              struct native_call *call) {
  struct selection_query *query = listing_new(sizeof *query, &connection_record, arguments, call);
  if (query)
    asks_begin(&instance->asks, kind, query, call);
}

void connections_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  connections_begin(instance, &connections_kind, arguments, call);
}

void connections_ask_kill(struct instance *instance, const struct value *arguments, struct native_call *call) {
  connections_begin(instance, &kill_kind, arguments, call);
}
