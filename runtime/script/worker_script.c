/* SPDX-License-Identifier: MIT
 *
 * A worker's Lua side as a whole: which versions of files run on it, and its end. */
#include "script/worker_script.h"

#include "connection/connection.h"
#include "script/parts.h"

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

/* Where it is written down in which place of `uses` the version is. */
static uint32_t *use_place(const struct script_worker *script, const struct script_version *version) {
  return &version->use_of[script->worker->number - 1];
}

static struct script_use *find_use(const struct script_worker *script, const struct script_version *version) {
  uint32_t place = *use_place(script, version);
  return place > 0 ? &script->uses[place - 1] : NULL;
}

static void script_use_let_go(struct script_worker *script, struct script_use *use) {
  struct script_version *version = use->version;
  struct script_state *state = script_version_state(version, script->worker->number);
  if (state != NULL && !version->is_borrowed)
    script_parts.end_unconnected(state);
  script_version_retire(version, script->worker->number);
  *use_place(script, version) = 0;
  const struct script_use *last = &script->uses[--script->use_count];
  if (use != last) {
    *use = *last;
    *use_place(script, use->version) = (uint32_t)(use - script->uses) + 1;
  }
  script_version_unref(version);
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
      *use_place(script, version) = (uint32_t)script->use_count;
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
      script_use_let_go(script, use);
  }
}

/* A state without a place is one that a test has put there. */
void script_worker_go_live(struct worker *worker, const struct route_table *table) {
  struct script_worker *script = worker->script;
  for (size_t i = 0; script != NULL && i < table->script_count; i++) {
    struct script_use *use = find_use(script, table->scripts[i]);
    if (use != NULL)
      use->wanted = true;
  }
  for (size_t i = 0; script != NULL && i < script->use_count; i++) {
    struct script_use *use = &script->uses[i];
    struct script_state *state = script_version_state(use->version, worker->number);
    bool wanted = use->wanted;
    use->wanted = false;
    if (state == NULL || state->place == NULL)
      continue;
    if (wanted)
      script_parts.start_timers(state);
    else
      script_parts.end_unconnected(state);
  }
}

/* Old versions, in the order of their addresses. */
struct supersede_order {
  struct message message;
  size_t count;
  struct script_version *versions[];
};

static int compare_versions(const void *left, const void *right) {
  const struct script_version *a = *(struct script_version *const *)left, *b = *(struct script_version *const *)right;
  return a < b ? -1 : a > b;
}

static bool run_is_superseded(const struct supersede_order *order, const struct script_run *run) {
  return run != NULL && bsearch(&run->version, order->versions, order->count, sizeof(struct script_version *),
                                compare_versions) != NULL;
}

static void order_free(struct supersede_order *order) {
  for (size_t i = 0; i < order->count; i++)
    script_version_unref(order->versions[i]);
  free(order);
}

static void on_supersede(struct message *message, void *receiver) {
  struct supersede_order *order = (struct supersede_order *)(void *)message;
  struct worker *worker = receiver;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    LIST_FOREACH(mine, &connection->exchanges) {
      struct exchange *exchange = LIST_OWNER(mine, struct exchange, node);
      if (!worker->draining && run_is_superseded(order, exchange->asker.script))
        exchange_close(exchange, PIPE_CLIENT, CLOSE_SUPERSEDED);
      if (connection->state >= CONNECTION_CLOSING)
        break;
    }
  }
  order_free(order);
}

void script_worker_supersede_soon(struct worker *worker, struct script_version *const *versions, size_t count) {
  struct supersede_order *order = calloc(1, sizeof *order + count * sizeof(struct script_version *));
  if (order == NULL)
    return; /* then they are closed when the next one is too many */
  order->message.deliver = on_supersede;
  for (; order->count < count; order->count++)
    order->versions[order->count] = script_version_ref(versions[order->count]);
  qsort(order->versions, count, sizeof(struct script_version *), compare_versions);
  if (!mailbox_post(&worker->loop.mailbox, &order->message))
    order_free(order);
}

void script_worker_free(struct script_worker *script) {
  if (script == NULL)
    return;
  struct worker *worker = script->worker;
  LIST_FOREACH(node, &worker->connections) {
    struct connection *connection = LIST_OWNER(node, struct connection, node);
    LIST_FOREACH(mine, &connection->exchanges) {
      struct exchange *exchange = LIST_OWNER(mine, struct exchange, node);
      asker_cancel(&exchange->asker);
    }
  }
  while (script->use_count > 0)
    script_use_let_go(script, &script->uses[script->use_count - 1]);
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
  const struct route *route = script_run_route(task->run);
  atomic_store_explicit(&worker->inside.route, route != NULL ? route->stats : METRIC_NO_ROUTE, memory_order_relaxed);
  atomic_store_explicit(&worker->inside.version, state->version != NULL ? state->version : state->retired_from,
                        memory_order_relaxed);
}

void script_worker_leave(const struct script_state *state) {
  if (state->place->worker != NULL)
    atomic_store_explicit(&state->place->worker->inside.version, NULL, memory_order_relaxed);
}
