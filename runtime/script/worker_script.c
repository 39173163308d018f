/* SPDX-License-Identifier: MIT
 *
 * A worker's Lua side as a whole: which versions of files run on it, and its end. */
#include "script/worker_script.h"
#include "connection/connection.h"

#include <errno.h>
#include <stdlib.h>

int script_worker_new(struct worker *worker, struct error *error) {
  struct script_worker *script = calloc(1, sizeof *script);
  if (script == NULL)
    return error_set(error, ENOMEM, "worker %u: no memory", worker->number);
  script->worker = worker;
  script->place = (struct script_place){
      .loop = &worker->loop,
      .dialer = &worker->dialer,
      .pipes = &worker->pipes,
      .log = worker->log,
      .worker = worker,
      .number = worker->number,
      .count = worker->count,
  };
  script_place_init(&script->place);
  worker->script = script;
  return 0;
}

static struct script_use *find_use(const struct script_worker *script, const struct script_version *version) {
  for (size_t i = 0; i < script->use_count; i++)
    if (script->uses[i].version == version)
      return &script->uses[i];
  return NULL;
}

static void let_go(struct script_worker *script, struct script_use *use) {
  struct script_state *state = script_version_state(use->version, script->worker->number);
  if (state != NULL && !use->version->is_borrowed)
    script_end_unconnected(state);
  script_version_retire(use->version, script->worker->number);
  script_version_unref(use->version);
  *use = script->uses[--script->use_count];
}

int script_worker_adopt(struct worker *worker, const struct route_table *table) {
  struct script_worker *script = worker->script;
  struct script_use *uses = realloc(script->uses, (script->use_count + table->script_count + 1) * sizeof *uses);
  if (uses == NULL)
    return -ENOMEM;
  script->uses = uses;
  for (size_t i = 0; i < table->script_count; i++) {
    struct script_version *version = table->scripts[i];
    struct script_use *use = find_use(script, version);
    if (use == NULL) {
      use = &script->uses[script->use_count++];
      *use = (struct script_use){.version = script_version_ref(version)};
      struct script_state *state = script_version_state(version, worker->number);
      if (state != NULL && state->place == NULL)
        script_state_attach(state, &script->place);
    }
    use->tables++;
  }
  return 0;
}

void script_worker_release(struct worker *worker, const struct route_table *table) {
  struct script_worker *script = worker->script;
  for (size_t i = 0; i < table->script_count; i++) {
    struct script_use *use = find_use(script, table->scripts[i]);
    if (use != NULL && --use->tables == 0)
      let_go(script, use);
  }
}

static bool has_version(const struct route_table *table, const struct script_version *version) {
  for (size_t i = 0; i < table->script_count; i++)
    if (table->scripts[i] == version)
      return true;
  return false;
}

/* A state without a place is one that a test has put there. */
void script_worker_go_live(struct worker *worker, const struct route_table *table) {
  struct script_worker *script = worker->script;
  for (size_t i = 0; script != NULL && i < script->use_count; i++) {
    struct script_state *state = script_version_state(script->uses[i].version, worker->number);
    if (state == NULL || state->place == NULL)
      continue;
    if (has_version(table, script->uses[i].version))
      script_timers_start(state);
    else
      script_end_unconnected(state);
  }
}

void script_worker_supersede(struct worker *worker, const struct script_version *version) {
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    const struct script_run *run = connection->script;
    if (run != NULL && run->version == version)
      connection_close(connection, PIPE_CLIENT, CLOSE_SUPERSEDED);
  }
}

struct supersede_order {
  struct message message;
  struct script_version *version;
};

static void on_supersede(struct message *message, void *receiver) {
  struct supersede_order *order = (struct supersede_order *)(void *)message;
  struct worker *worker = receiver;
  if (!worker->draining)
    script_worker_supersede(worker, order->version);
  script_version_unref(order->version);
  free(order);
}

void script_worker_supersede_soon(struct worker *worker, struct script_version *version) {
  struct supersede_order *order = calloc(1, sizeof *order);
  if (order == NULL)
    return; /* then it is closed when the next one is too many */
  *order = (struct supersede_order){.message.deliver = on_supersede, .version = script_version_ref(version)};
  if (mailbox_post(&worker->loop.mailbox, &order->message))
    return;
  script_version_unref(order->version);
  free(order);
}

void script_worker_free(struct script_worker *script) {
  if (script == NULL)
    return;
  struct worker *worker = script->worker;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    if (connection->script != NULL)
      script_worker_hooks.cancel(connection);
  }
  while (script->use_count > 0)
    let_go(script, &script->uses[script->use_count - 1]);
  free(script->uses);
  script_place_deinit(&script->place);
  worker->script = NULL;
  free(script);
}

size_t script_worker_memory(const struct worker *worker, size_t *states) {
  size_t memory = 0;
  *states = 0;
  if (!worker->script)
    return 0;
  LIST_FOREACH(node, &worker->script->place.states) {
    memory += LIST_OWNER(node, struct script_state, node)->memory_used;
    ++*states;
  }
  return memory;
}

void script_worker_enter(const struct script_task *task) {
  const struct script_state *state = task->state;
  struct worker *worker = state->place->worker;
  if (worker == NULL)
    return;
  const struct script_run *run = task->run;
  const struct route *route = run != NULL ? connection_route(run->connection) : NULL;
  atomic_store_explicit(&worker->inside.route, route != NULL ? route->stats : METRIC_NO_ROUTE, memory_order_relaxed);
  atomic_store_explicit(&worker->inside.version, state->version != NULL ? state->version : state->retired_from,
                        memory_order_relaxed);
}

void script_worker_leave(const struct script_state *state) {
  if (state->place->worker != NULL)
    atomic_store_explicit(&state->place->worker->inside.version, NULL, memory_order_relaxed);
}
