/* SPDX-License-Identifier: MIT
 *
 * Telling of what went wrong in a function of a route: it is counted, and logged with all that is needed to find it, at
 * most once a second for each route. */
#include "connection/connection.h"
#include "core/descriptors.h"
#include "script/worker_script.h"

#include <stdio.h>
#include <string.h>

enum { PLACE_SIZE = LUA_IDSIZE + 16 };

static void count_run_failure(const struct script_run *run) {
  struct metrics_shard *metrics = run->worker->worker->metrics;
  const struct route *route = script_run_route(run);
  struct route_stats *stats = route != NULL ? metrics_shard_route(metrics, route->stats) : NULL;
  metrics->worker.errors[ERROR_HANDLER]++;
  if (stats != NULL)
    stats->handler_errors++;
}

bool script_find_definition(const struct script_run *run, const struct route *route, char *text, size_t size) {
  lua_State *L = run->state->L;
  lua_Debug function;
  text[0] = '\0';
  script_version_push(route->script, run->worker->place.number, run->slot, L);
  if (!lua_isfunction(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  lua_getinfo(L, ">S", &function);
  if (function.linedefined <= 0)
    return false;
  snprintf(text, size, "%s:%d", function.short_src, function.linedefined);
  return true;
}

void script_report_failure(const struct script_run *run, const char *what, lua_State *coroutine) {
  const struct exchange *exchange = run->exchange;
  struct worker *worker = run->worker->worker;
  const struct route *route = script_run_route(run);
  const struct script_function *function = NULL;
  uint64_t suppressed;
  char id[CONNECTION_ID_SIZE], client[ADDRESS_TEXT_SIZE], place[PLACE_SIZE];
  count_run_failure(run);
  if (!log_enabled(worker->log, LOG_ERROR) ||
      !log_limits_pass(&worker->route_logs[ROUTE_LOG_FUNCTION], route != NULL ? route->stats : METRIC_NO_ROUTE,
                       loop_now(&worker->loop), &suppressed))
    return;
  if (route != NULL && route->script != NULL)
    function = &route->script->functions[run->slot];
  const char *message = lua_gettop(coroutine) > 0 ? lua_tostring(coroutine, -1) : NULL;
  LOG(worker->log, LOG_ERROR, what, LOG_STRING("route", route != NULL ? route->name : NULL),
      LOG_STRING("file", route != NULL ? route->file : NULL),
      LOG_STRING("function", function != NULL ? function->field : NULL),
      LOG_STRING("defined", function != NULL && script_find_definition(run, route, place, sizeof place) ? place : NULL),
      LOG_STRING("for", exchange == NULL ? run->asker->ops->subject(run->asker) : NULL),
      LOG_STRING("connection", exchange != NULL ? exchange_id(exchange, id) : NULL),
      LOG_STRING("client", exchange != NULL ? ip_address_format(&exchange->connection->client_address, client) : NULL),
      LOG_INTEGER("not_logged_before", suppressed),
      LOG_STRING("error", message != NULL ? message : "not enough memory"));
}

const struct log *script_state_log(const struct script_state *state) {
  return state->place != NULL && state->place->log != NULL ? state->place->log : state->options.log;
}

const char *script_state_file(const struct script_state *state) {
  const struct script_version *version = state->version != NULL ? state->version : state->retired_from;
  return version != NULL ? version->file : NULL;
}

void script_count_unconnected(const struct script_state *state) {
  if (state->place->worker == NULL)
    return;
  struct metrics_shard *metrics = state->place->worker->metrics;
  struct route_stats *stats = metrics_shard_route(metrics, METRIC_NO_ROUTE);
  metrics->worker.errors[ERROR_HANDLER]++;
  if (stats != NULL)
    stats->handler_errors++;
}

void script_report_unconnected(struct script_state *state, const char *what, lua_State *coroutine) {
  const struct log *log = script_state_log(state);
  uint64_t suppressed;
  script_count_unconnected(state);
  if (log == NULL || !log_enabled(log, LOG_ERROR) ||
      !log_limit_pass(&state->failures, loop_now(state->place->loop), &suppressed))
    return;
  const char *message = coroutine != NULL && lua_gettop(coroutine) > 0 ? lua_tostring(coroutine, -1) : NULL;
  LOG(log, LOG_ERROR, what, LOG_STRING("file", script_state_file(state)), LOG_INTEGER("not_logged_before", suppressed),
      LOG_STRING("error", message != NULL ? message : "not enough memory"));
}

/* The line of the user's that runs, as "routes/site.lua:12"; "" where it is not known. */
static void describe_line(lua_State *L, char text[PLACE_SIZE]) {
  lua_Debug place;
  text[0] = '\0';
  for (int level = 0; L != NULL && lua_getstack(L, level, &place); level++) {
    lua_getinfo(L, "Sl", &place);
    if (place.currentline > 0 && strncmp(place.short_src, "moongate/", 9) != 0) {
      snprintf(text, PLACE_SIZE, "%s:%d", place.short_src, place.currentline);
      return;
    }
  }
}

void script_report_unopened(struct script_state *state, const struct script_run *run, lua_State *L, const char *what,
                            bool of_limit) {
  const struct log *log = script_state_log(state);
  const struct route *route = script_run_route(run);
  char place[PLACE_SIZE], limit[64];
  uint64_t suppressed;
  if (state->place != NULL && state->place->worker != NULL)
    state->place->worker->metrics->worker.errors[of_limit ? ERROR_OPEN_FILES : ERROR_DESCRIPTORS]++;
  if (log == NULL || !log_enabled(log, LOG_ERROR))
    return;
  clock_ms now = state->place != NULL ? loop_now(state->place->loop) : clock_coarse(log->clock);
  if (!log_limit_pass(&state->unopened, now, &suppressed))
    return;
  describe_line(L, place);
  snprintf(limit, sizeof limit, "limits.open_files is %u", state->options.open_files);
  LOG(log, LOG_ERROR, what, LOG_STRING("route", route != NULL ? route->name : NULL),
      LOG_STRING("file", script_state_file(state)), LOG_STRING("at", place[0] != '\0' ? place : NULL),
      LOG_STRING("error", of_limit ? limit : "no file descriptor left; raise the limit (ulimit -n, LimitNOFILE=)"),
      LOG_INTEGER("not_logged_before", suppressed));
}

static bool has_free_descriptor(lua_State *L) {
  (void)L;
  return descriptors_probe() == 0;
}

bool script_has_descriptor(lua_State *L) {
  return has_free_descriptor(L) || script_collect_for(L, has_free_descriptor);
}
