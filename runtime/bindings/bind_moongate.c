/* SPDX-License-Identifier: MIT
 *
 * The functions behind the table `moongate` (lua/moongate/init.lua), and what the library's own modules need from C:
 * time, sleeping, spawning, logging, the worker. Connecting is in bind_connect.c. */
#include "bindings/bind_moongate.h"
#include "bindings/log_fields.h"
#include "connection/connection.h"
#include "core/log.h"
#include "luasocket/socket.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/state.h"
#include "script/worker_script.h"

#include <lauxlib.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOG_BURST_SECONDS = 10 };

static void on_sleep_cancel(struct script_wait *wait) {
  struct script_task *task = (struct script_task *)(void *)((char *)wait - offsetof(struct script_task, sleep));
  loop_cancel_timer(task->state->place->loop, &task->timer);
  loop_undefer(task->state->place->loop, &task->starting);
}

static void on_sleep_over(struct wheel_timer *timer) {
  struct script_task *task = (struct script_task *)(void *)((char *)timer - offsetof(struct script_task, timer));
  task_resume(&task->sleep, 0);
}

static void on_turn(struct deferred *deferred) {
  struct script_task *task = (struct script_task *)(void *)((char *)deferred - offsetof(struct script_task, starting));
  task_resume(&task->sleep, 0);
}

/* sleep(0) lets everything else have its turn first, what was spawned before included. */
static int core_sleep(lua_State *L) {
  uint64_t ms = argument_check_ms(L, 1);
  struct script_task *task = task_check(L);
  task->timer.on_expired = on_sleep_over;
  if (ms == 0) {
    task->starting.run = on_turn;
    loop_defer(task->state->place->loop, &task->starting);
  } else {
    loop_set_timer(task->state->place->loop, &task->timer, ms);
  }
  return task_wait(L, &task->sleep, on_sleep_cancel);
}

static int core_now(lua_State *L) {
  const struct script_state *state = script_state_of(L);
  const struct log *log = script_state_log(state);
  if (state->place != NULL) {
    lua_pushnumber(L, clock_wall(state->place->loop->clock));
  } else if (log != NULL) {
    lua_pushnumber(L, clock_wall(log->clock));
  } else {
    lua_pushnumber(L, (lua_Number)time(NULL));
  }
  return 1;
}

static int core_worker(lua_State *L) {
  const struct script_place *place = script_state_of(L)->place;
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, place != NULL ? (lua_Integer)place->number : 0);
  lua_setfield(L, -2, "number");
  lua_pushinteger(L, place != NULL ? (lua_Integer)place->count : 0);
  lua_setfield(L, -2, "count");
  return 1;
}

/* Whether one more line fits; then `*suppressed` says how many did not since the last one that did. */
static bool log_budget_pass(struct script_state *state, const struct log *log, uint64_t *suppressed) {
  struct script_log_budget *budget = &state->log_budget;
  double rate = state->options.log_lines, burst = rate * LOG_BURST_SECONDS;
  clock_ms now = state->place != NULL ? loop_now(state->place->loop) : clock_coarse(log->clock);
  if (budget->filled == 0)
    budget->lines = burst;
  else if (now > budget->filled)
    budget->lines += (double)(now - budget->filled) * rate / 1000;
  if (budget->lines > burst)
    budget->lines = burst;
  budget->filled = now;
  if (budget->lines < 1) {
    budget->suppressed++;
    return false;
  }
  budget->lines--;
  *suppressed = budget->suppressed;
  budget->suppressed = 0;
  return true;
}

static int core_log(lua_State *L) {
  static const char *const levels[] = {
      [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error", NULL};
  enum log_level level = (enum log_level)luaL_checkoption(L, 1, NULL, levels);
  const char *message = luaL_checkstring(L, 2);
  const struct log *log = script_state_log(script_state_of(L));
  struct log_fields fields;
  uint64_t suppressed = 0;
  fields.count = 0;
  lua_settop(L, 3);
  if (log == NULL || !log_enabled(log, level))
    return 0;
  if (script_state_of(L)->options.log_lines > 0 && !log_budget_pass(script_state_of(L), log, &suppressed))
    return 0;
  if (!lua_isnil(L, 3)) {
    luaL_checktype(L, 3, LUA_TTABLE);
    log_fields_read(L, 3, &fields);
  }
  if (suppressed > 0)
    LOG(log, LOG_WARN, "lines of moongate.log were left out: too many",
        LOG_STRING("file", script_state_file(script_state_of(L))), LOG_INTEGER("lines", suppressed));
  log_write(log, level, message, fields.fields, fields.count);
  return 0;
}

/* core.duration(value): seconds, or nil when it is no duration. */
static int core_duration(lua_State *L) {
  double seconds;
  luaL_checkany(L, 1);
  if (argument_duration(L, 1, &seconds))
    lua_pushnumber(L, seconds);
  else
    lua_pushnil(L);
  return 1;
}

static void push_methods(lua_State *L, const char *name, const luaL_Reg *methods) {
  if (!luaL_newmetatable(L, name))
    return;
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__metatable");
}

void script_push_methods(lua_State *L, const char *name, const luaL_Reg *methods) {
  script_lift_limit(L);
  push_methods(L, name, methods);
  script_restore_limit(L);
}

const luaL_Reg core_functions[] = {
    {"connect", core_connect},
    {"sleep", core_sleep},
    {"spawn", core_spawn},
    {"now", core_now},
    {"worker", core_worker},
    {"log", core_log},
    {"duration", core_duration},
    {"on_reload", core_on_reload},
    {"shared", core_shared},
    {"after", core_after},
    {"every", core_every},
    {"measure", core_measure},
    {"resolve", core_resolve},
    {"name_of", core_name_of},
    {"look", core_check_watch},
    {"insert", core_insert},
    {"is_deep", core_is_deep},
    {"is_full", core_is_full},
    {"has_object", core_has_object},
    {"write", core_write},
    {"open_socket", core_open_socket},
    {"connected_state", core_connected_state},
    {"service", core_service},
    {"select", core_select},
    {NULL, NULL},
};

void script_push_core(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, core_functions);
  luaL_register(L, NULL, file_functions);
  lua_newtable(L);
  luaL_register(L, NULL, metrics_functions);
  lua_setfield(L, -2, "metrics");
  task_push_sentinel(L);
  lua_setfield(L, -2, "waiting");
  lua_pushcfunction(L, task_check_passing);
  lua_setfield(L, -2, "check_passing");
  lua_pushliteral(L, MOONGATE_VERSION);
  lua_setfield(L, -2, "version");
}
