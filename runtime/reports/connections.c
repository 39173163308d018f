/* SPDX-License-Identifier: MIT
 *
 * A round for each question: a message goes to every worker, comes back to itself after each piece, and in the end to
 * the control thread. */
#include "reports/connections_private.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "net/splice_pool.h"
#include "script/worker_script.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Answers with what is wrong. */
static void connections_refuse(struct native_call *call, int status, const char *message) {
  struct value *root = value_table();
  value_set_number(root, "status", status);
  value_set_string(root, "error", message);
  native_call_answer(call, root);
}

static void free_blocks(struct entry_block *block) {
  for (struct entry_block *next; block; block = next) {
    next = block->next;
    for (size_t i = 0; i < block->count; i++)
      connection_entry_clear(&block->entries[i]);
    free(block);
  }
}

static void free_round(struct connections_round *round) {
  for (size_t i = 0; i < round->part_count; i++)
    free_blocks(round->parts[i].first);
  connections_filter_deinit(&round->filter);
  list_remove(&round->node);
  round->owner->count -= round->call != NULL;
  free(round);
}

/* Workers know when a connection has been there for too long; how long it still has when moongate stops is known here.
 */
static void bound_by_drain(struct connections_round *round) {
  const struct instance *instance = round->owner->instance;
  if (instance->phase < INSTANCE_DRAINING)
    return;
  clock_ms now = clock_now(&instance->runtime->clock), end = instance->drain_until;
  uint64_t left = end > now ? end - now : 0;
  for (size_t i = 0; i < round->part_count; i++)
    for (struct entry_block *block = round->parts[i].asked ? NULL : round->parts[i].first; block; block = block->next)
      for (size_t k = 0; k < block->count; k++) {
        struct connection_entry *entry = &block->entries[k];
        if (entry->deadline <= left)
          continue;
        entry->deadline = left;
        entry->deadline_reason = CLOSE_SHUTDOWN;
      }
}

/* Answering runs Lua, so it comes last. */
static void connections_answer(struct connections_round *round) {
  struct native_call *call = round->call;
  bound_by_drain(round);
  struct value *value = round->report(round);
  round->call = NULL;
  round->owner->count--;
  loop_cancel_timer(&round->owner->instance->runtime->loop, &round->timer);
  if (round->missing == 0)
    free_round(round);
  native_call_answer(call, value);
}

static void on_connections_answer(struct message *message, void *receiver) {
  struct connections_part *part = (struct connections_part *)(void *)message;
  struct connections_round *round = part->round;
  (void)receiver;
  part->asked = false;
  if (--round->missing > 0)
    return;
  if (round->call)
    connections_answer(round);
  else
    free_round(round);
}

static void on_connections_patience_over(struct wheel_timer *timer) {
  connections_answer((struct connections_round *)(void *)((char *)timer - offsetof(struct connections_round, timer)));
}

/* The rest runs on the worker's thread, up to connections_ask_worker(). */

static bool connections_add(struct connections_part *part, const struct connection *connection) {
  struct entry_block *block = part->last;
  if (!block || block->count == CONNECTIONS_PIECE) {
    block = malloc(sizeof *block);
    if (!block)
      return false;
    block->next = NULL;
    block->count = 0;
    if (part->last)
      part->last->next = block;
    else
      part->first = block;
    part->last = block;
  }
  struct connection_entry *entry = &block->entries[block->count++];
  *entry = (struct connection_entry){.number = 0};
  if (connection_entry_fill(entry, connection) == 0)
    return true;
  connection_entry_clear(entry);
  block->count--;
  return false;
}

/* Does what was asked for. 0, or -ENOMEM. */
static int connections_take(struct connections_part *part, struct connection *connection) {
  if (!part->round->filter.wanted.kill)
    return connections_add(part, connection) ? 0 : -ENOMEM;
  connections_filter_note_killed(&part->round->filter, connection);
  connection_kill(connection);
  part->killed++;
  return 0;
}

/* Whether there is more to look at. */
static bool sample_on(struct connections_part *part, struct worker *worker) {
  const struct connections_filter *filter = &part->round->filter;
  size_t most = part->killed + CONNECTIONS_KILL_PIECE;
  for (size_t i = 0; i < CONNECTIONS_PIECE && part->killed < most; i++) {
    struct connection *connection = connection_walk_next(&part->walk, worker);
    if (!connection) {
      part->complete = true;
      return false;
    }
    part->open++;
    if (!connections_filter_pass(filter, connection) || connections_take(part, connection) == 0)
      continue;
    part->failed = true;
    connection_walk_end(&part->walk);
    return false;
  }
  return true;
}

static void on_connections_question(struct message *message, void *receiver) {
  struct connections_part *part = (struct connections_part *)(void *)message;
  struct worker *worker = receiver;
  if (!part->begun && part->round->looks)
    worker_sample_take(&part->sample, worker, part->asked_ns, true);
  if (!part->begun)
    connection_walk_begin(&part->walk, worker);
  part->begun = true;
  if (sample_on(part, worker)) {
    if (mailbox_post(&worker->loop.mailbox, message))
      return;
    connection_walk_end(&part->walk); /* the worker is ending */
  }
  message->deliver = on_connections_answer;
  /* Refused only when the control thread is past listening; then connections_deinit() frees the round. */
  mailbox_post(&part->round->owner->instance->runtime->loop.mailbox, message);
}

/* Not one that is stuck: its part would keep the round for as long. */
static void connections_ask_worker(struct connections_part *part, struct connections_round *round,
                                   struct worker *worker) {
  part->round = round;
  part->worker = worker;
  part->complete = !connections_filter_wants(&round->filter, worker->number);
  if (part->complete)
    return;
  part->message.deliver = on_connections_question;
  part->asked_ns = clock_ns(worker->loop.clock);
  part->asked = !worker->stuck && mailbox_post(&worker->loop.mailbox, &part->message);
  round->missing += part->asked;
}

void connections_init(struct connections *connections, struct instance *instance) {
  *connections = (struct connections){.instance = instance};
  list_init(&connections->rounds);
}

void connections_deinit(struct connections *connections) {
  if (!connections->instance)
    return;
  LIST_FOREACH(node, &connections->rounds) {
    struct connections_round *round = LIST_OWNER(node, struct connections_round, node);
    struct native_call *call = round->call;
    loop_cancel_timer(&connections->instance->runtime->loop, &round->timer);
    free_round(round);
    if (call)
      connections_refuse(call, 503, "moongate is stopping");
  }
  *connections = (struct connections){.instance = NULL};
}

void connections_ask(struct connections *connections, const struct native_connections *wanted,
                     struct native_call *call) {
  connections_ask_for(connections, wanted, call, wanted->kill ? connections_report_killed : connections_report);
}

void connections_ask_for(struct connections *connections, const struct native_connections *wanted,
                         struct native_call *call, connections_report_fn *report) {
  struct instance *instance = connections->instance;
  if (!instance || instance->threads.ended > 0 || instance->phase == INSTANCE_STARTING) {
    connections_refuse(call, 503, "moongate is starting or stopping");
    return;
  }
  if (connections->count >= CONNECTIONS_MAX_ROUNDS) {
    connections_refuse(call, 503, "too many questions of this kind at a time; ask again");
    return;
  }
  struct error error;
  size_t count = instance->threads.count;
  struct connections_round *round = calloc(1, sizeof *round + count * sizeof round->parts[0]);
  if (!round) {
    connections_refuse(call, 500, "no memory for the answer");
    return;
  }
  int status = connections_filter_init(&round->filter, wanted, &error);
  if (status != 0) {
    free(round);
    connections_refuse(call, status == -ENOMEM ? 500 : 400, error.message);
    return;
  }
  round->owner = connections;
  round->call = call;
  round->report = report;
  round->looks = report != connections_report && report != connections_report_killed;
  round->part_count = count;
  round->timer.on_expired = on_connections_patience_over;
  list_add_tail(&connections->rounds, &round->node);
  connections->count++;
  for (size_t i = 0; i < count; i++)
    connections_ask_worker(&round->parts[i], round, &instance->threads.threads[i]->worker);
  loop_set_timer(&instance->runtime->loop, &round->timer, round->missing > 0 ? CONNECTIONS_PATIENCE_MS : 0);
}

void worker_sample_take(struct worker_sample *sample, const struct worker *worker, uint64_t asked_ns, bool whole) {
  uint64_t now = clock_ns(worker->loop.clock);
  *sample = (struct worker_sample){
      .stats = worker->metrics->worker,
      .lag_ns = now > asked_ns ? now - asked_ns : 0,
      .open = worker->connection_count,
      .pipes = worker->pipes.pool ? splice_pool_count(worker->pipes.pool) : 0,
  };
  if (whole)
    sample->script_memory = script_worker_memory(worker, &sample->script_states);
}
