/* SPDX-License-Identifier: MIT
 *
 * From the corridor into Lua and back: starting handlers and functions, what becomes of them, and their end. */
#include "connection/connection.h"
#include "luasocket/socket.h"
#include "routing/balance.h"
#include "script/arguments.h"
#include "script/worker_script.h"

#include <assert.h>
#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_run_freeing(struct deferred *deferred) {
  struct script_run *run = (struct script_run *)(void *)((char *)deferred - offsetof(struct script_run, freeing));
  free(run->forward_host);
  free(run);
}

/* Puts the value on top into the registry, under the run. Once there is one, no other takes memory. */
static void hold(lua_State *L, struct script_run *run) {
  lua_pushlightuserdata(L, run);
  lua_insert(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  run->holds = true;
}

/* Nothing of the run calls back any more, and the connection has its stream back. */
static int script_run_finish(struct script_run *run, bool give_back) {
  int status = 0;
  if (run->task != NULL)
    task_cancel(run->task, true);
  run->task = NULL;
  LIST_FOREACH(node, &run->tasks) { task_cancel(LIST_OWNER(node, struct script_task, family), true); }
  open_sockets_close(&run->opened);
  LIST_FOREACH(mine, &run->sockets) {
    struct script_socket *socket = LIST_OWNER(mine, struct script_socket, mine);
    list_remove(mine);
    socket->run = NULL;
    socket_close(socket);
  }
  if (run->socket != NULL)
    status = socket_detach(run->socket, give_back);
  if (run->holds) {
    lua_pushnil(run->state->L);
    hold(run->state->L, run);
  }
  run->socket = NULL;
  run->asker->script = NULL;
  loop_defer(run->worker->place.loop, &run->freeing);
  return status;
}

static void report_run_failure(const struct script_run *run, enum task_end end, lua_State *coroutine) {
  script_report_failure(run, end == TASK_STOPPED ? "a function was stopped" : "a function raised an error", coroutine);
}

/* Why the client's side ends, when the handler is done with it: perhaps the client had ended it before. */
static enum close_reason client_reason(const struct script_run *run, enum task_end end) {
  if (end == TASK_STOPPED)
    return CLOSE_SCRIPT_TIME;
  if (end == TASK_RAISED)
    return CLOSE_HANDLER_ERROR;
  if (run->socket != NULL && run->socket->failure != NULL && !run->socket->handshake_failed &&
      !run->socket->broken_by_us)
    return CLOSE_RESET;
  return run->socket != NULL && run->socket->ended ? CLOSE_ENDED : CLOSE_CLOSED;
}

static void on_handler_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct script_run *run = context;
  struct exchange *exchange = run->exchange;
  enum close_reason reason = client_reason(run, end);
  run->task = NULL;
  if (end == TASK_RAISED || end == TASK_STOPPED)
    report_run_failure(run, end, coroutine);
  char *host = end == TASK_LEFT ? run->forward_host : NULL;
  if (host == NULL && run->socket != NULL && run->socket->ended)
    exchange->ended |= 1 << PIPE_CLIENT;
  int port = run->forward_port;
  if (host != NULL)
    run->forward_host = NULL;
  if (script_run_finish(run, host != NULL) != 0)
    reason = CLOSE_NO_MEMORY;
  else if (host != NULL) {
    exchange_forward(exchange, host, port);
    return;
  }
  free(host);
  exchange_handler_ended(exchange, reason);
}

/* Puts the value behind what there is; what does not fit is left out. */
static size_t show_value(lua_State *L, int index, char *text, size_t size) {
  int wanted;
  if (lua_type(L, index) == LUA_TNUMBER)
    wanted = snprintf(text, size, "%.14g", lua_tonumber(L, index));
  else if (lua_type(L, index) == LUA_TSTRING)
    wanted = snprintf(text, size, "\"%.40s\"%s", lua_tostring(L, index),
                      argument_text(L, index) == NULL ? " and a NUL behind it" : "");
  else if (lua_isboolean(L, index))
    wanted = snprintf(text, size, "%s", lua_toboolean(L, index) ? "true" : "false");
  else
    wanted = snprintf(text, size, "%s%s", lua_isnil(L, index) ? "" : "a ", luaL_typename(L, index));
  return wanted < 0 ? 0 : (size_t)wanted < size ? (size_t)wanted : size - 1;
}

static void show_answer(lua_State *L, int count, char text[FUNCTION_ANSWER_SHOWN_SIZE]) {
  size_t length = 0;
  snprintf(text, FUNCTION_ANSWER_SHOWN_SIZE, "nothing");
  for (int i = 1; i <= count && length + 3 < FUNCTION_ANSWER_SHOWN_SIZE; i++) {
    if (i > 1)
      length += (size_t)snprintf(text + length, FUNCTION_ANSWER_SHOWN_SIZE - length, ", ");
    length += show_value(L, i, text + length, FUNCTION_ANSWER_SHOWN_SIZE - length);
  }
}

/* What the function returned, as the corridor takes it. NULL without memory. */
static struct function_answer *read_answer(enum task_end end, lua_State *coroutine) {
  struct function_answer *answer = calloc(1, sizeof *answer);
  if (answer == NULL)
    return NULL;
  if (end != TASK_RETURNED) {
    answer->kind = end == TASK_STOPPED ? ANSWER_STOPPED : ANSWER_ERROR;
    return answer;
  }
  int count = lua_gettop(coroutine);
  answer->kind = count == 0 ? ANSWER_NONE : ANSWER_VALUES;
  show_answer(coroutine, count, answer->shown);
  answer->truthy = count > 0 && lua_toboolean(coroutine, 1);
  for (int i = 1; i <= count && !answer->has_number; i++) {
    if (lua_type(coroutine, i) == LUA_TNUMBER) {
      answer->number = lua_tonumber(coroutine, i);
      answer->has_number = true;
    }
  }
  answer->odd_second = count > 1 && lua_type(coroutine, 2) != LUA_TNUMBER && !lua_isnil(coroutine, 2);
  if (count > 0 && argument_text(coroutine, 1) != NULL) {
    answer->string = strdup(lua_tostring(coroutine, 1));
    if (answer->string == NULL)
      answer->kind = ANSWER_ERROR;
  }
  return answer;
}

/* Puts the host and the port of a target that is written as a table, { host =, port = }, in its place: at 1 and 2. What
 * else it has is left to be shown. Outside of a protected call, so without anything that raises. */
static void unpack_target(lua_State *coroutine) {
  bool has_host = false;
  if (lua_gettop(coroutine) != 1 || !lua_istable(coroutine, 1) || !lua_checkstack(coroutine, 4))
    return;
  lua_pushnil(coroutine);
  lua_pushnil(coroutine); /* [target, host, port] */
  for (lua_pushnil(coroutine); lua_next(coroutine, 1) != 0; lua_pop(coroutine, 1)) {
    const char *key = lua_type(coroutine, -2) == LUA_TSTRING ? lua_tostring(coroutine, -2) : "";
    int at = strcmp(key, "host") == 0 ? 2 : strcmp(key, "port") == 0 ? 3 : 0;
    if (at == 0)
      continue;
    has_host |= at == 2;
    lua_pushvalue(coroutine, -1);
    lua_replace(coroutine, at);
  }
  if (has_host)
    lua_remove(coroutine, 1);
  else
    lua_settop(coroutine, 1);
}

static void on_function_ended(void *context, enum task_end end, lua_State *coroutine) {
  struct script_run *run = context;
  struct asker *asker = run->asker;
  run->task = NULL;
  if (end == TASK_RAISED || end == TASK_STOPPED)
    report_run_failure(run, end, coroutine);
  if (end == TASK_RETURNED && run->slot == script_run_route(run)->target_function)
    unpack_target(coroutine);
  struct function_answer *answer = read_answer(end, coroutine);
  script_run_finish(run, false);
  asker_answered(asker, answer);
}

bool script_run_has_client(const struct script_run *run) {
  return run->socket != NULL && run->socket->stream != NULL && !run->socket->shut_send &&
         !socket_is_joined(run->socket);
}

/* For action.balance: { host =, port =, weight =, active = }, as the route has them. */
static void push_targets(lua_State *L, const struct route *route) {
  lua_createtable(L, (int)route->target_count, 0);
  for (size_t i = 0; i < route->target_count; i++) {
    const struct route_target *target = &route->targets[i];
    lua_createtable(L, 0, 4); /* targets, target */
    lua_pushstring(L, target->host);
    lua_setfield(L, -2, "host");
    if (target->port > 0) {
      lua_pushinteger(L, target->port);
      lua_setfield(L, -2, "port");
    }
    lua_pushinteger(L, (lua_Integer)target->weight);
    lua_setfield(L, -2, "weight");
    lua_pushinteger(L, target->load ? (lua_Integer)atomic_load(&target->load->active) : 0);
    lua_setfield(L, -2, "active");
    lua_rawseti(L, -2, (int)i + 1);
  }
}

struct preparation {
  struct script_run *run;
  struct script_version *version;
  unsigned worker;
};

/* Runs protected: makes the task, with its arguments. */
static int prepare_run(lua_State *L) {
  struct preparation *preparation = lua_touserdata(L, 1);
  struct script_run *run = preparation->run;
  script_version_push(preparation->version, preparation->worker, run->slot, L);
  if (run->is_handler) {
    lua_pushboolean(L, true); /* makes room for it */
    hold(L, run);
    run->socket = socket_push_client(run->state, L, run, run->exchange->client);
    if (run->socket == NULL)
      return 0;
    lua_pushvalue(L, -1);
    hold(L, run);
  }
  if (run->exchange != NULL)
    script_push_context(L, run->exchange); /* function, [socket,] context */
  else
    lua_pushstring(L, run->asker->ops->subject(run->asker)); /* function, subject */
  int arguments = run->is_handler ? 2 : 1;
  const struct route *route = script_run_route(run);
  if (!run->is_handler && run->slot == route->balance_function) {
    push_targets(L, route);
    arguments++;
  }
  run->task = task_new(run->state, L, arguments, run->is_handler ? on_handler_ended : on_function_ended, run);
  return 0;
}

static int start_run(struct asker *asker, int slot, bool is_handler) {
  struct worker *worker = asker->ops->worker(asker);
  struct script_worker *script = worker->script;
  const struct route *route = asker->ops->route(asker);
  assert(asker->script == NULL && route != NULL);
  unsigned number = worker->number;
  struct script_state *state = script != NULL ? script_version_state(route->script, number) : NULL;
  if (state == NULL || state->place == NULL)
    return -ESTALE;
  struct script_run *run = calloc(1, sizeof *run);
  if (run == NULL)
    return -ENOMEM;
  run->asker = asker;
  run->exchange = asker_exchange(asker);
  run->worker = script;
  run->state = state;
  run->version = state->version;
  run->is_handler = is_handler;
  run->slot = slot;
  run->since = loop_now(&worker->loop);
  run->freeing.run = on_run_freeing;
  list_init(&run->tasks);
  list_init(&run->sockets);
  list_init(&run->opened);
  struct preparation preparation = {run, route->script, number};
  asker->script = run;
  int status = script_protect(state, prepare_run, &preparation);
  if (status != 0 || run->task == NULL) {
    script_run_finish(run, false);
    return status != 0 ? status : -ENOMEM;
  }
  run->task->run = run;
  task_start_in_turn(run->task);
  return 0;
}

static int handler_start(struct exchange *exchange) {
  return start_run(&exchange->asker, exchange_route(exchange)->handler_function, true);
}

static int function_call(struct asker *asker, int slot) { return start_run(asker, slot, false); }

/* What is read from a client that says nothing, or goes to one that is told nothing. */
static bool task_is_idle(const struct script_task *task, const struct script_socket *socket, clock_ms now) {
  return task->wait == &socket->reader.wait || (task->wait != NULL && socket_flow_is_quiet(task->wait, now));
}

/* Of its tasks every one that waits, waits to read from the client, which has sent nothing that is not read, or for a
 * pipe, which has moved what there was when it is quiet; that takes a moment to be seen. */
static bool handler_is_idle(const struct exchange *exchange) {
  const struct script_run *run = exchange->asker.script;
  const struct script_socket *socket = run != NULL ? run->socket : NULL;
  if (socket == NULL || run->task == NULL || run->task->wait == NULL)
    return false;
  clock_ms now = exchange_now(exchange);
  for (const struct list_node *node = run->tasks.next; node != &run->tasks; node = node->next)
    if (!task_is_idle(LIST_OWNER(node, struct script_task, family), socket, now))
      return false;
  if (socket->piped)
    return now >= exchange->last_active + CONNECTION_MOVING_MS;
  return task_is_idle(run->task, socket, now) && !socket_is_shaking(socket) && buffer_size(socket->ahead) == 0;
}

static bool function_waits(const struct asker *asker, struct function_wait *wait) {
  const struct script_run *run = asker->script;
  const struct route *route = script_run_route(run);
  if (run == NULL || run->is_handler || run->task == NULL || route == NULL || route->script == NULL)
    return false;
  wait->route = route;
  wait->field = route->script->functions[run->slot].field;
  wait->since = run->since;
  script_find_definition(run, route, wait->defined, sizeof wait->defined);
  return true;
}

static void cancel(struct asker *asker) {
  struct script_run *run = asker->script;
  if (run != NULL)
    script_run_finish(run, false);
}

const struct script_hooks script_worker_hooks = {
    .handler_start = handler_start,
    .function_call = function_call,
    .table_adopted = script_worker_adopt,
    .table_released = script_worker_release,
    .table_live = script_worker_go_live,
    .handler_is_idle = handler_is_idle,
    .function_waits = function_waits,
    .cancel = cancel,
};
