/* SPDX-License-Identifier: MIT
 *
 * What is told of a worker as a whole. */
#include "reports/workers.h"

#include "connection/connection.h"
#include "instance/instance.h"
#include "net/splice_pool.h"
#include "script/worker_script.h"

#define FIELD(name, flags) RECORD_FIELD(worker_brief, NULL, #name, name, flags)

static const struct record_field brief_fields[] = {
    FIELD(lag, 0),           FIELD(connections, 0),   FIELD(connecting, 0), FIELD(accepted, 0),
    FIELD(script_memory, 0), FIELD(script_states, 0), FIELD(pipes, 0),      FIELD(pipes_limit, 0),
};

const struct record_type worker_brief_record = {
    .size = sizeof(struct worker_brief),
    .fields = brief_fields,
    .field_count = sizeof brief_fields / sizeof brief_fields[0],
};

void worker_brief_take(struct worker_brief *brief, const struct ask_part *part) {
  const struct worker *worker = part->worker;
  const struct worker_stats *stats = &worker->metrics->worker;
  size_t states = 0;
  *brief = (struct worker_brief){
      .lag = (double)part->lag_ns / 1e9,
      .connections = worker->connection_count,
      .connecting = stats->states[CONNECTION_CONNECTING],
      .accepted = stats->connections,
      .script_memory = script_worker_memory(worker, &states),
      .pipes = worker->pipes.pool ? splice_pool_count(worker->pipes.pool) : 0,
      .pipes_limit = worker_pipes(worker),
  };
  brief->script_states = states;
}

static bool step_workers(struct ask_part *part) {
  worker_brief_take(part->answer, part);
  return false;
}

static struct value *workers_report(struct ask *ask) {
  struct value *root = value_table();
  value_set_boolean(root, "complete", ask_is_complete(ask));
  ask_write_workers(ask, root);
  return root;
}

void workers_ask(struct instance *instance, const struct value *arguments, struct native_call *call) {
  static const struct ask_kind kind = {.answer_size = sizeof(struct worker_brief),
                                       .brief = &worker_brief_record,
                                       .step = step_workers,
                                       .report = workers_report};
  (void)arguments;
  asks_begin(&instance->asks, &kind, NULL, call);
}
